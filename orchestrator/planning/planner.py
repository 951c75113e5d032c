"""Turns a feature into a plan: which tasks run side by side, in which order, and how long it should take."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from orchestrator.model import errors, words
from orchestrator.model.feature import Feature, Strategy
from orchestrator.model.plan import Batch, Bottleneck, Plan, Schedule, SubBatch
from orchestrator.model.task import Priority
from orchestrator.planning import cycle_report, graph, simulation

CAP = 5
BOTTLENECKS = 3
LEAST_BLOCKED = 2
"""A task that blocks fewer than this many others is no bottleneck."""


def schedule(
    feature: Feature,
    cap: int = CAP,
    strategy: Strategy | None = None,
    learned: Mapping[str, float] | None = None,
) -> Schedule:
    """The schedule of a feature: which tasks run when.

    The launch order is: high priority first, then the longest remaining path, then the order in the feature. In
    dataflow it holds over the whole feature, and the batches serve only reports. A batch wider than the cap has
    sub-batches, except in dataflow, where no task waits for a batch.

    Parameters:
        cap: How many tasks may run at once; the feature's own max_parallel_tasks overrides it.
        strategy: Overrides the feature's own.
        learned: The seconds that tasks without an estimate took before.

    Raises:
        CircularDependency: Some tasks wait for each other; the error names every independent cycle and ways out.
        NotParallel: The strategy is parallel and some task depends on another.
        ValueError: The cap is below 1.

    Example:
        >>> login = Feature.model_validate({"title": "Login", "tasks": [{"id": "T1"}, {"id": "T2"}]})
        >>> [batch.tasks for batch in schedule(login).batches]
        [('T1', 'T2')]
    """
    return _schedule(_work(feature, cap, learned), strategy)


def plan(
    feature: Feature,
    cap: int = CAP,
    strategy: Strategy | None = None,
    learned: Mapping[str, float] | None = None,
) -> Plan:
    """The schedule (see `schedule`), with the times and bottlenecks that are known beforehand.

    Example:
        >>> login = Feature.model_validate({"title": "Login", "tasks": [{"id": "T1", "estimate": "1m"}]})
        >>> plan(login).critical_seconds
        60.0
    """
    work = _work(feature, cap, learned)
    path = graph.critical_path(work.followers, work.left)
    return Plan(
        **dict(_schedule(work, strategy)),
        critical_path=tuple(path),
        critical_seconds=sum(work.weights[task] for task in path),
        total_seconds=sum(work.weights.values()),
        expected_batched=sum(work.expected(tasks) for tasks in work.by_level),
        expected_dataflow=work.without_barrier,
        bottlenecks=tuple(_bottlenecks(work)),
    )


def critical_path(feature: Feature) -> list[str]:
    """The tasks that the whole waits for longest, one after the other, by their estimates.

    Example:
        >>> tasks = [{"id": "T1"}, {"id": "T2", "depends_on": ["T1"]}]
        >>> critical_path(Feature.model_validate({"title": "Login", "tasks": tasks}))
        ['T1', 'T2']
    """
    work = _work(feature, CAP, None)
    return graph.critical_path(work.followers, work.left)


def _work(feature: Feature, cap: int, learned: Mapping[str, float] | None) -> Work:
    if cap < 1:
        raise ValueError(f"a cap is at least 1, not {cap}")
    return Work(feature, feature.max_parallel_tasks or cap, learned or {})


def _schedule(work: Work, strategy: Strategy | None) -> Schedule:
    requested = strategy or work.feature.strategy
    chosen = _choose(work) if requested is Strategy.AUTO else requested
    is_dataflow = chosen is Strategy.DATAFLOW
    batches = tuple(_batches(work, chosen))
    return Schedule(
        feature=work.feature,
        requested=requested,
        strategy=chosen,
        cap=work.cap,
        batches=batches,
        order=tuple(work.preferred if is_dataflow else itertools.chain(*(batch.tasks for batch in batches))),
        learned=work.from_before,
        expected_seconds=work.without_barrier if is_dataflow else sum(batch.expected for batch in batches),
    )


@dataclass(frozen=True)
class Work:
    """A feature and a cap, with the values that follow from them, each computed once."""

    feature: Feature
    cap: int
    learned: Mapping[str, float] = field(default_factory=dict)
    """The seconds that tasks took before; an estimate overrides them."""

    @cached_property
    def depends_on(self) -> graph.Graph:
        """Each task with its dependencies."""
        return {task.id: task.depends_on for task in self.feature.tasks}

    @cached_property
    def ordered(self) -> list[str]:
        """A topological order: level by level."""
        return list(self.levels)

    @cached_property
    def followers(self) -> graph.Graph:
        """Each task with its dependents."""
        return graph.dependents(self.depends_on)

    @cached_property
    def levels(self) -> dict[str, int]:
        """The dependency level of each task; raises CircularDependency if one has none."""
        levels = graph.levels(self.depends_on, self.followers)
        if len(levels) < len(self.depends_on):
            raise cycle_report.circular(self.feature, self.depends_on)
        return levels

    @cached_property
    def by_level(self) -> list[list[str]]:
        """The tasks of each level, in launch order."""
        found: dict[int, list[str]] = defaultdict(list)
        for task in self.preferred:
            found[self.levels[task]].append(task)
        return [found[number] for number in sorted(found)]

    @cached_property
    def weights(self) -> dict[str, float]:
        """The expected seconds of each task."""
        found = {task.id: task.weight for task in self.feature.tasks}
        return found | self.from_before if self.from_before else found

    @cached_property
    def from_before(self) -> dict[str, float]:
        """The seconds that the tasks without an estimate took before, if that is known."""
        if not self.learned:
            return {}
        return {
            task.id: self.learned[task.id]
            for task in self.feature.tasks
            if task.estimate is None and task.id in self.learned
        }

    @cached_property
    def left(self) -> dict[str, float]:
        """The longest remaining path of each task, in seconds."""
        return graph.remaining(self.depends_on, self.ordered, self.weights)

    @cached_property
    def preference(self) -> dict[str, tuple[int, float]]:
        """The least goes first: by priority, then the longest remaining path; ties keep the feature's order."""
        ranks = {priority: priority.rank for priority in Priority}
        medium = Priority.MEDIUM.rank  # also for a priority of a newer version
        return {
            task.id: (ranks.get(task.priority, medium), -self.left[task.id]) for task in self.feature.tasks
        }

    @cached_property
    def preferred(self) -> list[str]:
        """All the tasks, in launch order."""
        return sorted(self.depends_on, key=self.preference.__getitem__)

    @cached_property
    def ends(self) -> dict[str, float]:
        """The end of each task if there is no barrier, in seconds from the start; earliest first."""
        return simulation.ends(self.depends_on, self.followers, self.preferred, self.weights, self.cap)

    @property
    def without_barrier(self) -> float:
        """Expected seconds of the feature if each task starts once its dependencies have ended and a slot is free."""
        return max(self.ends.values())

    @cached_property
    def guessed(self) -> frozenset[str]:
        """The tasks whose duration is unknown: without an estimate, and never completed before."""
        before = self.from_before
        return frozenset(
            [task.id for task in self.feature.tasks if task.estimate is None and task.id not in before]
        )

    def due(self, expected: float, tasks: Iterable[str] | None = None) -> float | None:
        """The expected seconds, if it is known how long each of the tasks (None: of all) takes; else None."""
        is_guess = self.guessed if tasks is None else not self.guessed.isdisjoint(tasks)
        return None if is_guess else expected

    def expected(self, tasks: Sequence[str]) -> float:
        """Expected seconds of tasks that are launched in this order and wait only for a slot."""
        return simulation.makespan([self.weights[task] for task in tasks], self.cap)


def _one_by_one(work: Work) -> list[list[str]]:
    return [[task] for task in graph.order(work.depends_on, work.preference, work.followers)]


def _all_at_once(work: Work) -> list[list[str]]:
    for task, dependencies in work.depends_on.items():
        for dependency in dependencies:
            raise errors.NotParallel(title=work.feature.title, task=task, dependency=dependency)
    return [work.preferred]


def _level_by_level(work: Work) -> list[list[str]]:
    return work.by_level


BATCHING: Mapping[Strategy, Callable[[Work], list[list[str]]]] = {
    Strategy.SEQUENTIAL: _one_by_one,
    Strategy.PARALLEL: _all_at_once,
    Strategy.BATCHED: _level_by_level,
    Strategy.RESOURCE_AWARE: _level_by_level,
    Strategy.DATAFLOW: _level_by_level,
}
"""How each strategy cuts the graph into batches, each in launch order."""


def _choose(work: Work) -> Strategy:
    widest = max(map(len, work.by_level))
    if widest == 1:
        return Strategy.SEQUENTIAL
    if len(work.by_level) == 1:
        return Strategy.PARALLEL
    return Strategy.RESOURCE_AWARE if widest > work.cap else Strategy.BATCHED


def _batches(work: Work, strategy: Strategy) -> Iterator[Batch]:
    work.levels  # raises on a cycle, with every strategy  # noqa: B018
    closed = 0.0
    for number, tasks in enumerate(BATCHING[strategy](work), start=1):
        before, parts, adds = closed, _sub_batches(number, tasks, work.cap), None
        if strategy is Strategy.DATAFLOW:
            closed = max(before, *(work.ends[task] for task in tasks))
            parts, adds = iter(()), closed - before
        expected = work.expected(tasks)
        yield Batch(
            number=number,
            tasks=tuple(tasks),
            expected=expected,
            adds=adds,
            due=work.due(closed) if strategy is Strategy.DATAFLOW else work.due(expected, tasks),
            sub_batches=tuple(parts),
        )


def _sub_batches(number: int, tasks: Sequence[str], cap: int) -> Iterator[SubBatch]:
    if len(tasks) > cap:
        for place, start in enumerate(range(0, len(tasks), cap)):
            yield SubBatch(label=f"{number}{words.letters(place)}", tasks=tuple(tasks[start : start + cap]))


def _bottlenecks(work: Work) -> Iterator[Bottleneck]:
    for task, blocks in graph.bottlenecks(work.followers, work.ordered, work.levels, most=BOTTLENECKS):
        if blocks >= LEAST_BLOCKED:
            yield Bottleneck(task=task, blocks=blocks)
