"""What a command imports before it says anything: it is typed often, and each import is time that a person waits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cli import commands

MODULES = """
import sys
from orchestrator import cli
sys.argv = ["orchestrator", *sys.argv[1:]]
code = cli.run()
print(*sys.modules, file=sys.stderr)
sys.exit(code)
"""

CELERY = {"celery", "kombu", "billiard", "amqp", "flower", "tornado"}
NOT_FOR_READING = CELERY | {"jinja2", "orchestrator.engine", "orchestrator.specialists.registry"}
NOT_FOR_HELP = NOT_FOR_READING | {
    "psutil",
    "redis",
    "pydantic",
    "pydantic_settings",
    "yaml",
    "orchestrator.client",
}


def imported(*arguments: str, folder: Path) -> set[str]:
    """The modules that a command has imported when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", MODULES, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


def test_the_help_imports_no_command_and_nothing_that_commands_need(tmp_path: Path) -> None:
    found = imported("--help", folder=tmp_path)

    assert found & NOT_FOR_HELP == set()
    assert found & {f"orchestrator.cli.{entry.module}" for _, entry in commands.entries()} == set()


@pytest.mark.real
def test_a_command_that_reads_imports_no_celery(tmp_path: Path) -> None:
    (tmp_path / ".taskorchestrator").mkdir(mode=0o700)

    assert imported("status", folder=tmp_path) & NOT_FOR_READING == set()


def test_the_help_says_of_each_command_what_its_own_help_says_first() -> None:
    for name, command in commands.Commands().items():
        first = " ".join((command.help or "").split("\n\n")[0].split())
        assert commands.listed(name).help == first, name
