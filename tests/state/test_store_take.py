"""A process takes the next message with the commit of the last: which it takes, and that it takes each once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import redis

from orchestrator.model import lifecycle
from orchestrator.model.lifecycle import Attempts
from orchestrator.model.outcome import Completed
from orchestrator.model.queues import Queues
from orchestrator.model.task import Retries
from orchestrator.planning import planner
from orchestrator.state import schema
from orchestrator.state.keys import Keys
from orchestrator.state.start_result import Claim, Taken
from orchestrator.state.store import Store
from tests.model import factories
from tests.model.factories import task
from tests.state.factories import FLOW, LEASE, Run, routes_of

QUEUE = Keys().queue("builder")
MOVE = lifecycle.conclude(FLOW, Completed(), Retries(), Attempts(), chance=0)


@pytest.fixture
def store(client: redis.Redis) -> Store:
    """A store that publishes to the queues of this Redis."""
    return Store(client, Keys(), queues=Queues(Keys().celery(), used=["builder"]))


def enqueue(
    store: Store, feature_id: str, *tasks: Any, trace: dict[str, Any] | None = None, cap: int = 5
) -> Run:
    feature = factories.feature(*tasks)
    plan = planner.plan(feature, cap)
    store.enqueue(feature_id, plan, routes_of(feature), trace=trace)
    store.schedule(feature_id)
    return Run(store, feature_id, plan)


def claim(delivery: str = "7-2", queues: dict[str, list[str]] | None = None) -> Claim:
    return Claim(queues or {"builder": ["builder"]}, "w1", LEASE, delivery)


def begin(run: Run, name: str) -> None:
    """Begin the first attempt of a task, as a message that Celery brought."""
    pop(run, name)
    assert run.start(name, 1).code == "started"


def pop(run: Run, name: str) -> str:
    """Take the message of a task out of its queue."""
    client: Any = run.store.client
    (found,) = [message for message in client.lrange(QUEUE, 0, -1) if f'"id":"{run.id}:{name}:' in message]
    client.lrem(QUEUE, 1, found)
    return str(found)


def take(run: Run, name: str, asked: Claim | None = None) -> tuple[str, Taken | None]:
    """Commit a task, and take the next message."""
    code, _, _, taken = run.store.attempts.finish_and_take(
        run.id, name, 1, Completed(), MOVE, worker="w1", claim=asked or claim()
    )
    return code, taken


def waiting(client: redis.Redis) -> list[str]:
    """The tasks of the messages in the queue, the next one first."""
    found: Any = client.lrange(QUEUE, 0, -1)
    return [json.loads(message)["headers"]["id"].split(":")[1] for message in reversed(found)]


def test_the_next_message_is_taken_and_its_attempt_begun(store: Store, client: redis.Redis) -> None:
    run = enqueue(store, "one", task("T1"), task("T2"), task("T3"))
    begin(run, "T1")
    code, taken = take(run, "T1")
    assert code == "finished"
    assert taken
    assert taken.id == ("one", "T2", 1)
    assert taken.queue == "builder"
    result = taken.result()
    assert result.task
    assert (result.code, result.task.id, result.state["delivery"]) == ("started", "T2", "7-2")
    assert run.status("T2") == "in-progress"
    assert waiting(client) == ["T3"]


def test_what_the_commit_itself_publishes_is_taken(store: Store, client: redis.Redis) -> None:
    run = enqueue(store, "one", task("T1"), task("T2", "T1"))
    begin(run, "T1")
    _, taken = take(run, "T1")
    assert taken
    assert taken.id == ("one", "T2", 1)
    assert waiting(client) == []


def test_what_waits_for_an_agent_is_offered_and_not_taken(store: Store, client: redis.Redis) -> None:
    """The commit launches two tasks, of which agents claim one: the process takes the other."""
    store = Store(client, Keys(), queues=Queues(Keys().celery(), used=["builder"]), pulled=["reviewer"])
    feature = factories.feature(
        task("T1"), task("T2", "T1"), task("T3", "T1"), task("T4", "T2", "T3"), strategy="dataflow"
    )
    plan = planner.plan(feature, 5)
    routes = routes_of(feature)
    routes["T2"] = routes["T2"].model_copy(update={"specialist": "reviewer"})
    store.enqueue("one", plan, routes)
    store.schedule("one")
    run = Run(store, "one", plan)
    begin(run, "T1")
    code, taken = take(run, "T1")
    assert (code, taken and taken.id) == ("finished", ("one", "T3", 1))
    assert [offer.task for offer in store.offers.waiting(["reviewer"])] == ["T2"]


def test_a_look_takes_what_a_commit_would(store: Store, client: redis.Redis) -> None:
    run = enqueue(store, "one", task("T1"), task("T2"))
    begin(run, "T1")
    taken = store.attempts.take("one", claim())
    assert taken
    assert taken.id == ("one", "T2", 1)
    assert run.status("T2") == "in-progress"
    # it may ask twice, because the answer was lost
    again = store.attempts.take("one", claim())
    assert again
    assert again.id == taken.id
    # and finds nothing where there is nothing
    assert store.attempts.take("one", claim("7-3")) is None
    assert not waiting(client)


def test_the_next_message_may_be_of_another_feature(store: Store, client: redis.Redis) -> None:
    run, other = (enqueue(store, name, task("T1"), task("T2", "T1")) for name in ("one", "two"))
    begin(run, "T1")
    _, taken = take(run, "T1")
    assert taken
    assert taken.id == ("two", "T1", 1)
    assert other.status("T1") == "in-progress"
    assert taken.result().feature_status == other.status() == "in-development"
    # and all of it was written to that feature
    assert [event.task for event in store.events.read("two") if event.event == "work_started"] == ["T1"]
    assert [event.task for event in store.events.read("one") if event.event == "work_started"] == ["T1"]
    assert waiting(client) == ["T2"]


def test_the_same_claim_gets_the_same_answer(store: Store, client: redis.Redis) -> None:
    run = enqueue(store, "one", task("T1"), task("T2"), task("T3"))
    begin(run, "T1")
    first, second = take(run, "T1"), take(run, "T1")
    assert (first[0], second[0]) == ("finished", "repeated")
    assert first[1]
    assert second[1]
    assert first[1].result() == second[1].result()
    assert store.attempts.taken_by(claim()) == ("one", "T2", 1)
    assert store.attempts.taken_by(claim("7-9")) is None
    assert waiting(client) == ["T3"]


def test_a_claim_whose_attempt_is_over_takes_the_next(store: Store, client: redis.Redis) -> None:
    run = enqueue(store, "one", task("T1"), task("T2"), task("T3"))
    begin(run, "T1")
    take(run, "T1")
    run.finish("T2")
    _, taken = take(run, "T1")
    assert taken
    assert taken.id == ("one", "T3", 1)


def test_a_commit_that_no_longer_holds_takes_all_the_same(store: Store, client: redis.Redis) -> None:
    run = enqueue(store, "one", task("T1"), task("T2"))
    begin(run, "T1")
    code, _, _, taken = store.attempts.finish_and_take(
        "one", "T1", 1, Completed(), MOVE, delivery="x", claim=claim()
    )
    assert code == "stale"
    assert taken
    assert taken.id == ("one", "T2", 1)


def test_queues_are_asked_in_their_order(store: Store, client: redis.Redis) -> None:
    run = enqueue(store, "one", task("T1"), task("T2"))
    begin(run, "T1")
    client.rename(QUEUE, Keys().queue("other"))
    empty = {"builder": ["builder"], "none": ["builder"]}
    assert take(run, "T1", claim(queues=empty))[1] is None
    client.rename(Keys().queue("other"), QUEUE)
    _, taken = take(run, "T1", claim(queues={"none": ["x"], "builder": ["builder"]}))
    assert taken
    assert taken.queue == "builder"


def changed(message: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The message with another value there; None: without it."""
    *way, last = path.split("/")
    place = message
    for part in way:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return message


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("body", '[["one", "T2", 1], {}, {}]'),
        ("body", '[["one","T2",1],{},{"chain":[]}]'),
        ("body", '[["one","T2",2],{},{}]'),
        ("body", '[["one","T9",1],{},{}]'),
        ("body", "[[[]]]"),
        ("body", "{"),
        ("body", 7),
        ("body", None),
        ("content-type", "application/x-python-serialize"),
        ("content-encoding", "bz2"),
        ("more", "x"),
        ("headers", []),
        ("headers/eta", "2030-01-01T00:00:00"),
        ("headers/expires", 1),
        ("headers/retries", 1),
        ("headers/timelimit", [1, None]),
        ("headers/traceparent", "00-1"),
        ("headers/lang", "c"),
        ("headers/task", "cleaner"),
        ("headers/id", "one:T2:1"),
        ("headers/id", "one:T2:1:not-of-hex-12"),
        ("headers/id", "two:T2:1:0123456789ab"),
        ("headers/group", None),
        ("headers/argsrepr", "x" * 4_000),
        ("properties/priority", 3),
        ("properties/delivery_mode", 2),
        ("properties/delivery_info/routing_key", "cleaner"),
        ("properties/delivery_info/redelivered", True),
        ("properties/delivery_tag", None),
    ],
)
def test_a_message_of_another_form_is_left_where_it_is(
    store: Store, client: redis.Redis, path: str, value: Any
) -> None:
    run = enqueue(store, "one", task("T1"), task("T2"))
    begin(run, "T1")
    message = json.dumps(changed(json.loads(pop(run, "T2")), path, value))
    client.rpush(QUEUE, message)
    assert take(run, "T1") == ("finished", None)
    assert client.lrange(QUEUE, 0, -1) == [message]
    assert run.store.tasks.attempt("one", "T2")["status"] == "pending"


@pytest.mark.parametrize("message", ["", "x", "7", "[]", "{}", "null", '{"body": {}}', "[" * 5_000])
def test_a_text_that_is_no_message_is_left_where_it_is(
    store: Store, client: redis.Redis, message: str
) -> None:
    run = enqueue(store, "one", task("T1"))
    begin(run, "T1")
    client.rpush(QUEUE, message)
    assert take(run, "T1") == ("finished", None)
    assert client.lrange(QUEUE, 0, -1) == [message]


STATES: dict[str, Callable[[Any, Run], object]] = {
    "held": lambda client, other: other.start("T1", 1, worker="w2"),
    "of a newer version": lambda client, other: client.hset(other.keys.meta, "schema", schema.VERSION + 1),
    "gone": lambda client, other: client.delete(*other.keys.all()),
    "for another specialist": lambda client, other: client.hset(other.keys.plan, "T1", "1:1:cleaner"),
    "with a rate": lambda client, other: client.hset(Keys().limits, "rate:builder", "1000 1"),
    "with a key of a wrong type": lambda client, other: (
        client.delete(other.keys.counts),
        client.set(other.keys.counts, "x"),
    ),
    "for newer workers": lambda client, other: client.set(Keys().minimum, schema.VERSION + 1),
}


@pytest.mark.parametrize("what", STATES)
def test_a_message_that_may_not_begin_is_left_where_it_is(
    store: Store, client: redis.Redis, what: str
) -> None:
    # Given a message of another feature, whose attempt this worker cannot begin
    run, other = enqueue(store, "one", task("T1")), enqueue(store, "two", task("T1"))
    begin(run, "T1")
    STATES[what](client, other)
    before = [client.dump(key) for key in sorted(client.keys("*{two}*"))]

    # When a process asks for more
    assert take(run, "T1") == ("finished", None)

    # Then nothing of it was changed
    assert waiting(client) == ["T1"]
    assert [client.dump(key) for key in sorted(client.keys("*{two}*"))] == before


def test_a_queue_of_another_type_is_passed_over(store: Store, client: redis.Redis) -> None:
    run = enqueue(store, "one", task("T1"), task("T2"))
    begin(run, "T1")
    client.set(Keys().queue("text"), "x")
    _, taken = take(run, "T1", claim(queues={"text": ["builder"], "builder": ["builder"]}))
    assert taken
    assert taken.id == ("one", "T2", 1)


def test_a_message_has_the_headers_of_its_features_trace(store: Store, client: redis.Redis) -> None:
    trace = {"traceparent": "00-1f-2e-01", "headers": {"baggage": "a=1"}}
    run = enqueue(store, "one", task("T1"), task("T2"), trace=trace)
    begin(run, "T1")
    _, taken = take(run, "T1")
    assert taken
    assert json.loads(taken.message)["headers"]["traceparent"] == "00-1f-2e-01"


@pytest.mark.parametrize("name", ["@babel/core", "größe", "a:b", "libstdc++6"])
def test_an_id_of_any_script_is_taken(store: Store, client: redis.Redis, name: str) -> None:
    run = enqueue(store, "größe/2", task("T1"), task(name, "T1"))
    client.rpop(QUEUE)
    run.start("T1", 1)
    _, taken = take(run, "T1")
    assert taken
    assert taken.id == ("größe/2", name, 1)
