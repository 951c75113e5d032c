"""How long a task takes, from how long it took: a few numbers that stand for all its attempts that succeeded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple, Self

from orchestrator.model import durations
from orchestrator.model.words import count

KEPT = 20
"""How many durations of each task are kept: enough for a median that follows changes."""

DAYS = 90
"""Durations of a title are kept until no task of it has completed for this long."""


class Sketch(NamedTuple):
    """How often a task was completed, and how long it usually takes.

    Example:
        >>> Sketch(12, median=41.0, p90=63.0).text
        '41s as a rule (12 times; 9 of 10 times at most 1m 3s)'
    """

    times: int
    median: float
    """Seconds."""
    p90: float
    """Seconds that 9 of 10 attempts took at most."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what attempts.lua has written: how often, and the last durations in ms, newest first.

        Example:
            >>> Sketch.parse("30 2000,1000,4000")
            Sketch(times=30, median=2.0, p90=4.0)
        """
        times, last = text.split(" ", 1)
        seconds = sorted(int(one) / 1000 for one in last.split(","))
        middle = len(seconds) // 2
        median = seconds[middle] if len(seconds) % 2 else (seconds[middle - 1] + seconds[middle]) / 2
        return cls(int(times), median, seconds[math.ceil(0.9 * len(seconds)) - 1])

    @property
    def text(self) -> str:
        """It in a few words."""
        if self.times == 1:
            return f"{durations.write(self.median)} the one time before"
        often = f"{count(self.times, 'time')}; 9 of 10 times at most {durations.write(self.p90)}"
        return f"{durations.write(self.median)} as a rule ({often})"


def medians(sketches: Mapping[str, Sketch]) -> dict[str, float]:
    """The median seconds of each task."""
    return {task: found.median for task, found in sketches.items()}
