"""Rows for the peers that are installed: `pip install '.[peers]'`."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.graphs import layered
from benchmarks.measurement import Figure, Row, per_second, seconds
from benchmarks.options import Options
from benchmarks.rig import REPOSITORY, Rig

PEERS = {
    "dramatiq": "Dramatiq",
    "rq": "RQ",
    "huey": "Huey",
    "dask": "Dask",
}
LAYERS, WIDTH = 10, 20
"""Smaller than elsewhere: some peers take tens of milliseconds for a task."""

PATIENCE = 60.0
"""Seconds for all the runs of one peer."""

DATABASES = {name: number for number, name in enumerate(PEERS, start=2)}


def rows(rig: Rig, options: Options) -> Iterator[Row]:
    """Each peer in turn with ours; a peer starts its own two worker processes, which is not measured."""
    if not options.peers:
        return
    tasks = LAYERS * WIDTH
    for module, title in PEERS.items():
        name = f"layered {LAYERS} x {WIDTH}, beside {title}"
        if importlib.util.find_spec("distributed" if module == "dask" else module) is None:
            yield Row(name, skipped="not installed")
            continue
        times = _peer(rig, module, options.runs)
        if isinstance(times, str):
            yield Row(name, skipped=f"did not run: {times}")
            continue
        ours = [seconds(lambda: rig.run(layered(LAYERS, WIDTH))) for _ in range(options.runs)]
        yield Row(
            name,
            Figure("batched", per_second(tasks, ours), "tasks/s"),
            Figure(title, per_second(tasks, times), "tasks/s"),
        )


def _peer(rig: Rig, module: str, runs: int) -> list[float] | str:
    """The seconds of each run, from a process of the peer's own; or the last line of what went wrong."""
    url = f"{rig.url}?db={DATABASES[module]}"
    folder = rig.folder / module
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.peers.runs", module, str(LAYERS), str(WIDTH), str(runs)],
        env={**os.environ, "PEER_REDIS_URL": url, "PYTHONPATH": str(REPOSITORY)},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        output, said = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return f"it took longer than {PATIENCE:g} s"
    finally:
        process.terminate()  # its own workers end with it
        process.wait()
    if process.returncode:
        return (said.strip().splitlines() or ["no message"])[-1]
    found: list[float] = json.loads(output.splitlines()[-1])
    return found
