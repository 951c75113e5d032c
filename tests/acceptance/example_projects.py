"""The projects of `examples/`, each in a copy, with a Redis of its own and the processes that its user would start."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client.handle import Handle
from orchestrator.config import configuration
from orchestrator.engine import broker
from orchestrator.local import processes
from orchestrator.model.task import TaskStatus
from orchestrator.state import connections
from tests.acceptance.conftest import PATIENCE, Project, show_logs, tools
from tests.redis_server import serve
from tests.redis_tcp import free_port
from tests.waiting import wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
LEFT_OUT = shutil.ignore_patterns("__pycache__", "data", "logs")


def copy(name: str, folder: Path) -> None:
    """Copy an example to a folder that only this user can write."""
    shutil.copytree(EXAMPLES / name, folder, ignore=LEFT_OUT)
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode & ~(stat.S_IWGRP | stat.S_IWOTH))


@contextlib.contextmanager
def open_example(name: str, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A copy of an example. Its Redis and its processes end with the block.

    Args:
        name: Its folder in `examples`.
        folder: The copy is made below it.
        patch: Sets the variables that its processes get.
    """
    copy(name, project := folder / "project")
    with ExitStack() as stack:
        url = stack.enter_context(serve(folder / "redis"))
        patch.setenv("TASKORCHESTRATOR_REDIS__URL", url)
        patch.setenv("TASKORCHESTRATOR_RECOVERY__LEASE", "3s")
        patch.setenv("TASKORCHESTRATOR_RECOVERY__SWEEP", "200ms")
        settings = configuration.load(project)
        patch.setenv("BROKER_URL", broker.address(connections.redis_url(settings)).url)
        try:
            yield Project(project, settings, stack)
        finally:
            show_logs(project)


def start_celery(project: Project, app: str, command: str, *options: str) -> subprocess.Popen[bytes]:
    """`celery -A APP COMMAND …`, with its output in `COMMAND.log`."""
    line = ["-A", app, command, "--loglevel", "info", *options]
    log = project.folder / f"{command}.log"
    return project.stack.enter_context(processes.celery(project.settings, line, log))


def start_worker(project: Project, app: str, name: str, *options: str) -> subprocess.Popen[bytes]:
    """`celery -A APP worker -n NAME@%h …`, when it is ready."""
    log = project.folder / "worker.log"
    was = _lines(log)
    worker = start_celery(project, app, "worker", "-n", f"{name}@%h", "-c", "2", *options)
    wait_until(lambda: any(f"{name}@" in line and " ready." in line for line in _lines(log)[len(was) :]))
    return worker


def _lines(log: Path) -> list[str]:
    return log.read_text("utf-8", "replace").splitlines() if log.exists() else []


class Site:
    """A web server of an example.

    Args:
        project: The project.
        command: The module of Python that runs it, with arguments; `PORT` stands for the port.
    """

    def __init__(self, project: Project, *command: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        line = [sys.executable, *(str(port) if word == "PORT" else word for word in command)]
        log = project.stack.enter_context((project.folder / "site.log").open("ab"))
        self.process = subprocess.Popen(
            line, cwd=project.folder, env=tools(), stdout=log, stderr=log, start_new_session=True
        )
        project.stack.callback(self.stop)
        wait_until(self._answers)

    def stop(self) -> None:
        """End the server."""
        processes.stop(self.process)

    def _answers(self) -> bool:
        try:
            self.open("/").close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            assert self.process.poll() is None, "the server has ended"
            return False
        return True

    def open(self, path: str, body: object = None, method: str | None = None) -> Any:
        """Ask for a page; with a body, post it as JSON."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data, {"Content-Type": "application/json"}, method=method
        )
        return urllib.request.urlopen(request, timeout=PATIENCE)

    def ask(self, path: str, body: object = None, method: str | None = None) -> Any:
        """The JSON of a page."""
        with self.open(path, body, method) as answer:
            return json.load(answer)


def wait_for_attempt(handle: Handle, task: str, attempt: int) -> None:
    """Wait until this attempt of a task runs."""

    def runs() -> bool:
        state = next(state for state in handle.states() if state.id == task)
        return state.status == TaskStatus.IN_PROGRESS and state.attempt == attempt

    wait_until(runs)


def attempts(handle: Handle) -> dict[str, int]:
    """How often each task was attempted."""
    return {state.id: state.attempt for state in handle.states()}


def write_when_read(pipe: Path, text: str) -> None:
    """Write into a named pipe as soon as somebody reads it: until then the reader waits."""
    opened: list[int] = []

    def is_read() -> bool:
        with contextlib.suppress(OSError):  # nobody reads it yet
            opened.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        return bool(opened)

    wait_until(is_read)
    with os.fdopen(opened[0], "w") as file:
        file.write(text)


def run_own_tests(name: str, folder: Path) -> None:
    """Run the tests of an example, in a copy of it and with nothing that a project of this machine configures."""
    copy(name, folder / "project")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--basetemp={folder / 'pytest'}",
    ]
    done = subprocess.run(
        command, cwd=folder / "project", env=tools(), capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stdout + done.stderr
