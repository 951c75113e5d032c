"""Linear cost: the throughput of a large feature beside that of a small one of the same width."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.graphs import layered
from benchmarks.measurement import Figure, Row, Target, per_second, seconds
from benchmarks.options import BUDGET, Options
from benchmarks.rig import Rig

WIDTH, SMALL = 100, 1_000


def rows(rig: Rig, options: Options) -> Iterator[Row]:
    """Small and large in turn, as often as there is time for, but the large one once in any case.

    It is made smaller where the machine is too slow even for that, and the row's name says how large it was. Each
    small figure is the mean of two runs, one before the large feature and one after it.
    """
    start = time.monotonic()
    _run(rig, SMALL)  # to warm up
    before = _run(rig, SMALL)
    tasks = max(10 * SMALL, min(options.large, int(BUDGET["scale"] / before) * SMALL))
    rounds: list[tuple[float, float]] = []
    while len(rounds) < options.runs:
        began = time.monotonic()
        large, after = _run(rig, tasks), _run(rig, SMALL)
        rounds.append((large, (before + after) / 2))
        before = after
        now = time.monotonic()
        if now - start + (now - began) > BUDGET["scale"]:
            break
    larges, smalls = zip(*rounds, strict=True)
    too_slow = "" if tasks == options.large else f"; {options.large:,} would have taken too long"
    yield Row(
        f"throughput at {tasks:,} tasks, beside {SMALL:,}",
        Figure(f"{tasks:,} tasks", per_second(tasks, larges), "tasks/s"),
        Figure(f"{SMALL:,} tasks", per_second(SMALL, smalls), "tasks/s"),
        Target("at least", 0.9),
        note=f"the large feature as often as there was time for: {len(rounds)} times{too_slow}",
        tasks=tasks,
    )


def _run(rig: Rig, tasks: int) -> float:
    feature = layered(tasks // WIDTH, WIDTH)
    return seconds(lambda: rig.run(feature))
