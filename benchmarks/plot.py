"""Tasks against seconds on logarithmic axes, as an SVG that needs nothing else.

It stands on a white card of its own, so that it reads the same on a light page and on a dark one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from xml.sax.saxutils import escape

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 720, 440
LEFT, RIGHT, TOP, BOTTOM = 76, 42, 48, 58
MARKS = (
    ("#0b6e4f", '<circle cx="{x}" cy="{y}" r="4.5" fill="{colour}"/>'),
    ("#b3402a", '<path d="M{x} {y}m-4.5 -4.5h9v9h-9z" fill="{colour}"/>'),
    ("#2a5db3", '<path d="M{x} {y}m0 -6l5.5 10h-11z" fill="{colour}"/>'),
)
"""Colour and shape of a series: either alone tells them apart."""


def svg(
    series: Mapping[str, Points],
    title: str,
    *,
    x: str = "tasks in the feature",
    y: str = "seconds until all are done",
    unit: str = "s",
) -> str:
    """Draw each series as a line with a mark for each point, and its value beside the last one.

    Args:
        series: Name → points, in order; at most as many as there are `MARKS`.
        title: What stands above.
        x, y: What the axes show.
        unit: Of the values.

    Example:
        >>> svg({"ours": [(10, 0.1), (100, 1.0)]}, "Tasks").startswith("<svg")
        True
    """
    every = [point for points in series.values() for point in points]
    across = _Axis([place for place, _ in every], LEFT, WIDTH - RIGHT)
    up = _Axis([value for _, value in every], HEIGHT - BOTTOM, TOP)
    drawn = list(zip(series.items(), MARKS, strict=False))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" font-family="sans-serif" font-size="13" fill="#222">',
        f"<title>{escape(title)}</title>",
        f'<rect x=".5" y=".5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="6" fill="#fff" stroke="#ccc"/>',
        f'<text x="{LEFT}" y="28" font-size="16" font-weight="bold">{escape(title)}</text>',
        *_grid(across, up),
        *_titles(x, y),
        *(line for (_, points), mark in drawn for line in _line(points, mark, across, up, unit)),
        *_legend([(name, mark) for (name, _), mark in drawn]),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


class _Axis:
    """A logarithmic scale over whole powers of ten."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        self.low = math.floor(math.log10(min(values)))
        self.high = max(self.low + 1, math.ceil(math.log10(max(values))))
        self.start, self.end = start, end

    def place(self, value: float) -> float:
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> Iterator[tuple[float, str]]:
        for power in range(self.low, self.high + 1):
            yield self.place(10.0**power), f"{10**power:,}" if power >= 0 else f"{10.0**power:g}"

    def between(self) -> Iterator[float]:
        """The places of 2 to 9 times each power, without which a scale does not look logarithmic."""
        for power in range(self.low, self.high):
            yield from (self.place(times * 10.0**power) for times in range(2, 10))


def _grid(across: _Axis, up: _Axis) -> Iterator[str]:
    fine = [
        *(f"M{x} {up.start}V{up.end}" for x in across.between()),
        *(f"M{across.start} {y}H{across.end}" for y in up.between()),
    ]
    yield f'<path d="{"".join(fine)}" stroke="#f0f0f0"/>'
    for x, text in across.ticks():
        yield f'<path d="M{x} {up.start}V{up.end}" stroke="#ccc"/>'
        yield f'<text x="{x}" y="{up.start + 19}" text-anchor="middle">{text}</text>'
    for y, text in up.ticks():
        yield f'<path d="M{across.start} {y}H{across.end}" stroke="#ccc"/>'
        yield f'<text x="{across.start - 8}" y="{y + 4.5}" text-anchor="end">{text}</text>'


def _titles(x: str, y: str) -> Iterator[str]:
    centre, middle = (LEFT + WIDTH - RIGHT) / 2, (HEIGHT - BOTTOM + TOP) / 2
    yield f'<text x="{centre}" y="{HEIGHT - 14}" text-anchor="middle">{escape(x)} (log scale)</text>'
    yield (
        f'<text x="20" y="{middle}" text-anchor="middle" transform="rotate(-90 20 {middle})">'
        f"{escape(y)} (log scale)</text>"
    )


def _line(points: Points, mark: tuple[str, str], across: _Axis, up: _Axis, unit: str) -> Iterator[str]:
    colour, shape = mark
    places = [(across.place(x), up.place(y)) for x, y in points]
    path = "L".join(f"{x} {y}" for x, y in places)
    yield f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2.2"/>'
    for x, y in places:
        yield shape.format(x=x, y=y, colour=colour)
    for (_, value), (x, y) in zip(points[-1:], places[-1:], strict=True):
        yield f'<text x="{x - 10}" y="{y - 8}" text-anchor="end" fill="{colour}">{value:,.3g} {escape(unit)}</text>'


def _legend(entries: Sequence[tuple[str, tuple[str, str]]]) -> Iterator[str]:
    x, y = LEFT + 16, TOP + 22
    width = 52 + 7.2 * max(len(name) for name, _ in entries)
    yield (
        f'<rect x="{x - 8}" y="{y - 16}" width="{width:.0f}" height="{22 * len(entries) + 10}" rx="4" '
        'fill="#fff" stroke="#ccc"/>'
    )
    for place, (name, (colour, shape)) in enumerate(entries):
        level = y + 22 * place
        yield f'<path d="M{x} {level}h28" stroke="{colour}" stroke-width="2.2"/>'
        yield shape.format(x=x + 14, y=level, colour=colour)
        yield f'<text x="{x + 36}" y="{level + 4.5}">{escape(name)}</text>'
