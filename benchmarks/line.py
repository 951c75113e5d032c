"""The time of one hop: a line of tasks beside Celery's own chain."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import plain
from benchmarks.graphs import layered
from benchmarks.measurement import Figure, Row, Target, interleaved
from benchmarks.options import Options
from benchmarks.rig import Rig

TASKS = 100


def rows(rig: Rig, options: Options) -> Iterator[Row]:
    """A hop takes milliseconds, so that there is time for three times the runs."""
    ours, chain = interleaved(
        3 * options.runs, lambda: rig.run(layered(TASKS, 1)), lambda: plain.run_chain(TASKS)
    )
    yield Row(
        f"line {TASKS} x 1, time per hop",
        Figure("batched", tuple(1000 * time / TASKS for time in ours), "ms"),
        Figure("chain", tuple(1000 * time / TASKS for time in chain), "ms"),
        Target("at most", 0.2),
    )
