"""How long tasks take is learned from those that were completed, and is the estimate where none is written."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from orchestrator.model import lifecycle
from orchestrator.model.feature import Strategy
from orchestrator.model.flows import TaskEvent
from orchestrator.model.lifecycle import Attempts
from orchestrator.model.outcome import Completed, Failed, Outcome
from orchestrator.model.task import Retries, Task
from orchestrator.planning import extension, planner, sketch
from orchestrator.state.store import Store
from tests.model.factories import feature, task
from tests.state.factories import FLOW, Run, launched, routes_of

TITLE = "Login"
WHO = {"T1": "builder"}


def attempt(run: Run, name: str, seconds: float, outcome: Outcome | None = None, title: str = TITLE) -> None:
    """A worker does a task, which takes at least so many seconds."""
    assert run.start(name).code == "started"
    states = run.keys.states
    state = json.loads(str(run.store.client.hget(states, name)))
    state["started"] -= round(seconds * 1000)
    run.store.client.hset(states, name, json.dumps(state))
    outcome = outcome or Completed()
    transition = lifecycle.conclude(FLOW, outcome, Retries(), Attempts(), chance=0)
    code, _, _ = run.store.attempts.finish(
        run.id, name, run.attempt(name), outcome, transition, worker="w1", title=title
    )
    assert code == "finished"


def unknown(id: str, *depends_on: str, **fields: Any) -> Task:
    return task(id, *depends_on, estimate=None, **fields)


def test_what_a_completed_task_took_is_known_of_the_next_feature_of_this_title(store: Store) -> None:
    begun = time.monotonic()
    with launched(store, unknown("T1")) as run:
        attempt(run, "T1", 90)
    (found,) = store.features.durations(TITLE, WHO).values()
    assert found.times == 1
    assert 90 <= found.median <= 91 + time.monotonic() - begun
    assert store.tasks.before(run.id, "T1") == found
    # And of no other title, task or specialist
    assert store.features.durations("Logout", WHO) == {}
    assert store.features.durations(TITLE, {"T2": "builder", "T1": "writer"}) == {}


@pytest.mark.parametrize("outcome", [Failed(reason="exit code 1"), Completed()], ids=["failed", "unnamed"])
def test_nothing_is_learned_from_a_failure_or_where_no_title_is_given(store: Store, outcome: Outcome) -> None:
    with launched(store, unknown("T1")) as run:
        attempt(run, "T1", 90, outcome, title=TITLE if isinstance(outcome, Failed) else "")
    assert store.features.durations(TITLE, WHO) == {}


def test_the_last_durations_count_and_those_before_are_forgotten(store: Store) -> None:
    # Given a task that took an hour, and has taken a minute for as many times as are kept
    for number in range(1 + sketch.KEPT):
        with launched(store, unknown("T1"), feature_id=f"login-{number}") as run:
            attempt(run, "T1", 60 if number else 3_600)
    (found,) = store.features.durations(TITLE, WHO).values()
    assert found.times == 1 + sketch.KEPT
    assert 60 <= found.median <= found.p90 < 3_600
    assert 0 < store.client.ttl(store.keys.durations(TITLE)) <= sketch.DAYS * 86_400


def test_many_tasks_are_asked_for_as_few_are(store: Store) -> None:
    with launched(store, unknown("T1")) as run:
        attempt(run, "T1", 90)
    many = {f"T{number}": "builder" for number in range(1_000)}
    assert store.features.durations(TITLE, many) == store.features.durations(TITLE, WHO)


def test_what_was_learned_orders_the_tasks_and_says_when_a_batch_is_due(store: Store) -> None:
    # Given two tasks of one complexity without an estimate, of which the second took longer
    tasks = [unknown("T1"), unknown("T2"), unknown("T3", "T1")]
    with launched(store, *tasks) as run:
        assert store.features.summary(run.id).expected_end is None
        assert store.features.summary(run.id).batch_due is None
        attempt(run, "T1", 60)
        attempt(run, "T2", 600)
        attempt(run, "T3", 60)
    # When the feature comes again
    again = feature(*tasks)
    learned = store.features.learned(again, routes_of(again))
    plan = planner.plan(again, 1, Strategy.DATAFLOW, learned)
    # Then the longer one goes first, and it is known when all should end
    assert plan.order[0] == "T2"
    assert not plan.is_guess
    store.enqueue("again", plan, routes_of(again))
    store.schedule("again")
    progress = store.features.summary("again")
    assert progress.batch_due
    assert progress.expected_end


def test_a_feature_that_grows_keeps_what_was_learned_of_its_tasks(store: Store) -> None:
    with launched(store, unknown("T1")) as run:
        attempt(run, "T1", 60)
    plan = planner.plan(
        feature(unknown("T1")), learned=store.features.learned(run.plan.feature, routes_of(run.plan.feature))
    )
    store.enqueue("again", plan, routes_of(plan.feature))
    store.schedule("again")
    new = task("T2", "T1", estimate="5m")
    store.requests.grow(
        "again", lambda shape: extension.grow(shape, [new]), lambda tasks: routes_of(feature(task("T2")))
    )
    assert store.features.summary("again").batch_due
    assert store.features.summary("again").expected_end


# --- when a feature should end ---------------------------------------------------------------------------


@pytest.mark.parametrize("event", [TaskEvent.TASK_HELD, TaskEvent.TASK_DEFERRED, TaskEvent.TASK_CANCELLED])
def test_a_feature_that_waits_for_a_person_has_no_end_to_expect(store: Store, event: TaskEvent) -> None:
    with launched(store, task("T1"), task("T2", "T1")) as run:
        assert store.features.summary(run.id).expected_end
        run.ask("T2", event)
        assert store.features.summary(run.id).expected_end is None


@pytest.mark.parametrize("given", [{"auto_launch": False}, {}], ids=["launched by hand", "paused"])
def test_a_feature_that_a_person_lets_go_on_has_no_end_to_expect(store: Store, given: Any) -> None:
    with launched(store, task("T1"), task("T2", "T1"), **given) as run:
        if not given:
            store.requests.update_feature(run.id, "feature_paused", {"paused": 1})
        assert store.features.summary(run.id).expected_end is None


def test_where_one_task_ahead_is_unknown_there_is_no_end_to_expect(store: Store) -> None:
    with launched(store, task("T1"), unknown("T2", "T1"), task("T3", "T2")) as run:
        assert store.features.summary(run.id).expected_end is None
        assert store.features.summary(run.id).batch_due is not None
        run.complete("T1", "T2")
        assert store.features.summary(run.id).expected_end is not None


def test_a_batch_that_took_longer_than_expected_has_no_end_to_expect(store: Store) -> None:
    with launched(store, task("T1"), task("T2", "T1")) as run:
        started = float(str(store.client.hget(run.keys.meta, "batch_started")))
        store.client.hset(run.keys.meta, "batch_started", str(round(started - 3_600_000)))
        assert store.features.summary(run.id).expected_end is None


def test_a_completed_feature_with_a_skipped_task_is_complete(store: Store) -> None:
    with launched(store, task("T1"), task("T2"), cap=1) as run:
        run.store.requests.transition_task(
            run.id, "T2", FLOW, lifecycle.transition(FLOW, TaskEvent.TASK_SKIPPED), resolve="resolve"
        )
        run.complete("T1")
        progress = store.features.summary(run.id)
        assert progress.status.is_over
        assert (progress.completed, progress.skipped, progress.percent) == (1, 1, 100)


# --- reading no more than is asked for -------------------------------------------------------------------


def test_some_states_are_read_as_all_are(store: Store) -> None:
    # Given tasks that wait for a batch, a slot, a worker, a retry, and one that runs and one that is done
    tasks = [task(f"T{number}") for number in range(6)]
    with launched(store, *tasks, task("U1", "T1"), cap=3) as run:
        run.complete("T0")
        run.start("T1")
        run.start("T2")
        run.finish("T2", Failed(reason="no"), retries=1)
        everything = {state.id: state for state in store.tasks.states(run.id)}
        assert {state.phase for state in everything.values()} >= {"waiting", "queued", "launched", "delayed"}
        found = store.tasks.states_of(run.id, [*reversed(everything), "T9"])
        assert found == list(reversed(everything.values()))
        assert [store.tasks.state(run.id, name) for name in everything] == list(everything.values())


def test_what_holds_a_batch_open_is_found_what_stopped_first(store: Store) -> None:
    tasks = [task(f"T{number}") for number in range(2_500)]
    with launched(store, *tasks, task("U1", "T1"), cap=5) as run:
        run.complete("T0")
        run.start("T3")
        run.start("T4")
        run.finish("T4", Failed(reason="no"))
        assert store.tasks.unresolved(run.id, 1, 3)[:2] == ["T4", "T3"]
        assert len(store.tasks.unresolved(run.id, 1, 3)) == 3
        assert set(store.tasks.in_slots(run.id, 2)) < {"T1", "T2", "T3", "T5", "T6", "T7"}


def test_a_feature_is_found_by_the_beginning_of_its_id(store: Store) -> None:
    for name in ("login-1", "login-2", "logout"):
        launched(store, task("T1"), feature_id=name)
    assert store.features.starting_with("logi") == ["login-1", "login-2"]
    assert store.features.starting_with("logo") == ["logout"]
    assert store.features.starting_with("log*") == []
