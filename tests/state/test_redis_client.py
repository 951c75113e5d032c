"""The errors of the one client are ours, and redis-py's own as well."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import Mock

import pytest
import redis

from orchestrator.config import urls
from orchestrator.model import errors
from orchestrator.state import connections, forks, refusals
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


# --- a held connection --------------------------------------------------------------------------------------


class Told(BaseException):
    pass


def numbers_of_connections(client: RedisClient, times: int) -> set[int]:
    return {client.client_id() for _ in range(times)}


def test_a_held_connection_serves_all_commands_of_its_thread(client: RedisClient) -> None:
    with client.held():
        (mine,) = numbers_of_connections(client, 3)
        other: list[set[int]] = []
        thread = threading.Thread(target=lambda: other.append(numbers_of_connections(client, 1)))
        thread.start()
        thread.join()
        with client.held():
            client.set("a", "1")
        assert numbers_of_connections(client, 1) == {mine}
    assert mine not in other[0]
    assert client.get("a") == "1"


def test_a_held_connection_that_was_cut_is_opened_again(client: RedisClient) -> None:
    client.set("a", "1")
    with client.held():
        (mine,) = numbers_of_connections(client, 1)
        with connections.open_client(urls.read(client.url)) as other:
            other.client_kill_filter(_id=str(mine))
        assert client.get("a") == "1"
        assert mine not in numbers_of_connections(client, 1)


def test_no_command_gets_the_answer_of_one_that_was_interrupted(
    client: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.set("a", "1")
    with client.held():
        client.ping()

        def interrupt(*_: object, **__: object) -> Any:
            monkeypatch.undo()
            raise Told

        # Given a signal that comes when a command was sent, and its answer was not read
        monkeypatch.setattr(client, "parse_response", interrupt)
        with pytest.raises(Told):
            client.echo("mine")

        # Then the next command gets its own answer
        assert client.get("a") == "1"


def test_a_refusal_on_a_held_connection_is_ours(client: RedisClient) -> None:
    client.set("text", "no hash")
    with client.held(), pytest.raises(errors.RedisRefuses):
        client.hget("text", "field")


def test_a_forked_process_does_not_use_the_connection_that_is_held(client: RedisClient) -> None:
    forks.own_connections_in_children(client, lambda: connections.open_client(urls.read(client.url)))
    with client.held():
        (mine,) = numbers_of_connections(client, 1)
        pid = os.fork()
        if pid == 0:
            os._exit(int(mine in numbers_of_connections(client, 1)))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert numbers_of_connections(client, 1) == {mine}


def test_a_held_connection_that_is_closed_looks_for_the_master_again(client: RedisClient) -> None:
    """Behind sentinels only `connect` asks who is the master; redis-py's `send_command` opens the old address again."""
    with client.held():
        client.ping()
        connection: Any = client._held.connection
        asked = Mock(wraps=connection.connect)
        connection.connect = asked
        connection.disconnect()

        assert client.ping()

        assert asked.called
