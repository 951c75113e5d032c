"""The dependency graph as a picture: Mermaid and DOT for other programs to draw, SVG that any browser shows.

Work goes from left to right: an arrow leads from a task to one that waits for it, and a column is a batch.
"""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias

from orchestrator import planner
from orchestrator.models import Feature, Plan, Strategy, Task, TaskStatus

States: TypeAlias = Mapping[str, TaskStatus]


class Colour(NamedTuple):
    """How a box is painted."""

    fill: str
    line: str


PLAIN = Colour("#ffffff", "#64748b")
GREY, BLUE, VIOLET = Colour("#f1f5f9", "#94a3b8"), Colour("#dbeafe", "#2563eb"), Colour("#ede9fe", "#7c3aed")
GREEN, AMBER, RED = Colour("#dcfce7", "#16a34a"), Colour("#fef3c7", "#d97706"), Colour("#fee2e2", "#dc2626")

COLOURS: Mapping[TaskStatus, Colour] = {
    TaskStatus.BACKLOG: PLAIN,
    TaskStatus.PENDING: PLAIN,
    TaskStatus.IN_PROGRESS: BLUE,
    TaskStatus.IN_REVIEW: VIOLET,
    TaskStatus.CHANGES_REQUESTED: VIOLET,
    TaskStatus.TESTING: VIOLET,
    TaskStatus.BLOCKED: AMBER,
    TaskStatus.ON_HOLD: AMBER,
    TaskStatus.FAILED: RED,
    TaskStatus.COMPLETED: GREEN,
    TaskStatus.CANCELLED: GREY,
    TaskStatus.DEFERRED: GREY,
}

STRAIGHTENING = 4
"""How often the columns are sorted to and fro; more does not visibly help (Sugiyama's own advice is "a few")."""


def mermaid(feature: Feature, plan: Plan | None = None, states: States | None = None) -> str:
    """The graph as a Mermaid flowchart, which GitHub and GitLab draw in Markdown.

    Parameters:
        plan: Groups the tasks by its batches.
        states: Colours the tasks named in it.

    Example:
        >>> print(mermaid(Feature(title="Login", tasks=[Task(id="T1"), Task(id="T2", depends_on=["T1"])])), end="")
        flowchart LR
            n1["T1"]
            n2["T2"]
            n1 --> n2
    """
    # The boxes have names of our own, for a task may be called "end", which Mermaid takes for a word of its own.
    names = {task.id: f"n{place}" for place, task in enumerate(feature.tasks, start=1)}
    boxes = {task.id: f'{names[task.id]}["{_for_mermaid(task.label)}"]' for task in feature.tasks}
    lines = ["flowchart LR"]
    if plan is None:
        lines += [f"    {box}" for box in boxes.values()]
    else:
        for batch in plan.batches:
            lines += [f'    subgraph b{batch.number}["Batch {batch.number}"]', "        direction TB"]
            lines += [f"        {boxes[task]}" for task in batch.tasks]
            lines += ["    end"]
    lines += [f"    {names[start]} --> {names[end]}" for start, end in _arrows(feature)]
    for status, tasks in _by_status(feature, states):
        kind = status.replace("-", "_")
        colour = COLOURS[status]
        lines += [f"    classDef {kind} fill:{colour.fill},stroke:{colour.line},color:#0f172a"]
        lines += [f"    class {','.join(names[task] for task in tasks)} {kind}"]
    return "\n".join(lines) + "\n"


def dot(feature: Feature, plan: Plan | None = None, states: States | None = None) -> str:
    """The graph in DOT, the language of Graphviz: `dot -Tsvg`.

    Parameters:
        plan: Groups the tasks by its batches.
        states: Colours the tasks named in it.

    Example:
        >>> print(dot(Feature(title="Login", tasks=[Task(id="T1"), Task(id="T2", depends_on=["T1"])])), end="")
        digraph "Login" {
            rankdir=LR
            node [shape=box style="rounded,filled" fillcolor="#ffffff" color="#64748b" fontname="sans-serif"]
            "T1" [label="T1"]
            "T2" [label="T2"]
            "T1" -> "T2"
        }
    """
    status = states or {}
    boxes = {task.id: _dot_box(task, status.get(task.id)) for task in feature.tasks}
    style = f'shape=box style="rounded,filled" fillcolor="{PLAIN.fill}" color="{PLAIN.line}" fontname="sans-serif"'
    lines = [
        f'digraph "{_for_dot(feature.title)}" {{',
        "    rankdir=LR",
        f"    node [{style}]",
    ]
    if plan is None:
        lines += [f"    {box}" for box in boxes.values()]
    else:
        for batch in plan.batches:
            lines += [f"    subgraph cluster_{batch.number} {{", f'        label="Batch {batch.number}"']
            lines += [f"        {boxes[task]}" for task in batch.tasks]
            lines += ["    }"]
    lines += [f'    "{start}" -> "{end}"' for start, end in _arrows(feature)]
    return "\n".join([*lines, "}"]) + "\n"


def _arrows(feature: Feature) -> Iterator[tuple[str, str]]:
    for task in feature.tasks:
        for dependency in task.depends_on:
            yield dependency, task.id


def _by_status(feature: Feature, states: States | None) -> Iterator[tuple[TaskStatus, list[str]]]:
    found: dict[TaskStatus, list[str]] = defaultdict(list)
    for task in feature.tasks:
        if states and task.id in states:
            found[states[task.id]].append(task.id)
    yield from found.items()


def _for_mermaid(text: str) -> str:
    """Mermaid reads #name; and #number; as characters; all others that it, or HTML, might act on are written so."""
    return "".join(char if char.isalnum() or char in " .,-_" else f"#{ord(char)};" for char in text)


def _for_dot(text: str) -> str:
    # Graphviz also reads HTML's entities in labels, hence the &.
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")


def _for_svg(text: str) -> str:
    return html.escape(text).translate({0xFFFE: None, 0xFFFF: None})  # XML has no way to write these two


def _dot_box(task: Task, status: TaskStatus | None) -> str:
    colour = f' fillcolor="{COLOURS[status].fill}" color="{COLOURS[status].line}"' if status else ""
    return f'"{task.id}" [label="{_for_dot(task.label)}"{colour}]'


def svg(feature: Feature, plan: Plan | None = None, states: States | None = None) -> str:
    """The graph as an SVG picture that needs nothing but itself.

    The layout is Sugiyama's (K. Sugiyama, S. Tagawa, M. Toda, "Methods for Visual Understanding of Hierarchical
    System Structures", 1981): a column for each batch; an arrow over several columns gets a place of its own in
    each; within the columns, sorting by the average place of the neighbours takes out most of the crossings.

    Parameters:
        plan: Whose batches are the columns; without it, the dependency levels are.
        states: Colours the tasks named in it.

    Raises:
        CircularDependency: There is no plan, and the tasks wait for each other.

    Example:
        picture = svg(feature, plan(feature), {"T1": TaskStatus.COMPLETED})
    """
    plan = plan or planner.plan(feature, strategy=Strategy.BATCHED)
    columns, links = _layout([batch.tasks for batch in plan.batches], list(_arrows(feature)))
    return _Canvas(feature, columns, links, states or {}).paint()


class Bend(NamedTuple):
    """Where the arrows from a task pass through a column that they do not end in."""

    task: str
    column: int


Place: TypeAlias = str | Bend
Link: TypeAlias = tuple[Place, Place]


def _layout(
    batches: Sequence[Sequence[str]], arrows: Sequence[tuple[str, str]]
) -> tuple[list[list[Place]], list[Link]]:
    columns: list[list[Place]] = [list(tasks) for tasks in batches]
    links = _with_bends(columns, arrows)
    return _untangled(columns, links), links


def _with_bends(columns: list[list[Place]], arrows: Sequence[tuple[str, str]]) -> list[Link]:
    """Cut the arrows into links from column to column. Arrows from the same task share their bends."""
    column_of = {place: number for number, column in enumerate(columns) for place in column}
    links: dict[Link, None] = {}
    for start, end in arrows:
        place: Place = start
        for number in range(column_of[start] + 1, column_of[end]):
            bend = Bend(start, number)
            if bend not in column_of:
                column_of[bend] = number
                columns[number].append(bend)
            links[place, bend] = None
            place = bend
        links[place, end] = None
    return list(links)


def _untangled(columns: list[list[Place]], links: Sequence[Link]) -> list[list[Place]]:
    """Sort each column by the average height of its neighbours before it, then after it, and so on."""
    before: dict[Place, list[Place]] = defaultdict(list)
    after: dict[Place, list[Place]] = defaultdict(list)
    for start, end in links:
        before[end].append(start)
        after[start].append(end)
    height = {place: at - len(column) / 2 for column in columns for at, place in enumerate(column)}
    for turn in range(STRAIGHTENING):
        neighbours, way = (before, columns) if turn % 2 == 0 else (after, columns[::-1])
        for column in way:
            wished = {
                place: sum(height[near] for near in neighbours[place]) / len(neighbours[place])
                if neighbours[place]
                else height[place]
                for place in column
            }
            column.sort(key=wished.__getitem__)
            height.update((place, at - len(column) / 2) for at, place in enumerate(column))
    return columns


BOX_WIDTH, BOX_HEIGHT, BEND_HEIGHT = 204, 46, 14
ROW_GAP, COLUMN_GAP, MARGIN, TOP = 14, 76, 24, 84
LEGEND_WIDTH = 170
TITLE_LENGTH = 26
"""Characters that fit into a box."""

FONT = 'font-family="system-ui, sans-serif" font-size="12" fill="#0f172a"'
ARROW_HEAD = """\
<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">
<path d="M0 0 8 4 0 8z" fill="#64748b"/></marker></defs>"""


@dataclass(frozen=True)
class _Canvas:
    """Columns of places, painted."""

    feature: Feature
    columns: list[list[Place]]
    links: list[Link]
    states: States

    def paint(self) -> str:
        width, height = self._size()
        title = _for_svg(self.feature.title)
        size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} {FONT}>',
            f"<title>{title}</title>",
            ARROW_HEAD,
            f'<rect width="{width}" height="{height}" fill="#f8fafc"/>',
            f'<text x="{MARGIN}" y="32" font-size="16" font-weight="600">{title}</text>',
            *self._headings(),
            *self._arrows(),
            *self._boxes(),
            *self._legend(height - MARGIN),
            "</svg>",
        ]
        return "\n".join(lines) + "\n"

    def _size(self) -> tuple[int, int]:
        columns = _left(len(self.columns)) - COLUMN_GAP
        title = MARGIN + len(self.feature.title) * 9
        legend = MARGIN + len(set(self.states.values())) * LEGEND_WIDTH
        return max(columns, title, legend) + MARGIN, TOP + max(map(_height, self.columns)) + 3 * MARGIN

    @cached_property
    def _spots(self) -> dict[Place, tuple[int, int]]:
        """The left end of each place, and its middle from the top."""
        middle = max(map(_height, self.columns)) // 2
        spots: dict[Place, tuple[int, int]] = {}
        for number, column in enumerate(self.columns):
            top = TOP + middle - _height(column) // 2
            for place in column:
                size = BOX_HEIGHT if isinstance(place, str) else BEND_HEIGHT
                spots[place] = _left(number), top + size // 2
                top += size + ROW_GAP
        return spots

    def _headings(self) -> Iterator[str]:
        for number in range(len(self.columns)):
            middle = _left(number) + BOX_WIDTH // 2
            yield f'<text x="{middle}" y="64" text-anchor="middle" fill="#64748b">Batch {number + 1}</text>'

    def _arrows(self) -> Iterator[str]:
        for start, end in self.links:
            (left, y1), (x2, y2) = self._spots[start], self._spots[end]
            x1, bow = left + BOX_WIDTH, COLUMN_GAP // 2
            curve = f"M{x1} {y1} C{x1 + bow} {y1} {x2 - bow} {y2} {x2} {y2}"
            onwards = f" H{x2 + BOX_WIDTH}" if isinstance(end, Bend) else ""
            head = ' marker-end="url(#arrow)"' if isinstance(end, str) else ""
            yield f'<path d="{curve}{onwards}" fill="none" stroke="#94a3b8" stroke-width="1.3"{head}/>'

    def _boxes(self) -> Iterator[str]:
        for task in self.feature.tasks:
            yield self._box(task, *self._spots[task.id])

    def _box(self, task: Task, left: int, middle: int) -> str:
        status = self.states.get(task.id)
        colour = COLOURS[status] if status else PLAIN
        hint = task.label + (f": {status}" if status else "")
        # A picture within the picture cuts off what is too long for the box.
        return (
            f'<svg x="{left}" y="{middle - BOX_HEIGHT // 2}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}">'
            f"<title>{_for_svg(hint)}</title>"
            f'<rect x="1" y="1" width="{BOX_WIDTH - 2}" height="{BOX_HEIGHT - 2}" rx="6" '
            f'fill="{colour.fill}" stroke="{colour.line}" stroke-width="1.5"/>'
            f'<text x="12" y="19" font-weight="600">{_for_svg(_short(task.id))}</text>'
            f'<text x="12" y="36">{_for_svg(_short(task.title))}</text></svg>'
        )

    def _legend(self, bottom: int) -> Iterator[str]:
        for place, (status, tasks) in enumerate(_by_status(self.feature, self.states)):
            left, colour = MARGIN + place * LEGEND_WIDTH, COLOURS[status]
            square = f'x="{left}" y="{bottom - 10}" width="12" height="12" rx="3"'
            yield f'<rect {square} fill="{colour.fill}" stroke="{colour.line}"/>'
            yield f'<text x="{left + 18}" y="{bottom}">{status} ({len(tasks):,})</text>'


def _left(column: int) -> int:
    return MARGIN + column * (BOX_WIDTH + COLUMN_GAP)


def _height(column: Sequence[Place]) -> int:
    return (
        sum((BOX_HEIGHT if isinstance(place, str) else BEND_HEIGHT) + ROW_GAP for place in column) - ROW_GAP
    )


def _short(text: str) -> str:
    return text if len(text) <= TITLE_LENGTH else text[: TITLE_LENGTH - 1].rstrip() + "…"
