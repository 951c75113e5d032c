"""Calls of an app's tasks, where its broker is this Redis: which messages the scripts publish, and which they leave."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis

from orchestrator.model.commands import Launch
from orchestrator.model.feature import Feature
from orchestrator.model.outcome import Completed
from orchestrator.model.plan import Route
from orchestrator.model.queues import Queues
from orchestrator.model.task import Task
from orchestrator.planning import planner
from orchestrator.state.keys import Keys
from orchestrator.state.start_result import Claim
from orchestrator.state.store import Store
from tests.state.factories import LEASE, Run
from tests.state.test_store_take import MOVE

NAMES = {"call:slow": "slow", "call:urgent": None, "call:": "work", "builder": "to.builder"}
QUEUES = Queues("theirs:", NAMES, ["slow", "work", "to.builder"])


@pytest.fixture
def store(client: redis.Redis) -> Store:
    """A store that publishes to the queues of an app."""
    return Store(client, Keys(), queues=QUEUES)


def enqueue(store: Store, *tasks: Task) -> tuple[Run, tuple[Launch, ...]]:
    """A feature of calls, and what its first schedule launched."""
    feature = Feature(title="Calls", tasks=list(tasks))
    plan = planner.plan(feature, 5)
    routes = {
        task.id: Route(
            specialist=f"call:{task.call}" if task.call else "builder",
            title="",
            queue="",
            rule="task",
            reason="a test",
        )
        for task in tasks
    }
    store.enqueue("calls", plan, routes)
    return Run(store, "calls", plan), store.schedule("calls").launched


def queued(client: redis.Redis, queue: str) -> list[dict[str, Any]]:
    """The messages of a queue, the next one first."""
    found: Any = client.lrange(f"theirs:{queue}", 0, -1)
    return [json.loads(message) for message in reversed(found)]


def test_messages_lie_in_the_queues_of_the_app(store: Store, client: redis.Redis) -> None:
    _, launched = enqueue(
        store, Task(id="A", call="usual"), Task(id="B", call="slow"), Task(id="C", run=["true"])
    )
    assert not any(launch.is_left for launch in launched)
    (usual,), (slow,), (own,) = (queued(client, name) for name in ("work", "slow", "to.builder"))
    assert [message["headers"]["task"] for message in (usual, slow, own)] == [
        "call:usual",
        "call:slow",
        "builder",
    ]
    assert usual["properties"]["delivery_info"] == {"exchange": "", "routing_key": "work"}
    assert store.recovery.queued() == {"work", "slow", "to.builder"}
    assert store.recovery.is_queued(usual["headers"]["id"])


def test_what_a_script_cannot_send_is_left_to_the_caller(store: Store, client: redis.Redis) -> None:
    """A task whose options say how it is sent, and a call whose queue is no plain one."""
    run, launched = enqueue(
        store,
        Task(id="A", call="usual"),
        Task(id="B", call="urgent"),
        Task(id="C", call="usual", options={"queue": "fast"}),
    )
    assert {launch.task: launch.is_left for launch in launched} == {"A": False, "B": True, "C": True}
    assert len(queued(client, "work")) == 1
    # Sent again, it is left again
    for task in ("A", "B", "C"):
        run.age_launch(task)
    client.delete("theirs:work")
    _, unpublished = store.recovery.recover("calls", losses=1, patience=10, queued=store.recovery.queued())
    assert {launch.task for launch in unpublished} == {"B", "C"}
    assert len(queued(client, "work")) == 1


def test_a_process_takes_calls_and_leaves_messages_of_the_app(store: Store, client: redis.Redis) -> None:
    run, _ = enqueue(store, *(Task(id=name, call="usual") for name in "ABC"))
    client.rpop("theirs:work")
    assert (
        store.attempts.start("calls", "A", 1, specialist="call:usual", worker="w1", lease=LEASE).code
        == "started"
    )
    claim = Claim({"work": ["call:usual"]}, "w1", LEASE, "7-2")

    def commit(task: str) -> Any:
        return store.attempts.finish_and_take(run.id, task, 1, Completed(), MOVE, worker="w1", claim=claim)[3]

    taken = commit("A")
    assert taken is not None
    assert (taken.id, taken.queue) == (("calls", "B", 1), "work")
    theirs = json.dumps({"body": "W1tdLCB7fSwge31d", "headers": {"task": "own", "id": "x"}, "properties": {}})
    client.rpush("theirs:work", theirs)
    assert commit("B") is None
    assert client.llen("theirs:work") == 2
