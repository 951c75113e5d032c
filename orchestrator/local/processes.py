"""Runs the processes of one machine: a worker, and Flower, as their users would start them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from orchestrator.config import private
from orchestrator.config.settings import Settings

LIFELINE = Path(__file__).with_name("lifeline.py")
"""Run as a file: to name it as a module would import all of this package, before Celery prepares gevent or eventlet."""

WARM_SECONDS = 20.0
"""How long a worker has to finish what it runs, before it is told to stop at once."""

COLD_SECONDS = 10.0
"""How long it has then to end that, and to hand it back: a command has 5 s to obey."""


@contextlib.contextmanager
def worker(
    settings: Settings, *, name: str, log: Path | None = None, processes: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A Celery worker that runs as long as the `with` lasts.

    Args:
        settings: The settings; the worker reads the same from the same folder.
        name: The first part of the worker's node name.
        log: Where its output goes; the terminal if it is left out.
        processes: Tasks that it runs at once; as configured if it is left out.
    """
    # It is alone, or does not mind: without looking for neighbours it is ready a second sooner.
    alone = ["--without-mingle", "--without-gossip"]
    command = ["-A", "orchestrator", "worker", "-n", f"{name}@%h", "--loglevel", "info", *alone]
    command += ["--concurrency", str(processes)] if processes else []
    with celery(settings, command, log) as process:
        yield process


@contextlib.contextmanager
def flower(settings: Settings, *, port: int, log: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Flower on 127.0.0.1, as long as the `with` lasts."""
    command = ["-A", "orchestrator", "flower", "--address=127.0.0.1", f"--port={port}"]
    with celery(settings, command, log) as process:
        yield process


@contextlib.contextmanager
def celery(settings: Settings, command: list[str], log: Path | None) -> Iterator[subprocess.Popen[bytes]]:
    """A celery command that runs as long as the `with` lasts, in the folder that the settings belong to.

    It ends too where this process is killed: nobody writes to the pipe, and its end is that of this process.
    """
    with _output(log) as output, _pipe() as lifeline:
        process = subprocess.Popen(
            # -P: what lies in the folder, such as an orchestrator.py, hides nothing that is installed.
            [sys.executable, "-P", LIFELINE, str(lifeline), *command],
            pass_fds=[lifeline],
            cwd=settings.folder.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            # A group of its own: Ctrl-C in the terminal reaches us, and we end it in order.
            start_new_session=True,
        )
        try:
            yield process
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes], *, at_once: bool = False) -> None:
    """End a process: warm (it finishes what it runs), then cold (it hands that back), then with all that belongs to it.

    Args:
        process: The process.
        at_once: Begin with cold.
    """
    steps = [(signal.SIGTERM, WARM_SECONDS), (signal.SIGQUIT, COLD_SECONDS)]
    try:
        for number, patience in steps[at_once:]:
            if process.poll() is not None:
                break
            process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience)
    except KeyboardInterrupt:
        if not at_once:
            raise
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def _pipe() -> Iterator[int]:
    """A pipe that is open as long as the `with` lasts: its end for reading. The other is for this process alone."""
    reading, writing = os.pipe()
    try:
        yield reading
    finally:
        os.close(reading)
        os.close(writing)


@contextlib.contextmanager
def _output(log: Path | None) -> Iterator[IO[bytes] | None]:
    if log is None:
        yield None
        return
    private.make_folder(log.parent)
    with os.fdopen(private.open_file(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab") as file:
        yield file
