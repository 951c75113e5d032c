"""What happened in a run, as values: all that the checker and the report look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from orchestrator.model.event import Event
from orchestrator.model.feature import Feature, FeatureStatus, Strategy
from orchestrator.model.fields import Model
from orchestrator.model.progress import Progress, TaskState

EVERYONE = "*"
"""Stands for all workers, where a fault touches each of them; and for all specialists."""


class Effect(Model):
    """A line that a task wrote into the file of its own."""

    feature: str
    task: str
    moment: Literal["began", "lives", "done", "ended"]
    """"lives": a process that it left in the background says so, again and again."""
    time: float
    attempt: int
    pid: int


class Strike(Model):
    """A fault that was injected. Moments are seconds since the epoch, by the clock that Redis reads too."""

    fault: str
    began: float
    ended: float
    workers: tuple[str, ...] = ()
    """The node names of those it touched, or EVERYONE."""
    pids: tuple[int, ...] = ()
    """The pool processes that it killed."""
    feature: str = ""
    """The feature that is the fault: its tasks end their own worker."""
    note: str = ""

    def touches(self, worker: str) -> bool:
        """It came upon this worker."""
        return worker in self.workers or EVERYONE in self.workers

    def explains(self, feature: str, loss: Event, patience: float) -> bool:
        """It may be why a worker lost this attempt, noticed at most so many seconds later."""
        if self.feature:
            return feature == self.feature
        return self.touches(loss.worker) and self.began <= loss.time <= self.ended + patience


class Wait(Model):
    """The main process of a worker waited for a processor: the machine had too much to do."""

    worker: str
    """Its node name."""
    began: float
    ended: float
    seconds: float
    """How long it waited between these two moments, all its threads together."""


class Story(Model):
    """One feature: what was asked for, what was recorded, and where it stood in the end."""

    feature: Feature
    strategy: Strategy
    cap: int
    batches: tuple[tuple[str, ...], ...]
    specialists: Mapping[str, str]
    """Task → who did it."""
    flows: Mapping[str, tuple[str, ...]]
    """Task → the statuses of its flow."""
    feature_flow: tuple[str, ...]
    gated: tuple[str, ...] = ()
    """The stages of the feature that have gates."""
    events: tuple[Event, ...]
    progress: Progress
    states: tuple[TaskState, ...]
    counts: Mapping[str, int]
    """The counters as they are stored: "status", "batch:status"."""
    slots: tuple[str, ...] = ()
    """Tasks that hold a slot at the end."""

    @property
    def id(self) -> str:
        """The feature's id."""
        return str(self.feature.id)

    @property
    def status(self) -> FeatureStatus:
        """Where the feature stood in the end."""
        return self.progress.status


class History(Model):
    """A whole run."""

    seed: int
    lease: float
    enqueued: tuple[str, ...]
    """The ids of the features that were accepted."""
    stories: tuple[Story, ...]
    effects: tuple[Effect, ...]
    strikes: tuple[Strike, ...] = ()
    waits: tuple[Wait, ...] = ()
    limits: Mapping[str, int] = {}
    """Specialist, or EVERYONE → how many tasks may be in flight at once, in all features together."""
    leftover: tuple[str, ...] | None = None
    """Keys that are left when all that is over was forgotten; None: it was not forgotten, so nobody looked."""
