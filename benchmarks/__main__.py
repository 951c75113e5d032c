"""Measure, print a table, and write JSON to `benchmarks/results`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from dataclasses import replace
from types import ModuleType

from rich.console import Console

from benchmarks import (
    curve,
    enqueueing,
    guest,
    idle,
    latency,
    layers,
    line,
    makespan,
    memory,
    messages,
    planning,
    progress,
    published,
    redis_cost,
    results,
    scale,
    status,
    table,
    throughput,
)
from benchmarks.measurement import Row
from benchmarks.options import BUDGET, MINUTES, TARGETS, Options
from benchmarks.peers import beside
from benchmarks.results import Result
from benchmarks.rig import rig

SUBJECTS: dict[str, ModuleType] = {
    "throughput": throughput,
    "guest": guest,
    "line": line,
    "enqueueing": enqueueing,
    "makespan": makespan,
    "planning": planning,
    "progress": progress,
    "messages": messages,
    "memory": memory,
    "redis": redis_cost,
    "latency": latency,
    "status": status,
    "idle": idle,
    "curve": curve,
    "peers": beside,
    "published": published,
    "scale": scale,
    "layers": layers,
}
"""The measurements; `options.BUDGET` says in which order, and how long each may take."""

ALL_TARGETS = "targets"
"""Stands for the subjects in `options.TARGETS`."""


def main() -> None:
    """Read the command line, measure, and write what was found."""
    asked = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started ends too
    console = Console(width=None if os.isatty(1) else 160)
    start = time.monotonic()
    options = Options(runs=asked.runs or Options.runs, end=start + 60 * MINUTES)
    if asked.quick:
        options = replace(options, runs=asked.runs or 3, large=10_000, full=False)
    found: dict[str, Result] = {}
    with rig() as made:
        facts = results.surroundings(made)
        for subject in BUDGET:
            if subject in asked.subjects:
                console.print(f"{subject} …")
                began = time.monotonic()
                rows = tuple(SUBJECTS[subject].rows(made, options))
                found[subject] = Result(facts, time.monotonic() - began, rows)
                if not asked.quick:
                    found[subject].write(subject)
    _show(asked, found, (time.monotonic() - start) / 60, console)
    console.print(f"Load of the machine: {facts['load']:.1f} to {os.getloadavg()[0]:.1f}")
    if asked.publish:
        written = ", ".join(map(str, results.publish()))
        console.print(f"Written: {written}", soft_wrap=True)


def _show(asked: argparse.Namespace, found: dict[str, Result], minutes: float, console: Console) -> None:
    rows: list[Row] = [
        row
        for result in found.values()
        for row in result.rows
        if row.target or row.skipped or not asked.only_targets
    ]
    table.show(rows, console)
    table.show_time({subject: result.seconds for subject, result in found.items()}, minutes, console)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "subjects",
        nargs="*",
        metavar="SUBJECT",
        help=f"measure these alone: {', '.join(BUDGET)}; or {ALL_TARGETS}, for the table of the targets",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="fewer runs, nothing that takes minutes, and nothing is written",
    )
    parser.add_argument("--runs", type=int, help="times that each side is measured")
    parser.add_argument(
        "--publish",
        action="store_true",
        help="put the newest results of all subjects into docs/explanation, which is committed",
    )
    asked = parser.parse_args()
    unknown = set(asked.subjects) - {*BUDGET, ALL_TARGETS}
    if unknown:
        parser.error(f"there is no subject {', '.join(sorted(unknown))}: {', '.join(BUDGET)}, {ALL_TARGETS}")
    asked.only_targets = asked.subjects == [ALL_TARGETS]
    named = set(asked.subjects) or set(BUDGET)
    asked.subjects = named | set(TARGETS) if ALL_TARGETS in named else named
    return asked


if __name__ == "__main__":
    main()
