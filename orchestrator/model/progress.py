"""How far a feature and its tasks are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import (
    Field,
)

from orchestrator.model import words

if TYPE_CHECKING:
    pass
from orchestrator.model.feature import FeatureStatus, Strategy
from orchestrator.model.fields import FeatureId, Id, Model
from orchestrator.model.task import RESTING, TaskStatus


class Progress(Model):
    """How far a feature is, from counters alone."""

    id: FeatureId
    title: str
    status: FeatureStatus
    strategy: Strategy
    cap: int
    auto_launch: bool
    total: int = Field(description="tasks")
    counts: Mapping[TaskStatus, int] = Field(description="tasks by status, without the pending ones")
    in_flight: int = Field(description="published and unfinished: the slots taken")
    launched: int = Field(default=0, description="of those in flight: not begun by a worker yet")
    queued: int = Field(description="ready, waiting for a slot")
    delayed: int = Field(description="waiting for a retry")
    unassigned: int = Field(default=0, description="waiting for a specialist")
    limited: Mapping[str, int] = Field(
        default_factory=dict, description="tasks that wait for a limit, by limit"
    )
    gates_failed: str = Field(
        default="", description="@testing or @validating: the feature's gates that failed"
    )
    flow: str = "default"
    is_paused: bool = False
    stops: tuple[int, ...] = Field(default=(), description="batches that wait for launch")
    overdue: int = Field(default=0, description="how often the open batch was reported as overdue")
    batch_started: float | None = None
    batch_ran: float = Field(
        default=0.0,
        description="seconds in which the open batch (dataflow: the feature) could go on; compare with batch_due",
    )
    batch_due: float | None = Field(
        default=None, description="seconds after which it should have ended; absent without estimates"
    )
    batch: int = Field(description="number of the batch that is open; 0 before the first")
    batches: int
    batch_total: int
    batch_resolved: int
    batch_counts: Mapping[TaskStatus, int]
    created: float = Field(description="seconds since the epoch, as all moments here")
    started: float | None = None
    finished: float | None = None
    expected_end: float | None = Field(
        default=None,
        description="when it should end; absent where some duration is unknown, or a person is asked first",
    )
    resolved: int = Field(default=0, description="tasks that hold nothing up any more: completed or skipped")

    @property
    def is_overdue(self) -> bool:
        """It was reported that the open batch takes too long, and it is over its time still."""
        return self.overdue > 0 and self.batch_due is not None and self.batch_ran > self.batch_due

    @property
    def completed(self) -> int:
        """Tasks that are completed."""
        return self.counts.get(TaskStatus.COMPLETED, 0)

    @property
    def stopped(self) -> int:
        """Tasks that hold their batch open until a person acts: failed, blocked, or cancelled alone."""
        failed, blocked, cancelled = (
            self.counts.get(status, 0)
            for status in (TaskStatus.FAILED, TaskStatus.BLOCKED, TaskStatus.CANCELLED)
        )
        return failed + blocked + max(0, cancelled - self.skipped)

    @property
    def percent(self) -> int:
        """Tasks that are completed or skipped, in per cent of all."""
        return 100 * max(self.resolved, self.completed) // self.total

    @property
    def skipped(self) -> int:
        """Tasks that were skipped."""
        return max(0, self.resolved - self.completed)

    def rests_elsewhere(self) -> bool:
        """Some task that waits for a person is not in the open batch: a person stopped it before its turn."""
        is_unassigned = self.unassigned > 0 and self.strategy is Strategy.DATAFLOW
        return is_unassigned or any(
            self.counts.get(status, 0) > self.batch_counts.get(status, 0) for status in RESTING
        )

    @property
    def awaits_launch(self) -> bool:
        """The next batch starts when a person launches it."""
        is_closed = self.batch_resolved >= self.batch_total
        return is_closed and self.batch < self.batches and not self.status.is_over and self.in_flight == 0

    @property
    def is_at_gates(self) -> bool:
        """All its tasks are resolved: what may follow are the gates of the feature, and its review."""
        return self.batch == self.batches and self.batch_resolved >= self.batch_total

    @property
    def is_settled(self) -> bool:
        """Nothing more happens unless a person acts: over, or stopped with nothing left that could run."""
        if self.status.is_over:
            return self.in_flight == 0 or self.status.is_success
        is_waiting = self.status in (
            FeatureStatus.BLOCKED,
            FeatureStatus.ON_HOLD,
            FeatureStatus.PENDING_REVIEW,
        )
        # A paused feature keeps its queue, and takes nothing from it.
        queued = 0 if self.is_paused else self.queued + sum(self.limited.values())
        return is_waiting and self.in_flight + queued + self.delayed == 0


class Unreadable(Model):
    """A feature in a list that cannot be read further than this."""

    id: str
    title: str = ""
    status: str = Field(default="", description="as it is written")
    unreadable: str = Field(description="why")


class TaskState(Model):
    """Where a task of an enqueued feature stands."""

    id: Id
    title: str
    specialist: str = Field(description="its title")
    status: TaskStatus = TaskStatus.PENDING
    phase: Literal["", "waiting", "queued", "limited", "launched", "delayed", "unassigned", "ending"] = Field(
        default="",
        description="what a task waits for that a worker is to take up: a batch, a slot, a limit, a worker, a "
        "retry, a specialist; of any task: ending, where a person took its attempt away and it has not ended yet",
    )
    limit: str = Field(default="", description="the limit that it waits for, such as resource:gpu")
    attempt: int = 0
    batch: int
    depends_on: tuple[Id, ...] = ()
    retried: int = 0
    lost: int = 0
    resolved: bool = Field(default=False, description="it no longer holds its batch open")
    escalated: bool = False
    rung: int = Field(default=0, description="the place of its agent's tier on the ladder, from 0")
    cost: float | None = Field(default=None, description="what its agents have cost so far, in dollars")
    tier: str = Field(default="", description="that tier, if the configuration is known here")
    started: float | None = None
    finished: float | None = None
    due: float | None = Field(default=None, description="when the retry is due")
    waits: int = Field(default=0, description="dataflow: how many of its dependencies are unresolved")
    worker: str = ""
    percent: float | None = None
    note: str = ""
    noted: float | None = None

    @property
    def label(self) -> str:
        """How a list names it: id and title, or the id if there is no other title."""
        return words.named(self.id, self.title)


class Tail(NamedTuple):
    """The end of what an attempt has put out so far."""

    attempt: int
    end: int
    """How many bytes of it there are."""
    data: bytes
    """The last of them."""


def running_longest(states: Sequence[TaskState]) -> list[TaskState]:
    """Those of the tasks that run, the one that has done so for longest first."""
    running = (TaskStatus.IN_PROGRESS, TaskStatus.TESTING)
    found = [state for state in states if state.status in running and state.started is not None]
    return sorted(found, key=lambda state: state.started or 0.0)
