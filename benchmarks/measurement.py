"""A row of the table: what was measured on both sides, the ratio, and the target."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """One side's measured values, all of them; the median stands for them.

    Args:
        label: What was measured.
        values: In the order in which they were measured.
        unit: Of the values.
        is_computed: Whether it follows from the feature alone, and was not measured at all.
    """

    label: str
    values: tuple[float, ...]
    unit: str
    is_computed: bool = False

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so large a share of the values does not exceed.

    Example:
        >>> percentile([3, 1, 2, 4], 0.5), percentile([3, 1, 2, 4], 0.95)
        (2, 4)
    """
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


@dataclass(frozen=True)
class Target:
    """The target of a row: its ratio, or our own value."""

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
        tasks: The number of tasks, where the row is a point of the plot over tasks.
        processes: The number of processes, where it is a point of the plot over processes.

    Example:
        >>> fast, slow = Figure("ours", (90.0, 100.0, 110.0), "tasks/s"), Figure("theirs", (50.0,), "tasks/s")
        >>> row = Row("throughput", fast, slow, Target("at least", 2))
        >>> row.ratio, row.ratios, row.is_reached
        (2.0, (1.8, 2.0, 2.2), True)
        >>> Row("throughput", slow, fast, Target("at least", 2)).shortfall
        0.75
    """

    name: str
    ours: Figure | None = None
    beside: Figure | None = None
    target: Target | None = None
    note: str = ""
    skipped: str = ""
    tasks: int = 0
    processes: int = 0

    @property
    def ratio(self) -> float | None:
        """Our median over the other one."""
        if not self.ours or not self.beside or not self.beside.median:
            return None
        return self.ours.median / self.beside.median

    @property
    def ratios(self) -> tuple[float, ...]:
        """Our value over the other one, round by round; a side that was measured once stands beside every round."""
        if not self.ours or not self.beside:
            return ()
        ours, beside = self.ours.values, self.beside.values
        rounds = max(len(ours), len(beside))
        if {len(ours), len(beside)} - {1, rounds}:
            return ()  # the sides were not measured in turn
        if not all(beside):
            return ()  # the kernel counts CPU by ticks, and a short process may have none
        return tuple(
            mine / other
            for mine, other in zip(
                ours * (rounds // len(ours)), beside * (rounds // len(beside)), strict=True
            )
        )

    @property
    def is_reached(self) -> bool | None:
        """Whether the target is reached; None where there is none, or no figure."""
        return None if self.shortfall is None else self.shortfall <= 0

    @property
    def shortfall(self) -> float | None:
        """How far the target is missed, as a share of it; nothing or less where it is reached."""
        if self.target is None or self.ours is None:
            return None
        value = self.ratio if self.target.of == "ratio" else self.ours.median
        if value is None:
            return None
        over = value / self.target.bound - 1
        return -over if self.target.rule == "at least" else over


def seconds(work: Callable[[], object]) -> float:
    """How long the work takes, with the garbage collected before."""
    gc.collect()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(
    runs: int, *sides: Callable[[], object], settle: Callable[[], object] = lambda: None
) -> list[tuple[float, ...]]:
    """The seconds of each side, measured in turn, so that a disturbance of the machine meets all of them.

    Each side is run once before, which is not counted: connections are open then, and
    late imports are done.

    Args:
        runs: How often each side is measured.
        sides: What is measured.
        settle: Called after each run, and not measured: waits until nothing of it is left.

    Example:
        >>> [len(times) for times in interleaved(5, lambda: None, lambda: None)]
        [5, 5]
    """
    for side in sides:
        side()
        settle()
    rounds = [[_measured(side, settle) for side in sides] for _ in range(runs)]
    return [tuple(times) for times in zip(*rounds, strict=True)]


def _measured(side: Callable[[], object], settle: Callable[[], object]) -> float:
    time = seconds(side)
    settle()
    return time


def per_second(tasks: float, times: Sequence[float]) -> tuple[float, ...]:
    """Throughputs, from the seconds that so many tasks took."""
    return tuple(tasks / time for time in times)
