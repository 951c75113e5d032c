"""Finds the cycles of a dependency graph, and the fewest edges to remove so that none is left.

Like `graph`, nothing here recurses, and the order of the graph's keys decides between equally good answers.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias, TypeVar

from orchestrator.planning.graph import EFFORT, Graph, dependents

Edge: TypeAlias = tuple[str, str]
"""A task, and a task it depends on."""
Item = TypeVar("Item", bound=Hashable)


def knots(graph: Graph) -> list[dict[str, list[str]]]:
    """The parts of the graph in which every task depends, through others, on every other; each a graph itself.

    They are the strongly connected components of more than one task (and tasks that depend on themselves),
    found by Kosaraju's algorithm (S. R. Kosaraju; M. Sharir, 1981) without recursion. Every cycle lies in
    a knot, and a graph without knots has an order.

    Example:
        >>> knots({"T1": ["T2"], "T2": ["T1"], "T3": ["T1"]})
        [{'T1': ['T2'], 'T2': ['T1']}]
    """
    followers = dependents(graph)
    owner: dict[str, str] = {}
    for root in reversed(_by_finish(graph)):
        if root in owner:
            continue
        owner[root] = root
        open_ends = [root]
        while open_ends:
            for follower in followers[open_ends.pop()]:
                if follower not in owner:
                    owner[follower] = root
                    open_ends.append(follower)
    found: dict[str, dict[str, list[str]]] = {}
    for task, dependencies in graph.items():
        inside = [dependency for dependency in dependencies if owner[dependency] == owner[task]]
        if inside:
            found.setdefault(owner[task], {})[task] = inside
    return list(found.values())


def _by_finish(graph: Graph) -> list[str]:
    """The tasks in the order in which a depth-first walk along the dependencies is through with them."""
    seen: set[str] = set()
    finished = []
    for start in graph:
        if start in seen:
            continue
        seen.add(start)
        walk = [(start, iter(graph[start]))]
        while walk:
            task, rest = walk[-1]
            step = next((dependency for dependency in rest if dependency not in seen), None)
            if step is None:
                finished.append(task)
                walk.pop()
            else:
                seen.add(step)
                walk.append((step, iter(graph[step])))
    return finished


def cycles(graph: Graph, effort: int = EFFORT) -> list[list[str]]:
    """The independent cycles: each goes along an edge that none before it has, and together they go along all
    edges that are on a cycle.

    A knot can have exponentially many cycles, and a person needs to see few. So the shortest cycle through each
    edge is a candidate, and from the shortest to the longest a candidate is kept if it brings a new edge. A
    large knot is searched from as many of its tasks as `effort` edges allow (all of them up to about 1,000
    edges), and from at least one.

    Returns:
        Each cycle as its tasks, from the one first in the graph along the dependencies; the last depends on the
        first.

    Example:
        >>> cycles({"T2": ["T5"], "T5": ["T7"], "T7": ["T2"]})
        [['T2', 'T5', 'T7']]
    """
    place = {task: at for at, task in enumerate(graph)}
    tangles = knots(graph)
    found = []
    for knot in tangles:
        edges = sum(map(len, knot.values()))
        searches = max(1, effort // len(tangles) // edges)
        candidates = sorted(_short_cycles(knot, searches), key=len)
        covered: set[Edge] = set()
        for cycle in candidates:
            if not covered.issuperset(edges_of(cycle)):
                covered.update(edges_of(cycle))
                found.append(_from_first(cycle, place))
    return found


def _short_cycles(knot: Graph, searches: int) -> Iterator[list[str]]:
    """The shortest cycle through each edge that leaves one of the first `searches` tasks."""
    followers = dependents(knot)
    for task in list(knot)[:searches]:
        towards = _next_steps(followers, task)
        for dependency in knot[task]:
            cycle = [task]
            while dependency != task:
                cycle.append(dependency)
                dependency = towards[dependency]
            yield cycle


def _next_steps(followers: Graph, target: str) -> dict[str, str]:
    """For each task, the dependency by which the way to `target` is shortest (breadth first)."""
    step: dict[str, str] = {}
    line = deque([target])
    while line:
        task = line.popleft()
        for follower in followers[task]:
            if follower not in step:
                step[follower] = task
                line.append(follower)
    return step


def _from_first(cycle: list[str], place: Mapping[str, int]) -> list[str]:
    at = cycle.index(min(cycle, key=place.__getitem__))
    return cycle[at:] + cycle[:at]


def edges_of(cycle: Sequence[str]) -> list[Edge]:
    """The edges that a cycle goes along.

    Example:
        >>> edges_of(["T2", "T5", "T7"])
        [('T2', 'T5'), ('T5', 'T7'), ('T7', 'T2')]
    """
    return list(zip(cycle, [*cycle[1:], *cycle[:1]], strict=True))


def cuts(graph: Graph, found: Sequence[list[str]], effort: int = 6 * EFFORT) -> list[tuple[Edge, int]]:
    """Edges to remove so that no cycle is left: the one that breaks most cycles first, with how many it breaks.

    The fewest such edges are hard to find (feedback arc set, one of Karp's 21 problems, 1972); these are chosen
    greedily, and what cycles are left behind the first ones are looked for again. Of edges that break as many,
    the first on the first cycle is chosen: there a task depends on one written after it, which is the likelier
    mistake.

    Parameters:
        found: The cycles of the graph, as `cycles` gives them.
        effort: After visiting this many edges, the rest is cut along one walk: that breaks every cycle too, with a few
            edges more.

    Example:
        >>> cuts({"T1": ["T2"], "T2": ["T1"]}, [["T1", "T2"]])
        [(('T1', 'T2'), 1)]
    """
    chosen: list[tuple[Edge, int]] = []
    while found:
        chosen += breakers(map(edges_of, found))
        removed = {edge for edge, _ in chosen}
        graph = {
            task: [dependency for dependency in dependencies if (task, dependency) not in removed]
            for knot in knots(graph)
            for task, dependencies in knot.items()
        }
        edges = sum(map(len, graph.values()))
        effort -= min(EFFORT, len(graph) * edges) + edges
        if effort < 0:
            return chosen + [(edge, 1) for edge in _against_a_walk(graph)]
        found = cycles(graph)
    return chosen


def _against_a_walk(graph: Graph) -> Iterator[Edge]:
    """The edges that lead back to where a depth-first walk came from: every cycle has one."""
    finish = {task: at for at, task in enumerate(_by_finish(graph))}
    for task, dependencies in graph.items():
        for dependency in dependencies:
            if finish[dependency] >= finish[task]:
                yield task, dependency


def breakers(cycles: Iterable[Sequence[Item]]) -> list[tuple[Item, int]]:
    """The item that is in most cycles, then that in most of those without it, and so on, with how many each is in.

    Parameters:
        cycles: Each as its tasks, or as its edges.

    Example:
        >>> breakers([["T1", "T2"], ["T2", "T3"], ["T4", "T5"]])
        [('T2', 2), ('T4', 1)]
    """
    left = list(cycles)
    places: dict[Item, list[tuple[int, int]]] = defaultdict(list)  # the last cycle of each item first
    for number in range(len(left) - 1, -1, -1):
        for at, item in enumerate(left[number]):
            places[item].append((number, at))
    alive = {item: len(its) for item, its in places.items()}
    broken: set[int] = set()

    def rank(item: Item) -> tuple[int, int, int]:
        """The least is chosen next: the item in most of the cycles that are left, or the earlier one."""
        while alive[item] and places[item][-1][0] in broken:
            places[item].pop()
        return (-alive[item], *places[item][-1]) if alive[item] else (0, 0, 0)

    # A rank only grows, so of old ranks the least one is looked at again, and no other.
    heap = [(rank(item), at, item) for at, item in enumerate(places)]
    heapq.heapify(heap)
    chosen: list[tuple[Item, int]] = []
    while heap and heap[0][0][0]:
        old, at, item = heap[0]
        now = rank(item)
        if now != old:
            heapq.heapreplace(heap, (now, at, item))
            continue
        heapq.heappop(heap)
        chosen.append((item, alive[item]))
        for number in {number for number, _ in places[item]} - broken:
            broken.add(number)
            for other in left[number]:
                alive[other] -= 1
    return chosen
