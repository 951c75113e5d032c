"""Status flows: the order in which tasks and features pass through their statuses, and each flow's transition table.

A flow is a list of statuses. Events move along it, back in it, or out of it (an emergency transition). A transition
that is in no table cannot happen: nothing else moves a status.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from orchestrator.model.feature import FeatureStatus
from orchestrator.model.task import TaskStatus


class TaskEvent(StrEnum):
    """Events of a task."""

    WORK_STARTED = "work_started"
    IMPLEMENTATION_COMPLETE = "implementation_complete"
    GATES_STARTED = "gates_started"
    TESTS_PASSED = "tests_passed"
    TESTS_FAILED = "tests_failed"
    REVIEW_APPROVED = "review_approved"
    CHANGES_REQUESTED = "changes_requested"
    WORK_FAILED = "work_failed"
    RETRY_SCHEDULED = "retry_scheduled"
    RETRY_REQUESTED = "retry_requested"
    WORKER_LOST = "worker_lost"
    WORK_HANDED_BACK = "work_handed_back"
    BLOCKER_DETECTED = "blocker_detected"
    BLOCKER_RESOLVED = "blocker_resolved"
    TASK_ESCALATED = "task_escalated"
    TASK_HELD = "task_held"
    TASK_RESUMED = "task_resumed"
    TASK_DEFERRED = "task_deferred"
    TASK_SKIPPED = "task_skipped"
    TASK_CANCELLED = "task_cancelled"


class FeatureEvent(StrEnum):
    """Events of a feature. Most follow from its tasks; people ask for the last five."""

    FIRST_TASK_STARTED = "first_task_started"
    TASK_STOPPED = "task_stopped"
    PERSON_AWAITED = "person_awaited"
    ALL_RESOLVED = "all_resolved"
    ALL_TASKS_COMPLETE = "all_tasks_complete"
    FEATURE_TESTS_PASSED = "feature_tests_passed"
    FEATURE_VALIDATED = "feature_validated"
    FEATURE_GREW = "feature_grew"
    FEATURE_APPROVED = "feature_approved"
    FEATURE_PAUSED = "feature_paused"
    FEATURE_RESUMED = "feature_resumed"
    FEATURE_CANCELLED = "feature_cancelled"
    FEATURE_FAILED = "feature_failed"


Arrow = Mapping[str, str]
"""An event's transitions: status before → status after. A status that is not a key does not allow the event."""

WORKING = (TaskStatus.IN_PROGRESS, TaskStatus.TESTING)
"""A worker may hold the task."""

TAKEN_UP = (TaskStatus.PENDING, TaskStatus.CHANGES_REQUESTED, TaskStatus.TESTING)
"""Statuses in which a task without a worker is launched when a slot is free; in testing, only its gates run."""

OFF_FLOW = frozenset(
    {
        TaskStatus.CHANGES_REQUESTED,
        TaskStatus.BLOCKED,
        TaskStatus.ON_HOLD,
        TaskStatus.FAILED,
        TaskStatus.CANCELLED,
        TaskStatus.DEFERRED,
    }
)
"""Statuses that every flow has beside its own, so that no flow lists them."""

STOPPED = (TaskStatus.FAILED, TaskStatus.BLOCKED)
"""Something went wrong with the task; its feature is blocked until somebody acts."""

FORWARD: Mapping[TaskStatus, TaskEvent] = {
    TaskStatus.BACKLOG: TaskEvent.WORK_STARTED,
    TaskStatus.PENDING: TaskEvent.WORK_STARTED,
    TaskStatus.CHANGES_REQUESTED: TaskEvent.WORK_STARTED,
    TaskStatus.IN_PROGRESS: TaskEvent.IMPLEMENTATION_COMPLETE,
    TaskStatus.IN_REVIEW: TaskEvent.REVIEW_APPROVED,
    TaskStatus.TESTING: TaskEvent.TESTS_PASSED,
}
"""The event that moves a task on from each status of a flow."""

EMERGENCIES = (TaskStatus.BLOCKED, TaskStatus.ON_HOLD, TaskStatus.CANCELLED, TaskStatus.DEFERRED)
"""The statuses that an emergency transition can lead to."""

SHIPPED_FLOWS: Mapping[str, tuple[str, ...]] = {
    "default": ("backlog", "pending", "in-progress", "testing", "completed"),
    "bug_fix": ("pending", "in-progress", "testing", "completed"),
    "documentation": ("pending", "in-progress", "completed"),
    "hotfix": ("pending", "in-progress", "completed"),
    "with_review": ("backlog", "pending", "in-progress", "in-review", "testing", "completed"),
}

SHIPPED_FEATURE_FLOWS: Mapping[str, tuple[str, ...]] = {
    "default": ("planning", "in-development", "testing", "validating", "completed"),
    "rapid_prototype": ("planning", "in-development", "completed"),
    "experimental": ("planning", "in-development", "archived"),
    "with_review": ("planning", "in-development", "testing", "validating", "pending-review", "completed"),
}


class BadFlow(ValueError):
    """A flow that cannot work."""


@dataclass(frozen=True)
class Rules:
    """Moves that the flows allow beside going forward: `status_validation` in the configuration."""

    enforce_sequential: bool = True
    allow_backward: bool = True
    allow_emergency: bool = True
    validate_prerequisites: bool = True


@dataclass(frozen=True)
class Flow:
    """The statuses of a task, in order.

    Args:
        name: Its name in the configuration.
        statuses: In order, without those that every flow has beside (see OFF_FLOW).
        rules: The moves that are allowed beside going forward.
        emergency: Where an emergency transition may lead, from any status that is not terminal.
        terminal: Statuses that a task does not leave.

    Raises:
        BadFlow: No task could pass through it.

    Example:
        >>> Flow("hotfix", ("pending", "in-progress", "completed")).target("work_started", "pending")
        'in-progress'
    """

    name: str
    statuses: tuple[str, ...]
    rules: Rules = Rules()
    emergency: frozenset[str] = frozenset({"blocked", "on-hold", "cancelled", "deferred"})
    terminal: frozenset[str] = frozenset({"completed", "cancelled"})

    def __post_init__(self) -> None:
        _check(self.name, self.statuses, list(TaskStatus), ("pending", "in-progress"), self.terminal)
        wrong = [status for status in self.statuses if status in OFF_FLOW]
        if wrong:
            raise BadFlow(f"{wrong[0]} belongs to every flow by itself; leave it out of the list")

    def __hash__(self) -> int:
        return hash((self.name, self.statuses))  # of all fields it takes ten times as long, and tells no more

    def after(self, status: str) -> str:
        """The next status of the flow."""
        return self.statuses[self.statuses.index(status) + 1]

    def has(self, status: str) -> bool:
        """The flow passes through this status."""
        return status in self.statuses

    @cached_property
    def everywhere(self) -> tuple[str, ...]:
        """Every status that a task of this flow can have, terminal or not."""
        return tuple(dict.fromkeys((*self.statuses, *sorted(OFF_FLOW))))

    @cached_property
    def leavable(self) -> tuple[str, ...]:
        """Every status that is not terminal."""
        return tuple(status for status in self.everywhere if status not in self.terminal)

    @cached_property
    def table(self) -> Mapping[TaskEvent, Arrow]:
        """The transition table: for each event, where it leads from each status that allows it."""
        return {event: dict(pairs) for event, pairs in self._rows() if pairs}

    def target(self, event: str, status: str) -> str | None:
        """The status after the event; None if the table does not have it."""
        return self.table.get(TaskEvent(event), {}).get(status)

    def allowed(self, status: str) -> list[TaskEvent]:
        """The events that a task in this status can take."""
        return [event for event, arrow in self.table.items() if status in arrow]

    def _rows(self) -> Iterator[tuple[TaskEvent, list[tuple[str, str]]]]:
        E, S, rules = TaskEvent, TaskStatus, self.rules
        waiting = [status for status in ("backlog", "pending") if self.has(status)]
        working = [status for status in WORKING if self.has(status)]
        yield E.WORK_STARTED, _to(S.IN_PROGRESS, [*waiting, S.CHANGES_REQUESTED])
        yield E.IMPLEMENTATION_COMPLETE, self._on(S.IN_PROGRESS)
        yield E.GATES_STARTED, _to(S.TESTING, [S.TESTING] if self.has(S.TESTING) else [])
        yield E.TESTS_PASSED, self._on(S.TESTING)
        yield E.TESTS_FAILED, _to(S.FAILED, working)
        yield E.REVIEW_APPROVED, self._on(S.IN_REVIEW)
        back = [S.IN_REVIEW] if self.has(S.IN_REVIEW) and rules.allow_backward else []
        yield E.CHANGES_REQUESTED, _to(S.CHANGES_REQUESTED, back)
        yield E.WORK_FAILED, _to(S.FAILED, working)
        yield E.RETRY_SCHEDULED, _to(S.PENDING, working if rules.allow_backward else [S.IN_PROGRESS])
        yield E.RETRY_REQUESTED, _to(S.PENDING, [S.FAILED])
        yield E.WORKER_LOST, _to(S.PENDING, working)
        yield E.WORK_HANDED_BACK, _to(S.PENDING, working)
        yield E.BLOCKER_DETECTED, _to(S.BLOCKED, self._emergency(S.BLOCKED) or working)
        yield E.BLOCKER_RESOLVED, _to(S.PENDING, [S.BLOCKED])
        yield E.TASK_ESCALATED, _to(S.PENDING, working)
        yield E.TASK_HELD, _to(S.ON_HOLD, self._emergency(S.ON_HOLD))
        yield E.TASK_RESUMED, _to(S.PENDING, [s for s in (S.ON_HOLD, S.DEFERRED) if s not in self.terminal])
        yield E.TASK_DEFERRED, _to(S.DEFERRED, self._emergency(S.DEFERRED))
        skippable = [status for status in self.leavable if status not in working]
        yield E.TASK_SKIPPED, _to(S.CANCELLED, [*skippable, S.CANCELLED])
        # A task that runs when its feature is cancelled ends, whatever the rules say of emergencies.
        yield E.TASK_CANCELLED, _to(S.CANCELLED, self._emergency(S.CANCELLED) or working)

    def _on(self, status: str) -> list[tuple[str, str]]:
        return [(str(status), self.after(status))] if self.has(status) else []

    def _emergency(self, target: str) -> list[str]:
        if not self.rules.allow_emergency or target not in self.emergency:
            return []
        return [status for status in self.leavable if status != target]


def _to(target: str, sources: Iterable[str]) -> list[tuple[str, str]]:
    return [(str(source), str(target)) for source in sources]


@dataclass(frozen=True)
class FeatureFlow:
    """The statuses of a feature, in order; those of trouble (blocked, on-hold, cancelled, failed) come beside them.

    Example:
        >>> FeatureFlow("rapid_prototype", ("planning", "in-development", "completed")).final
        'completed'
    """

    name: str
    statuses: tuple[str, ...]

    def __post_init__(self) -> None:
        ends = {"completed", "archived"}
        _check(self.name, self.statuses, list(FeatureStatus), ("planning", "in-development"), ends)
        wrong = [s for s in self.statuses if s in ("blocked", "on-hold", "cancelled", "failed")]
        if wrong:
            raise BadFlow(f"{wrong[0]} belongs to every flow by itself; leave it out of the list")

    @property
    def final(self) -> str:
        """The status in which a feature of this flow ends when all went well."""
        return self.statuses[-1]

    def _following(self, *candidates: str) -> str:
        """The first of these that the flow has, else its end."""
        return next((status for status in candidates if status in self.statuses), self.final)

    def table(self, gated: Sequence[str] = ()) -> Mapping[FeatureEvent, Arrow]:
        """The transition table.

        Args:
            gated: Which of "testing" and "validating" have gates to pass; the others are passed by at once.
        """
        E, S = FeatureEvent, FeatureStatus
        working = (S.DRAFT, S.PLANNING, S.IN_DEVELOPMENT)
        stages = tuple(status for status in (S.TESTING, S.VALIDATING) if status in gated)
        open_ = (*working, S.TESTING, S.VALIDATING, S.PENDING_REVIEW, S.BLOCKED, S.ON_HOLD)
        review = self._following(S.PENDING_REVIEW)
        validating = self._following(*[s for s in stages if s == S.VALIDATING], S.PENDING_REVIEW)
        complete = self._following(*stages, S.PENDING_REVIEW)
        arrows: dict[FeatureEvent, list[tuple[str, str]]] = {
            E.FIRST_TASK_STARTED: _to(S.IN_DEVELOPMENT, (S.DRAFT, S.PLANNING)),
            E.TASK_STOPPED: _to(S.BLOCKED, (*working, S.ON_HOLD, S.TESTING, S.VALIDATING)),
            E.PERSON_AWAITED: _to(S.ON_HOLD, (*working, S.BLOCKED)),
            E.ALL_RESOLVED: _to(S.IN_DEVELOPMENT, (S.BLOCKED, S.ON_HOLD)),
            E.ALL_TASKS_COMPLETE: _to(complete, (*working, S.BLOCKED, S.ON_HOLD)),
            E.FEATURE_TESTS_PASSED: _to(validating, (S.TESTING,)),
            E.FEATURE_VALIDATED: _to(review, (S.VALIDATING,)),
            E.FEATURE_GREW: _to(S.IN_DEVELOPMENT, (S.TESTING, S.VALIDATING, S.PENDING_REVIEW)),
            E.FEATURE_APPROVED: _to(self.final, (S.PENDING_REVIEW,)),
            E.FEATURE_PAUSED: _to(S.ON_HOLD, (*working, S.BLOCKED, S.ON_HOLD)),
            E.FEATURE_RESUMED: _to(S.IN_DEVELOPMENT, (S.ON_HOLD, S.BLOCKED)),
            E.FEATURE_CANCELLED: _to(S.CANCELLED, open_),
            E.FEATURE_FAILED: _to(S.FAILED, open_),
        }
        return {event: dict(pairs) for event, pairs in arrows.items() if pairs}


def _check(
    name: str, statuses: Sequence[str], known: Sequence[str], needed: Sequence[str], ends: Iterable[str]
) -> None:
    """Refuse a flow through which nothing could pass."""
    unknown = [status for status in statuses if status not in known]
    if unknown:
        raise BadFlow(f"{unknown[0]!r} is no status; the statuses are {', '.join(known)}")
    twice = [status for place, status in enumerate(statuses) if status in statuses[:place]]
    if twice:
        raise BadFlow(f"{twice[0]} is listed twice; a flow passes through each status once")
    for status in needed:
        if status not in statuses:
            raise BadFlow(f"{status} is missing; every flow passes through {' and '.join(needed)}")
    if not statuses or statuses[-1] not in set(ends):
        raise BadFlow(f"it does not end: the last status must be terminal ({', '.join(sorted(ends))})")
    early = [status for status in statuses[:-1] if status in set(ends)]
    if early:
        raise BadFlow(f"what follows {early[0]} cannot be reached, since {early[0]} is terminal")
    order = [statuses.index(status) for status in needed]
    before = [status for status in statuses[: order[0]] if status not in ("backlog", "draft")]
    if order != sorted(order) or before or order[1] != order[0] + 1:
        raise BadFlow(f"it must begin {' → '.join(needed)}; before that only backlog or draft")
