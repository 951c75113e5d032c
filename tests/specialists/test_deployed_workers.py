"""The folder workers/: each specialist of this repository does its work, and says what it cannot do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.config import configuration
from orchestrator.config.settings import Settings
from orchestrator.feature_file import reader
from orchestrator.model.outcome import Blocked, Completed, Failed
from orchestrator.model.task import Task
from orchestrator.planning import routing
from orchestrator.specialists import perform
from tests.specialists.contexts import a_context

ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Those with which `make run` runs."""
    monkeypatch.setenv("TASKORCHESTRATOR_CONFIG", str(ROOT / "workers" / "config.yaml"))
    monkeypatch.chdir(ROOT)
    return configuration.load(ROOT)


def outcome_of(settings: Settings, specialist: str, folder: Path, **params: Any) -> Any:
    task = Task(id="T1", params=params)
    return perform(a_context(folder, task=task, specialist=specialist), settings)


def test_make_run_is_done_by_the_specialists_of_the_folder(settings: Settings) -> None:
    feature = reader.read(ROOT / "examples" / "self_check.yaml", settings.limits)
    routes = routing.route(feature, settings)

    used = {routes[task.id].specialist for task in feature.tasks if not task.run}

    assert used == {"code-checker", "test-runner", "wheel-builder", "wheel-installer", "report-writer"}
    for name in used:
        given = settings.specialists[str(name)]
        file = (given.python or "").partition(":")[0].replace(".", "/") + ".py" if given.python else ""
        assert (ROOT / (file or (given.command or ("", ""))[1])).is_file()


def test_the_test_runner_counts_tests(settings: Settings, tmp_path: Path) -> None:
    good, bad = tmp_path / "test_good.py", tmp_path / "test_bad.py"
    good.write_text("def test_one(): pass\ndef test_two(): pass", "utf-8")
    bad.write_text("def test_three(): assert 1 == 2", "utf-8")

    passed = outcome_of(settings, "test-runner", tmp_path, paths=[str(good)])
    failed = outcome_of(settings, "test-runner", tmp_path, paths=[str(good), str(bad)])
    none = outcome_of(settings, "test-runner", tmp_path)

    assert isinstance(passed, Completed)
    assert (passed.summary, passed.result) == ("2 tests passed", {"tests": 2})
    assert isinstance(failed, Failed)
    assert failed.reason == "1 of 3 tests failed: test_three"
    assert "assert 1 == 2" in failed.tail
    assert isinstance(none, Blocked)


def test_the_code_checker_runs_what_its_table_names(settings: Settings, tmp_path: Path) -> None:
    assert isinstance(outcome_of(settings, "code-checker", tmp_path, check="compile"), Completed)
    refused = outcome_of(settings, "code-checker", tmp_path, check="rm")
    assert isinstance(refused, Blocked)
    assert refused.reason == "params.check has to be one of compile, lint, format, types"


def test_the_report_writer_writes_a_line_for_each_outcome(tmp_path: Path) -> None:
    given = {
        "feature": {"title": "Check"},
        "dependencies": {"lint": {"summary": "a | b"}, "use": {"summary": ""}},
    }
    (tmp_path / "task.json").write_text(json.dumps(given), "utf-8")
    files = {"TASK": tmp_path / "task.json", "OUTCOME": tmp_path / "outcome.json"}
    environment = {**os.environ, **{f"ORCHESTRATOR_{name}_FILE": str(file) for name, file in files.items()}}

    command: list[str | Path] = [sys.executable, ROOT / "workers" / "write_report.py", tmp_path / "report.md"]
    subprocess.run(command, env=environment, check=True)

    report = (tmp_path / "report.md").read_text("utf-8")
    assert "| lint | a / b |\n| use | nothing to say |" in report
    assert json.loads((tmp_path / "outcome.json").read_text("utf-8"))["status"] == "completed"
