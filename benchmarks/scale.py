"""Linear cost: the throughput of a large feature beside that of a small one of the same width."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from benchmarks.graphs import layered
from benchmarks.measurement import Figure, Row, Target, per_second, seconds
from benchmarks.options import BUDGET, Options
from benchmarks.rig import Rig

WIDTH, SMALL = 100, 1_000


def rows(rig: Rig, options: Options) -> Iterator[Row]:
    """The large feature is run once, between the small ones: it is long enough to be its own average.

    It is made smaller where the machine is too slow for it, and the row's name says how large it was.
    """
    start = time.monotonic()
    half = (options.runs + 1) // 2
    _run(rig, SMALL)  # to warm up
    small = [_run(rig, SMALL) for _ in range(half)]
    each = statistics.median(small)
    left = BUDGET["scale"] - (time.monotonic() - start) - each * (options.runs - half)
    tasks = max(10 * SMALL, min(options.large, int(left / each) * SMALL))
    large = _run(rig, tasks)
    small += [_run(rig, SMALL) for _ in range(options.runs - half)]
    too_slow = (
        f"; {options.large:,} would have taken longer than {left:.0f} s" if tasks < options.large else ""
    )
    yield Row(
        f"throughput at {tasks:,} tasks, beside {SMALL:,}",
        Figure(f"{tasks:,} tasks", per_second(tasks, [large]), "tasks/s"),
        Figure(f"{SMALL:,} tasks", per_second(SMALL, small), "tasks/s"),
        Target("at least", 0.9),
        note=f"the large feature was run once, with {half} runs of the small one before it and "
        f"{options.runs - half} after{too_slow}",
        tasks=tasks,
    )


def _run(rig: Rig, tasks: int) -> float:
    feature = layered(tasks // WIDTH, WIDTH)
    return seconds(lambda: rig.run(feature))
