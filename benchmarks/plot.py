"""Tasks against seconds on logarithmic axes, as an SVG that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from xml.sax.saxutils import escape

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 720, 460
LEFT, RIGHT, TOP, BOTTOM = 70, 170, 40, 55
COLOURS = ("#0b6e4f", "#b3402a", "#5a5a5a", "#2a5db3")


def svg(series: Mapping[str, Points], title: str) -> str:
    """Draw each series as a line with a mark for each point.

    Args:
        series: Name → (tasks, seconds), in order.
        title: What stands above.

    Example:
        >>> svg({"ours": [(10, 0.1), (100, 1.0)]}, "Tasks").startswith("<svg")
        True
    """
    every = [point for points in series.values() for point in points]
    across = _Axis([x for x, _ in every], LEFT, WIDTH - RIGHT)
    up = _Axis([y for _, y in every], HEIGHT - BOTTOM, TOP)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12" fill="#222">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{escape(title)}</text>',
        *_grid(across, up),
        *(
            line
            for (name, points), colour in zip(series.items(), COLOURS, strict=False)
            for line in _line(name, points, colour, across, up)
        ),
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
            yield self.place(10**power), f"{10**power:,}" if power >= 0 else f"{10.0**power:g}"


def _grid(across: _Axis, up: _Axis) -> Iterator[str]:
    for x, text in across.ticks():
        yield f'<path d="M{x} {up.start}V{up.end}" stroke="#ddd"/>'
        yield f'<text x="{x}" y="{up.start + 18}" text-anchor="middle">{text}</text>'
    for y, text in up.ticks():
        yield f'<path d="M{across.start} {y}H{across.end}" stroke="#ddd"/>'
        yield f'<text x="{across.start - 8}" y="{y + 4}" text-anchor="end">{text}</text>'
    yield f'<text x="{(across.start + across.end) / 2}" y="{HEIGHT - 12}" text-anchor="middle">tasks</text>'
    middle = (up.start + up.end) / 2
    yield f'<text x="18" y="{middle}" text-anchor="middle" transform="rotate(-90 18 {middle})">seconds</text>'


def _line(name: str, points: Points, colour: str, across: _Axis, up: _Axis) -> Iterator[str]:
    places = [(across.place(x), up.place(y)) for x, y in points]
    path = "L".join(f"{x} {y}" for x, y in places)
    yield f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for x, y in places:
        yield f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}"/>'
    x, y = places[-1]
    yield f'<text x="{x + 9}" y="{y + 4}" fill="{colour}">{escape(name)}</text>'
