"""What people read about a plan: values → lines of plain text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from orchestrator import durations, errors, graph
from orchestrator.models import Batch, Feature, Plan, Strategy, Task

SHOWN_TASKS = 12
SHOWN_BATCHES = 40
SHOWN_CYCLES = 10
SHOWN_SPLITS = 3


def label(task: Task) -> str:
    """How a list names a task: id and title, or the id where there is no other title.

    Example:
        >>> label(Task(id="T1", title="Create schema")), label(Task(id="T2"))
        ('T1 Create schema', 'T2')
    """
    return task.id if task.name == task.id else f"{task.id} {task.title}"


def some(names: Sequence[str], most: int = SHOWN_TASKS, separator: str = ", ") -> str:
    """The first of the names, and how many more there are.

    Example:
        >>> some(["T1", "T2", "T3", "T4"], most=2)
        'T1, T2 and 2 more'
    """
    more = len(names) - most
    return separator.join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def count(number: int, noun: str) -> str:
    """A number and its noun.

    Example:
        >>> count(1, "task"), count(1200, "task")
        ('1 task', '1,200 tasks')
    """
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def plan_lines(plan: Plan) -> list[str]:
    """A plan as a person reads it: batches, critical path, times, bottlenecks, what runs in parallel.

    Example:
        >>> from orchestrator.planner import plan
        >>> login = Feature(title="Login", tasks=[Task(id="T1", estimate="5m"), Task(id="T2", estimate="5m")])
        >>> print("\\n".join(plan_lines(plan(login))))
        Login: 2 tasks in 1 batch, strategy batched, at most 5 tasks at once
        <BLANKLINE>
        Batch 1: T1, T2  (parallel, 5m)
        <BLANKLINE>
        Critical path: T1 (5m)
        Expected 5m against 10m one after the other: 50% less
        Parallel: batch 1 runs 2 side by side
    """
    names = {task.id: label(task) for task in plan.feature.tasks}
    return [
        _heading(plan),
        "",
        *_batch_lines(plan, names),
        "",
        _critical_path(plan),
        _times(plan),
        *_bottlenecks(plan, names),
        _opportunities(plan),
    ]


def _heading(plan: Plan) -> str:
    size = f"{count(len(plan.feature.tasks), 'task')} in {_batches_text(len(plan.batches))}"
    cap = f"at most {count(plan.cap, 'task')} at once"
    return f"{plan.feature.title}: {size}, strategy {_strategy(plan)}, {cap}"


def _batches_text(number: int) -> str:
    return f"{number:,} batch" + ("" if number == 1 else "es")


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
    for batch in plan.batches[:SHOWN_BATCHES]:
        yield from _one_batch(batch, names)
    more = len(plan.batches) - SHOWN_BATCHES
    if more > 0:
        yield f"and {_batches_text(more).replace(' ', ' more ', 1)}"


def _one_batch(batch: Batch, names: Mapping[str, str]) -> Iterator[str]:
    time = durations.write(batch.expected)
    how = f"parallel, {time}" if batch.parallel else time
    if not batch.sub_batches:
        yield f"Batch {batch.number}: {_named(batch.tasks, names)}  ({how})"
        return
    yield f"Batch {batch.number}: {count(len(batch.tasks), 'task')} in {len(batch.sub_batches):,} sub-batches  ({how})"
    for part in batch.sub_batches[:SHOWN_TASKS]:
        yield f"  {part.label}: {_named(part.tasks, names)}"
    more = len(batch.sub_batches) - SHOWN_TASKS
    if more > 0:
        yield f"  and {more:,} more"


def _named(tasks: Sequence[str], names: Mapping[str, str]) -> str:
    return some([names[task] for task in tasks[:SHOWN_TASKS]] + list(tasks[SHOWN_TASKS:]))


def _critical_path(plan: Plan) -> str:
    return f"Critical path: {some(plan.critical_path, separator=' → ')} ({durations.write(plan.critical_seconds)})"


def _times(plan: Plan) -> str:
    total, expected = durations.write(plan.total_seconds), durations.write(plan.expected_seconds)
    about = "≈ " if plan.is_guess else ""
    text = f"Expected {about}{expected} against {about}{total} one after the other: "
    text += f"{plan.saving_percent}% less" if plan.saving_percent else "no time saved"
    return text + (" (tasks without an estimate are guessed from their complexity)" if plan.is_guess else "")


def _bottlenecks(plan: Plan, names: Mapping[str, str]) -> Iterator[str]:
    if plan.bottlenecks:
        blocking = [f"{names[found.task]} blocks {found.blocks:,}" for found in plan.bottlenecks]
        yield f"Bottlenecks: {', '.join(blocking)}"


def _opportunities(plan: Plan) -> str:
    wide = [
        f"batch {batch.number} runs {min(len(batch.tasks), plan.cap):,} side by side"
        for batch in plan.batches
        if batch.parallel and plan.cap > 1
    ]
    return f"Parallel: {some(wide)}" if wide else "Parallel: nothing; every task runs alone"


def circular(feature: Feature, dependencies: graph.Graph) -> errors.CircularDependency:
    """The error for a feature whose tasks wait for each other: every independent cycle, and three ways out.

    Its facts besides the text, for programs: `paths` (each cycle as its ids), `remove` (edges), `split` (ids),
    `reorder` (ids).

    Parameters:
        dependencies: Each task id with the ids it depends on; at least one cycle is in it.
    """
    names = {task.id: _titled(task) for task in feature.tasks}
    found = graph.cycles(dependencies)
    cuts = graph.cuts(dependencies, found)
    splits = graph.breakers(found)
    first_cut = cuts[0][0]
    order = reordered(found, first_cut)
    return errors.CircularDependency(
        title=feature.title,
        count=_how_many(found, dependencies),
        cycles="\n".join(_cycle_lines(found, names)),
        remedies="\n".join(
            [
                'Read an arrow as "depends on". Ways out:',
                *_removals(cuts, len(found)),
                *_splits(splits, found),
                _reorder(order),
            ]
        ),
        paths=found,
        remove=[list(edge) for edge, _ in cuts],
        split=[task for task, _ in splits],
        reorder=order,
    )


def _titled(task: Task) -> str:
    return task.id if task.name == task.id else f"{task.id} ({task.title})"


def _how_many(found: Sequence[Sequence[str]], dependencies: graph.Graph) -> str:
    number = f"{len(found):,} circular " + ("dependency" if len(found) == 1 else "dependencies")
    tangled = sum(len(inside) for knot in graph.knots(dependencies) for inside in knot.values())
    seen = len({edge for cycle in found for edge in graph.edges_of(cycle)})
    return number if seen == tangled else f"at least {number}"


def _cycle_lines(found: Sequence[Sequence[str]], names: Mapping[str, str]) -> Iterator[str]:
    for cycle in found[:SHOWN_CYCLES]:
        yield f"  {cycle_text(cycle, names)}"
    if len(found) > SHOWN_CYCLES:
        yield f"  and {len(found) - SHOWN_CYCLES:,} more"


def cycle_text(cycle: Sequence[str], names: Mapping[str, str]) -> str:
    """A cycle as a path back to its start; of a very long one, its beginning.

    Example:
        >>> cycle_text(["T2", "T5"], {"T2": "T2 (Implement API)", "T5": "T5"})
        'T2 (Implement API) → T5 → T2'
    """
    shown = [names[task] for task in cycle[:SHOWN_TASKS]]
    more = len(cycle) - len(shown)
    return " → ".join([*shown, *([f"{count(more, 'task')} more"] if more > 0 else []), cycle[0]])


def _removals(cuts: Sequence[tuple[graph.Edge, int]], cycles: int) -> Iterator[str]:
    for place, ((task, dependency), breaks) in enumerate(cuts):
        start = "and remove" if place else "remove"
        share = f"{breaks} more" if place else f"{breaks} of {count(cycles, 'cycle')}"
        yield f'  - {start} "depends_on: {dependency}" from {task}: breaks {share}'
    if len(cuts) == graph.MOST_CUTS:
        yield "  - and plan again: there may be more to remove"


def _splits(splits: Sequence[tuple[str, int]], found: Sequence[Sequence[str]]) -> Iterator[str]:
    for task, _ in splits[:SHOWN_SPLITS]:
        edges = [edge for cycle in found if task in cycle for edge in graph.edges_of(cycle)]
        needs = list(dict.fromkeys(end for start, end in edges if start == task))
        needed_by = list(dict.fromkeys(start for start, end in edges if end == task))
        on = count(sum(task in cycle for cycle in found), "cycle")
        yield (
            f"  - split {task}, which is on {on}: one part that {some(needed_by)} can depend on, "
            f"and one that depends on {some(needs)}"
        )


def _reorder(order: Sequence[str]) -> str:
    return (
        f"  - reorder: {some(order, separator=', then ')}, so that {order[0]} does not wait for {order[-1]}"
    )


def reordered(found: Sequence[Sequence[str]], cut: graph.Edge) -> list[str]:
    """The tasks of the first cycle with that edge, in an order that works once the edge is removed.

    Example:
        >>> reordered([["T2", "T5", "T7"]], cut=("T2", "T5"))
        ['T2', 'T7', 'T5']
    """
    cycle = next(cycle for cycle in found if cut in graph.edges_of(cycle))
    at = cycle.index(cut[1])
    return [*cycle[at:], *cycle[:at]][::-1]
