"""`python -m benchmarks`: measure everything, print one table, write JSON and a plot to `benchmarks/results`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from types import ModuleType

from rich.console import Console

from benchmarks import (
    enqueueing,
    growth,
    line,
    makespan,
    memory,
    messages,
    planning,
    plot,
    progress,
    scale,
    table,
    throughput,
)
from benchmarks.measurement import Row
from benchmarks.options import Options
from benchmarks.peers import beside
from benchmarks.rig import Rig, rig

RESULTS = Path(__file__).parent / "results"
SUBJECTS: dict[str, ModuleType] = {
    "throughput": throughput,
    "line": line,
    "scale": scale,
    "messages": messages,
    "memory": memory,
    "enqueueing": enqueueing,
    "makespan": makespan,
    "planning": planning,
    "progress": progress,
    "peers": beside,
}


def main() -> None:
    """Read the command line, measure, and write what was found."""
    asked = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started ends too
    console = Console(width=None if os.isatty(1) else 160)
    quick = Options(runs=asked.runs or 3, large=10_000, patience=0.0)
    options = quick if asked.quick else Options(runs=asked.runs or Options.runs)
    subjects = asked.only or list(SUBJECTS)
    start = time.monotonic()
    with rig() as made:
        facts = table.surroundings(made)
        rows = [row for subject in subjects for row in _measure(subject, made, options, console)]
        curves = {} if asked.only else growth.measure(made)
    facts |= {"minutes": (time.monotonic() - start) / 60, "load_at_the_end": os.getloadavg()[0]}
    table.show(rows, console)
    console.print(
        f"{facts['minutes']:.1f} minutes; load {facts['load']:.1f} to {facts['load_at_the_end']:.1f}"
    )
    if not asked.only:
        _write(rows, curves, facts, console)


def _measure(subject: str, made: Rig, options: Options, console: Console) -> list[Row]:
    console.print(f"{subject} …")
    return list(SUBJECTS[subject].rows(made, options))


def _write(
    rows: list[Row], curves: dict[str, plot.Points], facts: dict[str, object], console: Console
) -> None:
    chained = next(row.beside for row in rows if row.beside and row.beside.label == growth.CELERY)
    tasks = growth.LAYERS * growth.LARGEST
    curves[growth.CELERY] = [*curves[growth.CELERY], (tasks, tasks / chained.median)]
    large = next(row.ours for row in rows if row.name.startswith("throughput at"))
    assert large is not None
    count = int(large.label.split()[0].replace(",", ""))
    curves[growth.OURS] = [point for point in curves[growth.OURS] if point[0] < count] + [
        (count, count / large.median)
    ]
    RESULTS.mkdir(exist_ok=True)
    table.write(rows, facts, RESULTS / "results.json")
    title = "No-op tasks in layers, two worker processes"
    (RESULTS / "plot.svg").write_text(plot.svg(curves, title), "utf-8")
    console.print(f"Written: {RESULTS / 'results.json'}, {RESULTS / 'plot.svg'}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs, and 10,000 tasks for 100,000")
    parser.add_argument("--runs", type=int, help="times that each side is measured")
    parser.add_argument(
        "--only", action="append", choices=list(SUBJECTS), help="these rows alone; nothing is written"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
