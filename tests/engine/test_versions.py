"""A worker and the command line read features that a newer version wrote."""

from __future__ import annotations

import json
import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest
from celery.concurrency.prefork import TaskPool

from orchestrator import cli
from orchestrator.config.schema.operation import Recovery
from orchestrator.engine import startup_checks
from orchestrator.engine.attempt_runner import AttemptRunner
from orchestrator.engine.maintenance import Maintenance
from orchestrator.engine.round import Round
from orchestrator.engine.visibility import TaskFailed, TaskStopped
from orchestrator.model import errors
from orchestrator.model.feature import Feature
from orchestrator.model.flows import FeatureEvent
from orchestrator.planning import planner, routing
from orchestrator.state import retention, schema
from orchestrator.state.store import Store
from tests.engine.brokers import app_with
from tests.model import factories
from tests.model.factories import task

NEXT = schema.VERSION + 1
WHO = "implementation-specialist"


@pytest.fixture
def runner(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> AttemptRunner:
    monkeypatch.chdir(tmp_path)
    return AttemptRunner(app_with("memory://"))


def launch(
    runner: AttemptRunner, feature_id: str = "auth", feature: Feature | None = None, **written: Any
) -> None:
    """A launched feature, in which a newer version wrote these fields."""
    feature = feature or factories.feature(task("T1"), task("T2", "T1"))
    runner.store.enqueue(feature_id, planner.plan(feature), routing.route(feature, runner.settings))
    runner.store.schedule(feature_id)
    for name, value in written.items():
        runner.store.client.hset(runner.store.keys.feature(feature_id).meta, name, value)


@pytest.mark.parametrize("what", ["feature", "prefix"])
def test_an_attempt_of_a_newer_version_is_left_alone_and_counted(
    runner: AttemptRunner, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    if what == "feature":
        launch(runner, schema=NEXT)
    else:
        launch(runner)
        runner.store.recovery.raise_minimum(NEXT)

    with pytest.raises(TaskStopped, match=r"^not started: "):
        runner.run(WHO, "auth", "T1", 1, "w1")

    assert f"schema {NEXT}" in caplog.text
    store: Any = runner.store.client
    assert store.hgetall(runner.store.keys.refused) == {"newer": "1"}
    assert store.zscore(runner.store.keys.feature("auth").slots, "T1") < 0, "it is launched, as it was"


def test_a_task_that_cannot_be_read_fails_once_and_waits_for_a_person(runner: AttemptRunner) -> None:
    launch(runner)
    keys, store = runner.store.keys.feature("auth"), runner.store.client
    store.hset(keys.tasks, "T1", json.dumps({"id": "T1", "complexity": "huge"}))

    with pytest.raises(TaskFailed, match="complexity"):
        runner.run(WHO, "auth", "T1", 1, "w1")

    state: Any = store.hget(keys.states, "T1")
    assert (json.loads(state)["status"], json.loads(state)["attempt"]) == ("failed", 1)
    assert store.zcard(keys.slots) == 0
    outcome = runner.store.tasks.outcomes("auth", ["T1"])["T1"]
    assert outcome.status == "failed"
    assert "complexity" in outcome.reason


def test_what_a_newer_version_left_finished_holds_up_no_other_from_being_forgotten(
    runner: AttemptRunner,
) -> None:
    for feature_id in ("a-newer", "sound"):
        launch(runner, feature_id)
        runner.store.requests.update_feature(feature_id, FeatureEvent.FEATURE_CANCELLED)
    runner.store.client.hset(runner.store.keys.feature("a-newer").meta, "schema", NEXT)
    assert retention.forget_old(runner.store, older_than=0) == ["sound"]


@pytest.fixture
def maintenance(runner: AttemptRunner) -> Maintenance:
    parent: Any = SimpleNamespace(
        app=app_with("memory://", recovery=Recovery(sweep=0.01)),
        hostname="w1@here",
        pool=SimpleNamespace(num_processes=3),
        pool_cls=TaskPool,
    )
    return Maintenance(parent)


def test_the_sweep_passes_over_what_it_cannot_read_and_says_so_once(
    runner: AttemptRunner, maintenance: Maintenance, caplog: pytest.LogCaptureFixture
) -> None:
    launch(runner, "a-newer", schema=NEXT)
    launch(runner, "sound")
    slots = maintenance.runner.store.keys.feature("sound").slots
    maintenance.runner.store.client.zadd(slots, {"T1": 1})

    for _ in range(3):
        maintenance.run_round()

    assert maintenance.runner.store.tasks.state("sound", "T1").lost == 1
    assert caplog.text.count("[a-newer] is not swept") == 1


def test_a_worker_that_is_too_old_does_not_start(
    runner: AttemptRunner, maintenance: Maintenance, caplog: pytest.LogCaptureFixture
) -> None:
    runner.store.recovery.raise_minimum(NEXT)
    with pytest.raises(SystemExit) as ended:
        maintenance.start(SimpleNamespace())  # type: ignore[arg-type]
    assert ended.value.code == 1
    assert "too old for the data under the prefix to" in caplog.text


def test_a_worker_asks_for_no_newer_workers_than_it_needs(
    runner: AttemptRunner, maintenance: Maintenance
) -> None:
    startup_checks.check_schema(maintenance.store, maintenance.settings)
    assert runner.store.features.minimum() == schema.OLDEST_BESIDE <= schema.VERSION


def test_a_worker_that_became_too_old_ends_in_order_and_takes_no_lead(
    runner: AttemptRunner, maintenance: Maintenance, monkeypatch: pytest.MonkeyPatch
) -> None:
    signals: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: signals.append((pid, number)))
    maintenance.run_round()
    assert not signals

    runner.store.recovery.raise_minimum(NEXT)
    for _ in range(3):
        maintenance.round = Round("w1")  # it takes each step at once
        maintenance.run_round()

    assert signals == [(os.getpid(), signal.SIGTERM)]
    assert not maintenance.elect_leader()


@pytest.fixture
def orchestrator(
    runner: AttemptRunner, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Runs the command on the store of the test: its exit code, what it wrote, what it said of mistakes."""
    monkeypatch.setenv("TASKORCHESTRATOR_REDIS__URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["orchestrator", *arguments])
        code = int(cli.run() or 0)
        written = capsys.readouterr()
        return code, written.out, written.err

    return run


def test_a_list_shows_what_cannot_be_read_as_one_line(runner: AttemptRunner, orchestrator: Any) -> None:
    launch(runner, "newer", schema=NEXT)
    launch(runner, "damaged", cap="wide")
    launch(runner, "sound")

    code, out, _ = orchestrator("status")

    assert code == 0
    lines = {line.split(" ")[0]: line for line in out.splitlines()}
    why = f"a newer version wrote it (schema {NEXT}; this one reads up to {schema.VERSION})"
    assert lines["newer"] == f"newer  Login  planning: cannot be read: {why}"
    assert lines["damaged"].startswith("damaged  Login  planning: cannot be read: ")
    assert "0/2" in lines["sound"]

    _, out, _ = orchestrator("status", "--json")
    found = {one["feature"]: one for one in json.loads(out)["features"]}
    assert found["sound"]["total"] == 2
    assert found["newer"]["unreadable"].startswith("a newer version wrote it")


def test_one_of_which_nothing_can_be_read_is_refused_with_the_reason(
    runner: AttemptRunner, orchestrator: Any
) -> None:
    launch(runner, "newer", schema=NEXT)
    for command in (
        ["status", "newer"],
        ["retry", "newer", "T1"],
        ["cancel", "newer"],
        ["explain", "newer", "T1"],
    ):
        code, out, err = orchestrator(*command)
        assert (code, out) == (1, "")
        assert "The feature newer was written by a newer version" in err
        assert "Install here" in err


def test_a_status_of_a_newer_version_is_shown_as_it_is(runner: AttemptRunner, orchestrator: Any) -> None:
    # Given a feature, a task and an event of which some words are new, and a field of each
    tasks = [task(f"T{number}") for number in range(70)]  # so many that not all are shown
    launch(runner, feature=factories.feature(*tasks), status="archiving")
    store, keys = runner.store.client, runner.store.keys.feature("auth")
    stored: Any = store.hget(keys.states, "T1")
    store.hset(keys.states, "T1", json.dumps({**json.loads(stored), "status": "parked", "colour": "blue"}))
    store.xadd(
        keys.events,
        {"event": "task_parked", "task": "T1", "from": "pending", "to": "parked", "colour": "blue"},
    )

    # Then each command that shows them does
    code, out, _ = orchestrator("status")
    assert code == 0
    assert "archiving" in out
    for command in (
        ["status", "auth"],
        ["status", "auth", "--all"],
        ["explain", "auth", "T1"],
        ["events", "auth"],
    ):
        code, out, err = orchestrator(*command)
        assert (code, err) == (0, ""), command
        assert "parked" in out, command
    code, out, _ = orchestrator("status", "auth", "--json")
    assert json.loads(out)["status"] == "archiving"
    # And what a person asks for is refused by name, or done.
    code, _, err = orchestrator("retry", "auth", "T1")
    assert code == 2
    assert "parked" in err


def test_a_client_lists_what_it_can_read_in_silence_and_the_rest_where_it_is_asked(
    runner: AttemptRunner,
) -> None:
    from orchestrator.client.client import Client

    launch(runner, "newer", schema=NEXT)
    launch(runner, "sound")
    client = Client(app=runner.dispatcher.app)
    assert [one.id for one in client.features()] == ["sound"]
    assert [one.id for one in client.overview()] == ["sound", "newer"]
    with pytest.raises(errors.NewerFeature):
        client.feature("newer")
