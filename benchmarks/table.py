"""The rows as a table for people, and as data for programs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.measurement import Figure, Row
from benchmarks.options import BUDGET, MINUTES
from benchmarks.rig import PROCESSES, Rig

PACKAGES = ("task-orchestrator", "celery", "kombu", "redis", "pydantic")


def show(rows: Sequence[Row], console: Console) -> None:
    """Print the table, and the notes below it."""
    table = Table(
        "", "ours", "beside", "ratio", "target", "", title="Medians; the number of runs in brackets"
    )
    for row in rows:
        table.add_row(
            row.name,
            _figure(row.ours) or row.skipped,
            _figure(row.beside),
            "" if row.ratio is None else f"{row.ratio:,.3g}",
            f"{row.target}" if row.target else "",
            _verdict(row),
        )
    console.print(table)
    for row in rows:
        if row.note:
            console.print(f"{row.name}: {row.note}", highlight=False, soft_wrap=True)


def show_time(took: Mapping[str, float], minutes: float, console: Console) -> None:
    """Print how long each subject took beside what it may take."""
    table = Table("subject", title="Seconds, beside the budget")
    table.add_column("took", justify="right")
    table.add_column("budget", justify="right")
    for subject, seconds in took.items():
        table.add_row(subject, f"{seconds:.0f}", f"{BUDGET[subject]}")
    all_in_all = f"{60 * minutes:.0f}", f"{60 * MINUTES}"
    table.add_row("all, with starting and stopping", *all_in_all)
    console.print(table)


def _verdict(row: Row) -> str:
    """Whether the target is reached, and how far it is missed, as a share of it."""
    if row.shortfall is None or row.target is None:
        return ""
    if row.shortfall <= 0:
        return "reached"
    return f"missed,\n{row.shortfall:.1%} {'short' if row.target.rule == 'at least' else 'over'}"


def _figure(figure: Figure | None) -> str:
    if figure is None:
        return ""
    number = f"{figure.median:,.0f}" if figure.median >= 100 else f"{figure.median:,.3g}"
    count = "computed" if figure.is_computed else len(figure.values)
    return f"{number} {figure.unit} ({count})\n{figure.label}"


def surroundings(rig: Rig) -> dict[str, Any]:
    """What the figures depend on: versions, processors, and how busy the machine is."""
    return {
        "python": platform.python_version(),
        "packages": {package: version(package) for package in PACKAGES},
        "redis_server": rig.redis.info("server")["redis_version"],
        "processors": os.cpu_count(),
        "worker_processes": PROCESSES,
        "load": os.getloadavg()[0],
    }


def data(rows: Sequence[Row], facts: dict[str, Any]) -> str:
    """Every value of every row, as JSON."""
    described = [
        asdict(row) | {"ratio": row.ratio, "is_reached": row.is_reached, "shortfall": row.shortfall}
        for row in rows
    ]
    return json.dumps({**facts, "rows": described}, indent=2) + "\n"
