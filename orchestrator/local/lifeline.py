"""Runs a celery command that ends when the process that started it ends, even by SIGKILL.

    python lifeline.py DESCRIPTOR COMMAND…

The descriptor is the read end of a pipe. The starting process holds the write end; the kernel closes it at its death.
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
"""The signals of a warm and a cold shutdown, each with its seconds. Then the process group is killed."""


def main() -> None:
    """Run the command."""
    descriptor = int(sys.argv.pop(1))
    # Not a thread of `threading`: the pools gevent and eventlet replace those with their own.
    _thread.start_new_thread(_end_with, (descriptor,))
    # Celery looks for the app in the working folder first, where a file of its name would hide this package. And what
    # gevent and eventlet replace must be replaced before anything else is imported; Celery does it again.
    celery.maybe_patch_concurrency()
    importlib.import_module("orchestrator")
    runpy.run_module("celery", run_name="__main__", alter_sys=True)


def _end_with(descriptor: int) -> None:
    """Wait until the write end is closed, then end this process."""
    os.read(descriptor, 1)
    for number, patience in STEPS:
        os.kill(os.getpid(), number)
        time.sleep(patience)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
