"""The names of queues and exchanges where the broker is no Redis, and that people go on to name them as before."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.config.schema.servers import RedisSettings
from orchestrator.config.schema.specialists import SpecialistSettings
from orchestrator.engine import queues
from orchestrator.engine.app import App
from tests.engine.brokers import app_with, messages

REDIS = RedisSettings(url="redis://127.0.0.1:1", prefix="shop")


@pytest.fixture
def app() -> App:
    """An app whose broker has one space of names for all projects."""
    return app_with("memory://", redis=REDIS, specialists={"reviewer": SpecialistSettings(queue="people")})


def test_all_names_begin_with_the_prefix(app: App) -> None:
    names: Any = app.amqp.queues
    assert set(names) == {
        "shop.people",
        *(f"shop.{name}" for name in app.settings.specialists if name != "reviewer"),
    }
    assert {queue.exchange.name for queue in names.values()} == {"shop.orchestrator"}
    assert {queue.routing_key for queue in names.values()} == set(names)
    control: Any = app.control
    mailbox = control.mailbox
    assert mailbox.exchange.name == "shop.celery.pidbox"
    assert mailbox.reply_exchange.name == "reply.shop.celery.pidbox"
    assert (app.conf.event_exchange, app.conf.event_queue_prefix) == ("shop.celeryev", "shop.celeryev")


def test_a_worker_takes_from_queues_by_the_names_that_people_use(app: App) -> None:
    taken: Any = app.amqp.queues

    taken.select(["people", "senior-engineer", "shop.planning-specialist", "another"])

    assert set(taken.consume_from) == {
        "shop.people",
        "shop.senior-engineer",
        "shop.planning-specialist",
        "shop.another",
    }
    assert queues.display_names(queue.as_dict() for queue in taken.consume_from.values()) == [
        "people",
        "senior-engineer",
        "planning-specialist",
        "another",
    ]


@pytest.mark.parametrize("name", ["people", "shop.people"])
def test_a_message_goes_to_the_queue_of_either_name(app: App, name: str) -> None:
    app.send_task("reviewer", ("auth", "T1", 1), queue=name, ignore_result=True)

    assert [message.queue for message in messages()] == ["shop.people"]


def test_on_a_redis_names_stay_and_the_keys_have_the_prefix() -> None:
    app = app_with("redis://127.0.0.1:1", redis=REDIS)

    names: Any = app.amqp.queues
    names.select(["senior-engineer", "another"])

    assert set(names.consume_from) == {"senior-engineer", "another"}
    app = app_with("memory://", redis=REDIS)
    assert app.conf.result_backend_transport_options == {"global_keyprefix": "shop:celery:"}
