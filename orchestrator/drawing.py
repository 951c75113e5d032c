"""The dependency graph as a picture: Mermaid and DOT for other programs to draw, SVG that any browser shows.

Work goes from left to right: an arrow leads from a task to one that waits for it, and a column is a batch.
"""

from __future__ import annotations

import html
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias

from orchestrator import picture
from orchestrator.models import TaskStatus
from orchestrator.picture import Arrow, Box, Picture


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

MARKED = "#dc2626"
"""The arrows of a cycle, or of the critical path."""

MERMAID_TEXT = 50_000
"""Mermaid draws no text that is longer (its setting maxTextSize)."""

LABEL = 80
"""So many characters of a title stand in a box that other programs draw."""

STRAIGHTENING = 4
"""How often the columns are sorted to and fro; more does not visibly help (Sugiyama's own advice is "a few")."""


def fitted(found: Picture, keep: Collection[str] = ()) -> Picture:
    """A picture folded so far that Mermaid draws it.

    Parameters:
        keep: What is not folded.
    """
    most = picture.MOST_BOXES
    small = picture.folded(found, most, keep)
    while len(mermaid(small)) > MERMAID_TEXT and most > 1:
        most //= 2
        small = picture.folded(found, most, keep)
    return small


def mermaid(found: Picture) -> str:
    """A picture as a Mermaid flowchart, which GitHub and GitLab draw in Markdown.

    Example:
        >>> from orchestrator import Feature, Task
        >>> login = Feature(title="Login", tasks=[Task(id="T1"), Task(id="T2", depends_on=["T1"])])
        >>> print(mermaid(picture.whole(login, [["T1"], ["T2"]])), end="")
        flowchart LR
            subgraph b1["Batch 1"]
                direction TB
                n1["T1"]
            end
            subgraph b2["Batch 2"]
                direction TB
                n2["T2"]
            end
            n1 --> n2
    """
    # The boxes have names of our own, for a task may be called "end", which Mermaid takes for a word of its own.
    names = {box.id: f"n{place}" for place, box in enumerate(found.boxes, start=1)}
    lines = [f"%% {_for_mermaid(note)}" for note in found.notes] + ["flowchart LR"]
    for number, (heading, boxes) in enumerate(found.columns, start=1):
        shown = [f'{names[box.id]}["{_for_mermaid(_cut(box.label))}"]' for box in boxes]
        if heading:
            shown = [f"    {line}" for line in ("direction TB", *shown)]
            lines += [
                f'    subgraph b{number}["{_for_mermaid(heading)}"]',
                *(f"    {line}" for line in shown),
                "    end",
            ]
        else:
            lines += [f"    {line}" for line in shown]
    lines += [f"    {names[start]} --> {names[end]}" for start, end in found.arrows]
    marked = [str(place) for place, arrow in enumerate(found.arrows) if arrow in found.marked]
    if marked:
        lines += [f"    linkStyle {','.join(marked)} stroke:{MARKED},stroke-width:2px"]
    if found.centre in names:
        lines += [f"    style {names[found.centre]} stroke-width:4px"]
    for status, boxes in _by_status(found):
        kind = status.replace("-", "_")
        colour = COLOURS.get(status, PLAIN)
        lines += [f"    classDef {kind} fill:{colour.fill},stroke:{colour.line},color:#0f172a"]
        lines += [f"    class {','.join(names[box.id] for box in boxes)} {kind}"]
    return "\n".join(lines) + "\n"


def dot(found: Picture) -> str:
    """A picture in DOT, the language of Graphviz: `dot -Tsvg`.

    Example:
        >>> from orchestrator import Feature, Task
        >>> login = Feature(title="Login", tasks=[Task(id="T1"), Task(id="T2", depends_on=["T1"])])
        >>> print(dot(picture.whole(login, [["T1"], ["T2"]])), end="")
        digraph "Login" {
            rankdir=LR
            node [shape=box style="rounded,filled" fillcolor="#ffffff" color="#64748b" fontname="sans-serif"]
            subgraph cluster_1 {
                label="Batch 1"
                "T1" [label="T1"]
            }
            subgraph cluster_2 {
                label="Batch 2"
                "T2" [label="T2"]
            }
            "T1" -> "T2"
        }
    """
    style = f'shape=box style="rounded,filled" fillcolor="{PLAIN.fill}" color="{PLAIN.line}" fontname="sans-serif"'
    lines = [
        *(f"// {note}" for note in found.notes),
        f'digraph "{_for_dot(found.title)}" {{',
        "    rankdir=LR",
        f"    node [{style}]",
    ]
    for number, (heading, boxes) in enumerate(found.columns, start=1):
        if heading:
            lines += [f"    subgraph cluster_{number} {{", f'        label="{_for_dot(heading)}"']
            lines += [f"        {_dot_box(box, is_centre=box.id == found.centre)}" for box in boxes]
            lines += ["    }"]
        else:
            lines += [f"    {_dot_box(box, is_centre=box.id == found.centre)}" for box in boxes]
    for arrow in found.arrows:
        mark = f' [color="{MARKED}" penwidth=2]' if arrow in found.marked else ""
        lines += [f'    "{_for_dot(arrow[0])}" -> "{_for_dot(arrow[1])}"{mark}']
    return "\n".join([*lines, "}"]) + "\n"


def _by_status(found: Picture) -> Iterator[tuple[TaskStatus, list[Box]]]:
    groups: dict[TaskStatus, list[Box]] = defaultdict(list)
    for box in found.boxes:
        if box.status:
            groups[box.status].append(box)
    yield from groups.items()


def _cut(text: str) -> str:
    return text if len(text) <= LABEL else text[: LABEL - 1].rstrip() + "…"


def _for_mermaid(text: str) -> str:
    """Mermaid reads #name; and #number; as characters; all others that it, or HTML, might act on are written so."""
    return "".join(char if char.isalnum() or char in " .,-_" else f"#{ord(char)};" for char in text)


def _for_dot(text: str) -> str:
    # Graphviz also reads HTML's entities in labels, hence the &.
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")


def _for_svg(text: str) -> str:
    return html.escape(text).translate({0xFFFE: None, 0xFFFF: None})  # XML has no way to write these two


def _dot_box(box: Box, *, is_centre: bool) -> str:
    colours = COLOURS.get(box.status, PLAIN) if box.status else None
    colour = f' fillcolor="{colours.fill}" color="{colours.line}"' if colours else ""
    colour += " penwidth=3" if is_centre else ""
    return f'"{_for_dot(box.id)}" [label="{_for_dot(_cut(box.label))}"{colour}]'


def svg(found: Picture) -> str:
    """A picture as an SVG that needs nothing but itself.

    The layout is Sugiyama's (K. Sugiyama, S. Tagawa, M. Toda, "Methods for Visual Understanding of Hierarchical
    System Structures", 1981): an arrow over several columns gets a place of its own in each; within the columns,
    sorting by the average place of the neighbours takes out most of the crossings.

    Example:
        text = svg(picture.whole(feature, [batch.tasks for batch in plan.batches]))
    """
    columns, links = _layout(
        [[box.id for box in boxes] for _, boxes in found.columns], found.arrows, found.marked
    )
    return _Canvas(found, columns, links).paint()


class Bend(NamedTuple):
    """Where the arrows from a task pass through a column that they do not end in."""

    task: str
    column: int


Place: TypeAlias = str | Bend
Link: TypeAlias = tuple[Place, Place]
Links: TypeAlias = Mapping[Link, bool]
"""From place to place; True: it belongs to an arrow that is marked."""


def _layout(
    batches: Sequence[Sequence[str]], arrows: Sequence[Arrow], marked: Collection[Arrow]
) -> tuple[list[list[Place]], Links]:
    columns: list[list[Place]] = [list(tasks) for tasks in batches]
    links = _with_bends(columns, arrows, marked)
    return _untangled(columns, list(links)), links


def _with_bends(columns: list[list[Place]], arrows: Sequence[Arrow], marked: Collection[Arrow]) -> Links:
    """Cut the arrows into links from column to column. Arrows from the same task share their bends."""
    column_of = {place: number for number, column in enumerate(columns) for place in column}
    links: dict[Link, bool] = {}

    def link(start: Place, end: Place, *, is_marked: bool) -> None:
        links[start, end] = links.get((start, end), False) or is_marked

    for start, end in arrows:
        is_marked = (start, end) in marked
        place: Place = start
        for number in range(column_of[start] + 1, column_of[end]):
            bend = Bend(start, number)
            if bend not in column_of:
                column_of[bend] = number
                columns[number].append(bend)
            link(place, bend, is_marked=is_marked)
            place = bend
        link(place, end, is_marked=is_marked)
    return links


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
TEXT_WIDTH = BOX_WIDTH - 24
NOTE_HEIGHT = 18
LANE, MOST_LANES, ASIDE = 7, 20, 16
"""Of arrows that lead back: between two of them, how many lie side by side, and how far they are from the boxes."""


FONT = 'font-family="system-ui, sans-serif" font-size="12" fill="#0f172a"'
HEAD = 'viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"'
ARROW_HEADS = f"""\
<defs><marker id="arrow" {HEAD}><path d="M0 0 8 4 0 8z" fill="#64748b"/></marker>
<marker id="marked" {HEAD}><path d="M0 0 8 4 0 8z" fill="{MARKED}"/></marker></defs>"""


@dataclass(frozen=True)
class _Canvas:
    """A picture whose places are known, painted."""

    found: Picture
    columns: list[list[Place]]
    links: Links

    def paint(self) -> str:
        width, height = self._size()
        title = _for_svg(self.found.title)
        size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} {FONT}>',
            f"<title>{title}</title>",
            ARROW_HEADS,
            f'<rect width="{width}" height="{height}" fill="#f8fafc"/>',
            f'<text x="{MARGIN}" y="32" font-size="16" font-weight="600">{title}</text>',
            *self._notes(),
            *self._headings(),
            *self._arrows(),
            *self._boxes(),
            *self._legend(height - MARGIN),
            "</svg>",
        ]
        return "\n".join(lines) + "\n"

    @property
    def _top(self) -> int:
        return TOP + NOTE_HEIGHT * len(self.found.notes)

    def _size(self) -> tuple[int, int]:
        lanes = min(len(self._lanes), MOST_LANES)
        columns = _left(len(self.columns)) - COLUMN_GAP + (ASIDE if lanes else 0)
        texts = [MARGIN + round(_width(self.found.title) * 16 / 12 * BOLD)]
        texts += [MARGIN + round(_width(note)) for note in self.found.notes]
        legend = MARGIN + len(self.found.states) * LEGEND_WIDTH
        height = self._top + max(map(_height, self.columns)) + LANE * lanes + 3 * MARGIN
        return max(columns, *texts, legend) + MARGIN, height

    @cached_property
    def _lanes(self) -> dict[Link, int]:
        """How far from the top each arrow that leads back goes: below all the boxes."""
        number = {place: at for at, column in enumerate(self.columns) for place in column}
        back = [(start, end) for start, end in self.links if number[start] >= number[end]]
        lowest = self._top + max(map(_height, self.columns)) + LANE
        return {link: lowest + LANE * (at % MOST_LANES) for at, link in enumerate(back)}

    @cached_property
    def _spots(self) -> dict[Place, tuple[int, int]]:
        """The left end of each place, and its middle from the top."""
        middle = max(map(_height, self.columns)) // 2
        spots: dict[Place, tuple[int, int]] = {}
        for number, column in enumerate(self.columns):
            top = self._top + middle - _height(column) // 2
            for place in column:
                size = BOX_HEIGHT if isinstance(place, str) else BEND_HEIGHT
                spots[place] = _left(number), top + size // 2
                top += size + ROW_GAP
        return spots

    def _notes(self) -> Iterator[str]:
        for number, note in enumerate(self.found.notes):
            yield f'<text x="{MARGIN}" y="{52 + NOTE_HEIGHT * number}" fill="#64748b">{_for_svg(note)}</text>'

    def _headings(self) -> Iterator[str]:
        for number, (heading, _) in enumerate(self.found.columns):
            middle = _left(number) + BOX_WIDTH // 2
            place = f'x="{middle}" y="{self._top - 20}" text-anchor="middle"'
            yield f'<text {place} fill="#64748b">{_for_svg(heading)}</text>'

    def _arrows(self) -> Iterator[str]:
        for (start, end), is_marked in sorted(self.links.items(), key=lambda link: link[1]):
            (left, y1), (x2, y2) = self._spots[start], self._spots[end]
            x1, bow = left + BOX_WIDTH, COLUMN_GAP // 2
            curve = f"M{x1} {y1} C{x1 + bow} {y1} {x2 - bow} {y2} {x2} {y2}"
            if (start, end) in self._lanes:
                curve = f"M{x1} {y1} H{x1 + ASIDE} V{self._lanes[start, end]} H{x2 - ASIDE} V{y2} H{x2}"
            onwards = f" H{x2 + BOX_WIDTH}" if isinstance(end, Bend) else ""
            kind, stroke, width = ("marked", MARKED, 2) if is_marked else ("arrow", "#94a3b8", 1.3)
            head = f' marker-end="url(#{kind})"' if isinstance(end, str) else ""
            yield f'<path d="{curve}{onwards}" fill="none" stroke="{stroke}" stroke-width="{width}"{head}/>'

    def _boxes(self) -> Iterator[str]:
        for box in self.found.boxes:
            yield self._box(box, *self._spots[box.id])

    def _box(self, box: Box, left: int, middle: int) -> str:
        colour = COLOURS.get(box.status, PLAIN) if box.status else PLAIN
        hint = box.label + (f": {box.status}" if box.status else "")
        stack = ' stroke-dasharray="5 3"' if box.tasks > 1 else ""
        frame = 3.5 if box.id == self.found.centre else 1.5
        # A picture within the picture cuts off what is too long for the box in a font that is wider than expected.
        return (
            f'<svg x="{left}" y="{middle - BOX_HEIGHT // 2}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}">'
            f"<title>{_for_svg(hint)}</title>"
            f'<rect x="1" y="1" width="{BOX_WIDTH - 2}" height="{BOX_HEIGHT - 2}" rx="6" '
            f'fill="{colour.fill}" stroke="{colour.line}" stroke-width="{frame}"{stack}/>'
            f'<text x="12" y="19" font-weight="600">{_for_svg(_fit(box.id, TEXT_WIDTH / BOLD))}</text>'
            f'<text x="12" y="36">{_for_svg(_fit(box.title or box.id, TEXT_WIDTH))}</text></svg>'
        )

    def _legend(self, bottom: int) -> Iterator[str]:
        for place, (status, number) in enumerate(self.found.states.items()):
            left, colour = MARGIN + place * LEGEND_WIDTH, COLOURS.get(status, PLAIN)
            square = f'x="{left}" y="{bottom - 10}" width="12" height="12" rx="3"'
            yield f'<rect {square} fill="{colour.fill}" stroke="{colour.line}"/>'
            yield f'<text x="{left + 18}" y="{bottom}">{status} ({number:,})</text>'


def _left(column: int) -> int:
    return MARGIN + column * (BOX_WIDTH + COLUMN_GAP)


def _height(column: Sequence[Place]) -> int:
    return (
        sum((BOX_HEIGHT if isinstance(place, str) else BEND_HEIGHT) + ROW_GAP for place in column) - ROW_GAP
    )


BOLD = 1.1
"""How much wider bold letters are."""


def _width(text: str) -> float:
    """About how wide a text is at 12 pixels, rather too wide than too narrow."""
    return sum(map(_letter_width, text))


def _letter_width(letter: str) -> float:
    if letter in "ijlI|.,:;'!()[] ftr":
        return 4.6
    if unicodedata.east_asian_width(letter) in "WF":
        return 12.6
    return 12.0 if letter in "mwMW@%—…" else 8.8 if letter.isupper() else 7.4


def _fit(text: str, width: float) -> str:
    """As much of a text as is no wider than so many pixels."""
    if _width(text) <= width:
        return text
    left, kept = width - _letter_width("…"), ""
    for letter in text:
        left -= _letter_width(letter)
        if left < 0:
            break
        kept += letter
    return kept.rstrip() + "…"
