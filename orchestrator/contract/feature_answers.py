"""Answers about features: `status`, `watch`, `run`, `enqueue`, `wait`, `progress`, and every decision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from orchestrator.contract.answer import After, Answer, LeftOut, Moment, Need, Specialist
from orchestrator.contract.plan_answers import RouteGroup


class TaskLine(Answer):
    """Where a task stands, in short."""

    rare: ClassVar = frozenset({"specialist", "started", "finished", "depends_on", "worker"})

    task: str
    title: str = Field(default="", description="if it is not the id")
    status: str
    phase: str = Field(default="", description="what a task that waits is waiting for")
    batch: int = Field(default=0, description="if it is not the open one")
    attempt: int = Field(default=1, description="the last one, if it is not the first")
    seconds: float | None = Field(default=None, description="that the last attempt has taken")
    percent: float | None = None
    note: str = Field(default="", description="what it says about its progress")
    said: str = Field(default="", description="how its last attempt ended")
    tier: str = Field(default="", description="of the agent that works on it")
    cost: float | None = Field(default=None, description="dollars that its agents have cost so far")
    specialist: Specialist | None = None
    worker: str = ""
    started: Moment = ""
    finished: Moment = ""
    depends_on: tuple[str, ...] = ()


class FeatureLine(Answer):
    """A feature in a list."""

    rare: ClassVar = frozenset({"batches", "created", "expected_end"})

    feature: str
    title: str = ""
    status: str
    batch: int = 0
    batches: int = 0
    total: int = Field(default=0, description="tasks")
    completed: int = 0
    skipped: int = 0
    stopped: int = Field(default=0, description="tasks that failed, are blocked, or were cancelled alone")
    in_flight: int = 0
    created: Moment = ""
    expected_end: Moment = ""
    unreadable: str = Field(default="", description="why no more of it can be read")
    needs: tuple[Need, ...] = ()


class FeaturesAnswer(Answer):
    """Of `status` without an id: the features."""

    features: tuple[FeatureLine, ...] = ()
    left_out: LeftOut = Field(default_factory=dict)
    after: After = ""


EndedBy = Literal["completed", "over", "stopped", "person", "batch", "change", "timeout"]


class FeatureAnswer(Answer):
    """Of `status`, `watch`, `run`, `enqueue`, `wait`: where a feature stands, and what it waits for."""

    rare: ClassVar = frozenset({"strategy", "cap", "counts", "created", "started", "finished", "flow"})

    feature: str
    title: str
    status: str
    ended_by: EndedBy | None = Field(default=None, description="why `wait` returned")
    repeated: bool = Field(default=False, description="it was enqueued before, under the same key")
    fallback: tuple[RouteGroup, ...] = Field(
        default=(),
        description="of `run` and `enqueue`: tasks that the default specialist does, because no tag matches",
    )
    strategy: str = ""
    cap: int = 0
    flow: str = ""
    batch: int = Field(default=0, description="the open one")
    batches: int = 1
    total: int = Field(description="tasks")
    completed: int = 0
    skipped: int = 0
    stopped: int = Field(default=0, description="tasks that failed, are blocked, or were cancelled alone")
    in_flight: int = 0
    queued: int = 0
    limited: Mapping[str, int] = Field(
        default_factory=dict, description="tasks that wait for a limit, by limit"
    )
    delayed: int = Field(default=0, description="tasks that wait for a retry")
    unassigned: int = Field(default=0, description="tasks that wait for a specialist")
    paused: bool = False
    overdue: bool = False
    counts: Mapping[str, int] = Field(default_factory=dict, description="tasks by status, but for pending")
    seconds: float | None = Field(default=None, description="since its start, or in all")
    created: Moment = ""
    started: Moment = ""
    finished: Moment = ""
    expected_end: Annotated[
        Moment, Field(description="absent where some duration is unknown, or a person is asked first")
    ] = ""
    tasks: tuple[TaskLine, ...] = Field(default=(), description="of a large feature those of the open batch")
    needs: tuple[Need, ...] = ()
    warnings: tuple[GateWarning, ...] = Field(default=(), description="of gates that are not required")
    standstill: Standstill | None = None
    left_out: LeftOut = Field(default_factory=dict)
    after: After = ""
    cursor: str = Field(default="", description="the last event; `wait --after` takes it")


class GateWarning(Answer):
    """A gate of the feature that did not pass, and that is not required."""

    gate: str
    stage: str
    reason: str = ""


class Standstill(Answer):
    """Tasks of later batches that wait because a task of the open batch has stopped."""

    batch: int
    tasks: int = Field(description="of later batches, and not resolved")
    last: int = Field(description="the last batch that is held up")
    independent: int = Field(default=0, description="those of them that depend on nothing that stopped")
    names: tuple[str, ...] = Field(default=(), description="of these, some")


class ProgressAnswer(Answer):
    """Of `progress`: how far a feature is."""

    rare: ClassVar = frozenset({"feature", "batch", "batches", "in_flight"})

    feature: str
    status: str
    batch: int = 0
    batches: int = 0
    completed: int
    skipped: int = 0
    total: int
    in_flight: int = 0
    stopped: int = 0


class DecisionAnswer(Answer):
    """Of each command by which a person decides something: the tasks it was about, and where they stand now."""

    feature: str
    status: str = Field(description="of the feature")
    message: str
    tasks: tuple[TaskLine, ...] = ()
    left_out: LeftOut = Field(default_factory=dict)
