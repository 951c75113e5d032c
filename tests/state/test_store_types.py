"""A script that meets a key of a wrong type has written nothing, and names the key."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import redis
from redis.commands.core import ScriptCommands

from orchestrator.model import errors, lifecycle
from orchestrator.model.flows import FeatureEvent, TaskEvent
from orchestrator.model.queues import Queues
from orchestrator.state import keys
from orchestrator.state.keys import FeatureKeys, Keys
from orchestrator.state.store import Store
from tests.model.factories import task
from tests.state.factories import FLOW, Run, launched, replace
from tests.waiting import wait_until

WORDS = {"hash": "Hash", "zset": "Sorted set", "set": "Set", "list": "List", "stream": "Stream"}


def described(owner: type) -> dict[str, str]:
    """Each key with the Redis type that its docstring begins with."""
    docs = {name: str(value.__doc__) for name, value in vars(owner).items() if isinstance(value, property)}
    return {name: re.split("[:,]", doc, maxsplit=1)[0] for name, doc in docs.items()}


@pytest.mark.parametrize("owner", [FeatureKeys, Keys])
def test_each_key_has_the_type_that_it_is_described_with(owner: type) -> None:
    for name, word in described(owner).items():
        if word != "Channel" and name in keys.TYPES:
            assert WORDS.get(keys.TYPES[name], word) == word, name


HOLD = lifecycle.transition(FLOW, TaskEvent.TASK_HELD)

CALLS: dict[str, Callable[[Run], object]] = {
    "schedule": lambda run: run.schedule(),
    "start": lambda run: run.start("T2", 1),
    "finish": lambda run: run.finish("T1", attempt=1),
    "replace": lambda run: replace(run, "T1"),
    "requeue": lambda run: run.store.attempts.requeue(run.id, "T1", 1, worker="w1"),
    "renew": lambda run: run.store.attempts.renew([(run.id, "T1", 1)], lease=60),
    "report_progress": lambda run: run.store.attempts.report_progress(run.id, "T1", 1, 50, "half"),
    "transition_task": lambda run: run.store.requests.transition_task(run.id, "T3", FLOW, HOLD, ""),
    "update_feature": lambda run: run.store.requests.update_feature(run.id, FeatureEvent.FEATURE_CANCELLED),
    "recover": lambda run: run.recover(),
    "feature_summary": lambda run: run.store.features.summary(run.id),
}


READS: dict[str, Callable[[Any, str], Any]] = {
    "hash": lambda client, key: client.hgetall(key),
    "zset": lambda client, key: client.zrange(key, 0, -1, withscores=True),
    "set": lambda client, key: client.smembers(key),
    "list": lambda client, key: client.lrange(key, 0, -1),
    "stream": lambda client, key: client.xrange(key),
    "string": lambda client, key: client.get(key),
}


def everything(client: Any) -> dict[str, Any]:
    """All that is stored."""
    return {key: READS[client.type(key)](client, key) for key in client.keys("*")}


def refusal(call: Callable[[], object]) -> str:
    """What Redis says where it refuses; "" where it does not."""
    try:
        call()
    except (redis.ResponseError, errors.UnreadableFeature) as error:
        return str(error)
    return ""


@pytest.mark.parametrize("script", CALLS)
@pytest.mark.parametrize("part", sorted(vars(FeatureKeys).keys() & keys.TYPES.keys()))
def test_a_script_that_meets_a_key_of_a_wrong_type_has_written_nothing(
    store: Store, client: redis.Redis, monkeypatch: pytest.MonkeyPatch, script: str, part: str
) -> None:
    run = launched(store, task("T1"), task("T2"), task("T3", "T1"))
    run.start("T1")
    # Given one key of the feature that somebody else has written
    key = getattr(run.keys, part)
    client.delete(key)
    client.set(key, "x")
    before, touched = everything(client), set[str]()
    evalsha = ScriptCommands.evalsha

    def spy(self: Any, digest: str, count: int, *given: Any) -> Any:
        touched.update(given[:count])
        return evalsha(self, digest, count, *given)

    monkeypatch.setattr(ScriptCommands, "evalsha", spy)
    # When
    said = refusal(lambda: CALLS[script](run))
    # Then a script that is given the key says so
    assert (key in said) == (key in touched)
    assert not said or everything(client) == before


SHARED: dict[str, Callable[[Run], str]] = {
    **{
        name: lambda run, name=name: str(getattr(run.store.keys, name))  # type: ignore[misc]
        for name, value in vars(Keys).items()
        if isinstance(value, property) and name != "wake"  # a channel
    },
    "holders": lambda run: run.store.keys.holders("resource:gpu"),
    "waiting": lambda run: run.store.keys.waiting("resource:gpu"),
    "waiting of a class": lambda run: next(
        iter(run.store.client.scan_iter(f"{run.keys.waiting}:*")), "to:none"
    ),
    "gone": lambda run: run.keys.gone,
}
"""Keys of all features, and those that scripts name themselves."""


@pytest.mark.parametrize(
    "script", [*CALLS, "set_limit", "acquire_leadership", "repair_limits", "delete_feature"]
)
@pytest.mark.parametrize("name", SHARED)
def test_no_script_has_written_where_it_meets_a_key_of_all_features_of_a_wrong_type(
    store: Store, client: redis.Redis, script: str, name: str
) -> None:
    """A script that meets a key of a wrong type has written nothing, also one that it names itself (of limits)."""
    more: dict[str, Callable[[Run], object]] = {
        "set_limit": lambda run: run.store.limits.set("resource:gpu", "3"),
        "acquire_leadership": lambda run: run.store.recovery.acquire_leadership("w1", seconds=60),
        "repair_limits": lambda run: run.store.limits.repair(),
        "delete_feature": lambda run: run.store.delete_feature(run.id),
    }
    store.limits.set("resource:gpu", "1")
    store.limits.set("total", "2")
    run = launched(
        store,
        task("T1", resources={"gpu": 1}),
        task("T2", resources={"gpu": 1}),
        task("T3", "T1"),
        task("T4", resources={"gpu": 1}),
    )
    run.start("T1")
    key = SHARED[name](run)
    wrong = "string" if client.type(key) not in ("string", "none") else "list"
    client.delete(key)
    client.set(key, "x") if wrong == "string" else client.rpush(key, "x")
    before = everything(client)

    said = refusal(lambda: (CALLS | more)[script](run))

    assert not said or everything(client) == before, said


@pytest.mark.parametrize("kind", ["string", "hash"])
def test_a_queue_that_is_none_costs_its_messages_alone(store: Store, client: redis.Redis, kind: str) -> None:
    """The launch stands, and its message is sent again as one that was lost, until it can be."""
    store = Store(client, store.keys, queues=Queues(Keys().celery(), used=["builder"]))
    queue = store.keys.queue("builder")
    client.set(queue, "x") if kind == "string" else client.hset(queue, "a", "b")

    run = launched(store, task("T1"), task("T2"))
    run.recover(patience=0.0)

    assert client.type(queue) == kind
    assert client.zcard(run.keys.slots) == 2
    client.delete(queue)
    wait_until(lambda: bool(run.recover(patience=0.0)) and client.llen(queue) == 2)


@pytest.mark.parametrize("part", ["states", "events", "outcomes"])
def test_a_broken_feature_can_be_forgotten(store: Store, client: redis.Redis, part: str) -> None:
    run = launched(store, task("T1"))
    run.complete("T1")
    client.delete(getattr(run.keys, part))
    client.set(getattr(run.keys, part), "x")
    store.delete_feature(run.id)
    assert not [key for key in everything(client) if "auth" in key]
