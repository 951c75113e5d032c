"""A canvas comes into the place of a task that runs: in one step, once, and the tasks that wait for it wait on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.model.feature import FeatureStatus, Strategy
from orchestrator.model.outcome import Failed
from orchestrator.model.task import Task
from orchestrator.planning import extension
from orchestrator.state.store import Store
from tests.model.factories import task
from tests.state.factories import BUILDER, Run, everything, launched, replace

STRATEGIES = [Strategy.BATCHED, Strategy.SEQUENTIAL, Strategy.DATAFLOW]


def begun(store: Store, strategy: Strategy) -> Run:
    """T1 runs; T2 waits for it."""
    run = launched(store, task("T1"), task("T2", "T1"), task("T3"), strategy=strategy)
    run.start("T1")
    return run


def work(run: Run, name: str) -> None:
    """A worker does a task that is launched."""
    specialist = f"call:proj.{name.partition('.')[2]}" if "." in name else "builder"
    assert run.start(name, specialist=specialist).code == "started"
    run.end(name)


def work_all(run: Run) -> list[str]:
    """Workers do all that is launched until nothing is; in which order."""
    done = []
    while launched := [str(name) for name in run.store.client.zrange(run.keys.slots, 0, -1)]:
        work(run, launched[0])
        done.append(launched[0])
    return done


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_task_waits_for_those_in_its_place_and_others_wait_for_it(store: Store, strategy: Strategy) -> None:
    run = begun(store, strategy)

    assert replace(run, "T1") == "finished"

    assert run.summary.total == 5
    assert run.store.tasks.find(run.id, "T1").depends_on == ("T1.two",)
    done = work_all(run)
    assert [name for name in done if name != "T3"] == ["T1.one", "T1.two", "T1", "T2"]
    assert run.status() == FeatureStatus.COMPLETED


def test_a_commit_that_is_repeated_adds_nothing(store: Store) -> None:
    """The answer of the first one was lost."""
    run = begun(store, Strategy.DATAFLOW)
    replace(run, "T1")
    before = everything(store.client)

    assert replace(run, "T1") == "repeated"

    assert everything(store.client) == before


def test_a_worker_that_lost_its_attempt_adds_nothing(store: Store) -> None:
    run = begun(store, Strategy.DATAFLOW)
    run.expire_lease("T1")
    run.recover()
    run.schedule()
    before = everything(store.client)

    assert replace(run, "T1") == "refused"

    assert everything(store.client) == before


def test_a_feature_that_is_cancelled_meanwhile_gets_no_tasks(store: Store) -> None:
    run = begun(store, Strategy.BATCHED)
    run.cancel()

    assert replace(run, "T1") == "finished"

    assert run.summary.total == 3
    assert "T1.one" not in run.order


def test_a_growth_by_a_person_leaves_them_in_their_batch(store: Store) -> None:
    run = begun(store, Strategy.BATCHED)
    replace(run, "T1")

    grown = store.requests.grow(
        run.id,
        lambda shape: extension.grow(shape, [Task(id="T4", depends_on=["T3"])]),
        lambda added: {one.id: BUILDER for one in added},
    )

    run.take(grown)
    stored: Any = store.client.hgetall(run.keys.batches)
    assert json.loads(stored["1"])["tasks"] == ["T1.one", "T1.two", "T1", "T3"]
    work_all(run)
    assert run.status() == FeatureStatus.COMPLETED


def test_a_task_of_a_canvas_that_fails_is_retried_by_hand_and_the_rest_goes_on(store: Store) -> None:
    run = begun(store, Strategy.BATCHED)
    replace(run, "T1")
    run.start("T1.one", specialist="call:proj.one")
    run.end("T1.one", Failed(reason="boom"))
    assert run.status() == FeatureStatus.BLOCKED
    assert run.status("T1") == "pending"

    run.reopen("T1.one")

    assert work_all(run)[-1] == "T2"
    assert run.status() == FeatureStatus.COMPLETED


def test_a_task_of_a_canvas_that_is_skipped_holds_nothing_up(store: Store) -> None:
    run = begun(store, Strategy.BATCHED)
    replace(run, "T1")
    run.start("T1.one", specialist="call:proj.one")
    run.end("T1.one", Failed(reason="boom"))

    run.skip("T1.one")

    assert [name for name in work_all(run) if name != "T3"] == ["T1.two", "T1", "T2"]
