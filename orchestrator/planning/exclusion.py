"""Locks between tasks that touch the same files, so that they do not run at the same time.

A lock is held by one task at a time. Two tasks share a lock if, and only if, they may touch the same file: each lock
stands for tasks of which each overlaps with each other (a clique of the graph of overlaps), and the locks cover all
overlaps. One lock for all that hang together would keep tasks apart that only have a neighbour in common.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from orchestrator.model import errors

MOST_LISTS = 5_000
"""Different lists of globs in one feature: each is compared with each other."""

MOST_LOCKS = 256
"""Locks that one task takes: each has to be looked at when it starts."""


def locks(touches: Mapping[str, Sequence[str]]) -> dict[str, tuple[int, ...]]:
    """The locks that tasks take while they run, numbered from 1; tasks that share nothing take none.

    Args:
        touches: Task id → globs of the files that it may change.

    Raises:
        TooManyOverlaps: The tasks touch too many different lists of files, or one of them overlaps with too many.

    Example:
        >>> locks({"T1": ["api/**"], "T2": ["api/a.py", "web/**"], "T3": ["web/b.js"], "T4": ["docs/**"]})
        {'T1': (1,), 'T2': (1, 2), 'T3': (2,)}
    """
    members = defaultdict[tuple[str, ...], list[str]](list)
    for task, globs in touches.items():
        if globs:
            members[tuple(dict.fromkeys(globs))].append(task)
    if len(members) > MOST_LISTS:
        raise errors.TooManyOverlaps(
            what=f"The tasks touch {len(members):,} different lists of files", most=f"{MOST_LISTS:,}"
        )
    lists = list(members)
    found = defaultdict[str, tuple[int, ...]](tuple)
    neighbours = _overlaps(lists)
    shared = {place for place, globs in enumerate(lists) if len(members[globs]) > 1}
    for number, clique in enumerate(_cover(neighbours, shared), start=1):
        for place in sorted(clique):
            for task in members[lists[place]]:
                found[task] += (number,)
                if len(found[task]) > MOST_LOCKS:
                    what = f"{task} touches files that more than {MOST_LOCKS} groups of other tasks touch"
                    raise errors.TooManyOverlaps(what=what, most=f"{MOST_LOCKS}")
    return dict(found)


def _overlaps(lists: Sequence[Sequence[str]]) -> list[set[int]]:
    """Of each list of globs the places of the other ones that overlap with it."""
    from orchestrator.workspaces import globs  # late: most features touch nothing

    places = defaultdict[str, set[int]](set)
    for place, one in enumerate(lists):
        for glob in one:
            places[glob].add(place)
    found: list[set[int]] = [set() for _ in lists]
    same = ((glob, glob) for glob in places)
    for first, second in itertools.chain(same, globs.overlapping(places)):
        for mine, its in itertools.product(places[first], places[second]):
            if mine != its:
                found[mine].add(its)
                found[its].add(mine)
    return found


def _cover(neighbours: Sequence[set[int]], shared: set[int]) -> Iterator[set[int]]:
    """Cliques that cover all edges, and all places in `shared`, which several tasks have."""
    left = [set(others) for others in neighbours]  # edges that no clique covers yet
    alone = set(shared)
    for place, others in enumerate(left):
        while others:
            clique, common = {place}, set(neighbours[place])
            while common:
                # One whose edge to `place` is to be covered still, if there is one.
                new = min(common & others or common)
                clique.add(new)
                common &= neighbours[new]
            for member in clique:
                left[member] -= clique
            alone -= clique
            yield clique
        if place in alone:
            yield {place}
