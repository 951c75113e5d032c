"""Gates, reviews, holds and pauses, through real workers and the command line."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from orchestrator.model.feature import Feature, FeatureStatus
from orchestrator.model.outcome import Completed, Failed
from orchestrator.model.task import TaskStatus
from tests.acceptance.conftest import PATIENCE, MakeProject
from tests.acceptance.six_errors import hold, report, say
from tests.waiting import wait_until

pytestmark = pytest.mark.real

PASSES = [sys.executable, "-c", "print('fine')"]
FAILS = [sys.executable, "-c", "import sys; print('line 3 is too long'); sys.exit(1)"]
HANGS = [sys.executable, "-c", "import time; time.sleep(3600)"]


def gated(*gates: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"quality_gates": {"enabled": True, "task_gates": {"testing": list(gates)}, **more}}


def one_task(**fields: Any) -> Feature:
    return Feature.model_validate(
        {"title": "One", "tasks": [{"id": "T1", "tags": ["backend"], "run": say("built"), **fields}]}
    )


def test_a_gate_that_is_not_required_warns_visibly_and_lets_the_task_through(
    make_project: MakeProject,
) -> None:
    project = make_project(
        **gated({"name": "tests", "command": PASSES}, {"name": "style", "command": FAILS, "required": False})
    )
    project.start_worker("one", "-c", "1")
    feature = {"title": "One", "id": "one", "tasks": [{"id": "T1", "tags": ["backend"], "run": say("built")}]}

    ran = project.orchestrator("run", project.write("one.yaml", feature))

    assert ran.returncode == 0, ran.stdout
    assert "built; warning: the gate style did not pass: exit code 1: line 3 is too long" in ran.stdout
    outcome = project.client().feature("one").outcome("T1")
    assert isinstance(outcome, Completed)
    assert [(gate.name, gate.passed) for gate in outcome.gates] == [("tests", True), ("style", False)]
    assert "line 3 is too long" in outcome.gates[1].tail


@pytest.mark.parametrize(
    ("gate", "why"),
    [
        ({"command": FAILS}, "exit code 1: line 3 is too long"),
        ({"command": HANGS, "timeout": "300ms"}, "timed out after 0.3 s"),
        ({"command": ["/no/such/gate"]}, "/no/such/gate"),
        ({"python": "gates:broken"}, "ValueError: no report"),
        ({"python": "gates:says_no"}, "it returned False"),
    ],
    ids=["fails", "hangs", "is-missing", "crashes", "says-no"],
)
def test_a_required_gate_blocks_the_transition(
    make_project: MakeProject, gate: dict[str, Any], why: str
) -> None:
    project = make_project(**gated({"name": "check", **gate}))
    (project.folder / "gates.py").write_text(
        "def broken(context):\n    raise ValueError('no report')\n\n\ndef says_no(context):\n    return False\n"
    )
    project.start_worker("one", "-c", "1")

    handle = project.enqueue(one_task())

    assert handle.wait(PATIENCE).status is FeatureStatus.BLOCKED
    outcome = handle.outcome("T1")
    assert isinstance(outcome, Failed)
    assert outcome.reason.startswith("the gate check did not pass: ")
    assert why in outcome.reason
    assert [event.target for event in handle.events() if event.task and event.target] == [
        "in-progress",
        "testing",
        "failed",
    ]


def test_a_task_goes_back_when_its_gate_fails_and_it_has_retries(make_project: MakeProject) -> None:
    project = make_project(**gated({"name": "check", "python": "gates:second_time"}))
    (project.folder / "gates.py").write_text("def second_time(context):\n    return context.attempt > 1\n")
    project.start_worker("one", "-c", "1")

    handle = project.enqueue(one_task(retries={"max": 1, "backoff": "10ms"}))

    assert handle.wait(PATIENCE).status is FeatureStatus.COMPLETED
    assert handle.states()[0].attempt == 2


def test_the_gates_of_a_feature_run_when_its_tasks_are_done_and_again_after_a_retry(
    make_project: MakeProject,
) -> None:
    check = {
        "name": "whole",
        "command": [sys.executable, "-c", "import sys, pathlib; sys.exit(not pathlib.Path('ok').exists())"],
    }
    project = make_project(quality_gates={"enabled": True, "feature_gates": {"testing": [check]}})
    project.start_worker("one", "-c", "1")
    handle = project.enqueue(one_task())

    assert handle.wait(PATIENCE).status is FeatureStatus.BLOCKED
    assert handle.states()[0].status is TaskStatus.COMPLETED
    (project.folder / "ok").touch()
    retried = project.orchestrator("retry", handle.id, "@testing")

    assert retried.returncode == 0, retried.stderr
    assert handle.wait(PATIENCE).status is FeatureStatus.COMPLETED


def test_a_review_holds_no_worker_and_the_specialist_gets_the_remarks(make_project: MakeProject) -> None:
    project = make_project()
    project.start_worker("one", "-c", "1")
    read = "import json, os; print(json.load(open(os.environ['ORCHESTRATOR_TASK_FILE']))['remarks'])"
    tasks = [
        {"id": "T1", "title": "Draft", "tags": ["needs-review"], "run": [sys.executable, "-c", read]},
        {"id": "T2", "title": "Publish", "tags": ["backend"], "depends_on": ["T1"], "run": say("published")},
    ]
    ran = project.orchestrator(
        "run", project.write("draft.yaml", {"id": "draft", "title": "Draft", "tasks": tasks})
    )
    assert ran.returncode == 1
    assert "T1 Draft: waits for a review. Next: orchestrator approve draft T1" in ran.stdout
    handle = project.client().feature("draft")
    assert handle.progress().in_flight == 0

    assert project.orchestrator("request-changes", "draft", "T1", "--note", "shorter").returncode == 0
    wait_until(lambda: handle.states()[0].status is TaskStatus.IN_REVIEW)
    outcome = handle.outcome("T1")
    assert isinstance(outcome, Completed)
    assert outcome.summary == "['shorter']"

    assert project.orchestrator("approve", "draft", "T1").returncode == 0
    assert handle.wait(PATIENCE).status is FeatureStatus.COMPLETED


def test_hold_ends_what_runs_and_resume_takes_it_up(make_project: MakeProject) -> None:
    project = make_project()
    project.start_worker("one", "-c", "1")
    done = project.folder / "done"
    handle = project.enqueue(one_task(run=hold(done)))
    wait_until(lambda: handle.states()[0].status is TaskStatus.IN_PROGRESS)

    held = project.orchestrator("hold", handle.id, "T1", "--note", "wait for the release")
    assert held.returncode == 0, held.stderr
    assert handle.wait(PATIENCE).status is FeatureStatus.ON_HOLD
    done.touch()
    assert project.orchestrator("resume", handle.id, "T1").returncode == 0
    assert handle.wait(PATIENCE).status is FeatureStatus.COMPLETED
    assert handle.states()[0].attempt == 2


def test_pause_stop_before_and_launch(make_project: MakeProject) -> None:
    project = make_project()
    project.start_worker("one", "-c", "1")
    tasks = [
        {"id": f"T{n}", "tags": ["backend"], "run": say("ok"), "depends_on": [f"T{n - 1}"] if n > 1 else []}
        for n in (1, 2, 3)
    ]
    file = project.write("steps.yaml", {"id": "steps", "title": "Steps", "tasks": tasks})

    ran = project.orchestrator("run", file, "--stop-before", "3")
    assert ran.returncode == 1
    assert "batch 3 waits to be launched. Next: orchestrator launch steps" in ran.stdout
    assert project.orchestrator("pause", "steps").returncode == 0
    refused = project.orchestrator("approve", "steps", "T3")
    assert refused.returncode == 2
    assert "T3 of steps cannot take review_approved" in refused.stderr
    assert project.orchestrator("resume", "steps").returncode == 0
    assert project.orchestrator("launch", "steps").returncode == 0
    assert project.client().feature("steps").wait(PATIENCE).status is FeatureStatus.COMPLETED


def test_a_person_does_a_task_by_hand(make_project: MakeProject) -> None:
    # Given a feature that no worker takes up
    project = make_project()
    handle = project.client().enqueue(one_task(), auto_launch=False, stops=[1])

    for status in ("testing", "completed"):
        moved = project.orchestrator("advance", handle.id, "T1")
        assert moved.returncode == 0, moved.stderr
        assert f"T1 is {status}." in moved.stdout

    assert handle.status() is FeatureStatus.COMPLETED


def test_a_technical_blocker_is_handed_on_once(make_project: MakeProject) -> None:
    project = make_project(error_handling={"escalate_technical_to": "senior-engineer"})
    project.start_worker("one", "-c", "1")
    command = report({"status": "blocked", "reason": "it does not link"}, unless=project.folder / "never")
    handle = project.enqueue(one_task(run=command))

    assert handle.wait(PATIENCE).status is FeatureStatus.BLOCKED
    (state,) = handle.states()
    assert (state.specialist, state.attempt, state.escalated) == ("Senior Engineer", 2, True)
    assert [event.event for event in handle.events() if event.event == "task_escalated"] == ["task_escalated"]
