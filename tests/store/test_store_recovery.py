"""What is lost is found again: leases, launches that were never published, the one worker that looks."""

from __future__ import annotations

import pytest
import redis

from orchestrator import errors
from orchestrator.lifecycle import Launch
from orchestrator.models import Failed, FailureCause, FeatureStatus, TaskStatus
from orchestrator.store import Store
from tests.core.factories import task
from tests.store.factories import check, enqueue, ids, launched, read


def test_what_was_published_leaves_the_outbox(store: Store) -> None:
    with enqueue(store, task("T1"), task("T2"), task("T3")) as run:
        facts = store.cascade(run.id)
        store.published(run.id, facts.launched[:2])
        assert set(read(run).outbox) == {"T3"}
        store.published(run.id, facts.launched)
        store.published(run.id, facts.launched)
        assert read(run).outbox == {}


def test_what_was_published_late_leaves_the_next_attempt_in_the_outbox(store: Store) -> None:
    with launched(store, task("T1")) as run:
        run.start("T1")
        run.end("T1", Failed(reason="broken"))
        run.reopen("T1")
        store.published(run.id, [Launch("T1", 1, "builder")])
        assert set(read(run).outbox) == {"T1"}


def test_a_launch_that_stays_in_the_outbox_is_found(store: Store) -> None:
    with launched(store, task("T1"), task("T2")) as run:
        # Given one launched long ago and one a moment ago, neither known to be published
        run.age_outbox("T1")

        facts, unpublished = run.recover(patience=60)

        assert (facts.launched, unpublished) == ((), (Launch("T1", 1, "builder"),))
        # And found again, until it is published or starts
        assert run.recover()[1] == unpublished
        store.published(run.id, unpublished)
        assert run.recover()[1] == ()


def test_a_feature_whose_first_cascade_never_came_is_started(store: Store) -> None:
    with enqueue(store, task("T1")) as run:
        facts, unpublished = run.recover()
        assert (ids(facts), unpublished) == (["T1"], ())


def test_a_lost_attempt_is_tried_again(store: Store) -> None:
    with launched(store, task("T1")) as run:
        run.start("T1", worker="w1")
        run.expire_lease("T1")

        facts, _ = run.recover()

        assert facts.launched == (Launch("T1", 2, "builder"),)
        state = store.state(run.id, "T1")
        assert (state.status, state.lost, state.attempt) == (TaskStatus.PENDING, 1, 2)
        told = next(event for event in store.events(run.id) if event.event == "worker_lost")
        assert (told.task, told.attempt, told.worker, told.cause) == ("T1", 1, "w1", "worker-lost")
        assert run.complete("T1") == []


def test_a_task_that_loses_too_many_workers_fails(store: Store) -> None:
    with launched(store, task("T1"), task("T2", "T1")) as run:
        run.losses = 2
        for _ in range(3):
            assert run.status("T1") == TaskStatus.PENDING
            run.start("T1")
            run.expire_lease("T1")
            run.recover()
            check(run)

        assert run.status("T1") == TaskStatus.FAILED
        assert run.status() == FeatureStatus.BLOCKED
        outcome = store.outcomes(run.id, ["T1"])["T1"]
        assert isinstance(outcome, Failed)
        assert (outcome.cause, outcome.reason) == (FailureCause.WORKER_LOST, "its worker was lost 3 times")

        # And after a retry it may lose as many again
        assert run.reopen("T1") == ["T1"]
        assert store.state(run.id, "T1").lost == 0


def test_only_leases_that_ended_are_taken_back(store: Store) -> None:
    with launched(store, task("T1"), task("T2"), task("T3")) as run:
        run.start("T1")
        run.start("T2")
        run.expire_lease("T2")

        facts, _ = run.recover()

        assert ids(facts) == ["T2"]
        assert run.status("T1") == TaskStatus.IN_PROGRESS
        assert run.attempt("T3") == 1


def test_due_retries_start_with_the_sweep(store: Store) -> None:
    with launched(store, task("T1")) as run:
        run.start("T1")
        run.end("T1", Failed(reason="flaky"), retries=1)
        assert ids(run.recover()[0]) == []
        run.make_due("T1")
        assert ids(run.recover()[0]) == ["T1"]


def test_a_feature_that_is_gone_leaves_the_active_ones(store: Store, client: redis.Redis) -> None:
    run = enqueue(store)
    client.delete(*run.keys.all())
    with pytest.raises(errors.NoSuchFeature):
        run.recover()
    assert store.active() == []


def test_one_worker_leads(store: Store, client: redis.Redis) -> None:
    assert store.lead("w1", seconds=30)
    assert not store.lead("w2", seconds=30)

    # It stays the leader when it asks again, for longer
    assert store.lead("w1", seconds=600)
    assert client.pttl(store.keys.sweeper) > 30_000

    # When it is gone another one leads
    client.delete(store.keys.sweeper)
    assert store.lead("w2", seconds=30)
    assert not store.lead("w1", seconds=30)
