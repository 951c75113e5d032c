"""A project folder with a Redis of its own and real workers, as a user would have them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.client.client import Client
from orchestrator.client.handle import Handle
from orchestrator.config import configuration
from orchestrator.config.folder import FILE, FOLDER
from orchestrator.config.settings import Settings
from orchestrator.local import processes
from orchestrator.model.event import Event
from orchestrator.model.feature import Feature
from tests.redis_server import serve
from tests.typed import orchestrate

BIN = Path(sys.executable).parent
PATIENCE = 120.0
"""Seconds after which a test gives up on something that should happen at once. No verdict depends on it otherwise."""


def tools() -> dict[str, str]:
    """This process's environment, with the commands of this Python first on the PATH."""
    return {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "200"}


@dataclass
class Project:
    """A folder with a configuration, in which commands and workers run."""

    folder: Path
    settings: Settings
    stack: ExitStack
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which commands run."""
        return tools()

    def start_worker(self, name: str, *options: str, log: Path | None = None) -> subprocess.Popen[bytes]:
        """`celery -A orchestrator worker -n NAME@%h …`, stopped when the test ends; it writes to `log`."""
        process = self.stack.enter_context(
            processes.celery(
                self.settings,
                ["-A", "orchestrator", "worker", "-n", f"{name}@%h", "--loglevel", "info", *options],
                log or self.folder / f"{name}.log",
            )
        )
        self.workers.append(process)
        return process

    def run(self, *command: str, check: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder as a person would."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=check,
        )

    def orchestrator(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the `orchestrator` command in this process."""
        return orchestrate(self.folder, *arguments, PATH=self.environment["PATH"])

    def write(self, name: str, feature: dict[str, Any]) -> str:
        """Write a feature file; returns its name."""
        (self.folder / name).write_text(yaml.safe_dump(feature), "utf-8")
        return name

    def client(self) -> Client:
        """A client with this folder's settings."""
        return self.stack.enter_context(Client(self.settings))

    def enqueue(self, feature: Feature) -> Handle:
        """Enqueue from Python."""
        return self.client().enqueue(feature)


MakeProject = Callable[..., Project]

SHOWN_LINES = 150
STACK_SECONDS = 1.0


@contextlib.contextmanager
def open_project(folder: Path, **sections: Any) -> Iterator[Project]:
    """A project folder below `folder`; its Redis and its workers end with the block."""
    with ExitStack() as stack:
        url = stack.enter_context(serve(folder / "redis"))
        project = folder / "project"
        (project / FOLDER).mkdir(parents=True)
        settings = {
            "redis": {"url": url},
            "trust": {"inline_commands": True, "canvas": True},
            "recovery": {"lease": "3s", "sweep": "200ms"},
            **sections,
        }
        (project / FOLDER / FILE).write_text(yaml.safe_dump(settings), "utf-8")
        opened = Project(project, configuration.load(project), stack)
        try:
            yield opened
        except BaseException:
            _ask_for_stacks(opened)
            raise
        finally:
            show_logs(project)


def _ask_for_stacks(project: Project) -> None:
    """Let each worker write what its threads do (Celery's handler of SIGUSR1), in case the failure is that it hangs."""
    running = [worker for worker in project.workers if worker.poll() is None]
    for worker in running:
        worker.send_signal(signal.SIGUSR1)
    if running:
        time.sleep(STACK_SECONDS)


def show_logs(project: Path) -> None:
    """Print the last lines of each log, which pytest shows if the test fails: a run elsewhere leaves nothing else."""
    for log in sorted(project.glob("*.log")):
        print(f"--- {log.name}", *log.read_text("utf-8", "replace").splitlines()[-SHOWN_LINES:], sep="\n")


@pytest.fixture
def make_project(tmp_path: Path) -> Iterator[MakeProject]:
    """Makes a project folder; its Redis and workers end with the test."""
    with ExitStack() as stack:
        yield lambda **sections: stack.enter_context(open_project(tmp_path, **sections))


def most_in_flight(events: list[Event]) -> int:
    """The largest number of tasks that were published and unfinished at one moment, by the event stream."""
    in_flight: set[str] = set()
    most = 0
    for event in events:
        if event.event == "task_launched":
            in_flight.add(event.task)
        elif event.source == "in-progress" and event.task:
            in_flight.discard(event.task)
        most = max(most, len(in_flight))
    return most


def moments(events: list[Event], name: str) -> dict[str, int]:
    """The place in the stream of each task's last event of this name."""
    return {event.task: place for place, event in enumerate(events) if event.event == name}


def all_events(handle: Handle) -> list[Event]:
    """The whole stream of a settled feature."""
    return list(handle.follow())
