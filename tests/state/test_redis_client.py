"""The errors of the one client are ours, and redis-py's own as well."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from orchestrator.config import urls
from orchestrator.model import errors
from orchestrator.state import connections, refusals
from orchestrator.state.redis_client import RedisClient
from tests.redis_server import KilledRedis, find_binaries, killable

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not find_binaries(), reason="there is no redis-server here"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[KilledRedis]:
    with killable() as server:
        yield server


@pytest.fixture
def client(server: KilledRedis) -> Iterator[RedisClient]:
    with connections.open_client(urls.read(server.url)) as client:
        yield client


def piped(client: RedisClient) -> Any:
    pipeline = client.pipeline(transaction=False)
    pipeline.get("a")
    pipeline.hget("text", "field")
    return pipeline.execute()


@pytest.mark.parametrize("ask", [lambda client: client.hget("text", "field"), piped])
def test_a_refusal(client: RedisClient, ask: Callable[[RedisClient], Any]) -> None:
    client.set("text", "no hash")

    with pytest.raises(errors.RedisRefuses) as refused:
        ask(client)

    assert isinstance(refused.value, redis.ResponseError)
    assert (refused.value.url, refused.value.code) == (client.url, "WRONGTYPE")


@pytest.mark.parametrize("ask", [lambda client: client.get("a"), piped, lambda client: client.time()])
def test_an_outage(ask: Callable[[RedisClient], Any]) -> None:
    with (
        connections.open_client(urls.read("redis://:secret@127.0.0.1:1/0")) as client,
        pytest.raises(errors.RedisUnreachable) as away,
    ):
        ask(client)

    assert isinstance(away.value, redis.ConnectionError)
    assert refusals.passes(away.value)
    assert away.value.url == client.url
    assert "secret" not in str(away.value)


def test_what_the_store_asks_again_for_stays_as_it_is(client: RedisClient) -> None:
    with pytest.raises(redis.exceptions.NoScriptError):
        client.evalsha("0" * 40, 0)
    with pytest.raises(redis.DataError):
        client.set("a", None)  # type: ignore[arg-type]


def test_a_translated_error_is_translated_once_and_travels_as_ours() -> None:
    error = refusals.translate(redis.BusyLoadingError("reads its data in"), "redis://cache")
    assert refusals.translate(error, "redis://other") is error  # type: ignore[arg-type]
    assert isinstance(error, redis.ConnectionError)

    arrived = pickle.loads(pickle.dumps(error))

    assert type(arrived) is errors.RedisRefuses
    assert (str(arrived), arrived.code) == (str(error), "LOADING")
