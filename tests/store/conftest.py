"""The store's contract runs on the fake and on every redis-server there is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import fakeredis
import pytest
import redis

from orchestrator.state.keys import Keys
from orchestrator.state.store import Store
from tests.redis_server import client_of, find_binaries, name_of, serve

FAKE = "fakeredis"


class Servers:
    """The servers of this test session, each started when it is first asked for."""

    def __init__(self, folders: pytest.TempPathFactory, stack: ExitStack) -> None:
        self.folders = folders
        self.stack = stack
        self.urls: dict[str, str] = {}

    def url(self, binary: str) -> str:
        """The URL of the server that this binary runs."""
        if binary not in self.urls:
            self.urls[binary] = self.stack.enter_context(serve(self.folders.mktemp("redis"), binary))
        return self.urls[binary]


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with ExitStack() as stack:
        yield Servers(tmp_path_factory, stack)


@pytest.fixture(
    params=[FAKE, *(pytest.param(binary, marks=pytest.mark.real) for binary in find_binaries())],
    ids=lambda binary: binary if binary == FAKE else name_of(binary),
)
def client(request: pytest.FixtureRequest, servers: Servers) -> Iterator[redis.Redis]:
    """An empty Redis that answers in text."""
    if request.param == FAKE:
        yield fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True)
        return
    client = client_of(servers.url(request.param))
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def store(client: redis.Redis) -> Store:
    return Store(client, Keys("to"))
