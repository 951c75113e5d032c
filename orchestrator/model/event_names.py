"""The names of events, and of the groups of them that a notification can ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchestrator.model.event import Event
from orchestrator.model.feature import OVER, FeatureStatus
from orchestrator.model.flows import FeatureEvent, TaskEvent
from orchestrator.model.task import TaskStatus

ALL = "*"


RECORDED = (
    "feature_enqueued",
    "batch_opened",
    "task_launched",
    "at_capacity",
    "specialist_awaited",
    "specialist_assigned",
    "batch_overdue",
    "progress",
    "message_lost",
    "attempt_ended",
    "launch_requested",
    "cap_changed",
    "budget_changed",
    "budget_warned",
    "budget_reached",
    "dependencies_changed",
    "tasks_added",
)
"""Events that move no status: the scripts of the store write them beside those of `flows`."""


EVENTS: tuple[str, ...] = (*TaskEvent, *FeatureEvent, *RECORDED)
"""Every event that a feature's stream can have."""


NEEDS_PERSON = "needs-person"


FAILURES = "failures"


MILESTONES = "milestones"


_GROUPS: Mapping[str, frozenset[str]] = {
    NEEDS_PERSON: frozenset(
        {FeatureEvent.TASK_STOPPED, FeatureEvent.PERSON_AWAITED, "specialist_awaited", "batch_overdue"}
    ),
    FAILURES: frozenset(
        {
            TaskEvent.WORK_FAILED,
            TaskEvent.TESTS_FAILED,
            TaskEvent.WORKER_LOST,
            TaskEvent.BLOCKER_DETECTED,
            FeatureEvent.FEATURE_FAILED,
        }
    ),
    MILESTONES: frozenset({"batch_opened"}),
}


EVENT_NAMES: tuple[str, ...] = (ALL, *_GROUPS, *EVENTS)
"""Everything that `notifications.events` can have."""


def groups(event: Event) -> Iterator[str]:
    """The groups that an event belongs to: by its name, and by the status that it leads to.

    Example:
        >>> list(groups(Event(id="1-0", time=1.0, event="implementation_complete", task="T1", target="in-review")))
        ['needs-person']
    """
    awaits_review = event.target in (TaskStatus.IN_REVIEW, FeatureStatus.PENDING_REVIEW)
    is_over = not event.task and event.target in OVER
    if event.event in _GROUPS[NEEDS_PERSON] or awaits_review:
        yield NEEDS_PERSON
    if event.event in _GROUPS[FAILURES]:
        yield FAILURES
    if event.event in _GROUPS[MILESTONES] or is_over:
        yield MILESTONES
