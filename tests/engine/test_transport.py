"""Transient messages are handed out without being written down; all others as kombu does."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
import redis
from kombu import Connection, Queue

from orchestrator.config import urls
from orchestrator.engine import broker, channel, message_format, transport
from tests.redis_server import client_of, find_binaries, serve
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.bounds,
    pytest.mark.real,
    pytest.mark.skipif(not find_binaries(), reason="there is no redis-server here"),
]


@pytest.fixture(autouse=True)
def nothing_is_told_yet() -> None:
    channel._warned.clear()


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with serve(tmp_path) as url:
        yield url


@pytest.fixture
def server(url: str) -> redis.Redis:
    return client_of(url)


def message(tag: str, delivery_mode: int) -> dict[str, Any]:
    properties = {
        "delivery_mode": delivery_mode,
        "delivery_tag": tag,
        "delivery_info": {"exchange": "", "routing_key": "work"},
    }
    return {
        "body": "[]",
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {},
        "properties": properties,
    }


def send(server: redis.Redis, tag: str, delivery_mode: int) -> None:
    server.lpush("work", json.dumps(message(tag, delivery_mode)))


def open_connection(url: str) -> Any:
    return transport.use(Connection(broker.address(urls.read(url)).url))


def take(connection: Any, number: int) -> list[Any]:
    """Take so many messages, and keep them."""
    taken: list[Any] = []
    consumer = connection.Consumer(
        [Queue("work", routing_key="work")], callbacks=[lambda _, message: taken.append(message)]
    )
    consumer.qos(prefetch_count=number)
    with consumer:
        while len(taken) < number:
            connection.drain_events(timeout=60)
    return taken


def test_a_transient_message_is_not_written_down(url: str, server: redis.Redis) -> None:
    send(server, "one", 1)
    with open_connection(url) as connection:
        (message,) = take(connection, 1)
        assert not server.exists("unacked", "unacked_index")
        message.ack()
    assert server.llen("work") == 0


def test_any_other_message_is(url: str, server: redis.Redis) -> None:
    send(server, "one", 2)
    with open_connection(url) as connection:
        (message,) = take(connection, 1)
        assert server.hkeys("unacked") == ["one"]
        message.ack()
        assert not server.exists("unacked", "unacked_index")


def test_a_transient_message_that_is_refused_is_gone(url: str, server: redis.Redis) -> None:
    send(server, "one", 1)
    with open_connection(url) as connection:
        (message,) = take(connection, 1)
        message.reject()
    assert server.llen("work") == 0


def test_a_transient_message_that_comes_too_late_is_put_back(url: str, server: redis.Redis) -> None:
    send(server, "one", 1)
    send(server, "two", 1)
    with open_connection(url) as connection:
        one, two = take(connection, 2)
        two.requeue()  # as kombu does where the consumer takes nothing any more, and Celery when a process is lost
        assert server.llen("work") == 1
        one.ack()
    assert server.llen("work") == 1


def test_what_was_handed_out_and_not_begun_is_put_back_at_the_end(url: str, server: redis.Redis) -> None:
    for tag, mode in (("one", 1), ("two", 2), ("three", 1), ("four", 1)):
        send(server, tag, mode)
    with open_connection(url) as connection:
        for message in take(connection, 4):
            if message.delivery_tag == "four":
                message.ack()
    left: Any = server.lrange("work", 0, -1)
    tags = [json.loads(message)["properties"]["delivery_tag"] for message in left]
    assert sorted(tags) == ["one", "three", "two"]
    assert not server.exists("unacked", "unacked_index")


def test_a_broker_that_is_gone_is_no_reason_to_end(tmp_path: Path) -> None:
    # Given a worker that holds a message, and a broker that is killed
    with serve(tmp_path) as url:
        send(client_of(url), "one", 1)
        connection = open_connection(url)
        (message,) = take(connection, 1)
    connection.transport.client = None  # as `Connection.collect` leaves it when the broker does not answer

    # When Celery closes the connection, to open another, then it meets nothing that it does not know
    with contextlib.suppress(*connection.connection_errors):
        connection.close()
    # nor when the message's task ends later
    message.ack()


def test_what_a_worker_tells_of_its_broker_is_what_kombu_would_tell() -> None:
    # `celery inspect stats` and Flower's page of a worker ask for it, as JSON
    used, plain = (
        transport.use(Connection("redis://:secret@cache:6380/2")),
        Connection("redis://cache:6380/2"),
    )
    assert json.loads(json.dumps(used.info()))["transport"] == plain.info()["transport"]
    assert used.as_uri() == "redis://:**@cache:6380/2"


@pytest.mark.parametrize("broker", ["amqp://guest@localhost//", "memory://"])
def test_another_broker_keeps_its_transport(broker: str) -> None:
    connection = Connection(broker)
    before = connection.transport_cls
    assert transport.use(connection).transport_cls == before


def test_who_may_take_nothing_goes_on_when_something_is_acknowledged(url: str, server: redis.Redis) -> None:
    # Given somebody who may take one message at a time, and waits for two
    for tag in ("one", "two"):
        send(server, tag, 1)
    with open_connection(url) as connection:
        (message,) = take(connection, 1)

        # When the first is acknowledged meanwhile, then the wait for credit is over, and not only when its time is up
        poller = connection.transport.cycle
        told: list[bool] = []
        wait = poller.credit.wait
        poller.credit.wait = lambda _: told.append(wait(120))
        timer = threading.Timer(0.05, message.ack)
        timer.start()
        with pytest.raises(Empty):
            poller.get(connection.transport._deliver, timeout=2)
        timer.join()
    assert told == [True]


WRONG: dict[str, Any] = {
    "string": lambda server, key: server.set(key, "x"),
    "hash": lambda server, key: server.hset(key, "a", "b"),
    "stream": lambda server, key: server.xadd(key, {"a": "b"}),
}


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("key", ["other", "other\x06\x163", "work\x06\x163"])
def test_what_is_no_queue_is_passed_over_and_told_once(
    url: str, server: redis.Redis, key: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A key of another type ends no worker: what is no queue is passed over, told once, and the rest goes on."""
    # Given something else under the name of a queue, or of one of its priorities
    WRONG[kind](server, key)
    with open_connection(url) as connection:
        taken: list[str] = []
        opened = connection.channel()
        queues = [Queue(name, channel=opened) for name in ("other", "work")]

        def take(body: Any, message: Any) -> None:
            taken.append(message.delivery_tag)
            message.ack()

        def told() -> int:
            with contextlib.suppress(TimeoutError):
                connection.drain_events(timeout=0.1)
            return caplog.text.count("is skipped")

        def takes(tag: str) -> bool:
            return bool(told()) and tag in taken

        with connection.Consumer(queues, callbacks=[take], channel=opened, accept=["json"]):
            # When messages come to what is one, then they are taken
            wait_until(lambda: told() > 0)
            for tag in ("a", "b"):
                send(server, tag, message_format.TRANSIENT)
                wait_until(partial(takes, tag))
            assert told() == 1
            assert server.type(key) == kind

            # And it is a queue again as soon as nothing stands in its place
            server.rename(key, "away")
            server.lpush(key, json.dumps(message("c", message_format.TRANSIENT)))
            wait_until(partial(takes, "c"))


@pytest.mark.parametrize("key", ["_kombu.binding.work", "unacked", "unacked_index", "unacked_mutex"])
def test_what_kombu_keeps_beside_its_queues_is_passed_over_too(
    url: str, server: redis.Redis, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Where somebody has overwritten it, messages come all the same, those that are written down too."""
    WRONG["stream"](server, key)
    with open_connection(url) as connection:
        send(server, "a", 2)
        (taken,) = take(connection, 1)
        taken.channel.qos.restore_visible(interval=1)
        taken.ack()
    assert server.type(key) == "stream"
    assert caplog.text.count("is skipped") <= 1
