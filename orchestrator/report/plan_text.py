"""A plan as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from orchestrator.model import durations
from orchestrator.model.feature import Strategy
from orchestrator.model.plan import Batch, Plan
from orchestrator.model.words import SHOWN, count, some

SHOWN_BATCHES = 40
SHOWN_PARTS = 3
"""Of the sub-batches of a batch."""


def plan_lines(plan: Plan) -> list[str]:
    """A plan as a person reads it: batches, critical path, times, bottlenecks, what runs in parallel.

    Times stand only if it is known how long each task takes: from its estimate, or from earlier runs.

    Example:
        >>> from orchestrator import Feature, Task
        >>> from orchestrator.planning.planner import plan
        >>> login = Feature(title="Login", tasks=[Task(id="T1", estimate="5m"), Task(id="T2", estimate="5m")])
        >>> print("\\n".join(plan_lines(plan(login))))
        Login: 2 tasks in 1 batch, strategy batched, at most 5 tasks at once
        <BLANKLINE>
        Batch 1: T1, T2 (parallel, 5m)
        <BLANKLINE>
        Critical path: T1 (5m)
        Expected 5m against 10m one after the other: 50% less
        Parallel: batch 1 runs 2 side by side
    """
    names = {task.id: task.label for task in plan.feature.tasks}
    return [
        _heading(plan),
        "",
        *_batch_lines(plan, names),
        "",
        _critical_path(plan),
        *_times(plan),
        *_barrier(plan),
        *_bottlenecks(plan),
        _opportunities(plan),
    ]


def _heading(plan: Plan) -> str:
    size = f"{count(len(plan.feature.tasks), 'task')} in {count(len(plan.batches), 'batch', 'batches')}"
    cap = f"at most {count(plan.cap, 'task')} at once"
    return f"{plan.feature.title}: {size}, strategy {_strategy(plan)}, {cap}"


def _strategy(plan: Plan) -> str:
    if plan.requested is not Strategy.AUTO:
        return plan.strategy
    reasons = {
        Strategy.SEQUENTIAL: "each task waits for the one before"
        if len(plan.feature.tasks) > 1
        else "there is one task",
        Strategy.PARALLEL: "no task depends on another",
        Strategy.BATCHED: "some tasks wait for others, and no batch is wider than the cap",
        Strategy.RESOURCE_AWARE: "a batch is wider than the cap",
    }
    return f"{plan.strategy} (chosen by auto: {reasons[plan.strategy]})"


def _batch_lines(plan: Plan, names: Mapping[str, str]) -> Iterator[str]:
    known = plan.known
    for batch in plan.batches[:SHOWN_BATCHES]:
        is_timed = known.issuperset(batch.tasks)
        how = ["parallel"] if batch.parallel and plan.cap > 1 else []
        how += [durations.write(batch.expected)] if is_timed else []
        yield from _one_batch(batch, names, f" ({', '.join(how)})" if how else "")
    more = len(plan.batches) - SHOWN_BATCHES
    if more > 0:
        yield f"and {count(more, 'more batch', 'more batches')}"


def _one_batch(batch: Batch, names: Mapping[str, str], how: str) -> Iterator[str]:
    if not batch.sub_batches:
        yield f"Batch {batch.number}: {_named(batch.tasks, names)}{how}"
        return
    yield f"Batch {batch.number}: {count(len(batch.tasks), 'task')} in {len(batch.sub_batches):,} sub-batches{how}"
    for part in batch.sub_batches[:SHOWN_PARTS]:
        yield f"  {part.label}: {_named(part.tasks, names)}"
    more = len(batch.sub_batches) - SHOWN_PARTS
    if more > 0:
        yield f"  and {more:,} more"


def _named(tasks: Sequence[str], names: Mapping[str, str]) -> str:
    return some([names[task] for task in tasks[:SHOWN]] + list(tasks[SHOWN:]))


def _critical_path(plan: Plan) -> str:
    path = some(plan.critical_path, separator=" → ")
    if plan.is_guess:
        return f"Critical path, by complexity: {path}"
    return f"Critical path: {path} ({durations.write(plan.critical_seconds)})"


def _times(plan: Plan) -> Iterator[str]:
    if plan.is_guess:
        yield f"How long it takes is not known: {sources(plan)}"
        return
    total, expected = durations.write(plan.total_seconds), durations.write(plan.expected_seconds)
    saved = f"{plan.saving_percent}% less" if plan.saving_percent else "no time saved"
    yield f"Expected {expected} against {total} one after the other: {saved}"
    if plan.learned:
        yield f"Where that is from: {sources(plan)}"


def sources(plan: Plan) -> str:
    """Say where the times of a plan come from.

    Example:
        >>> from orchestrator import Feature, Task, plan
        >>> tasks = [Task(id="T1", estimate="5m"), Task(id="T2"), Task(id="T3")]
        >>> sources(plan(Feature(title="Login", tasks=tasks)))
        '1 task has an estimate, 2 tasks have none and were never completed before'
    """
    none = "none" if plan.written else "no estimate"
    parts = [
        (plan.written, "has an estimate", "have an estimate"),
        (len(plan.learned), "takes the median of its earlier runs", "take the median of their earlier runs"),
        (
            plan.unknown,
            f"has {none} and was never completed before",
            f"have {none} and were never completed before",
        ),
    ]
    return ", ".join(
        f"{count(number, 'task')} {one if number == 1 else more}" for number, one, more in parts if number
    )


def _barrier(plan: Plan) -> Iterator[str]:
    """The cost of the barrier between batches, if there is more than one."""
    has_barrier = any(task.depends_on for task in plan.feature.tasks) and plan.barrier_percent
    if plan.is_guess or not has_barrier:
        return
    batched, dataflow = durations.write(plan.expected_batched), durations.write(plan.expected_dataflow)
    percent = plan.barrier_percent
    cost = f"costs {percent}%" if percent > 0 else f"saves {-percent}%"
    yield f"Batched {batched}, dataflow {dataflow}: the barrier between batches {cost}"


def _bottlenecks(plan: Plan) -> Iterator[str]:
    if plan.bottlenecks:
        blocking = [f"{found.task} blocks {found.blocks:,}" for found in plan.bottlenecks]
        yield f"Bottlenecks: {', '.join(blocking)}"


def _opportunities(plan: Plan) -> str:
    wide = [
        f"batch {batch.number} runs {min(len(batch.tasks), plan.cap):,} side by side"
        for batch in plan.batches
        if batch.parallel and plan.cap > 1
    ]
    return f"Parallel: {some(wide)}" if wide else "Parallel: nothing; every task runs alone"
