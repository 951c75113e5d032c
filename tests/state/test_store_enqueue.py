"""Enqueue: all of a feature becomes visible in one step, or nothing does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import redis
from redis.client import Pipeline

from orchestrator.model import errors
from orchestrator.model.feature import FeatureStatus
from orchestrator.model.task import TaskStatus
from orchestrator.planning import planner
from orchestrator.state.chunks import CHUNK
from orchestrator.state.keys import Keys
from orchestrator.state.store import STAGED_SECONDS, Store
from tests.model import factories
from tests.model.factories import task
from tests.state.factories import Run, check, enqueue, read, routes_of


def keys_in(client: redis.Redis) -> set[str]:
    return set(map(str, client.keys("*")))


def test_an_enqueued_feature_is_there_and_nothing_of_it_runs_yet(store: Store) -> None:
    run = enqueue(store)

    progress = store.features.summary(run.id)
    assert (progress.status, progress.total, progress.batch, progress.in_flight) == ("planning", 5, 0, 0)
    assert {state.phase for state in store.tasks.states(run.id)} == {"waiting"}
    assert store.features.active() == store.features.newest() == ["auth"]
    assert [event.event for event in store.events.read(run.id)] == ["feature_enqueued"]
    check(run)


def test_what_was_enqueued_can_be_read_again(store: Store) -> None:
    run = enqueue(store, description="With a password", tags=["security"])

    assert sorted(store.tasks.all(run.id), key=lambda task: task.id) == list(run.plan.feature.tasks)
    assert store.features.head(run.id) == {
        "id": "auth",
        "title": "User authentication",
        "description": "With a password",
        "tags": ["security"],
    }
    assert tuple(store.features.batch(run.id, 1)) == run.plan.batches[0].tasks
    assert store.features.batch(run.id, 99) == []


def test_nothing_that_was_staged_stays_and_nothing_expires(store: Store, client: redis.Redis) -> None:
    enqueue(store, *(task(f"T{number}") for number in range(2 * CHUNK + 1)))

    assert len(store.tasks.all("auth")) == 2 * CHUNK + 1
    assert not [key for key in keys_in(client) if "staged" in key]
    assert {client.ttl(key) for key in keys_in(client)} == {-1}


def test_an_id_that_exists_is_refused_and_nothing_changes(store: Store, client: redis.Redis) -> None:
    # Given a feature that runs
    run = enqueue(store)
    run.schedule()
    before = read(run), keys_in(client)

    # When another one comes with its id
    with pytest.raises(errors.FeatureExists, match="auth"):
        enqueue(store, task("X1"))

    # Then it is as it was, and nothing of the other is stored
    assert (read(run), keys_in(client)) == before


def test_the_same_idempotency_key_stands_for_the_first_feature(store: Store, client: redis.Redis) -> None:
    enqueue(store, feature_id="first", key="order-7")
    before = keys_in(client)

    again = enqueue(store, task("X1"), feature_id="second", key="order-7")

    assert again.id == "first"
    assert keys_in(client) == before
    assert store.features.newest() == ["first"]


def test_an_idempotency_key_is_forgotten_after_a_week(store: Store, client: redis.Redis) -> None:
    enqueue(store, key="order-7")

    week = 7 * 86_400
    assert week - 600 < client.ttl(store.keys.idempotency("order-7")) <= week


def test_different_idempotency_keys_are_different_features(store: Store) -> None:
    assert enqueue(store, feature_id="first", key="order-7").id == "first"
    assert enqueue(store, feature_id="second", key="order-8").id == "second"


class Overtaken:
    """A client before whose call of a command somebody else does something, once."""

    def __init__(self, client: redis.Redis, command: str, deed: Any) -> None:
        self.client = client
        self.command = command
        self.deed = deed

    def __getattr__(self, name: str) -> Any:
        if name == self.command and self.deed:
            deed, self.deed = self.deed, None
            deed()
        if name == "pipeline" and self.deed:
            return lambda **options: Overtaken(self.client.pipeline(**options), self.command, self.deed)
        return getattr(self.client, name)


def writing_by(client: redis.Redis, kind: type[Pipeline]) -> Any:
    """A client whose pipelines are of this kind."""
    return SimpleNamespace(
        exists=client.exists,
        pipeline=lambda transaction: kind(
            client.connection_pool, client.response_callbacks, transaction, None
        ),
        script_load=client.script_load,
        evalsha=client.evalsha,
    )


@pytest.mark.parametrize("moment", ["get", "exists", "pipeline", "execute"])
def test_a_repetition_that_is_overtaken_by_the_first_is_a_repetition(
    store: Store, client: redis.Redis, moment: str
) -> None:
    # Given two writers with one id and one key, of which the other is done at some moment of ours
    slow: Any = Overtaken(client, moment, lambda: enqueue(store, key="order-7"))

    # When ours goes on
    run = enqueue(Store(slow, Keys("to")), key="order-7")

    # Then it is told of the first, and nothing of ours is left
    assert run.id == "auth"
    check(run)
    assert not [key for key in keys_in(client) if "staged" in key]


@pytest.mark.parametrize("moment", ["exists", "pipeline", "execute"])
def test_two_writers_of_one_id_do_not_mix(store: Store, client: redis.Redis, moment: str) -> None:
    # Given two writers of one id, of which the other is done at some moment of ours
    first: list[Run] = []
    slow: Any = Overtaken(client, moment, lambda: first.append(enqueue(store, task("A1"), task("A2"))))

    # When ours goes on, then it is refused
    with pytest.raises(errors.FeatureExists):
        enqueue(Store(slow, Keys("to")), task("B1"), task("B2"), task("B3", "B1"), id="auth")

    # And what is there is the other's alone
    assert {state.id for state in store.tasks.states("auth")} == {"A1", "A2"}
    assert client.hlen(first[0].keys.plan) == 2
    check(first[0])
    assert not [key for key in keys_in(client) if "staged" in key]


def test_what_a_dead_writer_staged_is_invisible_and_expires(store: Store, client: redis.Redis) -> None:
    # Given a writer that dies when its parts have arrived, and not its last step
    class Dying(Pipeline):
        def evalsha(self, *_: Any) -> Any:
            self.execute()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        enqueue(Store(writing_by(client, Dying), Keys("to")))

    # Then nobody sees anything of it
    assert store.features.newest() == store.features.active() == []
    with pytest.raises(errors.NoSuchFeature):
        store.features.summary("auth")

    # And all that it left goes by itself
    left = keys_in(client)
    assert left
    assert all(0 < client.ttl(key) <= STAGED_SECONDS for key in left)

    # And the id is free
    check(enqueue(store))


def test_a_part_that_redis_refused_stores_nothing(store: Store, client: redis.Redis) -> None:
    # Given a writer one of whose parts does not arrive
    class Lossy(Pipeline):
        def hset(self, name: Any, *args: Any, **fields: Any) -> Any:
            return self if str(name).endswith(":plan") else super().hset(name, *args, **fields)

    with pytest.raises(redis.ResponseError, match="the part plan is not staged"):
        enqueue(Store(writing_by(client, Lossy), Keys("to")))
    assert not store.features.newest()
    assert not client.exists(store.keys.feature("auth").meta)


def test_an_enqueue_whose_answer_was_lost_is_not_a_second_one(store: Store, client: redis.Redis) -> None:
    # Given a writer whose commands are sent again, because the connection broke before their answers came
    class Twice(Pipeline):
        def execute(self, raise_on_error: bool = True) -> list[Any]:
            sent = list(self.command_stack)
            super().execute(raise_on_error)
            self.command_stack = sent
            return super().execute(raise_on_error)

    enqueue(store, feature_id="known", key="known")  # so that the server knows the script
    stored = enqueue(Store(writing_by(client, Twice), Keys("to")))
    run = Run(store, stored.id, stored.plan)
    check(run)
    assert [event.event for event in store.events.read(run.id)] == ["feature_enqueued"]
    assert not [key for key in keys_in(client) if "staged" in key]


def test_a_feature_is_launched_as_it_is_stored(store: Store) -> None:
    feature = factories.feature(task("T1"), task("T2", "T1"))
    code, name, scheduled = store.enqueue("auth", planner.plan(feature), routes_of(feature), launches=True)
    assert (code, name) == ("enqueued", "auth")
    assert scheduled
    assert [(launch.task, launch.attempt) for launch in scheduled.launched] == [("T1", 1)]
    # and what stands there already is not launched by a second one
    with pytest.raises(errors.FeatureExists):
        store.enqueue("auth", planner.plan(feature), routes_of(feature), launches=True)
    check(Run(store, "auth", planner.plan(feature)))


def test_a_server_that_forgot_its_scripts_is_given_them_again(store: Store, client: redis.Redis) -> None:
    run = enqueue(store)
    client.script_flush()
    assert run.schedule() == ["T1", "T3"]

    client.script_flush()
    run.complete("T1")

    assert run.status("T1") == TaskStatus.COMPLETED
    assert run.status() == FeatureStatus.IN_DEVELOPMENT
    check(run)


def test_ids_that_look_like_braces_of_another_feature_do_not_meet(store: Store) -> None:
    one = enqueue(store, factories.task("T1"), feature_id="a.b")
    two = enqueue(store, factories.task("T1"), feature_id="a")
    one.schedule()
    one.complete("T1")

    assert (one.status(), two.status()) == (FeatureStatus.COMPLETED, FeatureStatus.PLANNING)
    assert store.features.active() == ["a"]
