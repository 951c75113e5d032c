"""Rows for the peers that are installed: `pip install '.[peers]'`."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

from benchmarks.graphs import layered
from benchmarks.measurement import Figure, Row, per_second, seconds
from benchmarks.options import Options
from benchmarks.rig import REPOSITORY, Rig

PEERS = {
    "dramatiq": ("Dramatiq", "dramatiq"),
    "rq": ("RQ", "rq"),
    "huey": ("Huey", "huey"),
    "dask": ("Dask", "distributed"),
    "prefect": ("Prefect", "prefect"),
    "luigi": ("Luigi", "luigi"),
}
"""The file, without `_layers.py` → the name, and what is imported."""

LAYERS, WIDTH = 10, 20
"""Smaller than elsewhere: some peers take tens of milliseconds for a task."""

PATIENCE = 90.0
"""Seconds for one peer, its start included."""

DATABASES = {name: number for number, name in enumerate(PEERS, start=2)}


class NotMeasured(Exception):
    """A peer ended before it was measured, or took too long."""


def rows(rig: Rig, options: Options) -> Iterator[Row]:
    """Each peer in turn with ours. A peer starts its own two workers, which is not measured."""
    tasks = LAYERS * WIDTH
    for module, (title, package) in PEERS.items():
        name = f"layered {LAYERS} x {WIDTH}, beside {title}"
        if importlib.util.find_spec(package) is None:
            yield Row(name, skipped="not installed")
            continue
        try:
            with _started(rig, module) as run:
                rig.run(layered(LAYERS, WIDTH))
                rounds = [
                    (seconds(lambda: rig.run(layered(LAYERS, WIDTH))), run()) for _ in range(options.runs)
                ]
        except NotMeasured as reason:
            yield Row(name, skipped=f"did not run: {reason}")
            continue
        ours, theirs = zip(*rounds, strict=True)
        yield Row(
            name,
            Figure("batched", per_second(tasks, ours), "tasks/s"),
            Figure(title, per_second(tasks, theirs), "tasks/s"),
        )


@contextlib.contextmanager
def _started(rig: Rig, module: str) -> Iterator[Callable[[], float]]:
    """A process of the peer's own, warmed up. What is yielded runs the layers once and gives the seconds."""
    folder = rig.folder / module
    folder.mkdir()
    log = folder / "log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.peers.runs", module, str(LAYERS), str(WIDTH)],
            env={
                **os.environ,
                "PEER_REDIS_URL": f"{rig.url}?db={DATABASES[module]}",
                "PEER_FOLDER": str(folder),
                "PYTHONPATH": str(REPOSITORY),
            },
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )
    asked, answers = process.stdin, process.stdout
    assert asked
    assert answers

    def run() -> float:
        try:
            asked.write("run\n")
            asked.flush()
            return float(answers.readline())
        except (OSError, ValueError):
            raise NotMeasured(_last_line(log.read_text("utf-8", "replace"))) from None

    overdue = threading.Timer(PATIENCE, process.terminate)
    overdue.start()
    try:
        run()
        yield run
    finally:
        overdue.cancel()
        process.terminate()  # its own workers end with it
        process.wait()
        for pipe in (asked, answers):
            with contextlib.suppress(OSError):
                pipe.close()


def _last_line(said: str) -> str:
    return (said.strip().splitlines() or [f"nothing was heard of it for {PATIENCE:g} s"])[-1]
