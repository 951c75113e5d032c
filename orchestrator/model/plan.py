"""A plan: the batches of a feature, its critical path, and who does each task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import (
    Field,
)

from orchestrator.model import words

if TYPE_CHECKING:
    from celery import Signature
from orchestrator.model.feature import Feature, Strategy
from orchestrator.model.fields import Id, Model


class SubBatch(Model):
    """A part of a batch that is wider than the cap: 1a starts first, the rest follows slot by slot."""

    label: str = Field(description='"1a", "1b", …')
    tasks: tuple[str, ...]


class Batch(Model):
    """Tasks that may run at the same time: all their dependencies are in batches before."""

    number: int = Field(ge=1)
    tasks: tuple[str, ...] = Field(description="in launch order")
    expected: float = Field(description="expected seconds under the cap, by itself")
    adds: float | None = Field(
        default=None,
        description="dataflow: expected seconds from the end of all batches before to its own; 0: it ends first",
    )
    due: float | None = Field(
        default=None,
        description="seconds from its opening (dataflow: from the feature's start) to its expected end; "
        "absent where a task has no estimate",
    )
    sub_batches: tuple[SubBatch, ...] = ()

    @property
    def parallel(self) -> bool:
        """More than one task, so that there is something to run side by side."""
        return len(self.tasks) > 1


class Bottleneck(Model):
    """A task that many others wait for, directly or through others."""

    task: Id
    blocks: int


class Schedule(Model):
    """The feature's batches in order: which tasks run when."""

    feature: Feature
    requested: Strategy
    strategy: Strategy = Field(description="what `auto` came to, else as requested")
    cap: int = Field(ge=1, description="max_parallel_tasks in force")
    batches: tuple[Batch, ...]
    order: tuple[str, ...] = Field(
        description="all tasks, in launch order: of those that may start, the first does"
    )
    learned: Mapping[str, float] = Field(
        default_factory=dict,
        description="the median seconds of earlier runs, for tasks without an estimate: the plan uses them",
    )
    expected_seconds: float = Field(description="the whole, under the cap")

    def __repr__(self) -> str:
        title = words.one_line(self.feature.title)
        tasks = words.count(len(self.feature.tasks), "task")
        batches = words.count(len(self.batches), "batch", "batches")
        return f"{type(self).__name__}({title!r}, {tasks} in {batches}, {self.strategy}, cap={self.cap})"

    def __str__(self) -> str:
        return repr(self)


class Plan(Schedule):
    """A schedule, and what the planner knows about it."""

    critical_path: tuple[Id, ...]
    critical_seconds: float = Field(description="no schedule is shorter than this")
    total_seconds: float = Field(description="all the work, one task after the other")
    expected_batched: float = Field(
        description="the same where a batch starts when the one before it is complete"
    )
    expected_dataflow: float = Field(
        description="the same where a task starts when its own dependencies are complete"
    )
    bottlenecks: tuple[Bottleneck, ...]

    @property
    def saving_percent(self) -> int:
        """How much shorter the plan is than one task after the other, in per cent."""
        return round(100 * (1 - self.expected_seconds / self.total_seconds)) if self.total_seconds else 0

    @property
    def barrier_percent(self) -> int:
        """How much longer the feature takes with the barrier between batches than without it, in per cent.

        Below 0 in rare graphs: a schedule that leaves no slot idle can be the longer one (R. L. Graham, "Bounds on
        Multiprocessing Timing Anomalies", 1969).
        """
        if not self.expected_dataflow:
            return 0
        return round(100 * (self.expected_batched / self.expected_dataflow - 1))

    @property
    def is_guess(self) -> bool:
        """Nobody knows how long some task takes, so its seconds are a guess from its complexity.

        A guess serves to order tasks, and is not shown as a time.
        """
        return self.unknown > 0

    @property
    def written(self) -> int:
        """How many tasks have an estimate."""
        return sum(task.estimate is not None for task in self.feature.tasks)

    @property
    def known(self) -> set[str]:
        """The tasks whose duration is known."""
        return {task.id for task in self.feature.tasks if task.estimate is not None} | self.learned.keys()

    @property
    def unknown(self) -> int:
        """Of how many tasks nobody knows how long they take: without an estimate, and never completed before."""
        return len(self.feature.tasks) - self.written - len(self.learned)

    def canvas(self, app: Any = None) -> Signature[Any]:
        """The plan as a plain Celery chain of groups, executable as it is, without the orchestrator's state.

        Each task runs its specialist from its own arguments and the outcomes of what it depends on, and is retried
        as it says; one that fails stops the chain, and reading the result raises its error. The result is
        the outcome of the last batch: of its one task, or a list. No more tasks than the cap run side by side.

        Args:
            app: The app to run it on, made by `create`; the orchestrator's own if it is left out.

        Raises:
            NotInACanvas: The plan relies on something that only an enqueued feature has, such as a quality gate.
            NoSpecialist, UnknownSpecialist: A task has nobody to do it.

        Example:
            result = plan(feature).canvas().apply_async()
        """
        # The one door from the model to Celery, opened only when asked for.
        from orchestrator.celery import app as own
        from orchestrator.engine import canvas

        return canvas.chain_of_groups(self, app or own)


class Route(Model):
    """Which specialist gets a task, and why."""

    specialist: str = Field(description="the specialist's name in the configuration")
    title: str
    queue: str
    model_tier: str | None = Field(default=None, description="of an agent the tier that works now")
    runtime: str = Field(default="", description="what an agent runs by, such as claude")
    ladder: str = Field(default="", description="an agent's tiers, such as: haiku, then opus, then a person")
    tag: str | None = Field(default=None, description="the tag that matched")
    rule: Literal["task", "tag", "default", "nobody", "escalated", "assigned"]
    reason: str
    suggestions: tuple[str, ...] = Field(default=(), description="tags that would have matched")
