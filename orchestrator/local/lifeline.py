"""Runs a celery command that ends when the process that started it is gone, however that went.

    python lifeline.py DESCRIPTOR COMMAND…

The descriptor is the end for reading of a pipe. That process holds the other end, which the kernel closes at its death.
"""

from __future__ import annotations

import _thread
import importlib
import os
import runpy
import signal
import sys
import time

import celery

STEPS = ((signal.SIGTERM, 20.0), (signal.SIGQUIT, 10.0))
"""Warm, then cold, each with the seconds that it has; then with all that belongs to it. As in `processes.stop`."""


def main() -> None:
    """Run the command."""
    descriptor = int(sys.argv.pop(1))
    # No thread of `threading`, which the pools gevent and eventlet put their own in the place of.
    _thread.start_new_thread(_end_with, (descriptor,))
    # Celery looks for the app in the working folder first, where a file of its name would hide this package. And what
    # gevent and eventlet replace must be replaced before anything else is imported; Celery does it again.
    celery.maybe_patch_concurrency()
    importlib.import_module("orchestrator")
    runpy.run_module("celery", run_name="__main__", alter_sys=True)


def _end_with(descriptor: int) -> None:
    """Wait until nobody holds the other end any more, then end this process."""
    os.read(descriptor, 1)
    for number, patience in STEPS:
        os.kill(os.getpid(), number)
        time.sleep(patience)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
