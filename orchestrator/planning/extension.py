"""Plans how a running feature grows: takes its shape and new tasks and dependencies, and returns a growth.

Pure: the store reads the shape and applies the growth (`Store.grow`).
"""

from __future__ import annotations

import functools
import heapq
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from orchestrator.model import errors, sanitizer, words
from orchestrator.model.feature import OVER, Feature, Strategy
from orchestrator.model.flows import FeatureEvent
from orchestrator.model.plan import Batch
from orchestrator.model.task import Task
from orchestrator.planning import graph
from orchestrator.planning.planner import Work
from orchestrator.planning.simulation import makespan


@dataclass(frozen=True)
class Shape:
    """A feature as it stands in the store: the data that its growth is planned from.

    Args:
        feature: The feature with its tasks, by batch, in launch order.
        status: Its status.
        strategy: The strategy of its plan.
        cap: How many of its tasks may run at once.
        open: Number of the batch that is open; 0 before the first.
        grown: How often it grew before.
        batches: Task id → number of its batch.
        ranks: Task id → its place in the launch order of its batch.
        started: Task id → status, of the tasks that were launched, or moved on by a person.
        resolved: The tasks that hold their batch open no longer.
        learned: Task id → seconds that a task without an estimate took before, if that is known.
    """

    feature: Feature
    status: str
    strategy: Strategy
    cap: int
    open: int
    grown: int
    batches: Mapping[str, int]
    ranks: Mapping[str, int]
    started: Mapping[str, str] = field(default_factory=dict)
    resolved: Collection[str] = frozenset()
    learned: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether the open batch has unresolved tasks, so that another task may join it."""
        return any(number == self.open and task not in self.resolved for task, number in self.batches.items())

    def stays(self, task: str) -> bool:
        """Whether the task keeps its batch in every growth."""
        number = self.batches.get(task, self.open + 1)
        return number < self.open or (
            number == self.open and (task in self.started or task in self.awaited_inside)
        )

    @functools.cached_property
    def awaited_inside(self) -> frozenset[str]:
        """The tasks of the open batch that others of it wait for: a canvas has put them there (`self.replace`)."""
        inside = {task for task, number in self.batches.items() if number == self.open}
        return frozenset(
            awaited for task in self.feature.tasks if task.id in inside for awaited in task.depends_on
        ).intersection(inside)


@dataclass(frozen=True)
class Growth:
    """The changes that the store has to apply.

    Args:
        feature: The feature as it is then.
        shape: The state of the feature that it was computed from.
        unlaunched: Tasks that must not have been launched meanwhile.
        added: The new tasks.
        changed: The tasks that have new dependencies.
        strategy: The strategy of the plan after the growth.
        batches: All batches after the growth, in order.
        ranks: Task id → its place in the launch order of its batch after the growth.
        note: The person's reason.
    """

    feature: Feature
    shape: Shape
    unlaunched: tuple[str, ...]
    added: tuple[Task, ...]
    changed: tuple[Task, ...]
    strategy: Strategy
    batches: tuple[Batch, ...]
    ranks: Mapping[str, int]
    note: str = ""

    @property
    def expected(self) -> float:
        """Expected seconds of all the batches."""
        return sum(batch.expected for batch in self.batches)

    @property
    def moved(self) -> dict[str, tuple[int, int]]:
        """Task id → (rank, batch) of the new tasks and of those whose rank or batch changes."""
        before = self.shape
        places = {task: (self.ranks[task], batch.number) for batch in self.batches for task in batch.tasks}
        return {
            task: place
            for task, place in places.items()
            if place != (before.ranks.get(task), before.batches.get(task))
        }

    @property
    def ended(self) -> range:
        """Numbers of the batches that the growth removes."""
        return range(len(self.batches) + 1, max(self.shape.batches.values(), default=0) + 1)


def grow(
    shape: Shape,
    tasks: Sequence[Task] = (),
    dependencies: Mapping[str, Sequence[str]] | None = None,
    note: str = "",
) -> Growth:
    """Plan how a feature takes in new tasks and new dependencies.

    A new task goes into the earliest batch, from the open one on, that comes after all its dependencies. A task that
    was not launched moves to a later batch if a new dependency requires it. A launched task stays in its batch.

    Parameters:
        shape: The feature as it stands.
        tasks: New tasks. They may depend on existing tasks and on each other.
        dependencies: Existing task → the tasks that it should depend on as well.
        note: The person's reason.

    Raises:
        FeatureOver: The feature is over.
        CannotGrow: Its strategy is dataflow.
        NoSuchTask: `dependencies` names a task that does not exist.
        TaskStarted: `dependencies` names a task that has started.
        InvalidFeature: An id is taken, a dependency is unknown, or a task depends on itself.
        CircularDependency: Some tasks would wait for each other.
        TouchesCannotGrow: A new task has touches.

    Example:
        >>> login = Feature(title="Login", tasks=[Task(id="T1")])
        >>> shape = Shape(login, "in-development", Strategy.BATCHED, 5, 1, 0, {"T1": 1}, {"T1": 1})
        >>> [batch.tasks for batch in grow(shape, [Task(id="T2", depends_on=["T1"])]).batches]
        [('T1',), ('T2',)]
    """
    if shape.strategy is Strategy.DATAFLOW:
        raise errors.CannotGrow(feature=shape.feature.id or shape.feature.title)
    if shape.status in OVER:
        raise errors.FeatureOver(
            feature=shape.feature.id, status=shape.status, event=FeatureEvent.FEATURE_GREW
        )
    for task in tasks:
        if task.touches:
            raise errors.TouchesCannotGrow(task=task.id)
    changed = tuple(_with_dependencies(shape, dependencies or {}))
    feature = _enlarged(shape.feature, tasks, {task.id: task for task in changed})
    work = Work(feature, shape.cap, shape.learned)
    batches = tuple(_batches(work, shape, relevel(work, shape)))
    leaving = [
        task
        for batch in batches
        for task in batch.tasks
        if shape.batches.get(task) == shape.open < batch.number
    ]
    return Growth(
        feature=feature,
        shape=shape,
        unlaunched=tuple(dict.fromkeys([*leaving, *(task.id for task in changed)])),
        added=tuple(tasks),
        changed=changed,
        strategy=_strategy(shape.strategy, batches),
        batches=batches,
        ranks=dict(_ranks(batches, shape)),
        note=sanitizer.as_text(note),
    )


def relevel(work: Work, shape: Shape) -> dict[str, int]:
    """The batch of each task of the enlarged feature.

    Launched tasks keep theirs. The others follow by dependency level, from the open batch on; with the strategy
    sequential, one task a batch. Only new tasks and those already in it can be in the open batch.

    Example:
        >>> login = Feature(title="Login", tasks=[Task(id="T1", depends_on=["T2"]), Task(id="T2")])
        >>> shape = Shape(login, "planning", Strategy.BATCHED, 5, 1, 0, {"T1": 1, "T2": 1}, {"T1": 1, "T2": 2})
        >>> relevel(Work(login, 5), shape)
        {'T2': 1, 'T1': 2}
    """
    numbers = _by_level(work, shape)
    if shape.strategy is Strategy.SEQUENTIAL:
        numbers = _one_by_one(work, shape, numbers)
    if shape.open and shape.open not in numbers.values():
        # All tasks have left the open batch. It cannot be removed, so the next batch takes its number.
        numbers = {task: number - 1 if number > shape.open else number for task, number in numbers.items()}
    return numbers


def _by_level(work: Work, shape: Shape) -> dict[str, int]:
    numbers = {task: number for task, number in shape.batches.items() if shape.stays(task)}
    newcomers = shape.open if shape.is_open else shape.open + 1
    for task in work.ordered:
        if task in numbers:
            continue
        earliest = min(shape.batches[task], shape.open + 1) if task in shape.batches else newcomers
        behind = [
            1 + numbers[dependency]
            for dependency in work.depends_on[task]
            if dependency not in shape.resolved
        ]
        numbers[task] = max([earliest, *behind])
    return numbers


def _one_by_one(work: Work, shape: Shape, numbers: Mapping[str, int]) -> dict[str, int]:
    """One task a batch after the open one; tasks in the open batch may stay there."""
    placed = {
        task: number
        for task, number in numbers.items()
        if shape.stays(task) or number == shape.open == shape.batches.get(task)
    }
    following = [task for task in graph.order(work.depends_on, work.preference) if task not in placed]
    return placed | {task: number for number, task in enumerate(following, start=shape.open + 1)}


def _with_dependencies(shape: Shape, dependencies: Mapping[str, Sequence[str]]) -> Iterator[Task]:
    """The tasks that get new dependencies, with these added."""
    known = {task.id: task for task in shape.feature.tasks} if dependencies else {}
    for task_id, more in dependencies.items():
        task = known.get(task_id)
        if task is None:
            raise errors.NoSuchTask(feature=shape.feature.id, task=task_id)
        new = [dependency for dependency in dict.fromkeys(more) if dependency not in task.depends_on]
        if not new:
            continue
        if task_id in shape.started:
            raise errors.TaskStarted(
                feature=shape.feature.id,
                task=task_id,
                status=shape.started[task_id],
                dependencies=list(new),
            )
        yield task.model_copy(update={"depends_on": (*task.depends_on, *new)})


def _enlarged(feature: Feature, tasks: Sequence[Task], changed: Mapping[str, Task]) -> Feature:
    fields = dict(feature) | {"tasks": [*(changed.get(task.id, task) for task in feature.tasks), *tasks]}
    try:
        return Feature.model_validate(fields)
    except ValidationError as error:
        raise _invalid(feature, fields["tasks"], error) from None


def _invalid(feature: Feature, tasks: Sequence[Task], error: ValidationError) -> errors.InvalidFeature:
    lines = list(_mistakes(tasks, error.errors(include_url=False, include_context=False)))
    return errors.InvalidFeature(
        source=f"What {feature.id} would grow to",
        count=words.count(len(lines), "mistake"),
        mistakes="\n".join(f"  {line['path']}: {line['message']}" for line in lines),
        them="it" if len(lines) == 1 else "them",
        lines=lines,
    )


def _mistakes(tasks: Sequence[Task], found: Iterable[Any]) -> Iterator[dict[str, Any]]:
    for mistake in found:
        place, name = mistake["loc"][1:3]
        message = mistake["msg"]
        if mistake["type"] == "duplicate_id":
            message = "there is a task of this id already; give the new one an id of its own"
        elif name == "depends_on":
            message = f"{mistake['input']}: {message}"
        yield {"path": f"{tasks[place].id}.{name}", "value": mistake["input"], "message": message}


def _batches(work: Work, shape: Shape, numbers: Mapping[str, int]) -> Iterator[Batch]:
    stayed: dict[int, list[str]] = defaultdict(list)
    came: dict[int, list[str]] = defaultdict(list)
    for task, number in ((task, numbers[task]) for task in work.depends_on):
        (stayed if shape.batches.get(task) == number else came)[number].append(task)
    for number in range(1, max(numbers.values()) + 1):
        # Tasks that stay keep their order, so that a growth of a large feature changes little in the store.
        newcomers = sorted(came[number], key=work.preference.__getitem__)
        launch = tuple(heapq.merge(stayed[number], newcomers, key=work.preference.__getitem__))
        expected = makespan([work.weights[task] for task in launch], shape.cap)
        yield Batch(number=number, tasks=launch, expected=expected, due=work.due(expected, launch))


def _ranks(batches: Iterable[Batch], shape: Shape) -> Iterator[tuple[str, int]]:
    """Ranks that increase along the launch order of each batch. Few change. Tasks of two batches never compete."""
    for batch in batches:
        last = 0
        for task in batch.tasks:
            last = max(last + 1, shape.ranks.get(task, 0))
            yield task, last


def _strategy(strategy: Strategy, batches: Sequence[Batch]) -> Strategy:
    """The strategy after the growth: a plan of several batches is not parallel any more."""
    return Strategy.BATCHED if strategy is Strategy.PARALLEL and len(batches) > 1 else strategy
