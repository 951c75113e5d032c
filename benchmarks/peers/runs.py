"""Runs one peer in a process of its own: `python -m benchmarks.peers.runs rq 10 20 5` (layers, width, runs).

Prints the seconds of each run as JSON. Each peer's file has `started()`, which yields its `run(layers, width)`.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

URL = os.environ.get("PEER_REDIS_URL", "redis://localhost:6379/15")
PROCESSES = 2


@contextlib.contextmanager
def workers(*commands: list[str]) -> Iterator[None]:
    """Worker processes that run as long as the `with` lasts."""
    processes = [
        subprocess.Popen([sys.executable, *command], stdout=sys.stderr, start_new_session=True)
        for command in commands
    ]
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def main() -> None:
    """Start the peer, run it once to warm up, then as often as asked."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    name = sys.argv[1]
    layers, width, runs = map(int, sys.argv[2:])
    peer = importlib.import_module(f"benchmarks.peers.{name}_layers")
    with peer.started() as run:
        run(2, 2)
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            run(layers, width)
            times.append(time.perf_counter() - start)
    print(json.dumps(times))


if __name__ == "__main__":
    main()
