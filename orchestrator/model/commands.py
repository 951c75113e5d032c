"""The result of scheduling, and the commands that follow from it. The dispatcher carries them out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.model.feature import FeatureStatus


class Launch(NamedTuple):
    """A task that got its slot, to be published."""

    task: str
    attempt: int
    specialist: str
    is_left: bool = False
    """The store publishes others by itself, and leaves this one to the dispatcher."""


class BatchProgress(NamedTuple):
    """How far a batch is."""

    number: int
    total: int
    resolved: int
    blocked: int = 0
    failed: int = 0

    def line(self) -> str:
        """The progress of the batch as people read it.

        Example:
            >>> BatchProgress(number=1, total=5, resolved=3).line()
            'Batch 1: 3/5 tasks complete (60%)'
            >>> BatchProgress(number=2, total=1, resolved=0, blocked=1).line()
            'Batch 2: 0/1 (blocked)'
        """
        stopped = [
            text
            for count, text in ((self.blocked, "blocked"), (self.failed, "failed"))
            if count
            for text in [text if count == self.total - self.resolved else f"{count} {text}"]
        ]
        if stopped:
            return f"Batch {self.number}: {self.resolved}/{self.total} ({', '.join(stopped)})"
        share = 100 * self.resolved // self.total
        return f"Batch {self.number}: {self.resolved}/{self.total} tasks complete ({share}%)"


class ScheduleResult(NamedTuple):
    """The tasks and batches that a schedule step launched, opened and finished."""

    feature: str
    status: FeatureStatus
    launched: tuple[Launch, ...] = ()
    opened: tuple[int, ...] = ()
    finished: BatchProgress | None = None
    """The batch of the task that finished, if one did."""
    wake: tuple[str, ...] = ()
    """Features that a limit lets go on now."""


@dataclass(frozen=True)
class PublishTasks:
    """Send these tasks to their queues, as one Celery group."""

    feature: str
    launches: tuple[Launch, ...]


@dataclass(frozen=True)
class LogProgress:
    """Write a line on the progress of a batch to the log."""

    feature: str
    batch: BatchProgress


@dataclass(frozen=True)
class ScheduleFeature:
    """Launch what may start now in this feature: something that it waits for is free."""

    feature: str


Command = PublishTasks | LogProgress | ScheduleFeature


def follow_up(scheduled: ScheduleResult) -> list[Command]:
    """The commands that follow from a result of the store.

    Example:
        >>> launched = (Launch("T2", 1, "senior-engineer"),)
        >>> scheduled = ScheduleResult("auth", FeatureStatus.IN_DEVELOPMENT, launched=launched)
        >>> [type(command).__name__ for command in follow_up(scheduled)]
        ['PublishTasks']
    """
    commands: list[Command] = []
    if scheduled.finished:
        commands.append(LogProgress(scheduled.feature, scheduled.finished))
    if scheduled.launched:
        commands.append(PublishTasks(scheduled.feature, scheduled.launched))
    return commands + [ScheduleFeature(feature) for feature in dict.fromkeys(scheduled.wake)]
