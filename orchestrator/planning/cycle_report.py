"""The error text about tasks that wait for each other, and the ways out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.model import errors
from orchestrator.model.feature import Feature
from orchestrator.model.task import Task
from orchestrator.model.words import SHOWN, count, some
from orchestrator.planning import cycle_search, graph

SHOWN_CYCLES = 10
SHOWN_CUTS = 10
KEPT_PATHS = 100
"""How many cycles are named to programs; all edges to remove are named."""

SHOWN_SPLITS = 3


def circular(feature: Feature, dependencies: graph.Graph) -> errors.CircularDependency:
    """The error for a feature whose tasks wait for each other: every independent cycle, and three ways out.

    Its facts besides the text, for programs: `paths` (each cycle as its ids, of very many the first; `left_out` counts
    the others), `remove` (all the edges that have to go, so that no cycle is left), `split` (ids), `reorder` (ids).

    Parameters:
        dependencies: Each task id with the ids it depends on; at least one cycle is in it.
    """
    names = {task.id: _titled(task) for task in feature.tasks}
    found = cycle_search.cycles(dependencies)
    cuts = cycle_search.cuts(dependencies, found)
    splits = cycle_search.breakers(found)
    first_cut = cuts[0][0]
    order = reordered(found, first_cut)
    left = len(found) - KEPT_PATHS
    return errors.CircularDependency(
        actions=[
            *_removal_actions(cuts),
            *({"action": "split", "task": task} for task, _ in splits[:SHOWN_SPLITS]),
        ],
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
        paths=found[:KEPT_PATHS],
        **({"left_out": {"paths": left}} if left > 0 else {}),
        remove=[list(edge) for edge, _ in cuts],
        split=[task for task, _ in splits],
        reorder=order,
    )


def _titled(task: Task) -> str:
    return task.id if task.name == task.id else f"{task.id} ({task.title})"


def _how_many(found: Sequence[Sequence[str]], dependencies: graph.Graph) -> str:
    number = count(len(found), "circular dependency", "circular dependencies")
    tangled = sum(len(inside) for knot in cycle_search.knots(dependencies) for inside in knot.values())
    seen = len({edge for cycle in found for edge in cycle_search.edges_of(cycle)})
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
    shown = [names[task] for task in cycle[:SHOWN]]
    more = len(cycle) - len(shown)
    return " → ".join([*shown, *([f"{count(more, 'task')} more"] if more > 0 else []), cycle[0]])


def _removals(cuts: Sequence[tuple[cycle_search.Edge, int]], cycles: int) -> Iterator[str]:
    for place, ((task, dependency), breaks) in enumerate(cuts[:SHOWN_CUTS]):
        start = "and remove" if place else "remove"
        share = f"{breaks} more" if place else f"{breaks} of {count(cycles, 'cycle')}"
        yield f'  - {start} "depends_on: {dependency}" from {task}: breaks {share}'
    if len(cuts) > SHOWN_CUTS:
        yield f"  - and remove {len(cuts) - SHOWN_CUTS:,} more; `--json` names them all"


def _removal_actions(cuts: Sequence[tuple[cycle_search.Edge, int]]) -> Iterator[dict[str, Any]]:
    for (task, dependency), _ in cuts[:SHOWN_CYCLES]:
        on = {"type": "string", "choices": (dependency,)}
        yield {"action": "remove-dependency", "task": task, "arguments": {"depends_on": on}}


def _splits(splits: Sequence[tuple[str, int]], found: Sequence[Sequence[str]]) -> Iterator[str]:
    for task, _ in splits[:SHOWN_SPLITS]:
        edges = [edge for cycle in found if task in cycle for edge in cycle_search.edges_of(cycle)]
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


def reordered(found: Sequence[Sequence[str]], cut: cycle_search.Edge) -> list[str]:
    """The tasks of the first cycle with that edge, in an order that works once the edge is removed.

    Example:
        >>> reordered([["T2", "T5", "T7"]], cut=("T2", "T5"))
        ['T2', 'T7', 'T5']
    """
    cycle = next(cycle for cycle in found if cut in cycle_search.edges_of(cycle))
    at = cycle.index(cut[1])
    return [*cycle[at:], *cycle[:at]][::-1]
