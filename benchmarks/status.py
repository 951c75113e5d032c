"""A command as a whole process: `orchestrator status` of one feature, from its start to its end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.graphs import layered
from benchmarks.measurement import Figure, Row, Target
from benchmarks.options import Options
from benchmarks.rig import Rig
from orchestrator.client.client import Client
from orchestrator.config import configuration
from orchestrator.config.folder import FILE, FOLDER
from orchestrator.state import embedded

LAYERS, WIDTH = 10, 20


class Refused(Exception):
    """A command failed; its time would mean nothing."""


@dataclass(frozen=True)
class Spent:
    """The time of a process: seconds by the clock, and of CPU in its own code (user mode)."""

    wall: float
    user: float


def rows(rig: Rig, options: Options) -> Iterator[Row]:
    """Beside the interpreter alone, and beside a command of Celery that does nothing but to say its version."""
    programs = Path(sys.executable).parent
    feature = rig.run(layered(LAYERS, WIDTH)).id
    commands = {
        "orchestrator status": [str(programs / "orchestrator"), "status", feature],
        "python -c pass": [sys.executable, "-c", "pass"],
        "celery --version": [str(programs / "celery"), "--version"],
    }
    folder = rig.settings.folder.parent
    for command in commands.values():
        _spent(command, folder)
    rounds = [
        {name: _spent(command, folder) for name, command in commands.items()} for _ in range(3 * options.runs)
    ]
    ours, *others = commands
    for other in others:
        for what in ("wall", "user"):
            mine, beside = (tuple(getattr(one[name], what) for one in rounds) for name in (ours, other))
            has_target = what == "wall" and other == others[0]
            yield Row(
                f"{ours} of one feature, {'whole process' if what == 'wall' else 'user CPU'}, beside {other}",
                Figure(ours, mine, "s"),
                Figure(other, beside, "s"),
                Target("at most", 0.35, of="ours") if has_target else None,
            )
    cold = _with_a_private_redis(rig)
    yield Row(
        f"{ours} of one feature, which starts the private Redis with its data, beside one that need not",
        Figure("starts it", tuple(_spent(cold.command, cold.folder).wall for _ in range(options.runs)), "s"),
        Figure("it runs", tuple(one[ours].wall for one in rounds), "s"),
    )


class Cold(NamedTuple):
    """A command, and the folder whose private Redis does not run."""

    command: list[str]
    folder: Path


def _with_a_private_redis(rig: Rig) -> Cold:
    """A project without a configured Redis, whose own one has a feature, and has ended."""
    place = rig.folder / "cold" / FOLDER
    place.mkdir(parents=True, mode=0o700)
    (place / FILE).write_text("specialists: {noop: {python: benchmarks.noop:noop}}\n", "utf-8")
    settings = configuration.load(place.parent)
    try:
        with Client(settings) as client:
            feature = client.enqueue(layered(LAYERS, WIDTH)).id
    finally:
        embedded.release(settings)
    return Cold([str(Path(sys.executable).parent / "orchestrator"), "status", feature], place.parent)


def _spent(command: list[str], folder: Path) -> Spent:
    # pip compiles what it installs. A clone is compiled by the first run, unless that is forbidden.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Refused(f"{command[0]} ended with exit code {process.returncode}")
    return Spent(wall, used.ru_utime)
