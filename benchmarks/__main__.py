"""Measure everything, print one table, and write JSON and a plot to `benchmarks/results`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console

from benchmarks import (
    enqueueing,
    layers,
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
from benchmarks.options import BUDGET, MINUTES, Options
from benchmarks.peers import beside
from benchmarks.rig import rig

RESULTS = Path(__file__).parent / "results"
DOCS = Path(__file__).parent.parent / "docs" / "explanation"

SUBJECTS: dict[str, ModuleType] = {
    "throughput": throughput,
    "line": line,
    "enqueueing": enqueueing,
    "makespan": makespan,
    "planning": planning,
    "progress": progress,
    "messages": messages,
    "memory": memory,
    "peers": beside,
    "scale": scale,
    "layers": layers,
}
"""What is measured; `options.BUDGET` says in which order, and how long each may take."""

OURS = "ours, batched"


def main() -> None:
    """Read the command line, measure, and write what was found."""
    asked = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started ends too
    console = Console(width=None if os.isatty(1) else 160)
    rows: list[Row] = []
    took: dict[str, float] = {}
    start = time.monotonic()
    options = Options(runs=asked.runs or Options.runs, end=start + 60 * MINUTES)
    if asked.quick:
        options = replace(options, runs=asked.runs or 3, large=10_000, full=False)
    with rig() as made:
        facts = table.surroundings(made)
        for subject in BUDGET:
            if not asked.only or subject in asked.only:
                console.print(f"{subject} …")
                began = time.monotonic()
                rows += SUBJECTS[subject].rows(made, options)
                took[subject] = time.monotonic() - began
    minutes = (time.monotonic() - start) / 60
    facts |= {"minutes": minutes, "seconds": took, "load_at_the_end": os.getloadavg()[0]}
    table.show(rows, console)
    table.show_time(took, minutes, console)
    console.print(f"Load of the machine: {facts['load']:.1f} to {facts['load_at_the_end']:.1f}")
    if not asked.only:
        _write(rows, facts, (RESULTS / "results.json", RESULTS / "plot.svg"), console)
    if asked.publish:
        _write(rows, facts, (DOCS / "benchmarks.json", DOCS / "benchmarks.svg"), console)


def _write(rows: list[Row], facts: dict[str, Any], files: tuple[Path, Path], console: Console) -> None:
    """Write the figures and the plot."""
    figures, drawing = files
    figures.parent.mkdir(exist_ok=True)
    figures.write_text(table.data(rows, facts), "utf-8")
    drawing.write_text(plot.svg(_curves(rows), "No-op tasks in layers, two worker processes"), "utf-8")
    console.print(f"Written: {figures}, {drawing}", soft_wrap=True)


def _curves(rows: list[Row]) -> dict[str, plot.Points]:
    """Seconds for each number of tasks, from the medians. A run that was given up is no point."""
    points = sorted((row for row in rows if row.tasks), key=lambda row: row.tasks)
    theirs = {
        f"Celery, {label}": [
            (row.tasks, row.tasks / row.beside.median)
            for row in points
            if row.beside and row.beside.label == label
        ]
        for label in (layers.CELERY, layers.BARRIER)
    }
    # Ours are measured beside both of Celery's; those beside the second have all widths.
    ours = [
        (row.tasks, row.tasks / row.ours.median)
        for row in points
        if row.ours and row.beside and row.beside.label == layers.BARRIER
    ]
    return {OURS: ours, **theirs}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs, and nothing that takes minutes")
    parser.add_argument("--runs", type=int, help="times that each side is measured")
    parser.add_argument(
        "--only", action="append", choices=list(BUDGET), help="these rows alone; nothing is written"
    )
    parser.add_argument(
        "--publish",
        action="store_true",
        help="write benchmarks.json and benchmarks.svg of docs/explanation too, which are committed",
    )
    asked = parser.parse_args()
    if asked.publish and (asked.quick or asked.only):
        parser.error("what is published comes from a whole run: leave out --quick and --only")
    return asked


if __name__ == "__main__":
    main()
