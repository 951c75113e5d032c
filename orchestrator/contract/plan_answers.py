"""Answers about what would run, and who would do it: `plan`, `route`, `recommend`, `graph`, `adopt`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, JsonValue

from orchestrator.contract.answer import After, Answer, LeftOut, Specialist


class RouteGroup(Answer):
    """Tasks that one specialist gets for one reason."""

    rare: ClassVar = frozenset({"model_tier", "runtime", "ladder"})

    specialist: Specialist | None = Field(default=None, description="absent: nobody matches")
    queue: str = Field(default="", description="if it is not the specialist's name")
    model_tier: str = Field(default="", description="of an agent the tier that works now")
    runtime: str = Field(default="", description="what an agent runs by, such as claude")
    ladder: str = Field(default="", description="an agent's tiers, such as: haiku, then opus, then a person")
    rule: str = Field(
        default="", description="task, default, nobody, assigned or escalated; absent: by the tag"
    )
    tag: str = ""
    reason: str = ""
    total: int = Field(default=0, description="tasks, if not all are named")
    tasks: tuple[str, ...] = ()
    suggestions: tuple[str, ...] = Field(default=(), description="tags that would have routed them")


class RecommendAnswer(Answer):
    """Of `recommend`: who gets one task, and why."""

    specialist: Specialist | None = Field(default=None, description="absent: nobody yet")
    queue: str = Field(default="", description="if it is not the specialist's name")
    model_tier: str = Field(default="", description="of an agent the tier that works now")
    runtime: str = Field(default="", description="what an agent runs by, such as claude")
    ladder: str = Field(default="", description="an agent's tiers, such as: haiku, then opus, then a person")
    rule: str = Field(
        default="", description="task, default, nobody, assigned or escalated; absent: by the tag"
    )
    tag: str = Field(default="", description="the one that matched")
    domains: Mapping[str, str] = Field(
        default_factory=dict, description="where no tag matches: who gets a tag of each domain"
    )
    near: tuple[str, ...] = Field(default=(), description="mapped tags that are spelt much like the task's")


class RoutesAnswer(Answer):
    """Of `route`: who gets each task, and why."""

    routes: tuple[RouteGroup, ...] = ()
    left_out: LeftOut = Field(default_factory=dict)
    after: After = ""


# Before a run


class PlannedBatch(Answer):
    """Tasks that may run at the same time."""

    batch: int
    tasks: tuple[str, ...] = Field(default=(), description="in launch order")
    total: int = Field(default=0, description="tasks, if not all are named")
    seconds: float | None = Field(
        default=None, description="expected under the cap; absent where that is not known of each task"
    )
    sub_batches: int = Field(default=0, description="parts of a batch that is wider than the cap")


class Sources(Answer):
    """The sources of the expected durations, with how many tasks each has. Without `unknown`, the plan has times."""

    written: int = Field(default=0, description="have an estimate")
    learned: int = Field(default=0, description="have none, and take the median of their earlier runs")
    unknown: int = Field(default=0, description="have none, and were never completed before")


class Blocking(Answer):
    """A task that many others wait for."""

    task: str
    blocks: int


class CeleryRuns(Answer):
    """The messages that Celery itself would send for a canvas, if every task succeeded. Each runs its task once."""

    version: str = Field(description="of Celery")
    total: int = Field(description="messages")
    messages: Mapping[str, int] = Field(default_factory=dict, description="by the name of the task")
    here: Mapping[str, int] = Field(
        default_factory=dict, description="runs as a feature, of tasks that differ; 0: never"
    )
    more: bool = Field(default=False, description="there are more messages, and they were not counted")
    fault: str = Field(default="", description="why Celery does not get to the end")


class PlanAnswer(Answer):
    """Of `plan`: what would run when, and who would do it."""

    rare: ClassVar = frozenset({"requested", "critical_seconds", "expected_batched", "expected_dataflow"})

    title: str
    strategy: str
    requested: str = ""
    cap: int
    total: int = Field(description="tasks")
    sources: Sources
    seconds: float | None = Field(
        default=None,
        description="expected, under the cap; absent, as all seconds of the whole, where unknown",
    )
    total_seconds: float | None = Field(default=None, description="one task after the other")
    critical_seconds: float | None = None
    expected_batched: float | None = None
    expected_dataflow: float | None = None
    barrier_percent: int = Field(default=0, description="what the barrier between batches costs")
    batches: tuple[PlannedBatch, ...] = ()
    critical_path: tuple[str, ...] = ()
    bottlenecks: tuple[Blocking, ...] = ()
    routes: tuple[RouteGroup, ...] = ()
    celery: CeleryRuns | None = Field(default=None, description="of a canvas: what Celery would send")
    left_out: LeftOut = Field(default_factory=dict)
    after: After = ""


class GraphBox(Answer):
    """A task, or many tasks that are folded into one box."""

    id: str = Field(description="of the task, or a name for many")
    title: str = ""
    status: str = Field(default="", description="of an enqueued feature; of many tasks the most urgent one")
    tasks: int = Field(default=1, description="how many it stands for")


class GraphColumn(Answer):
    """Boxes that stand above each other."""

    name: str = Field(default="", description="such as Batch 1; absent in a graph with cycles")
    boxes: tuple[GraphBox, ...] = ()


class GraphAnswer(Answer):
    """Of `graph`: the dependencies of a feature, as they are drawn."""

    feature: str = Field(description="its title")
    columns: tuple[GraphColumn, ...] = ()
    arrows: tuple[tuple[str, str], ...] = Field(default=(), description="from a box to one that waits for it")
    cycles: tuple[tuple[str, str], ...] = Field(default=(), description="the arrows that are on cycles")
    notes: tuple[str, ...] = Field(default=(), description="such as what is folded")


class AdoptAnswer(Answer):
    """Of `adopt`: the feature that a canvas means."""

    file: Mapping[str, JsonValue] = Field(description="a feature file in JSON holds this")
    celery: CeleryRuns | None = Field(default=None, description="what Celery itself would send")
