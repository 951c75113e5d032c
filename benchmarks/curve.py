"""Throughput over the number of worker processes, ours beside plain Celery. These rows are a plot of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from benchmarks import plain, plot
from benchmarks.graphs import layered
from benchmarks.measurement import Figure, Row, interleaved, per_second
from benchmarks.options import Options
from benchmarks.rig import Rig

PROCESS_COUNTS = (1, 2, 4, 8, 16)
LAYERS, WIDTH = 10, 100
TASKS = LAYERS * WIDTH
QUEUE = "curve"


def rows(rig: Rig, options: Options) -> Iterator[Row]:
    """One worker of each side with so many processes; a core counts where there is a process for it."""
    for count in PROCESS_COUNTS:
        with rig.worker(QUEUE, count), rig.celery_worker(QUEUE, count):
            ours, beside = interleaved(
                options.runs,
                lambda: rig.run(layered(LAYERS, WIDTH, QUEUE)),
                lambda: plain.run_group(TASKS, QUEUE),
            )
        cores = min(count, os.cpu_count() or count)
        label = f"{count} process" + ("es" if count != 1 else "")
        yield Row(
            f"layered {LAYERS} x {WIDTH}, {label}, for each core",
            Figure("batched", per_second(TASKS / cores, ours), "tasks/s a core"),
            Figure(f"group({TASKS:,}), no results", per_second(TASKS / cores, beside), "tasks/s a core"),
            processes=count,
        )


def drawing(rows: Sequence[Row]) -> str:
    """Throughput for each core over the number of worker processes, from the medians."""
    series = {
        "ours, batched": [(row.processes, row.ours.median) for row in rows if row.ours],
        "Celery, a plain group": [(row.processes, row.beside.median) for row in rows if row.beside],
    }
    title = f"{LAYERS} x {WIDTH} no-op tasks on {os.cpu_count()} cores"
    return plot.svg(
        series, title, x="worker processes", y="tasks a second for each core", unit="tasks/s a core"
    )
