"""Sugiyama's layered layout: where each box stands, and where each arrow passes.

K. Sugiyama, S. Tagawa, M. Toda, "Methods for Visual Understanding of Hierarchical System Structures", 1981: an arrow
over several columns gets a node of its own in each; within the columns, sorting by the average position of the
neighbours takes out most of the crossings.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from orchestrator.report.picture import Arrow

SWEEPS = 4
"""How often the columns are sorted to and fro; more does not visibly help (Sugiyama's own advice is "a few")."""


class Bend(NamedTuple):
    """The point at which a task's arrows pass through a column that they do not end in."""

    task: str
    column: int


Node: TypeAlias = str | Bend
"""A task, or a bend."""
Link: TypeAlias = tuple[Node, Node]
Links: TypeAlias = Mapping[Link, bool]
"""From node to node; True: it belongs to an arrow that is marked."""


def lay_out(
    batches: Sequence[Sequence[str]], arrows: Sequence[Arrow], marked: Collection[Arrow]
) -> tuple[list[list[Node]], Links]:
    """The nodes of each column, from top to bottom, and the links between them."""
    columns: list[list[Node]] = [list(tasks) for tasks in batches]
    links = _with_bends(columns, arrows, marked)
    return _untangled(columns, list(links)), links


def _with_bends(columns: list[list[Node]], arrows: Sequence[Arrow], marked: Collection[Arrow]) -> Links:
    """Cut the arrows into links from column to column. Arrows from the same task share their bends."""
    column_of = {node: number for number, column in enumerate(columns) for node in column}
    links: dict[Link, bool] = {}

    def link(start: Node, end: Node, *, is_marked: bool) -> None:
        links[start, end] = links.get((start, end), False) or is_marked

    for start, end in arrows:
        is_marked = (start, end) in marked
        node: Node = start
        for number in range(column_of[start] + 1, column_of[end]):
            bend = Bend(start, number)
            if bend not in column_of:
                column_of[bend] = number
                columns[number].append(bend)
            link(node, bend, is_marked=is_marked)
            node = bend
        link(node, end, is_marked=is_marked)
    return links


def _untangled(columns: list[list[Node]], links: Sequence[Link]) -> list[list[Node]]:
    """Sort each column by the average height of its neighbours before it, then after it, and so on."""
    before: dict[Node, list[Node]] = defaultdict(list)
    after: dict[Node, list[Node]] = defaultdict(list)
    for start, end in links:
        before[end].append(start)
        after[start].append(end)
    height = {node: at - len(column) / 2 for column in columns for at, node in enumerate(column)}
    for turn in range(SWEEPS):
        neighbours, way = (before, columns) if turn % 2 == 0 else (after, columns[::-1])
        for column in way:
            wished = {
                node: sum(height[near] for near in neighbours[node]) / len(neighbours[node])
                if neighbours[node]
                else height[node]
                for node in column
            }
            column.sort(key=wished.__getitem__)
            height.update((node, at - len(column) / 2) for at, node in enumerate(column))
    return columns
