"""A picture as an SVG that needs no other file. Work goes from left to right, a column is a batch."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from orchestrator.report.colours import COLOURS, MARKED, PLAIN
from orchestrator.report.layered_layout import Bend, Link, Links, Node, lay_out
from orchestrator.report.picture import Box, Picture
from orchestrator.report.text_width import BOLD, fit, text_width


def _for_svg(text: str) -> str:
    return html.escape(text).translate({0xFFFE: None, 0xFFFF: None})  # XML has no way to write these two


def svg(found: Picture) -> str:
    """A picture as an SVG that needs no other file; `layered_layout` says where each box stands.

    Example:
        text = svg(picture.whole(feature, [batch.tasks for batch in plan.batches]))
    """
    columns, links = lay_out(
        [[box.id for box in boxes] for _, boxes in found.columns], found.arrows, found.marked
    )
    return _Canvas(found, columns, links).paint()


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
    columns: list[list[Node]]
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
        texts = [MARGIN + round(text_width(self.found.title) * 16 / 12 * BOLD)]
        texts += [MARGIN + round(text_width(note)) for note in self.found.notes]
        legend = MARGIN + len(self.found.states) * LEGEND_WIDTH
        height = self._top + max(map(_height, self.columns)) + LANE * lanes + 3 * MARGIN
        return max(columns, *texts, legend) + MARGIN, height

    @cached_property
    def _lanes(self) -> dict[Link, int]:
        """How far from the top each arrow that leads back goes: below all the boxes."""
        number = {node: at for at, column in enumerate(self.columns) for node in column}
        back = [(start, end) for start, end in self.links if number[start] >= number[end]]
        lowest = self._top + max(map(_height, self.columns)) + LANE
        return {link: lowest + LANE * (at % MOST_LANES) for at, link in enumerate(back)}

    @cached_property
    def _positions(self) -> dict[Node, tuple[int, int]]:
        """The left end of each node, and its middle from the top."""
        middle = max(map(_height, self.columns)) // 2
        positions: dict[Node, tuple[int, int]] = {}
        for number, column in enumerate(self.columns):
            top = self._top + middle - _height(column) // 2
            for node in column:
                size = BOX_HEIGHT if isinstance(node, str) else BEND_HEIGHT
                positions[node] = _left(number), top + size // 2
                top += size + ROW_GAP
        return positions

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
            (left, y1), (x2, y2) = self._positions[start], self._positions[end]
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
            yield self._box(box, *self._positions[box.id])

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
            f'<text x="12" y="19" font-weight="600">{_for_svg(fit(box.id, TEXT_WIDTH / BOLD))}</text>'
            f'<text x="12" y="36">{_for_svg(fit(box.title or box.id, TEXT_WIDTH))}</text></svg>'
        )

    def _legend(self, bottom: int) -> Iterator[str]:
        for place, (status, number) in enumerate(self.found.states.items()):
            left, colour = MARGIN + place * LEGEND_WIDTH, COLOURS.get(status, PLAIN)
            square = f'x="{left}" y="{bottom - 10}" width="12" height="12" rx="3"'
            yield f'<rect {square} fill="{colour.fill}" stroke="{colour.line}"/>'
            yield f'<text x="{left + 18}" y="{bottom}">{status} ({number:,})</text>'


def _left(column: int) -> int:
    return MARGIN + column * (BOX_WIDTH + COLUMN_GAP)


def _height(column: Sequence[Node]) -> int:
    return sum((BOX_HEIGHT if isinstance(node, str) else BEND_HEIGHT) + ROW_GAP for node in column) - ROW_GAP
