"""What may happen to a task and to a feature, from one transition table each; and what is to be done next.

Pure: an event comes in, a value goes out. The store applies a move (its Lua scripts are handed the allowed
statuses, and hold no rules of their own), the dispatcher carries out commands.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from orchestrator import errors
from orchestrator.models import (
    Blocked,
    Cancelled,
    Completed,
    Failed,
    FeatureStatus,
    Outcome,
    Retries,
    RetryLater,
    TaskStatus,
)


class TaskEvent(StrEnum):
    """What can happen to a task."""

    WORK_STARTED = "work_started"
    IMPLEMENTATION_COMPLETE = "implementation_complete"
    BLOCKER_DETECTED = "blocker_detected"
    WORK_FAILED = "work_failed"
    RETRY_SCHEDULED = "retry_scheduled"
    WORKER_LOST = "worker_lost"
    RETRY_REQUESTED = "retry_requested"
    BLOCKER_RESOLVED = "blocker_resolved"
    TASK_CANCELLED = "task_cancelled"


class FeatureEvent(StrEnum):
    """What can happen to a feature. All but the last follow from its tasks (cascade events)."""

    FIRST_TASK_STARTED = "first_task_started"
    TASK_STOPPED = "task_stopped"
    ALL_RESOLVED = "all_resolved"
    LAUNCH_AWAITED = "launch_awaited"
    BATCH_LAUNCHED = "batch_launched"
    ALL_TASKS_COMPLETE = "all_tasks_complete"
    FEATURE_CANCELLED = "feature_cancelled"


@dataclass(frozen=True)
class Arrow:
    """One row of a transition table: from any of `sources` to `target`."""

    sources: tuple[str, ...]
    target: str


TASK_TABLE: Mapping[TaskEvent, Arrow] = {
    TaskEvent.WORK_STARTED: Arrow((TaskStatus.PENDING,), TaskStatus.IN_PROGRESS),
    TaskEvent.IMPLEMENTATION_COMPLETE: Arrow((TaskStatus.IN_PROGRESS,), TaskStatus.COMPLETED),
    TaskEvent.BLOCKER_DETECTED: Arrow((TaskStatus.IN_PROGRESS,), TaskStatus.BLOCKED),
    TaskEvent.WORK_FAILED: Arrow((TaskStatus.IN_PROGRESS,), TaskStatus.FAILED),
    TaskEvent.RETRY_SCHEDULED: Arrow((TaskStatus.IN_PROGRESS,), TaskStatus.PENDING),
    TaskEvent.WORKER_LOST: Arrow((TaskStatus.IN_PROGRESS,), TaskStatus.PENDING),
    TaskEvent.RETRY_REQUESTED: Arrow((TaskStatus.FAILED, TaskStatus.CANCELLED), TaskStatus.PENDING),
    TaskEvent.BLOCKER_RESOLVED: Arrow((TaskStatus.BLOCKED,), TaskStatus.PENDING),
    TaskEvent.TASK_CANCELLED: Arrow((TaskStatus.IN_PROGRESS,), TaskStatus.CANCELLED),
}
"""A task whose feature is cancelled before it starts takes no event: it is shown as cancelled with its feature."""

RESOLVED = frozenset({TaskStatus.COMPLETED})
"""A task in one of these no longer holds its batch open."""

_LIVE = (FeatureStatus.PLANNING, FeatureStatus.IN_DEVELOPMENT, FeatureStatus.BLOCKED, FeatureStatus.ON_HOLD)

FEATURE_TABLE: Mapping[FeatureEvent, Arrow] = {
    FeatureEvent.FIRST_TASK_STARTED: Arrow((FeatureStatus.PLANNING,), FeatureStatus.IN_DEVELOPMENT),
    FeatureEvent.TASK_STOPPED: Arrow(
        (FeatureStatus.PLANNING, FeatureStatus.IN_DEVELOPMENT, FeatureStatus.ON_HOLD), FeatureStatus.BLOCKED
    ),
    FeatureEvent.ALL_RESOLVED: Arrow((FeatureStatus.BLOCKED,), FeatureStatus.IN_DEVELOPMENT),
    FeatureEvent.LAUNCH_AWAITED: Arrow(
        (FeatureStatus.PLANNING, FeatureStatus.IN_DEVELOPMENT), FeatureStatus.ON_HOLD
    ),
    FeatureEvent.BATCH_LAUNCHED: Arrow((FeatureStatus.ON_HOLD,), FeatureStatus.IN_DEVELOPMENT),
    FeatureEvent.ALL_TASKS_COMPLETE: Arrow(_LIVE, FeatureStatus.COMPLETED),
    FeatureEvent.FEATURE_CANCELLED: Arrow(_LIVE, FeatureStatus.CANCELLED),
}

FEATURE_TABLE_JSON = json.dumps(
    {
        event: {"to": arrow.target, "from": dict.fromkeys(arrow.sources, True)}
        for event, arrow in FEATURE_TABLE.items()
    }
)
"""The feature's table as the cascade script reads it."""


@dataclass(frozen=True)
class Move:
    """A change of a task's status that the store is asked to apply, if the task still stands in `sources`."""

    event: TaskEvent
    sources: tuple[str, ...]
    target: str
    wait: float | None = None
    cause: str = ""

    @property
    def resolves(self) -> bool:
        """The task no longer holds its batch open after this."""
        return self.target in RESOLVED


def move(event: TaskEvent, *, wait: float | None = None, cause: str = "") -> Move:
    """The move that an event asks for; `wait` is in seconds, for an event that starts a task again later.

    Example:
        >>> str(move(TaskEvent.WORK_STARTED).target)
        'in-progress'
    """
    arrow = TASK_TABLE[event]
    return Move(event, arrow.sources, arrow.target, wait, cause)


def conclude(outcome: Outcome, retries: Retries, retried: int, chance: float) -> Move:
    """The move that an outcome asks for.

    Args:
        outcome: What the specialist returned.
        retries: The task's retry policy.
        retried: How many failed attempts were tried again before this one.
        chance: A random number in [0, 1), the jitter of a wait.

    Example:
        >>> conclude(Failed(reason="flaky"), Retries(max=1, jitter=False), retried=0, chance=0).wait
        1.0
    """
    match outcome:
        case Completed():
            return move(TaskEvent.IMPLEMENTATION_COMPLETE)
        case Blocked(kind=kind):
            return move(TaskEvent.BLOCKER_DETECTED, cause=kind)
        case RetryLater(after=after):
            return move(TaskEvent.RETRY_SCHEDULED, wait=after, cause="retry-later")
        case Cancelled():
            return move(TaskEvent.TASK_CANCELLED)
        case Failed(cause=cause) if retried < retries.max:
            return move(TaskEvent.RETRY_SCHEDULED, wait=retries.wait(retried + 1, chance), cause=cause)
        case Failed(cause=cause):
            return move(TaskEvent.WORK_FAILED, cause=cause)


def refuse(
    subject: str, event: str, status: str, table: Mapping[TaskEvent, Arrow] | Mapping[FeatureEvent, Arrow]
) -> errors.RefusedTransition:
    """The error for a transition that the table does not have; it names what would be allowed."""
    allowed = [name for name, arrow in table.items() if status in arrow.sources]
    return errors.RefusedTransition(
        subject=subject, event=event, status=status, allowed=", ".join(allowed) or "no event: it is final"
    )


@dataclass(frozen=True)
class Launch:
    """A task that got its slot, to be published."""

    task: str
    attempt: int
    specialist: str


@dataclass(frozen=True)
class BatchTally:
    """How far a batch is."""

    number: int
    total: int
    resolved: int
    stopped: int

    def line(self) -> str:
        """The progress of the batch as people read it.

        Example:
            >>> BatchTally(number=1, total=5, resolved=3, stopped=0).line()
            'Batch 1: 3/5 tasks complete (60%)'
            >>> BatchTally(number=2, total=1, resolved=0, stopped=1).line()
            'Batch 2: 0/1 tasks complete (0%), 1 stopped'
        """
        share = 100 * self.resolved // self.total
        stopped = f", {self.stopped} stopped" if self.stopped else ""
        return f"Batch {self.number}: {self.resolved}/{self.total} tasks complete ({share}%){stopped}"


@dataclass(frozen=True)
class Facts:
    """What the store found and did: its answer to "what may start now?"."""

    feature: str
    status: FeatureStatus
    launched: tuple[Launch, ...] = ()
    opened: tuple[int, ...] = ()
    finished: BatchTally | None = None
    """The batch of the task that finished, where one did."""


@dataclass(frozen=True)
class Publish:
    """Send these tasks to their queues, as one Celery group."""

    feature: str
    launches: tuple[Launch, ...]


@dataclass(frozen=True)
class Announce:
    """Write a line of progress to the log."""

    feature: str
    text: str


Command = Publish | Announce


def follow_up(facts: Facts) -> list[Command]:
    """What is to be done after a change, from the facts that the store returned.

    Example:
        >>> facts = Facts("auth", FeatureStatus.IN_DEVELOPMENT, launched=(Launch("T2", 1, "senior-engineer"),))
        >>> [type(command).__name__ for command in follow_up(facts)]
        ['Publish']
    """
    commands: list[Command] = []
    if facts.finished:
        commands.append(Announce(facts.feature, facts.finished.line()))
    if facts.launched:
        commands.append(Publish(facts.feature, facts.launched))
    return commands
