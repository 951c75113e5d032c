"""Simulates schedules under a cap: when each task would end.

It uses list scheduling: whenever a slot is free, the first task of the launch order that may start gets it. Such a
schedule is at most twice as long as the best possible one (R. L. Graham, "Bounds for Certain Multiprocessing
Anomalies", 1966). With the longest remaining path first, it is mostly very near the best (T. L. Adam, K. M. Chandy,
J. R. Dickson, "A comparison of list schedules for parallel processing systems", 1974).
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from orchestrator.planning.graph import Graph


def makespan(weights: Sequence[float], cap: int) -> float:
    """Seconds until the last of the tasks is done, when each starts in turn as soon as one of `cap` slots is free.

    Parameters:
        weights: The expected seconds of each task, in launch order.

    Example:
        >>> makespan([30, 20, 20], cap=2)
        40
    """
    slots = list(weights[:cap])
    heapq.heapify(slots)
    for weight in weights[cap:]:
        heapq.heapreplace(slots, slots[0] + weight)
    return max(slots, default=0.0)


def ends(
    graph: Graph, followers: Graph, order: Sequence[str], weights: Mapping[str, float], cap: int
) -> dict[str, float]:
    """The end of each task, in seconds, if it starts once all it depends on has ended and one of `cap` slots is free.

    Parameters:
        graph: Without cycles.
        followers: The reversed graph, from `graph.dependents`.
        order: All the tasks in launch order: of those that may start, the first one does.
        weights: The expected seconds of each task.

    Returns:
        The ends, earliest first, in O((tasks + dependencies) log tasks).

    Example:
        >>> graph, followers = {"T1": [], "T2": ["T1"], "T3": []}, {"T1": ["T2"], "T2": [], "T3": []}
        >>> ends(graph, followers, ["T2", "T3", "T1"], {"T1": 10, "T2": 5, "T3": 20}, cap=2)
        {'T1': 10.0, 'T2': 15.0, 'T3': 20.0}
    """
    place = {task: at for at, task in enumerate(order)}
    waits = [len(graph[task]) for task in order]
    ready = [at for at, number in enumerate(waits) if not number]
    running: list[tuple[float, int]] = []
    ended: dict[str, float] = {}
    now = 0.0
    while ready or running:
        while ready and len(running) < cap:
            at = heapq.heappop(ready)
            heapq.heappush(running, (now + weights[order[at]], at))
        now = running[0][0]
        # All tasks that end at this moment end before the next one starts: it may depend on two of them.
        while running and running[0][0] == now:
            task = order[heapq.heappop(running)[1]]
            ended[task] = now
            for follower in followers[task]:
                at = place[follower]
                waits[at] -= 1
                if not waits[at]:
                    heapq.heappush(ready, at)
    return ended
