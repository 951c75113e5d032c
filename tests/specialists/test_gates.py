"""Gates judge completed work: by a command in its folder, by its summary, or by another specialist."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.config.schema.quality_gates import Gate
from orchestrator.config.settings import Settings
from orchestrator.model.outcome import Blocked, Completed, GateResult, Outcome
from orchestrator.specialists import Context, gates
from tests.specialists.contexts import a_context


def some_settings(gate: dict[str, Any], hooks: dict[str, Any] | None = None) -> Settings:
    gates = {"enabled": True, "task_gates": {"testing": gate}, "hooks": hooks or {}}
    return Settings(quality_gates=gates)


def checked(settings: Settings, place: Path, **given: Any) -> GateResult:
    """The result of the only gate."""
    (result,) = gates.check(
        settings.task_gates("testing", ()), "testing", a_context(place), settings, **given
    )
    return result


@pytest.mark.parametrize(
    ("rule", "summary", "reason"),
    [
        ({"shortest": 20}, "done", "its summary has 4 characters, and at least 20 are asked for"),
        ({"longest": 10}, "x" * 11, "its summary has 11 characters, and at most 10 are asked for"),
        ({"matches": "^[A-Z]"}, "done", "its summary does not match ^[A-Z]"),
        (None, " ", "its summary has 0 characters, and at least 1 are asked for"),
        (None, "x" * 501, "its summary has 501 characters, and at most 500 are asked for"),
        ({"shortest": 4, "longest": 4, "matches": "^[A-Z]"}, "Done", ""),
        (None, "done", ""),
    ],
)
def test_a_summary_has_its_length_and_form(rule: Any, summary: str, reason: str, tmp_path: Path) -> None:
    gate = {"hook": "validate_summary", **({"summary": rule} if rule else {})}
    result = checked(some_settings(gate), tmp_path, outcome=Completed(summary=summary))
    assert (result.name, result.passed, result.reason) == ("validate_summary", not reason, reason)


def test_tests_run_where_the_work_is(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    code = "import pathlib, sys; sys.exit(pathlib.Path.cwd().name != 'tree')"
    settings = some_settings({"hook": "run_tests", "command": [sys.executable, "-c", code]})
    assert checked(settings, tmp_path, folder=tmp_path / "tree").passed
    assert not checked(settings, tmp_path).passed


def test_a_command_is_given_the_outcome_that_it_judges(tmp_path: Path) -> None:
    code = (
        "import json, os, sys; given = json.load(open(os.environ['ORCHESTRATOR_TASK_FILE'])); "
        "sys.exit(given['outcome']['summary'] != 'done')"
    )
    settings = some_settings({"name": "words", "command": [sys.executable, "-c", code]})
    assert checked(settings, tmp_path, outcome=Completed(summary="done")).passed
    assert not checked(settings, tmp_path, outcome=Completed(summary="else")).passed


def test_another_specialist_reviews(tmp_path: Path) -> None:
    asked: list[tuple[str | None, str]] = []

    def review(gate: Gate, context: Context, settings: Settings) -> Outcome:
        asked.append((gate.specialist, context.outcome.summary if context.outcome else ""))
        return Blocked(reason="the tests test nothing")

    settings = Settings(
        specialists={"judge": {"agent": {"runtime": "claude"}}},
        quality_gates={"enabled": True, "task_gates": {"testing": {"agent": "judge"}}},
    )
    result = checked(settings, tmp_path, outcome=Completed(summary="done"), review=review)
    assert (result.name, result.passed, result.reason) == ("judge", False, "the tests test nothing")
    assert asked == [("judge", "done")]


@pytest.mark.parametrize(
    ("gate", "hooks", "text"),
    [
        ({"hook": "run_tests"}, {}, "needs a command"),
        ({"hook": "run_tests", "command": ["x"]}, {"run_tests": ["y"]}, "keep one of them"),
        ({"name": "x", "command": ["x"], "specialist": "y"}, {}, "needs either"),
        ({"hook": "lint", "summary": {}}, {"lint": ["x"]}, "only the hook validate_summary"),
        ({"hook": "validate_summary", "summary": {"matches": "("}}, {}, "no regular expression"),
    ],
)
def test_mistakes_are_told(gate: dict[str, Any], hooks: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        some_settings(gate, hooks)


def test_an_own_hook_goes_before_one_that_ships(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit(3)"]
    settings = some_settings({"hook": "run_tests"}, {"run_tests": command})
    assert "exit code 3" in checked(settings, tmp_path).reason


@pytest.mark.parametrize("name", ["nobody", "senior-engineer"])
def test_a_reviewer_is_an_agent(name: str) -> None:
    with pytest.raises(ValidationError, match=r"no specialist is called|is no agent"):
        some_settings({"specialist": name})
