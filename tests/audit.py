"""Asks for known holes in the versions of constraints.txt: `python -m tests.audit`. Part of `make check`.

pip-audit asks a service for its advisories. Where that service does not answer (no network, a mirror of packages
alone), nothing was looked up, and this says so instead of "nothing found".
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

PINNED = Path(__file__).parents[1] / "constraints.txt"

KNOWN = ("pyyaml", "5.3")
"""A version with a hole (CVE-2020-14343). A service that knows of none here knows nothing."""

ARGUED: Mapping[str, str] = {}
"""Advisory → why it does not concern us."""

PATIENCE = 300


class Answer(NamedTuple):
    """What the service said."""

    holes: tuple[str, ...]
    """"name version: advisory" of each that it knows."""
    unasked: tuple[str, ...]
    """The packages that it does not know."""


def read(answer: str) -> Answer:
    """What pip-audit writes with `--format json`."""
    found: list[dict[str, Any]] = json.loads(answer)["dependencies"]
    holes = [
        f"{one['name']} {one['version']}: {hole['id']}"
        for one in found
        for hole in one.get("vulns", [])
        if not ARGUED.keys() & {hole["id"], *hole.get("aliases", [])}
    ]
    return Answer(tuple(holes), tuple(one["name"] for one in found if "skip_reason" in one))


def ask(requirements: Path) -> Answer | None:
    """Ask about every line; None if the service does not answer."""
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--requirement",
        str(requirements),
        "--no-deps",
        "--disable-pip",
    ]
    quiet = ["--progress-spinner", "off", "--format", "json", "--timeout", "5"]
    try:
        ran = subprocess.run(
            [*command, *quiet], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        return read(ran.stdout)
    except (ValueError, KeyError, subprocess.TimeoutExpired):
        return None


def verdict(known: Answer | None, pinned: Answer | None) -> tuple[int, str]:
    """The exit code, and the message.

    Args:
        known: The answer about `KNOWN`.
        pinned: The answer about our versions; None where it was not asked.
    """
    if not known or not known.holes:
        return 0, (
            "pip-audit: NOT RUN. The service with the advisories does not answer here, so no version was looked up. "
            "Run `make audit` where it does."
        )
    if not pinned:
        return 1, "pip-audit: it answered at first, and then no more. Run `make audit` again."
    unasked = f" Not known to it: {', '.join(pinned.unasked)}." if pinned.unasked else ""
    if not pinned.holes:
        return 0, f"pip-audit: no known hole in the versions of {PINNED.name}.{unasked}"
    lines = "\n".join(f"  {hole}" for hole in pinned.holes)
    return 1, f"pip-audit: known holes. Raise the version, or argue it in tests/audit.py.\n{lines}\n{unasked}"


def main() -> int:
    """Ask, say, and return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        one = Path(folder) / "known.txt"
        one.write_text("==".join(KNOWN) + "\n", "utf-8")
        known = ask(one)
        code, text = verdict(known, ask(PINNED) if known and known.holes else None)
    print(text)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
