"""A store on a fake Redis, for the shell around it."""

from __future__ import annotations

import fakeredis
import pytest

from orchestrator.state import connections
from orchestrator.state.keys import Keys
from orchestrator.state.store import Store


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store that whoever opens one gets; it publishes nothing itself."""
    store = Store(fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True), Keys())
    monkeypatch.setattr(connections, "open_store", lambda settings: store)
    return store
