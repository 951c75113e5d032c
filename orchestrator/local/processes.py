"""Runs a worker and Flower on this machine, as a user would start them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from orchestrator.config import private
from orchestrator.config.folder import ENV_PREFIX
from orchestrator.config.settings import Settings

LIFELINE = Path(__file__).with_name("lifeline.py")
"""Run as a file, not as a module: that would import this package before Celery prepares gevent or eventlet."""

WARM_SECONDS = 20.0
"""Seconds that a worker has to finish its tasks, before it must stop at once."""

COLD_SECONDS = 10.0
"""Seconds that it then has to end its tasks and hand them back: a command has 5 s to end."""


@contextlib.contextmanager
def worker(
    settings: Settings, *, name: str, log: Path | None = None, processes: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Celery worker inside the block.

    Args:
        settings: The settings; the worker reads the same from the same folder.
        name: The first part of the worker's node name.
        log: The file for its output; None: the terminal.
        processes: How many tasks it runs at once; None: as configured.
    """
    # It needs no neighbours: without a search for them it is ready a second sooner.
    alone = ["--without-mingle", "--without-gossip"]
    command = ["-A", "orchestrator", "worker", "-n", f"{name}@%h", "--loglevel", "info", *alone]
    command += ["--concurrency", str(processes)] if processes else []
    with celery(settings, command, log) as process:
        yield process


@contextlib.contextmanager
def flower(
    settings: Settings, *, port: int, secret: str = "", log: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run Flower on 127.0.0.1 inside the block.

    Args:
        settings: The settings.
        port: Its port.
        secret: The secret that opens the pages if Flower has no password (`web.secret`); "": as configured.
        log: The file for its output; None: the terminal.
    """
    command = ["-A", "orchestrator", "flower", "--address=127.0.0.1", f"--port={port}"]
    with celery(settings, command, log, {SECRET: secret} if secret else {}) as process:
        yield process


SECRET = f"{ENV_PREFIX}WEB__SECRET"
"""The variable of `web.secret`: others can read the arguments of a process, and not its environment."""


@contextlib.contextmanager
def celery(
    settings: Settings, command: list[str], log: Path | None, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a celery command inside the block, in the folder of the settings, with some more variables.

    The command ends even if this process is killed, because the pipe closes with it (see `lifeline`).
    """
    with _output(log) as output, _pipe() as lifeline:
        process = subprocess.Popen(
            # -P: files in the folder, such as an orchestrator.py, must not hide installed packages.
            [sys.executable, "-P", LIFELINE, str(lifeline), *command],
            pass_fds=[lifeline],
            cwd=settings.project,
            env={**os.environ, **(environment or {})},
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
    """End a process: warm (it finishes its tasks), then cold (it hands them back), then by a kill of its group.

    Args:
        process: The process.
        at_once: Begin with the cold shutdown.
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
    """Open a pipe for the block, and return its read end. Only this process has the write end."""
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
