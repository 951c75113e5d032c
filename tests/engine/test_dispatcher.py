"""Commands become messages: small ones, all of them; and where the store publishes itself, none."""

from __future__ import annotations

import contextlib
import logging

import fakeredis
import pytest

from orchestrator.engine.app import App
from orchestrator.engine.dispatcher import Dispatcher
from orchestrator.model import errors
from orchestrator.model.commands import (
    BatchProgress,
    LogProgress,
    PublishTasks,
    ScheduleFeature,
    ScheduleResult,
)
from orchestrator.model.feature import Feature
from orchestrator.model.queues import Queues
from orchestrator.planning import planner, routing
from orchestrator.state.keys import Keys
from orchestrator.state.store import Store
from tests.engine.brokers import NOWHERE, app_with, messages
from tests.model import factories
from tests.model.factories import task


def launch(
    store: Store, app: App, feature: Feature, feature_id: str = "auth", cap: int = 5
) -> ScheduleResult:
    store.enqueue(feature_id, planner.plan(feature, cap), routing.route(feature, app.settings))
    return store.schedule(feature_id)


@pytest.mark.parametrize("pooled", [True, False])
def test_each_launch_is_one_message_to_the_queue_of_its_specialist(store: Store, pooled: bool) -> None:
    # Given a launch of two tasks for different specialists
    app = app_with("memory://")
    scheduled = launch(store, app, factories.feature(task("T1", tags=["backend"]), task("T2", tags=["bug"])))

    # When it is published
    Dispatcher(app, store, pooled=pooled).publish("auth", scheduled.launched)

    # Then each is in its queue, with its three words and nothing else
    sent = sorted(messages(), key=lambda message: str(message.headers["id"]))
    ids = [str(message.headers["id"]) for message in sent]
    assert [(message.queue, id[:10], message.body[:2]) for message, id in zip(sent, ids, strict=True)] == [
        ("to.implementation-specialist", "auth:T1:1:", [["auth", "T1", 1], {}]),
        ("to.senior-engineer", "auth:T2:1:", [["auth", "T2", 1], {}]),
    ]
    assert len({id[10:] for id in ids}) == 2
    assert [message.body[2] for message in sent] == [
        {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    ] * 2
    # And they are one Celery group
    assert len({message.headers["group"] for message in sent}) == 1


def test_a_message_has_the_same_size_in_any_graph(store: Store) -> None:
    app = app_with("memory://")
    sizes = set()
    for feature_id, layers, width in (("one", 1, 1), ("two", 2, 5), ("ten", 20, 50)):
        tasks = [
            task(
                f"T{layer * width + place:04}",
                *([f"T{(layer - 1) * width + place:04}"] if layer else []),
                description="x" * layers,
            )
            for layer in range(layers)
            for place in range(width)
        ]
        scheduled = launch(store, app, factories.feature(*tasks), feature_id)
        Dispatcher(app, store, pooled=False).publish(feature_id, scheduled.launched[:1])
        (message,) = messages()
        sizes.add(message.size)
    assert len(sizes) == 1
    assert sizes.pop() < 2_000


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("broker", [NOWHERE, "amqp://guest:secret@127.0.0.1:1//"], ids=["redis", "amqp"])
def test_a_broker_that_does_not_take_messages_is_named(store: Store, broker: str, pooled: bool) -> None:
    app = app_with(broker)
    scheduled = launch(store, app, factories.feature(task("T1"), task("T2")))

    with pytest.raises(errors.BrokerUnreachable) as refused:
        Dispatcher(app, store, pooled=pooled).publish("auth", scheduled.launched)

    text = str(refused.value)
    assert text.startswith("Cannot reach the broker at ")
    assert "127.0.0.1:1" in text
    assert "The feature auth is stored; its first tasks are sent as soon as a worker runs" in text
    assert "secret" not in text


def test_commands_are_carried_out_in_their_order(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    app = app_with("memory://")
    scheduled = launch(store, app, factories.feature(task("T1")))
    caplog.set_level(logging.INFO, "orchestrator")

    Dispatcher(app, store, pooled=False).send(
        [
            LogProgress("auth", BatchProgress(number=1, total=1, resolved=0)),
            PublishTasks("auth", scheduled.launched),
        ]
    )

    assert caplog.messages == ["[auth] Batch 1: 0/1 tasks complete (0%)"]
    assert len(messages()) == 1


def test_a_store_that_publishes_what_it_launches_leaves_nothing_to_publish() -> None:
    client = fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True)
    queues = Queues(Keys().celery(), used=["builder"])
    store, app = Store(client, Keys(), queues=queues), app_with("memory://")
    scheduled = launch(store, app, factories.feature(task("T1")))

    Dispatcher(app, store, pooled=False).send([PublishTasks("auth", scheduled.launched)])

    assert messages() == []
    assert client.llen(Keys().queue("implementation-specialist")) == 1


@pytest.mark.parametrize("broker", ["memory://", NOWHERE])
def test_who_is_woken_wakes_the_next_whether_or_not_the_broker_answers(store: Store, broker: str) -> None:
    # Given three features that wait for the same resource, of which there was none
    app = app_with(broker, resources={"gpu": 3})
    store.limits.set("resource:gpu", "0")
    for name in ("one", "two", "three"):
        launch(store, app, factories.feature(task("T1", resources=["gpu"])), name)

    # When there is some, and the first of them is woken
    woken = store.limits.set("resource:gpu", "3")
    assert set(woken) == {"one", "two", "three"}, "each needs more than there was"
    told = contextlib.nullcontext() if broker == "memory://" else pytest.raises(errors.BrokerUnreachable)
    with told:
        Dispatcher(app, store, pooled=False).send([ScheduleFeature(name) for name in woken])

    # Then all three have theirs
    assert [store.features.summary(name).in_flight for name in ("one", "two", "three")] == [1, 1, 1]


def test_waking_a_feature_that_is_gone_does_nothing(store: Store) -> None:
    Dispatcher(app_with("memory://"), store, pooled=False).send([ScheduleFeature("gone")])
    assert messages() == []
