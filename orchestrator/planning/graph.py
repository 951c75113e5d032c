"""Questions to a dependency graph: order, levels, cycles, critical path, bottlenecks.

A graph maps each task id to the ids it depends on, all of which are keys too. No function recurses, so a line of
100,000 tasks is no deeper than any other graph. If several answers are equally good, the order of the graph's keys
decides, so the same graph always gives the same answer.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

Graph: TypeAlias = Mapping[str, Sequence[str]]
Edge: TypeAlias = tuple[str, str]
"""A task, and a task it depends on."""
Item = TypeVar("Item", bound=Hashable)

EFFORT = 1_500_000
"""How many edges a search may visit if a search of all edges would take too long."""


def order(
    graph: Graph, preference: Mapping[str, Any] | None = None, followers: Graph | None = None
) -> list[str]:
    """The tasks, each after its dependencies; of those that could be next, the one with the least `preference` first.

    Kahn's algorithm (A. B. Kahn, "Topological sorting of large networks", 1962) with a heap for its ready set.
    The standard library's graphlib has no preference, and takes twice the time for 100,000 tasks.

    Parameters:
        followers: The reversed graph (see `dependents`), if the caller has it.

    Returns:
        The order, without tasks on a cycle and those behind one: if it is shorter than the graph, `cycles` finds why.

    Example:
        >>> order({"T1": [], "T2": [], "T3": ["T2"]}), order({"T1": [], "T2": []}, {"T1": 9, "T2": 1})
        (['T1', 'T2', 'T3'], ['T2', 'T1'])
    """
    names = list(graph)
    ranked = sorted(names, key=preference.__getitem__) if preference else names
    place = {task: at for at, task in enumerate(ranked)}
    waits = {task: len(dependencies) for task, dependencies in graph.items()}
    followers = dependents(graph) if followers is None else followers
    ready = [at for at, task in enumerate(ranked) if not waits[task]]
    ordered = []
    while ready:
        task = ranked[heapq.heappop(ready)]
        ordered.append(task)
        for follower in followers[task]:
            waits[follower] -= 1
            if not waits[follower]:
                heapq.heappush(ready, place[follower])
    return ordered


def dependents(graph: Graph) -> dict[str, list[str]]:
    """The reversed graph: for each task, those that depend on it.

    Example:
        >>> dependents({"T1": [], "T2": ["T1"]})
        {'T1': ['T2'], 'T2': []}
    """
    turned: dict[str, list[str]] = {task: [] for task in graph}
    for task, dependencies in graph.items():
        for dependency in dependencies:
            turned[dependency].append(task)
    return turned


def behind(task_id: str, followers: Graph) -> list[str]:
    """The tasks that wait for a task, directly or through others, nearest first.

    Parameters:
        followers: Each task id with the ids that depend on it (`dependents`).

    Example:
        >>> behind("T1", {"T1": ["T2"], "T2": ["T3"], "T3": []})
        ['T2', 'T3']
    """
    found: dict[str, None] = {}
    nearest = [task_id]
    while nearest:
        nearest = list(
            dict.fromkeys(end for start in nearest for end in followers[start] if end not in found)
        )
        found.update(dict.fromkeys(nearest))
    return list(found)


def levels(graph: Graph, ordered: Sequence[str]) -> dict[str, int]:
    """The dependency level of each task: 1 without dependencies, else 1 more than the highest of its dependencies.

    Parameters:
        ordered: The tasks in the order of `order`.

    Example:
        >>> levels({"T1": [], "T2": ["T1"], "T3": []}, ["T1", "T3", "T2"])
        {'T1': 1, 'T3': 1, 'T2': 2}
    """
    level: dict[str, int] = {}
    for task in ordered:
        level[task] = 1 + max([level[dependency] for dependency in graph[task]], default=0)
    return level


def remaining(graph: Graph, ordered: Sequence[str], weights: Mapping[str, float]) -> dict[str, float]:
    """For each task, the weight of the heaviest path from its start to an end of the graph, itself included.

    Parameters:
        ordered: The tasks in the order of `order`.
        weights: The expected seconds of each task.

    Example:
        >>> remaining({"T1": [], "T2": ["T1"]}, ["T1", "T2"], {"T1": 60.0, "T2": 30.0})
        {'T1': 90.0, 'T2': 30.0}
    """
    behind = dict.fromkeys(graph, 0.0)
    for task in reversed(ordered):
        whole = behind[task] = behind[task] + weights[task]
        for dependency in graph[task]:
            if whole > behind[dependency]:
                behind[dependency] = whole
    return behind


def critical_path(followers: Graph, left: Mapping[str, float]) -> list[str]:
    """The heaviest path from a start to an end. A delay of any task on it delays the whole feature.

    Parameters:
        followers: The reversed graph, from `dependents`.
        left: The weight of the heaviest path from each task, from `remaining`.

    Example:
        >>> critical_path({"T1": ["T2", "T3"], "T2": [], "T3": []}, {"T1": 90.0, "T2": 30.0, "T3": 20.0})
        ['T1', 'T2']
    """
    path = []
    choice: Sequence[str] = list(followers)
    while choice:
        path.append(max(choice, key=left.__getitem__))
        choice = followers[path[-1]]
    return path


def bottlenecks(
    followers: Graph,
    ordered: Sequence[str],
    level: Mapping[str, int],
    most: int = 3,
    effort: int = EFFORT,
) -> list[tuple[str, int]]:
    """The tasks that block most others, directly or through others, and how many each blocks.

    Counting for every task is quadratic, so this first computes an upper bound for each: a task blocks at most the
    tasks on higher levels, and at most its dependents and the tasks that those block. Then it counts exactly, by a walk
    from each task, the highest bound first, until no other task can be among the `most`, or the walks have visited
    `effort` tasks and edges. Every count is exact, but in a large graph (from 500 tasks and 2,500 edges) a task that
    blocks more may be missing.

    Parameters:
        followers: The reversed graph, from `dependents`.
        ordered: The tasks in the order of `order`.
        level: Their levels, from `levels`.

    Example:
        >>> bottlenecks({"T1": ["T2"], "T2": ["T3"], "T3": []}, ["T1", "T2", "T3"], {"T1": 1, "T2": 2, "T3": 3})
        [('T1', 2), ('T2', 1), ('T3', 0)]
    """
    bounds = _bounds(followers, ordered, level)
    candidates = sorted(followers, key=lambda task: (-bounds[task], -len(followers[task])))
    counted: list[tuple[str, int]] = []
    for candidate in candidates:
        least = counted[most - 1][1] if len(counted) >= most else -1
        if effort <= 0 or bounds[candidate] <= least:
            break
        blocked = _reachable(followers, candidate)
        effort -= len(blocked) + sum(len(followers[task]) for task in blocked)
        counted.append((candidate, len(blocked) - 1))
        counted.sort(key=lambda found: -found[1])
    return counted[:most]


def _bounds(followers: Graph, ordered: Sequence[str], level: Mapping[str, int]) -> dict[str, int]:
    above = Counter(level.values())
    for number in range(max(level.values(), default=0) - 1, 0, -1):
        above[number] += above[number + 1]
    bounds: dict[str, int] = {}
    for task in reversed(ordered):
        through = sum([1 + bounds[follower] for follower in followers[task]])
        bounds[task] = min(through, above[level[task] + 1])
    return bounds


def _reachable(graph: Graph, start: str) -> set[str]:
    seen = {start}
    open_ends = [start]
    while open_ends:
        new = set(graph[open_ends.pop()]) - seen
        seen |= new
        open_ends += new
    return seen


def knots(graph: Graph) -> list[dict[str, list[str]]]:
    """The parts of the graph, as graphs, in which every task depends on every other, directly or through others.

    They are the strongly connected components of more than one task, and tasks that depend on themselves, found by
    Kosaraju's algorithm (S. R. Kosaraju; M. Sharir, 1981) without recursion. Every task on a cycle is in a knot; a
    graph without knots has an order.

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
    """The tasks in the order in which a depth-first walk along the dependencies finishes them."""
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
    """A few cycles that cover every edge on a cycle; each has an edge that no earlier one has.

    A knot can have exponentially many cycles, and a person needs to see only some. The candidates are the shortest
    cycle through each edge. From the shortest to the longest, a candidate is kept if it has a new edge. A large knot is
    searched from as many of its tasks as `effort` edges allow (all of them up to about 1,000 edges), at least from one.

    Returns:
        Each cycle as its tasks along the dependencies, from the task that is first in the graph. The last task depends
        on the first.

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
    """For each task, its dependency on the shortest path to `target` (breadth first)."""
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
    """The edges of a cycle.

    Example:
        >>> edges_of(["T2", "T5", "T7"])
        [('T2', 'T5'), ('T5', 'T7'), ('T7', 'T2')]
    """
    return list(zip(cycle, [*cycle[1:], *cycle[:1]], strict=True))


def cuts(graph: Graph, found: Sequence[list[str]], effort: int = 6 * EFFORT) -> list[tuple[Edge, int]]:
    """Edges to remove so that no cycle is left, each with how many cycles it breaks, most first.

    The smallest set is hard to find (feedback arc set, one of Karp's 21 problems, 1972), so edges are chosen greedily,
    and cycles that remain after the first round are searched again. Of edges that break equally many cycles, the first
    on the first cycle is chosen: there a task depends on one that is written after it, the likelier mistake.

    Parameters:
        found: The cycles of the graph, from `cycles`.
        effort: After visiting this many edges, the rest is cut along one walk: that also breaks every cycle, but with
            a few more edges.

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
    """The edges that lead back to the current path of a depth-first walk. Every cycle has one."""
    finish = {task: at for at, task in enumerate(_by_finish(graph))}
    for task, dependencies in graph.items():
        for dependency in dependencies:
            if finish[dependency] >= finish[task]:
                yield task, dependency


def breakers(cycles: Iterable[Sequence[Item]]) -> list[tuple[Item, int]]:
    """The item in most cycles, then the item in most of the remaining cycles, and so on, with the number of cycles.

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
        """The least rank is chosen next: the item in most remaining cycles; of equal ones, the earliest in the first."""
        while alive[item] and places[item][-1][0] in broken:
            places[item].pop()
        return (-alive[item], *places[item][-1]) if alive[item] else (0, 0, 0)

    # A rank only grows, so only the least of the stored ranks has to be computed again.
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
