"""schedule.lua: what may start now, as a function of the stored state."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.model import errors
from orchestrator.model.feature import FeatureStatus
from orchestrator.model.outcome import Blocked, Failed, RetryLater
from orchestrator.model.task import TaskStatus
from orchestrator.state.store import Store
from tests.model.factories import task
from tests.state.factories import check, enqueue, launched, read


def test_the_first_batch_is_launched(store: Store) -> None:
    with enqueue(store) as run:
        scheduled = store.schedule(run.id)

        assert [(launch.task, launch.attempt, launch.specialist) for launch in scheduled.launched] == [
            ("T1", 1, "builder"),
            ("T3", 1, "builder"),
        ]
        assert scheduled.opened == (1,)
        assert scheduled.status is FeatureStatus.PLANNING
        assert all(read(run).slots[name] < 0 for name in ("T1", "T3"))


def test_a_repetition_launches_nothing_twice(store: Store) -> None:
    with launched(store) as run:
        before = read(run)

        assert [run.schedule() for _ in range(3)] == [[], [], []]
        assert read(run) == before


@pytest.mark.parametrize("cap", [1, 2, 7, 10])
def test_the_cap_is_kept_exactly(store: Store, cap: int) -> None:
    with enqueue(store, *(task(f"T{number}") for number in range(8)), cap=cap) as run:
        assert len(run.schedule()) == min(cap, 8)
        assert len(run.complete("T0")) == (1 if cap < 8 else 0)
        assert store.features.summary(run.id).queued == max(0, 7 - cap)


def test_the_cap_holds_for_each_feature_alone(store: Store) -> None:
    one, two = (
        enqueue(store, task("T1"), task("T2"), feature_id=feature_id, cap=1) for feature_id in ("one", "two")
    )
    assert (one.schedule(), two.schedule()) == (["T1"], ["T1"])


def test_a_free_slot_is_filled_at_once(store: Store) -> None:
    with launched(store, *(task(f"T{number}") for number in range(4)), cap=2) as run:
        assert run.complete("T1") == ["T2"]
        assert run.complete("T2") == ["T3"]
        assert run.complete("T0") == []


def test_the_next_batch_waits_for_the_whole_batch_before(store: Store) -> None:
    with launched(store) as run:  # T1 and T3, then T2, then T4 and T5
        assert run.complete("T1") == []
        assert store.tasks.state(run.id, "T2").phase == "waiting"
        assert run.complete("T3") == ["T2"]
        assert run.complete("T2") == ["T4", "T5"]
        assert store.features.summary(run.id).batch == 3


def test_a_feature_is_completed_with_its_last_task(store: Store) -> None:
    with launched(store) as run:
        run.complete("T1", "T3", "T2", "T4", "T5")

        progress = store.features.summary(run.id)
        assert progress.status is FeatureStatus.COMPLETED
        assert progress.is_settled
        assert progress.finished
        assert progress.percent == 100
        assert store.features.active() == []
        assert run.schedule() == []


def test_the_launch_order_is_the_plans(store: Store) -> None:
    tasks = [
        task("low", priority="low"),
        task("short", estimate="1m"),
        task("long", estimate="1h"),
        task("high", priority="high", estimate="1s"),
    ]
    with enqueue(store, *tasks, cap=1) as run:
        order = run.schedule()
        while launches := run.complete(order[-1]):
            order += launches

        assert order == ["high", "long", "short", "low"] == list(run.plan.batches[0].tasks)


def test_a_retried_task_keeps_its_place_in_the_order(store: Store) -> None:
    with launched(store, *(task(f"T{number}") for number in range(4)), cap=1) as run:
        # Given T0, which waits for a retry, and T1, which took its slot
        run.do("T0", RetryLater(after=60))
        assert store.tasks.state(run.id, "T1").phase == "launched"
        # When it is due and a slot becomes free
        run.make_due("T0")
        # Then it goes before T2
        assert run.complete("T1") == ["T0"]


@pytest.mark.parametrize("outcome", [Failed(reason="broken"), Blocked(reason="no key")])
def test_a_stopped_task_stops_the_chain_and_its_batch_goes_on(
    store: Store, outcome: Failed | Blocked
) -> None:
    with launched(store, task("T1"), task("T2"), task("T3", "T1"), cap=1) as run:
        # When the first of a batch stops, then the second goes on
        run.start("T1")
        scheduled = run.end("T1", outcome)
        assert [launch.task for launch in scheduled.launched] == ["T2"]
        assert scheduled.status is FeatureStatus.BLOCKED
        assert not store.features.summary(run.id).is_settled

        # And nothing of the next batch starts
        assert run.complete("T2") == []
        assert store.features.summary(run.id).is_settled
        assert run.status("T3") == TaskStatus.PENDING


def test_a_due_retry_starts_again_and_one_that_is_not_waits(store: Store) -> None:
    with launched(store, task("T1"), task("T2")) as run:
        for name in ("T1", "T2"):
            run.do(name, Failed(reason="flaky"), retries=1)
        assert run.schedule() == []
        assert store.features.summary(run.id).delayed == 2

        run.make_due("T2")

        assert run.schedule() == ["T2"]
        assert run.attempt("T2") == 2
        assert store.tasks.state(run.id, "T1").phase == "delayed"


def test_the_moment_of_the_next_retry_is_known(store: Store) -> None:
    client: Any = store.client
    with launched(store, task("T1"), task("T2"), task("T3")) as run:
        # Given two tasks that wait for a retry
        for name, after in (("T1", 7_200), ("T2", 3_600)):
            run.do(name, RetryLater(after=after))
        left, wake = store.limits.take_due()
        assert wake == []
        assert left is not None
        assert 3_600 - 60 < left <= 3_600

        # When the first of them is due, then the feature is to be woken
        run.make_due("T2")
        client.zadd(store.keys.due, {f"retry:{run.id}": 1})
        assert store.limits.take_due() == (None, [run.id])

        # And its schedule launches the task, and makes the moment of the other one known
        assert run.schedule() == ["T2"]
        left, wake = store.limits.take_due()
        assert wake == []
        assert left is not None
        assert 7_200 - 60 < left <= 7_200


def test_a_retry_that_is_due_before_all_others_is_told(store: Store) -> None:
    client: Any = store.client
    listener = client.pubsub(ignore_subscribe_messages=True)
    listener.subscribe(store.keys.wake)
    listener.get_message(timeout=1)
    with launched(store, task("T1"), task("T2"), task("T3")) as run:
        for name, after in (("T1", 60), ("T2", 90), ("T3", 30)):
            run.do(name, RetryLater(after=after))
        told = [listener.get_message(timeout=1) for _ in range(3)]
    assert [message["data"] for message in told if message] == [f"retry:{run.id}"] * 2
    listener.close()


def test_without_auto_launch_each_batch_waits_to_be_launched(store: Store) -> None:
    with enqueue(store, task("T1"), task("T2", "T1"), task("T3", "T2"), auto_launch=False) as run:
        # Given the first batch, which starts by itself
        assert run.schedule() == ["T1"]
        assert run.complete("T1") == []
        assert run.status() == FeatureStatus.ON_HOLD
        assert run.schedule() == []
        check(run)

        # When the next is released, then it starts, and the one after it waits
        assert run.release() == ["T2"]
        assert run.status() == FeatureStatus.IN_DEVELOPMENT
        assert run.complete("T2") == []
        assert run.status() == FeatureStatus.ON_HOLD

        # And the last one completes the feature
        run.release()
        run.complete("T3")
        assert run.status() == FeatureStatus.COMPLETED


def test_a_feature_is_in_development_when_its_first_task_has_started(store: Store) -> None:
    with launched(store) as run:
        assert run.status() == FeatureStatus.PLANNING
        assert run.start("T1").feature_status == "in-development"
        assert run.status() == FeatureStatus.IN_DEVELOPMENT
        assert run.start("T3").feature_status == "in-development"


def test_a_feature_that_does_not_exist_is_not_scheduled(store: Store) -> None:
    with pytest.raises(errors.NoSuchFeature, match="nobody"):
        store.schedule("nobody")
