"""The history of a run, as values: the input of the checker and the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from orchestrator.model.event import Event
from orchestrator.model.feature import Feature, FeatureStatus, Strategy
from orchestrator.model.fields import Model
from orchestrator.model.progress import Progress, TaskState

EVERYONE = "*"
"""Stands for all workers, if a fault hits each of them; and for all specialists."""


class Effect(Model):
    """A line that a task wrote into its own file."""

    feature: str
    task: str
    moment: Literal["began", "lives", "done", "ended"]
    """"lives": written again and again by a process that the task left in the background."""
    time: float
    attempt: int
    pid: int


class Strike(Model):
    """A fault that was injected. Moments are seconds since the epoch, by the clock that Redis reads too."""

    fault: str
    began: float
    ended: float
    workers: tuple[str, ...] = ()
    """The node names of the workers that it hit, or EVERYONE."""
    pids: tuple[int, ...] = ()
    """The pool processes that it killed."""
    feature: str = ""
    """The feature that is the fault, because its tasks end their own worker."""
    note: str = ""

    def touches(self, worker: str) -> bool:
        """Whether it hit this worker."""
        return worker in self.workers or EVERYONE in self.workers

    def explains(self, feature: str, loss: Event, patience: float) -> bool:
        """Whether it may be the cause of the loss of an attempt, noticed at most `patience` seconds later."""
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
    """One feature: the request, the recorded events, and its state at the end."""

    feature: Feature
    strategy: Strategy
    cap: int
    batches: tuple[tuple[str, ...], ...]
    specialists: Mapping[str, str]
    """Task → its specialist."""
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
        """The status of the feature at the end."""
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
    """Keys that are left after all features were deleted; None: they were not deleted."""
