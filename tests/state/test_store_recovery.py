"""Lost work is found again: leases, launches whose message is gone, the one worker that looks."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import redis
from kombu import Connection
from kombu.transport import virtual
from kombu.transport.virtual import Message

from orchestrator.contract import needs
from orchestrator.model import errors, identifiers
from orchestrator.model.commands import Launch
from orchestrator.model.feature import FeatureStatus
from orchestrator.model.flows import TaskEvent
from orchestrator.model.outcome import Blocked, Failed, FailureCause
from orchestrator.model.queues import Queues
from orchestrator.model.task import TaskStatus
from orchestrator.state.keys import Keys
from orchestrator.state.store import Store
from tests.model.factories import task
from tests.state.factories import LEASE, check, enqueue, ids, launched, read


def queued(client: redis.Redis) -> list[str]:
    """The tasks whose messages wait in the builder's queue, the next one first."""
    messages: Any = client.lrange(Keys().queue("builder"), 0, -1)
    return [json.loads(message)["headers"]["id"].split(":")[1] for message in reversed(messages)]


def test_a_launch_that_does_not_start_is_published_again(store: Store) -> None:
    with launched(store, task("T1"), task("T2")) as run:
        # Given one launched long ago and one a moment ago
        run.age_launch("T1")

        scheduled, unpublished = run.recover(patience=60)

        # Then the first one is published again, and told of
        assert (scheduled.launched, unpublished) == ((), (Launch("T1", 1, "builder"),))
        assert store.events.read(run.id)[-1].event == "message_lost"
        # And not before it has had time again, twice as much
        run.age_launch("T1", 119_000)
        assert run.recover(patience=60)[1] == ()
        run.age_launch("T1", 2_000)
        assert run.recover(patience=60)[1] == unpublished


def test_a_launch_that_others_have_overtaken_is_published_again(store: Store) -> None:
    with launched(store, task("T1"), task("T2")) as run:
        # Given two launched long ago, the second a moment after the first, and the second one starts
        run.age_launch("T1", 59_000)
        run.age_launch("T2", 58_000)
        run.start("T2")
        assert run.recover(patience=50)[1] == (Launch("T1", 1, "builder"),)
        # Then the first one is not overtaken any more, and waits in its turn
        assert run.recover(patience=50)[1] == ()


def test_a_message_that_was_sent_again_overtakes_nobody(client: redis.Redis) -> None:
    store = Store(client, Keys(), queues=Queues(Keys().celery(), used=["builder"]))
    with launched(store, task("T1"), task("T2"), task("T3")) as run:
        # Given three that wait in a long queue, of which the last one was sent again too early
        for name, milliseconds in (("T1", 55_000), ("T2", 54_000), ("T3", 63_000)):
            run.age_launch(name, milliseconds)
        waiting: Any = client.rpop(Keys().queue("builder"), 3)
        run.recover(patience=60)
        assert queued(client) == ["T3"]
        client.lpush(Keys().queue("builder"), *waiting)
        # When its first message is taken up
        run.start("T3")
        # Then the two before it are not taken for lost
        run.recover(patience=50)
        assert queued(client) == ["T3", "T1", "T2", "T3"]


def test_a_message_that_waits_in_its_queue_is_not_lost(client: redis.Redis) -> None:
    # Given a store that is the broker too
    store = Store(client, Keys(), queues=Queues(Keys().celery(), used=["builder"]))
    with launched(store, task("T1")) as run:
        run.age_launch("T1")
        run.recover(patience=60)
        assert queued(client) == ["T1"]
        # When the message is lost
        assert client.rpop(Keys().queue("builder"))
        assert queued(client) == []
        # Then it is sent again, by the store itself, and is as small as the first
        assert run.recover(patience=60)[1] == ()
        assert queued(client) == ["T1"]
        (message,) = client.lrange(Keys().queue("builder"), 0, -1)
        assert len(message) < 600


def test_all_messages_of_a_queue_that_was_purged_are_sent_again_at_once(client: redis.Redis) -> None:
    store = Store(client, Keys(), queues=Queues(Keys().celery(), used=["builder"]))
    with launched(store, *(task(f"T{number}") for number in range(1, 5))) as run:
        for number in range(1, 5):
            run.age_launch(f"T{number}")
        client.delete("builder")
        run.recover(patience=60)
        assert queued(client) == ["T1", "T2", "T3", "T4"]


def test_what_a_worker_lost_or_handed_back_goes_ahead_of_its_queue(client: redis.Redis) -> None:
    store = Store(client, Keys(), queues=Queues(Keys().celery(), used=["builder"]))
    with launched(store, *(task(f"T{number}") for number in range(1, 6))) as run:
        # Given two that run, of which one is lost and one handed back, while three wait
        assert client.rpop(Keys().queue("builder"), 2)
        for number in range(1, 6):
            run.age_launch(f"T{number}", 50_000)
        run.start("T1")
        run.start("T2")
        run.expire_lease("T1")
        run.recover()
        store.attempts.requeue(run.id, "T2", 1, worker="w1")

        # Then they are the next ones
        assert queued(client) == ["T2", "T1", "T3", "T4", "T5"]
        # And when they start, nothing that waits is taken for overtaken
        run.start("T1", 2)
        run.start("T2", 2)
        run.recover(patience=40)
        assert "message_lost" not in {event.event for event in store.events.read(run.id)}


def test_what_is_launched_is_published_in_the_same_step(client: redis.Redis) -> None:
    # Given a store that is the broker too, and a specialist with a queue of another name
    store = Store(client, Keys(), queues=Queues(Keys().celery(), {"builder": "site"}, ["site"]))
    with enqueue(store, task("T1"), task("T2", "T1")) as run:
        # When a task is launched
        assert run.schedule() == ["T1"]

        # Then its message is in the queue, as Celery reads it
        (raw,) = client.lrange(Keys().queue("site"), 0, -1)
        message = Message(json.loads(raw), virtual.Channel(Connection("memory://").connection))
        assert re.fullmatch("auth:T1:1:[0-9a-f]{12}", message.headers["id"])
        assert message.headers["task"] == "builder"
        assert message.headers["group"] == "auth:1"
        assert message.payload == [["auth", "T1", 1], {}, {}]
        assert (message.delivery_info["routing_key"], len(raw) < 600) == ("site", True)


def test_after_an_outage_everybody_has_the_time_to_renew(store: Store, client: redis.Redis) -> None:
    with launched(store, task("T1"), task("T2")) as run:
        run.start("T1")
        run.start("T2")
        run.recover()
        # Given that nobody has looked for a while, and all leases ended meanwhile
        client.hset(store.keys.swept, "looked", 1)
        run.expire_lease("T1")
        run.expire_lease("T2")

        # When the one that looks is back first, then nothing is taken back yet
        assert run.recover()[0].launched == ()

        # And a holder that is back in time has lost nothing
        assert store.attempts.renew([(run.id, "T1", 1)], lease=60) == ["renewed"]
        assert run.recover()[0].launched == ()

        # When the time is over, what was not renewed is taken back
        client.hset(store.keys.swept, "patient", 1)
        assert ids(run.recover()[0]) == ["T2"]


def test_a_feature_that_was_never_scheduled_is_started(store: Store) -> None:
    with enqueue(store, task("T1")) as run:
        scheduled, unpublished = run.recover()
        assert (ids(scheduled), unpublished) == (["T1"], ())


def test_a_lost_attempt_is_tried_again(store: Store) -> None:
    with launched(store, task("T1")) as run:
        run.start("T1", worker="w1")
        run.expire_lease("T1")

        scheduled, _ = run.recover()

        assert scheduled.launched == (Launch("T1", 2, "builder"),)
        state = store.tasks.state(run.id, "T1")
        assert (state.status, state.lost, state.attempt) == (TaskStatus.PENDING, 1, 2)
        told = next(event for event in store.events.read(run.id) if event.event == "worker_lost")
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
        outcome = store.tasks.outcomes(run.id, ["T1"])["T1"]
        assert isinstance(outcome, Failed)
        assert (outcome.cause, outcome.reason) == (FailureCause.WORKER_LOST, "its worker was lost 3 times")

        # And after a retry it may lose as many again
        assert run.reopen("T1") == ["T1"]
        assert store.tasks.state(run.id, "T1").lost == 0


def test_a_task_that_is_not_to_run_twice_waits_for_a_person_when_its_worker_is_lost(store: Store) -> None:
    with launched(store, task("T1", idempotent=False, retries=3), task("T2", "T1")) as run:
        # Given it failed and was tried again: that is what its retries are for
        run.do("T1", Failed(reason="flaky"), retries=3)
        run.make_due("T1")
        run.recover()
        run.start("T1", worker="w1")

        # When the worker of the second attempt is lost
        run.expire_lease("T1")
        scheduled, _ = run.recover()

        # Then it is blocked, and never launched again by itself
        assert scheduled.launched == ()
        assert (run.status("T1"), run.status()) == (TaskStatus.BLOCKED, FeatureStatus.BLOCKED)
        assert run.recover()[0].launched == ()
        told = next(event for event in store.events.read(run.id) if event.event == "blocker_detected")
        assert (told.attempt, told.worker, told.cause) == (2, "w1", "worker-lost")

        # And the report asks the question, with the ways to answer it
        outcome = store.tasks.outcomes(run.id, ["T1"])["T1"]
        found = needs.of_state(run.id, store.tasks.state(run.id, "T1"), outcome)
        assert found.cause == "worker-lost"
        assert "Was it done?" in found.reason
        assert [way.action for way in found.actions] == ["unblock", "logs", "skip"]

        # And a person's answer counts
        assert run.reopen("T1", TaskEvent.BLOCKER_RESOLVED) == ["T1"]
        assert run.complete("T1") == ["T2"]


def test_a_task_that_is_not_to_run_twice_is_skipped_where_it_was_done(store: Store) -> None:
    with launched(store, task("T1", idempotent=False), task("T2", "T1")) as run:
        run.start("T1")
        run.expire_lease("T1")
        run.recover()
        assert run.ask("T1", TaskEvent.TASK_SKIPPED, "it was done", resolve="resolve") == ["T2"]


def test_an_attempt_is_handed_back_and_launched_again_without_a_loss(store: Store) -> None:
    with launched(store, task("T1"), task("T2", "T1")) as run:
        run.losses = 0
        run.start("T1", worker="w1")

        code, scheduled = store.attempts.requeue(run.id, "T1", 1, worker="w1")

        assert (code, scheduled.launched) == ("requeued", (Launch("T1", 2, "builder"),))
        state = store.tasks.state(run.id, "T1")
        assert (state.status, state.lost, state.attempt) == (TaskStatus.PENDING, 0, 2)
        told = next(event for event in store.events.read(run.id) if event.event == "work_handed_back")
        assert (told.task, told.attempt, told.worker, told.cause) == ("T1", 1, "w1", "worker-ends")
        # And what the worker says after that counts no more, nor does the old message
        assert run.finish("T1", attempt=1)[0] == "stale"
        assert run.start("T1", attempt=1).code == "stale"
        assert run.complete("T1") == ["T2"]


def test_a_task_that_is_handed_back_too_often_fails(store: Store) -> None:
    with launched(store, task("T1"), task("T2", "T1")) as run:
        for attempt in (1, 2):
            run.start("T1", worker="w1")
            assert store.attempts.requeue(run.id, "T1", attempt, worker="w1", most=2)[0] == "requeued"
        run.start("T1", worker="w1")
        assert store.attempts.requeue(run.id, "T1", 3, worker="w1", most=2)[0] == "requeued"
        assert run.status("T1") == TaskStatus.FAILED
        (outcome,) = store.tasks.outcomes(run.id, ["T1"]).values()
        assert isinstance(outcome, Failed)
        assert (outcome.cause, outcome.reason[:23]) == (FailureCause.WORKER_ENDS, "its workers ended 3 tim")
        check(run)
        # A person's retry begins again
        assert run.ask("T1", TaskEvent.RETRY_REQUESTED, reset_retries=True) == ["T1"]
        run.start("T1", worker="w1")
        assert store.attempts.requeue(run.id, "T1", 4, worker="w1", most=2)[0] == "requeued"
        assert run.complete("T1") == ["T2"]


def test_only_an_attempt_that_is_held_is_handed_back(store: Store) -> None:
    with launched(store, task("T1")) as run:
        assert store.attempts.requeue(run.id, "T1", 1, worker="w1")[0] == "stale"
        run.start("T1")
        assert store.attempts.requeue(run.id, "T1", 2, worker="w1")[0] == "stale"
        assert store.attempts.requeue(run.id, "T9", 1, worker="w1")[0] == "stale"
        run.end("T1")
        assert store.attempts.requeue(run.id, "T1", 1, worker="w1")[0] == "stale"


def test_only_who_began_an_attempt_hands_it_back(store: Store) -> None:
    # Given an attempt that one delivery of its message has begun: Redis has lost that an earlier one had
    with launched(store, task("T1")) as run:
        begun = store.attempts.start(
            run.id, "T1", 1, specialist="builder", worker="w2", lease=LEASE, delivery="second"
        )
        assert begun.code == "started"
        run.schedule()

        # When others end that held it too, the worker of the earlier one or a process of the same worker
        before = read(run)
        assert store.attempts.requeue(run.id, "T1", 1, worker="w1", delivery="first")[0] == "stale"
        assert store.attempts.requeue(run.id, "T1", 1, worker="w1")[0] == "stale"
        assert store.attempts.requeue(run.id, "T1", 1, worker="w2", delivery="first")[0] == "stale"

        # Then it runs on, and its own worker may hand it back
        assert read(run) == before
        assert store.attempts.requeue(run.id, "T1", 1, worker="w2", delivery="second")[0] == "requeued"


def test_a_task_that_is_not_to_run_twice_waits_for_a_person_when_it_is_handed_back(store: Store) -> None:
    with launched(store, task("T1", idempotent=False)) as run:
        run.start("T1")
        code, scheduled = store.attempts.requeue(run.id, "T1", 1, worker="w1")
        assert (code, scheduled.launched) == ("requeued", ())
        assert (run.status("T1"), run.status()) == (TaskStatus.BLOCKED, FeatureStatus.BLOCKED)
        outcome = store.tasks.outcomes(run.id, ["T1"])["T1"]
        assert isinstance(outcome, Blocked)
        assert outcome.reason.startswith("its worker ended before it was finished")
        assert run.ask("T1", TaskEvent.TASK_SKIPPED, "it was done", resolve="resolve") == []


def test_what_is_handed_back_of_a_cancelled_feature_does_not_run_again(store: Store) -> None:
    with launched(store, task("T1")) as run:
        run.start("T1")
        run.cancel()
        assert store.attempts.requeue(run.id, "T1", 1, worker="w1")[1].launched == ()
        run.recover()
        assert store.features.active() == []


def test_only_leases_that_ended_are_taken_back(store: Store) -> None:
    with launched(store, task("T1"), task("T2"), task("T3")) as run:
        run.start("T1")
        run.start("T2")
        run.expire_lease("T2")

        scheduled, _ = run.recover()

        assert ids(scheduled) == ["T2"]
        assert run.status("T1") == TaskStatus.IN_PROGRESS
        assert run.attempt("T3") == 1


def test_due_retries_start_with_the_sweep(store: Store) -> None:
    with launched(store, task("T1")) as run:
        run.do("T1", Failed(reason="flaky"), retries=1)
        assert ids(run.recover()[0]) == []
        run.make_due("T1")
        assert ids(run.recover()[0]) == ["T1"]


def test_a_feature_that_is_gone_leaves_the_active_ones(store: Store, client: redis.Redis) -> None:
    run = enqueue(store)
    client.delete(*run.keys.all())
    with pytest.raises(errors.NoSuchFeature):
        run.recover()
    assert store.features.active() == []


def test_one_worker_leads(store: Store, client: redis.Redis) -> None:
    assert store.recovery.acquire_leadership("w1", seconds=30)
    assert not store.recovery.acquire_leadership("w2", seconds=30)

    # It stays the leader when it asks again, for longer
    assert store.recovery.acquire_leadership("w1", seconds=600)
    assert client.pttl(store.keys.sweeper) > 30_000

    # When it is gone another one leads
    client.delete(store.keys.sweeper)
    assert store.recovery.acquire_leadership("w2", seconds=30)
    assert not store.recovery.acquire_leadership("w1", seconds=30)


def test_what_workers_refuse_is_counted_by_reason(store: Store, client: redis.Redis) -> None:
    for reason in ("arguments", "unsigned", "arguments"):
        store.refuse(reason)
    assert client.hgetall("to:refused") == {"arguments": "2", "unsigned": "1"}


def test_each_message_of_an_attempt_has_an_id_of_its_own(client: redis.Redis) -> None:
    # Given an attempt that was launched, and whose message was lost, and that a worker handed back
    store = Store(client, Keys(), queues=Queues(Keys().celery(), used=["builder"]))
    sent: list[str] = []

    def take() -> None:
        raw: Any = client.rpop(Keys().queue("builder"))
        sent.append(json.loads(raw)["headers"]["id"])

    with launched(store, task("T1")) as run:
        take()
        run.age_launch("T1")
        run.recover(patience=60)
        take()
        run.start("T1")
        store.attempts.requeue(run.id, "T1", 1, worker="w1")
        take()
    # Then a revocation of one of its messages revokes no other, and nobody could have guessed their ids
    assert [identifiers.attempt_named(id) for id in sent] == [("auth", "T1", number) for number in (1, 1, 2)]
    assert len({id.rpartition(":")[2] for id in sent}) == 3
