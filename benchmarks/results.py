"""The results on disk: each subject in a file of its own, and all of them in the documentation."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter

from benchmarks import curve, layers, table
from benchmarks.measurement import Row
from benchmarks.options import BUDGET
from benchmarks.rig import PROCESSES, Rig

FOLDER = Path(__file__).parent / "results"
DOCS = Path(__file__).parent.parent / "docs" / "explanation"

PACKAGES = ("task-orchestrator", "celery", "kombu", "redis", "pydantic")

BEGIN, END = "<!-- measured -->\n", "<!-- until here -->\n"
"""Around the table in docs/explanation/benchmarks.md."""

LOADED = 0.5
"""For each processor. A load beyond this, before anything is measured, belongs to others."""

DRAWINGS: dict[str, tuple[str, Callable[[Sequence[Row]], str]]] = {
    "layers": ("benchmarks.svg", layers.drawing),
    "curve": ("benchmarks-processes.svg", curve.drawing),
}
"""Subject → the file in the documentation, and the drawing of its rows."""


@dataclass(frozen=True)
class Result:
    """One subject, measured.

    Args:
        facts: What the figures depend on.
        seconds: How long it took.
        rows: What was found.
    """

    facts: dict[str, Any]
    seconds: float
    rows: tuple[Row, ...]

    @classmethod
    def read(cls, subject: str, folder: Path | None = None) -> Self | None:
        """The newest result of a subject; None where it was not measured here."""
        try:
            text = ((folder or FOLDER) / f"{subject}.json").read_bytes()
        except FileNotFoundError:
            return None
        return TypeAdapter(cls).validate_json(text)

    def write(self, subject: str, folder: Path | None = None) -> Path:
        """Write every value of every row, with what follows from them."""
        file = (folder or FOLDER) / f"{subject}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(self.described(), indent=2) + "\n", "utf-8")
        return file

    def described(self) -> dict[str, Any]:
        """It as data."""
        derived = ("ratio", "ratios", "is_reached", "shortfall")
        rows = [asdict(row) | {name: getattr(row, name) for name in derived} for row in self.rows]
        return {"facts": self.facts, "seconds": self.seconds, "rows": rows}

    def was_disturbed(self) -> bool:
        """Whether the machine had other work when it began."""
        return bool(self.facts["load"] > LOADED * self.facts["processors"])


def surroundings(rig: Rig) -> dict[str, Any]:
    """The circumstances of the figures: versions, processors, and how busy the machine is."""
    return {
        "python": platform.python_version(),
        "packages": {package: version(package) for package in PACKAGES},
        "redis_server": rig.redis.info("server")["redis_version"],
        "processors": os.cpu_count(),
        "worker_processes": PROCESSES,
        "load": os.getloadavg()[0],
    }


def publish(folder: Path = DOCS) -> list[Path]:
    """Put the newest result of each subject into the documentation: data, tables and plots.

    A subject that was not measured here stays as it was published.

    Returns:
        The files that were written.
    """
    data, page = folder / "benchmarks.json", folder / "benchmarks.md"
    known = TypeAdapter(dict[str, Result]).validate_json(data.read_bytes()) if data.exists() else {}
    newest = {subject: Result.read(subject) or known.get(subject) for subject in BUDGET}
    found = {subject: result for subject, result in newest.items() if result}
    described = {subject: result.described() for subject, result in found.items()}
    data.write_text(json.dumps(described, indent=2) + "\n", "utf-8")
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    sections = "\n".join(_section(subject, result) for subject, result in found.items())
    page.write_text(f"{before}{BEGIN}\n{sections}\n{END}{after}", "utf-8")
    written = [data, page]
    for subject, (name, drawing) in DRAWINGS.items():
        if subject in found:
            (folder / name).write_text(drawing(found[subject].rows), "utf-8")
            written.append(folder / name)
    return written


def _section(subject: str, result: Result) -> str:
    """The rows of a subject, the command that measures them, and what they were measured on."""
    facts = result.facts
    loaded = "**On a loaded machine**, so not final. " if result.was_disturbed() else ""
    drawing = f"![{subject}]({DRAWINGS[subject][0]})\n\n" if subject in DRAWINGS else ""
    notes = "".join(["\n", *(f"- {row.name}: {row.note}.\n" for row in result.rows if row.note)])
    return f"""### {subject}

    .venv/bin/python -m benchmarks {subject}

{drawing}{table.markdown(result.rows)}

{loaded}Python {facts["python"]}, Celery {facts["packages"]["celery"]}, Redis {facts["redis_server"]}, \
{facts["processors"]} cores; load of the machine at the beginning {facts["load"]:.1f}; {result.seconds:.0f} s.
{notes}"""
