"""A batch is overdue against its estimates alone, and only by time in which it could go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.model.outcome import Failed
from orchestrator.state.store import Store
from tests.model.factories import feature, task
from tests.state.factories import Run, launched

OUTAGE = 30.0


def pass_time(run: Run, seconds: float) -> None:
    """As if the sweep had looked so long ago, and the batch had opened so much earlier."""
    client: Any = run.store.client
    for field in ("watched", "batch_started"):
        client.hincrby(run.keys.meta, field, -round(seconds * 1000))


def sweep(run: Run, *, least: float = 0.0, lease: float = 1_000_000.0) -> None:
    """The sweep looks after the feature."""
    run.store.recovery.recover(run.id, losses=1, patience=1e9, lease=lease, overdue=1.5, overdue_least=least)


def told(run: Run) -> int:
    """How often the feature was told to be overdue."""
    return sum(event.event == "batch_overdue" for event in run.store.events.read(run.id))


def after(run: Run, seconds: float, **how: float) -> int:
    """Let time pass under the eyes of the sweep; how often it has told by then that a batch is overdue."""
    sweep(run, **how)
    pass_time(run, seconds)
    sweep(run, **how)
    return told(run)


def test_a_batch_is_overdue_at_a_multiple_of_its_time_and_again_at_growing_intervals(store: Store) -> None:
    with launched(store, task("T1", estimate="10m")) as run:
        run.start("T1")
        assert after(run, 890) == 0
        assert after(run, 20) == 1
        assert after(run, 400) == 1, "not again before half as long again"
        assert after(run, 100) == 2
        assert store.features.summary(run.id).is_overdue


def test_a_short_batch_is_not_overdue_by_seconds(store: Store) -> None:
    with launched(store, task("T1", estimate="2s")) as run:
        run.start("T1")
        assert after(run, 60, least=60) == 0
        assert after(run, 5, least=60) == 1


def test_in_dataflow_a_batch_that_ends_on_plan_is_not_overdue(store: Store) -> None:
    # Given one slot: a (1 m), then b (60 m), then z (1 m), which is in the first batch with a
    plan = feature(
        task("a", estimate="1m"),
        task("b", "a", estimate="60m"),
        task("z", estimate="1m"),
        strategy="dataflow",
    )
    run = launched(store, feature=plan, cap=1)
    run.start("a")
    assert after(run, 60) == 0
    run.end("a")
    run.start("b")
    assert after(run, 60 * 60) == 0
    assert not store.features.summary(run.id).is_overdue
    run.end("b")
    run.start("z")
    assert after(run, 33 * 60) == 1, "62 minutes were planned, and it has run for 94"


def test_without_estimates_nothing_is_overdue(store: Store) -> None:
    with launched(store, task("T1", estimate=None)) as run:
        run.start("T1")
        assert after(run, 1e6) == 0


def pause(run: Run) -> None:
    run.store.requests.update_feature(run.id, "feature_paused", {"paused": 1})


def fail(run: Run) -> None:
    run.end("T1", Failed(reason="no disk"))


@pytest.mark.parametrize("stand_still", [pause, fail], ids=["paused", "failed"])
def test_time_in_which_a_person_holds_it_up_does_not_count(
    store: Store, stand_still: Callable[[Run], None]
) -> None:
    with launched(store, task("T1", estimate="10m")) as run:
        run.start("T1")
        stand_still(run)
        assert after(run, 1e6) == 0


def test_time_in_which_nobody_looked_does_not_count(store: Store) -> None:
    with launched(store, task("T1", estimate="10m")) as run:
        run.start("T1")
        assert after(run, 1e6, lease=OUTAGE) == 0


def test_a_cap_that_is_lowered_makes_it_longer(store: Store) -> None:
    with launched(store, task("T1", estimate="10m"), task("T2", estimate="10m"), cap=2) as run:
        run.start("T1")
        store.requests.update_feature(run.id, "cap_changed", {"cap": 1})
        assert after(run, 25 * 60) == 0, "two tasks of ten minutes, one after the other"
        assert after(run, 6 * 60) == 1


def test_waiting_for_a_limit_does_not_count(store: Store) -> None:
    store.limits.configure({"resource:db": "1"})
    tasks = [task(name, estimate="10m", resources={"db": 1}) for name in ("T1", "T2")]
    with launched(store, *tasks) as run:
        run.start("T1")
        assert after(run, 1e6) == 0, "T2 waits for db"
