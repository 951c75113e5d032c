"""A row of the table: what was measured on both sides, the ratio, and the target."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """One side's measured values, all of them; the median stands for them."""

    label: str
    values: tuple[float, ...]
    unit: str

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)


@dataclass(frozen=True)
class Target:
    """What a row is to reach: its ratio, or our own value."""

    rule: Literal["at least", "at most"]
    bound: float
    of: Literal["ratio", "ours"] = "ratio"

    def __str__(self) -> str:
        return f"{self.rule} {self.bound:,g}"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        name: Short, the same from run to run.
        ours: Our side.
        beside: What it is measured beside.
        target: What is to be reached.
        note: What a reader has to know to judge it.
        skipped: Why there is no figure.

    Example:
        >>> fast, slow = Figure("ours", (90.0, 100.0, 110.0), "tasks/s"), Figure("theirs", (50.0,), "tasks/s")
        >>> row = Row("throughput", fast, slow, Target("at least", 2))
        >>> row.ratio, row.is_reached
        (2.0, True)
    """

    name: str
    ours: Figure | None = None
    beside: Figure | None = None
    target: Target | None = None
    note: str = ""
    skipped: str = ""

    @property
    def ratio(self) -> float | None:
        """Our median over the other one."""
        return self.ours.median / self.beside.median if self.ours and self.beside else None

    @property
    def is_reached(self) -> bool | None:
        """Whether the target is reached; None where there is none, or no figure."""
        if self.target is None or self.ours is None:
            return None
        value = self.ratio if self.target.of == "ratio" else self.ours.median
        if value is None:
            return None
        return value >= self.target.bound if self.target.rule == "at least" else value <= self.target.bound


def seconds(work: Callable[[], object]) -> float:
    """How long the work takes, with the garbage collected before."""
    gc.collect()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(runs: int, *sides: Callable[[], object]) -> list[tuple[float, ...]]:
    """The seconds of each side, measured in turn, so that a disturbance of the machine meets all of them.

    Example:
        >>> [len(times) for times in interleaved(5, lambda: None, lambda: None)]
        [5, 5]
    """
    rounds = [[seconds(side) for side in sides] for _ in range(runs)]
    return [tuple(times) for times in zip(*rounds, strict=True)]


def per_second(tasks: int, times: Sequence[float]) -> tuple[float, ...]:
    """Throughputs, from the seconds that so many tasks took."""
    return tuple(tasks / time for time in times)
