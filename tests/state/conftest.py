"""The store's contract runs on a Redis server (see `tests.conftest.stores`)."""

from __future__ import annotations

import pytest
import redis

from orchestrator.state.keys import Keys
from orchestrator.state.store import Store


@pytest.fixture
def store(client: redis.Redis) -> Store:
    return Store(client, Keys("to"))
