"""The command says in a line why it cannot go on: no traceback, whatever its streams and folders are."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.config import configuration
from orchestrator.config.folder import ENV_PREFIX, FOLDER
from tests.typed import orchestrate

PLAN = "title: Zero\ntasks: [{id: a, estimate: 0}]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / "zero.yaml").write_text(PLAN, "utf-8")
    return tmp_path


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of a shell in which `orchestrator` is the command."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith(ENV_PREFIX)}
    script = f'orchestrator() {{ "{sys.executable}" -m orchestrator "$@"; }}\n{line}'
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        (
            "orchestrator plan zero.yaml >/dev/full",
            1,
            "The output cannot be written: No space left on device",
        ),
        (
            "orchestrator plan zero.yaml --json >/dev/full",
            1,
            "The output cannot be written: No space left on device",
        ),
        ("orchestrator --version >/dev/full", 1, "The output cannot be written: No space left on device"),
        ("orchestrator plan zero.yaml >/dev/full 2>/dev/full", 1, ""),
        ("orchestrator plan zero.yaml >&-", 0, ""),
        ("orchestrator plan zero.yaml >&- 2>&- <&-", 0, ""),
        (
            "mkdir gone; cd gone; rmdir ../gone; orchestrator plan ../zero.yaml",
            2,
            "The current folder does not exist any more",
        ),
        (
            "mkdir gone; cd gone; rmdir ../gone; orchestrator status",
            2,
            "The current folder does not exist any more",
        ),
        ("rmdir .taskorchestrator; touch .taskorchestrator; orchestrator init", 1, "cannot be used: "),
    ],
)
def test_no_traceback_leaves_the_command(folder: Path, line: str, code: int, said: str) -> None:
    ended = shell(line, folder)

    assert (ended.returncode, "Traceback" in ended.stderr) == (code, False), ended.stderr
    assert said in ended.stderr
    assert "Exception ignored" not in ended.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["graph", "zero.yaml", "-o", "/nowhere/x.svg"], 1, "/nowhere/x.svg cannot be used: No such file"),
        (["graph", "zero.yaml", "-o", "."], 1, ". cannot be used: Is a directory"),
        (["add-task", "f", "T", "--run", 'echo "oops'], 2, "has a quote or backslash without its other half"),
    ],
)
def test_what_cannot_be_used_is_said(folder: Path, words: list[str], code: int, said: str) -> None:
    ended = orchestrate(folder, *words)

    assert (ended.returncode, said in ended.stderr) == (code, True), ended.stderr


def test_a_reader_that_goes_away_is_no_error(folder: Path) -> None:
    ended = shell("orchestrator plan zero.yaml | head -1", folder)

    assert ended.stdout.startswith("Zero: 1 task")
    assert ended.stderr == ""


def test_shell_completion_can_be_installed(folder: Path) -> None:
    ended = shell(
        "HOME=$PWD orchestrator --show-completion bash || HOME=$PWD orchestrator --show-completion", folder
    )

    assert "complete -o default -F" in ended.stdout


def test_an_error_of_a_file_is_an_object_with_json(folder: Path) -> None:
    ended = shell("mkdir gone; cd gone; rmdir ../gone; orchestrator status --json", folder)

    assert json.loads(ended.stdout)["code"] == "no-working-folder"


CTRL_C_AT = """
import builtins, os, signal, sys

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it runs in the background ignore it
plain, wanted = builtins.__import__, sys.argv.pop(1)

def interrupted(name, *more, **others):
    if name == wanted:
        builtins.__import__ = plain
        os.kill(os.getpid(), signal.SIGINT)
    return plain(name, *more, **others)

builtins.__import__ = interrupted
from orchestrator.cli import main
main()
"""


@pytest.mark.parametrize("module", ["orchestrator.cli.app", "pydantic", "yaml"])
def test_ctrl_c_while_the_command_loads_ends_it_without_a_word(folder: Path, module: str) -> None:
    # When Ctrl-C comes while a module is being imported
    command = [sys.executable, "-c", CTRL_C_AT, module, "plan", "zero.yaml"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)

    # Then the exit code says so, and nothing else does
    assert (ended.returncode, ended.stderr) == (128 + signal.SIGINT, "")


def test_an_error_that_nobody_expected_is_a_line_and_an_object_with_json(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    def breaks() -> None:
        raise RuntimeError("a hole\nin the floor")

    monkeypatch.chdir(folder)
    monkeypatch.setattr(configuration, "load", breaks)
    told = CliRunner().invoke(app, ["plan", "zero.yaml"])
    answer = CliRunner().invoke(app, ["plan", "zero.yaml", "--json"])

    assert told.stderr.startswith("An unexpected error: RuntimeError: a hole in the floor.")
    assert (told.exit_code, told.stdout, answer.exit_code) == (1, "", 1)
    assert json.loads(answer.stdout)["code"] == "unexpected"
    assert json.loads(answer.stdout)["cause"] == "RuntimeError: a hole in the floor"
