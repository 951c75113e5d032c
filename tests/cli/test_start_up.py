"""The imports of a command before it says anything: it is typed often, and each import is time that a person waits."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cli import commands
from orchestrator.client.client import Client
from orchestrator.config import configuration
from orchestrator.config.folder import FILE, FOLDER
from orchestrator.model.feature import Feature
from orchestrator.model.task import Task
from orchestrator.state import embedded
from orchestrator.state.workers import Worker

MODULES = """
import sys
from orchestrator import cli
sys.argv = ["orchestrator", *sys.argv[1:]]
code = cli.run()
print(*sys.modules, file=sys.stderr)
sys.exit(code)
"""

CELERY = {"celery", "kombu", "billiard", "amqp", "flower", "tornado"}
NOT_FOR_READING = CELERY | {
    "jinja2",
    "opentelemetry.sdk",
    "psutil",
    "orchestrator.engine",
    "orchestrator.feature_file.reader",
    "orchestrator.local.processes",
    "orchestrator.planning.planner",
    "orchestrator.specialists.registry",
    "orchestrator.state.recovery",
}
NOT_FOR_A_TEXT = {
    "orchestrator.contract.feature_answers",
    "orchestrator.contract.machine_answers",
    "orchestrator.model.plan",
    "orchestrator.planning.limits",
    "orchestrator.planning.routing",
    "orchestrator.report.explanation",
    "orchestrator.state.requests",
    "orchestrator.state.retention",
    "rich.live",
    "rich.table",
}
NOT_FOR_HELP = NOT_FOR_READING | {
    "psutil",
    "redis",
    "pydantic",
    "pydantic_settings",
    "yaml",
    "orchestrator.client",
}


def imported(*arguments: str, folder: Path, code: int = 0) -> set[str]:
    """The modules that a command has imported when it ends, with this exit code."""
    done = subprocess.run(
        [sys.executable, "-c", MODULES, *arguments], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    return set(done.stderr.split())


def test_the_help_imports_no_command_and_nothing_that_commands_need(tmp_path: Path) -> None:
    found = imported("--help", folder=tmp_path)

    assert found & NOT_FOR_HELP == set()
    assert found & {f"orchestrator.cli.{entry.module}" for _, entry in commands.entries()} == set()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder whose Redis runs, and has a feature of the id "login"."""
    folder = tmp_path_factory.mktemp("project")
    with embedded.Server(folder / "redis") as server:
        place = folder / FOLDER
        place.mkdir(mode=0o700)
        (place / FILE).write_text(
            f"redis: {{url: '{server.url}'}}\ntrust: {{inline_commands: true}}", "utf-8"
        )
        with Client(configuration.load(folder)) as client:
            client.enqueue(Feature(id="login", title="Login", tasks=(Task(id="T1", run="true"),)))
            queues = tuple(map(client.settings.queue, client.settings.specialists))
            # Else Celery is asked for one. It is there for as long as these tests take on a slow machine.
            worker = Worker(id="w", name="w", queues=queues, seen=time.time() + 3_600)
            client.store.client.hset(client.store.keys.workers, worker.id, worker.model_dump_json())
        yield folder


@pytest.mark.real
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("status", 0),
        ("status login", 0),
        ("progress login", 0),
        ("explain login T1", 0),
        ("events login", 0),
        ("task login T1", 0),
        ("logs login T1", 2),  # it has not run yet
    ],
)
def test_a_command_that_reads_imports_only_what_it_shows(project: Path, command: str, code: int) -> None:
    found = imported(*command.split(), folder=project, code=code)

    assert found & NOT_FOR_READING == set()


@pytest.mark.real
@pytest.mark.parametrize("command", ["status login", "progress login", "events login"])
def test_a_command_that_reads_imports_no_planner_and_no_form_of_answers_that_it_does_not_give(
    project: Path, command: str
) -> None:
    found = imported(*command.split(), folder=project)

    assert found & {*NOT_FOR_READING, *NOT_FOR_A_TEXT} == set()


@pytest.mark.real
def test_what_a_command_does_without_is_there_for_the_others(project: Path) -> None:
    again = """
import os, sys
from orchestrator.cli.imports import quick_imports
with quick_imports():
    from orchestrator.client.client import Client
assert not [name for name in sys.modules if name.startswith("opentelemetry.")]
assert "PYDANTIC_DISABLE_PLUGINS" not in os.environ
import gc, opentelemetry.sdk.metrics
assert gc.isenabled()
"""
    subprocess.run([sys.executable, "-c", again], cwd=project, check=True)


def test_the_help_says_of_each_command_what_its_own_help_says_first() -> None:
    for name, command in commands.Commands().items():
        first = " ".join((command.help or "").split("\n\n")[0].split())
        assert commands.listed(name).help == first, name
