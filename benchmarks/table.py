"""The rows as a table for people, and as data for programs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.measurement import Figure, Row
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
            {True: "reached", False: "missed", None: ""}[row.is_reached],
        )
    console.print(table)
    for row in rows:
        if row.note:
            console.print(f"{row.name}: {row.note}", highlight=False, soft_wrap=True)


def _figure(figure: Figure | None) -> str:
    if figure is None:
        return ""
    number = f"{figure.median:,.0f}" if figure.median >= 100 else f"{figure.median:,.3g}"
    return f"{number} {figure.unit} ({len(figure.values)})\n{figure.label}"


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


def write(rows: Sequence[Row], facts: dict[str, Any], file: Path) -> None:
    """Write every value of every row as JSON."""
    described = [asdict(row) | {"ratio": row.ratio, "is_reached": row.is_reached} for row in rows]
    file.write_text(json.dumps({**facts, "rows": described}, indent=2) + "\n", "utf-8")
