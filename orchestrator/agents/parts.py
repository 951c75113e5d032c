"""The parts of a brief, and how they are cut until they fit."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from orchestrator.agents.tokens import estimate

MOST_TOKENS = 1_400
"""Tokens of a brief, as they are estimated; the project's own texts before it do not count."""


def fenced(text: str) -> str:
    """A text in a fence that it cannot close: longer than any row of backticks in it.

    Example:
        >>> print(fenced("a ``` b"))
        ````
        a ``` b
        ````
    """
    longest = max((len(row) for row in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


@dataclass(frozen=True)
class Part:
    """A part of the brief.

    Args:
        head: Its heading, and what is to be known of its text.
        body: Its text.
        rank: What is cut first has the highest; 0: it stays whole.
        share: Tokens that it may keep where others are too long as well.
        is_data: Its text stands in a fence.
        keeps_end: Of a text that is cut, the end stays.
        note: What was left out.
        uncut: Its text before it was cut.
    """

    head: str
    body: str = ""
    rank: int = 0
    share: int = 0
    is_data: bool = False
    keeps_end: bool = False
    note: str = ""
    uncut: str = ""

    @property
    def whole(self) -> str:
        """Its text before it was cut."""
        return self.uncut or self.body

    @property
    def text(self) -> str:
        """How it stands in the brief."""
        body = fenced(self.body) if self.is_data and self.body else self.body
        return "\n".join(filter(None, (self.head, body, self.note)))


def fitted(parts: list[Part]) -> list[Part]:
    """The parts, cut until all of them fit: first the long ones to their share, then those that matter least."""
    sizes = [estimate(part.text) + 2 for part in parts]
    by_rank = sorted(range(len(parts)), key=lambda at: -parts[at].rank)
    for at, least in [*((at, parts[at].share) for at in by_rank), *((at, 0) for at in by_rank)]:
        over = sum(sizes) - MOST_TOKENS
        if over > 0 and parts[at].rank and sizes[at] > least:
            parts[at] = _cut(parts[at], max(least, sizes[at] - over))
            sizes[at] = estimate(parts[at].text) + 2
    return parts


def _cut(part: Part, most: int) -> Part:
    """The part, of at most so many tokens; at least its heading stays, and a note of what was left out."""
    low, high = 0, len(part.whole)
    while low < high:
        middle = (low + high + 1) // 2
        if estimate(_shortened(part, middle).text) + 2 <= most:
            low = middle
        else:
            high = middle - 1
    return _shortened(part, low)


def _shortened(part: Part, length: int) -> Part:
    body = part.whole[len(part.whole) - length :] if part.keeps_end else part.whole[:length]
    left_out = len(part.whole) - length
    note = f"({left_out:,} characters left out; $ORCHESTRATOR_TASK_FILE has the whole task)"
    return replace(part, body=body, note=note, uncut=part.whole)
