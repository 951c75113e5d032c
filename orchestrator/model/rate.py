"""A rate: how many attempts may begin in a span of time, and how many of them at once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.model.durations import UNITS

if TYPE_CHECKING:
    pass


MOST = 1_000_000
"""No limit is larger."""


_RATE = re.compile(r"(\d{1,9})/([smhd])(?: burst (\d{1,6}))?", re.ASCII)


_UNITS = {unit: UNITS[unit] for unit in "smhd"}


class Rate(NamedTuple):
    """How many attempts may begin in a span of time, and how many of them at the same moment."""

    number: int
    unit: str
    burst: int = 1

    @property
    def interval(self) -> float:
        """Milliseconds in which one more may begin."""
        return _UNITS[self.unit] * 1000 / self.number

    def __str__(self) -> str:
        return f"{self.number}/{self.unit}" + (f" burst {self.burst}" if self.burst > 1 else "")


def parse_rate(text: object) -> Rate:
    """Read a rate.

    Raises:
        ValueError: It is none; the message says what one looks like.

    Example:
        >>> parse_rate("30/m"), parse_rate("30/m burst 5").interval
        (Rate(number=30, unit='m', burst=1), 2000.0)
    """
    found = _RATE.fullmatch(text.strip()) if isinstance(text, str) else None
    if not found or not int(found[1]) or found[3] == "0":
        raise ValueError("a rate is written as 30/m, or 30/m burst 5; its units are s, m, h and d")
    return Rate(int(found[1]), found[2], int(found[3] or 1))


def check_rate(text: str) -> str:
    """The rate as it is written by us; see `parse_rate`."""
    return str(parse_rate(text))
