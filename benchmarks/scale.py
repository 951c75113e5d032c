"""Linear cost: the throughput of a large feature beside that of a small one of the same width."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from benchmarks.graphs import layered
from benchmarks.measurement import Figure, Row, Target, per_second, seconds
from benchmarks.options import Options
from benchmarks.rig import Rig

WIDTH, SMALL = 100, 1_000
PATIENCE = 240.0
"""Seconds for the large feature."""


def rows(rig: Rig, options: Options) -> Iterator[Row]:
    """The large feature is run once, between the small ones: it is long enough to be its own average.

    It is made smaller where the machine is too slow for it, and the row's name says how large it was.
    """
    half = (options.runs + 1) // 2
    small = [_run(rig, SMALL) for _ in range(half)]
    fits = int(PATIENCE / statistics.median(small)) * SMALL
    tasks = max(10 * SMALL, min(options.large, fits))
    large = _run(rig, tasks)
    small += [_run(rig, SMALL) for _ in range(options.runs - half)]
    too_slow = (
        f"; {options.large:,} would have taken longer than {PATIENCE:g} s" if tasks < options.large else ""
    )
    yield Row(
        f"throughput at {tasks:,} tasks, beside {SMALL:,}",
        Figure(f"{tasks:,} tasks", per_second(tasks, [large]), "tasks/s"),
        Figure(f"{SMALL:,} tasks", per_second(SMALL, small), "tasks/s"),
        Target("at least", 0.9),
        note=f"the large feature was run once{too_slow}",
    )


def _run(rig: Rig, tasks: int) -> float:
    feature = layered(tasks // WIDTH, WIDTH)
    return seconds(lambda: rig.run(feature))
