"""Agents climb their ladder in real workers: the next tier, then a person; a killed worker's agent goes on."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.client.handle import Handle
from orchestrator.model.feature import Feature, FeatureStatus
from orchestrator.model.outcome import Blocked, BlockKind, Completed, RetryLater
from orchestrator.model.task import Task, TaskStatus
from orchestrator.state.workers import Worker
from tests.acceptance.conftest import MakeProject, Project, all_events
from tests.acceptance.test_recovery import ALONE, is_ready
from tests.agents.places import fake_runtime
from tests.waiting import wait_until

pytestmark = pytest.mark.real

TIERS = {"weak": {"fake": "small"}, "strong": {"fake": "large"}}


@pytest.fixture
def project(make_project: MakeProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose coder is the fake agent, which climbs from weak to strong."""
    monkeypatch.setenv("FAKE_AGENT_SCRIPT", str(tmp_path / "script.json"))
    monkeypatch.setenv("FAKE_AGENT_HOME", str(tmp_path / "conversations"))
    agent = {"runtime": "fake", "workspace": "none", "ladder": ["weak", "strong"]}
    return make_project(
        specialists={"coder": {"agent": agent}}, agent_runtimes={"fake": fake_runtime()}, tiers=TIERS
    )


def begin(project: Project, **moves: Any) -> Handle:
    """Enqueue T1, whose agent makes these moves, and start a worker."""
    named = {name.replace("_", "/"): given for name, given in moves.items()}
    Path(os.environ["FAKE_AGENT_SCRIPT"]).write_text(json.dumps(named), "utf-8")
    project.start_worker("w1", "-c", "1", *ALONE)
    return project.enqueue(Feature(title="Climb", tasks=[Task(id="T1", specialist="coder")]))


def test_what_the_first_tier_fails_the_second_completes(project: Project) -> None:
    handle = begin(
        project,
        T1_small=[{"fail": "two tests fail"}],
        T1_large=[{"expect": "two tests fail"}, {"complete": "all tests pass"}],
    )
    assert handle.wait(timeout=120).status is FeatureStatus.COMPLETED
    (state,) = handle.states()
    assert (state.attempt, state.rung, state.tier, state.retried) == (2, 1, "strong", 0)
    (outcome,) = [handle.outcome("T1")]
    assert isinstance(outcome, Completed)
    assert outcome.summary == "all tests pass"
    (climbed,) = [event for event in all_events(handle) if event.event == "task_escalated"]
    assert (climbed.cause, climbed.note) == ("reported", "goes to the tier strong")
    assert "goes to the tier strong" in project.orchestrator("events", handle.id).stdout


def test_after_the_last_tier_a_person_is_asked_and_a_note_goes_on_where_it_stood(project: Project) -> None:
    handle = begin(
        project,
        T1_small=[{"fail": "no such key"}],
        T1_large=[{"block": {"kind": "technical", "reason": "the key is locked"}}],
        **{"T1#3": [{"expect": "the key is in the vault"}, {"complete": "done"}]},
    )
    handle.wait(timeout=120)
    outcome = handle.outcome("T1")
    assert isinstance(outcome, Blocked)
    assert outcome.kind is BlockKind.TECHNICAL
    for told in ("weak: no such key", "strong: the key is locked"):
        assert told in outcome.reason
    handle.unblock("T1", note="the key is in the vault")
    assert handle.wait(timeout=120).status is FeatureStatus.COMPLETED
    (state,) = handle.states()
    assert (state.attempt, state.rung) == (3, 1)


def test_the_agent_of_a_killed_worker_goes_on_with_its_conversation(project: Project) -> None:
    began = project.folder / "began"
    handle = begin(
        project,
        **{"T1#1": [{"write": {str(began): "x"}}, "hang"], "T1+": [{"complete": "went on"}]},
        T1=[{"fail": "it began anew"}],
    )
    wait_until(began.exists)
    (worker,) = project.workers
    main = psutil.Process(worker.pid)
    pool, everything = main.children(), main.children(recursive=True)
    left = [process for process in everything if process not in pool]  # the agent, and what guards it
    for process in [main, *pool]:
        process.kill()
    project.start_worker("w2", "-c", "1", *ALONE)
    wait_until(partial(is_ready, project, "w2"))
    assert handle.wait(timeout=120).status is FeatureStatus.COMPLETED
    outcome = handle.outcome("T1")
    assert isinstance(outcome, Completed)
    assert outcome.summary == "went on"
    (state,) = handle.states()
    assert (state.attempt, state.rung, state.status) == (2, 0, TaskStatus.COMPLETED)
    assert [event.event for event in all_events(handle)].count("worker_lost") == 1
    assert left
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in left)


def test_a_limit_that_one_agent_meets_holds_for_all(project: Project) -> None:
    """The second task starts no agent while the model is closed; neither task loses a try."""
    log = project.folder / "runs"
    told = [{"append": {str(log): "run\n"}}]
    script = {"T1#1": [*told, {"rate_limit": 3.0}], "*": [*told, {"complete": "done"}]}
    Path(os.environ["FAKE_AGENT_SCRIPT"]).write_text(json.dumps(script), "utf-8")
    project.start_worker("w1", "-c", "1", *ALONE)
    tasks = [Task(id=name, specialist="coder") for name in ("T1", "T2", "T3")]
    handle = project.enqueue(Feature(title="Limit", tasks=tasks, max_parallel_tasks=1))
    client = project.client()
    wait_until(lambda: bool(client.models()))
    shown = project.orchestrator("limits").stdout
    assert "MODEL AT ITS LIMIT" in shown
    assert "small" in shown
    assert handle.wait(timeout=120).status is FeatureStatus.COMPLETED
    # One run met the limit; then one for each task. Who came while it was closed began none.
    assert log.read_text() == "run\n" * 4
    waited = [event.task for event in all_events(handle) if event.cause == "rate-limit"]
    assert {"T1", "T2", "T3"} == set(waited)
    assert {(state.rung, state.retried) for state in handle.states()} == {(0, 0)}


@pytest.fixture
def dear(make_project: MakeProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose features may cost 50 cents, and each of their tasks 40."""
    monkeypatch.setenv("FAKE_AGENT_SCRIPT", str(tmp_path / "script.json"))
    monkeypatch.setenv("FAKE_AGENT_HOME", str(tmp_path / "conversations"))
    agent = {"runtime": "fake", "workspace": "none"}
    return make_project(
        specialists={"coder": {"agent": agent, "budget": {"cost": 0.4}}},
        agent_runtimes={"fake": fake_runtime()},
        budgets={"feature": {"cost": 0.5}},
    )


def enqueue(project: Project, script: dict[str, Any], *tasks: str, **fields: Any) -> Handle:
    """Enqueue tasks whose agents make these moves, and start a worker."""
    Path(os.environ["FAKE_AGENT_SCRIPT"]).write_text(json.dumps(script), "utf-8")
    project.start_worker("w1", "-c", "2", *ALONE)
    feature = Feature(title="Dear", tasks=[Task(id=name, specialist="coder") for name in tasks], **fields)
    return project.enqueue(feature)


def test_a_budget_ends_agents_and_once_it_is_raised_they_go_on(dear: Project) -> None:
    began = dear.folder / "began"
    script = {
        "T1": [{"usage": {"input": 1, "cost": 0.3}}, {"complete": "done"}],
        "T2#1": [{"usage": {"input": 1, "cost": 0.25}}, "hang"],
        "T2#2+": [{"complete": "went on"}],
        "T3#1": [{"write": {str(began): "too early"}}],
        "T3#2": [{"complete": "done"}],
    }
    handle = enqueue(dear, script, "T1", "T2", "T3", max_parallel_tasks=1)
    handle.wait(timeout=120)
    for name in ("T2", "T3"):
        outcome = handle.outcome(name)
        assert isinstance(outcome, Blocked)
        assert (outcome.kind, outcome.budget) == (BlockKind.BUDGET, "feature")
        assert "$0.50 for the feature" in outcome.reason
    assert not began.exists()  # what cannot be paid does not begin
    told = [event.event for event in all_events(handle) if event.event.startswith("budget")]
    assert told == ["budget_reached"]

    assert handle.set_budget("+2") == 2.5
    assert handle.wait(timeout=120).status is FeatureStatus.COMPLETED
    outcome = handle.outcome("T2")
    assert isinstance(outcome, Completed)
    assert outcome.summary == "went on"  # with its own conversation


def test_the_budget_of_one_task_is_raised_for_it_alone(dear: Project) -> None:
    handle = enqueue(dear, {"T1#1": [{"usage": {"input": 1, "cost": 0.4}}, "hang"]}, "T1")
    handle.wait(timeout=120)
    outcome = handle.outcome("T1")
    assert isinstance(outcome, Blocked)
    assert outcome.budget == "task"
    Path(os.environ["FAKE_AGENT_SCRIPT"]).write_text(json.dumps({"*": [{"complete": "done"}]}), "utf-8")
    dear.orchestrator("budget", handle.id, "+0.60", "T1")
    assert handle.wait(timeout=120).status is FeatureStatus.COMPLETED
    assert "$1.00 for T1" in [event.note for event in all_events(handle) if event.event == "budget_changed"]


def test_agents_side_by_side_cannot_spend_more_than_the_budget(dear: Project) -> None:
    """Each may cost 40 cents, the feature 50: the second begins once the first gives back what it did not need."""
    log, go = dear.folder / "runs", dear.folder / "go"
    moves = [
        {"append": {str(log): "run\n"}},
        {"wait_for": str(go)},
        {"usage": {"input": 1, "cost": 0.1}},
        {"complete": "done"},
    ]
    handle = enqueue(dear, {"*": moves}, "T1", "T2")
    waits = partial(_waits_for_the_other, handle)
    wait_until(lambda: waits() and log.exists())
    assert log.read_text() == "run\n"
    go.touch()
    assert handle.wait(timeout=120).status is FeatureStatus.COMPLETED
    assert log.read_text() == "run\n" * 2
    assert {state.retried for state in handle.states()} == {0}  # to wait costs no retry


def _waits_for_the_other(handle: Handle) -> bool:
    outcomes = [handle.outcome(name) for name in ("T1", "T2")]
    return any(isinstance(one, RetryLater) and "other agents hold" in one.reason for one in outcomes)


def test_an_attempt_is_left_to_the_machine_of_its_conversation(project: Project) -> None:
    """The conversation is made one of another machine, whose worker then ends: the task begins anew here."""
    handle = begin(project, **{"T1#1": [{"rate_limit": 2.0}], "*": [{"complete": "anew"}]})
    wait_until(lambda: isinstance(handle.outcome("T1"), RetryLater))
    store: Any = handle.store
    agents, field = store.keys.feature(handle.id).agents, "session T1"
    moved = {**json.loads(store.client.hget(agents, field)), "host": "elsewhere"}
    store.client.hset(agents, field, json.dumps(moved))
    store.workers.announce(Worker(id="w9", name="w9@elsewhere", host="elsewhere", queues=("coder",)))

    def is_left() -> bool:
        outcome = handle.outcome("T1")
        return isinstance(outcome, RetryLater) and "its conversation is on elsewhere" in outcome.reason

    wait_until(is_left)
    store.workers.leave("w9")
    assert handle.wait(timeout=120).status is FeatureStatus.COMPLETED
    (state,) = handle.states()
    assert (state.retried, state.rung) == (0, 0)
