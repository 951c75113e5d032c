"""Runs one peer in a process of its own: `python -m benchmarks.peers.runs rq_layers 10 20` (layers, width).

For each line that it reads it runs the case, and prints the seconds; it ends with its input, or when it is told to.
Each file has `started()`, which yields its `run`: of `_layers` with layers and width, of `_fibo` with steps, width
and the number to compute. It needs nothing but what the peer's own environment has.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

URL = os.environ.get("PEER_REDIS_URL", "redis://localhost:6379/15")
POSTGRES = os.environ.get("PEER_POSTGRES_URL", "")
FOLDER = Path(os.environ.get("PEER_FOLDER", "."))
"""Where a peer may write; gone when all is measured."""

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
    """Start the peer, and run the case once for each line that is read."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    shape = [int(text) for text in sys.argv[2:]]
    peer = importlib.import_module(f"benchmarks.peers.{sys.argv[1]}")
    with peer.started() as run:
        for _ in sys.stdin:
            gc.collect()
            start = time.perf_counter()
            run(*shape)
            print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
