"""A small feature in every order in which things can happen. That it finds a broken script: `tests.mutations`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from orchestrator.model.feature import Strategy
from tests.conftest import Servers
from tests.redis_server import chosen_binaries, client_of, find_binaries
from tests.state.interleavings import Explorer, diamond, pair

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not find_binaries(), reason="there is no redis-server here"),
]


@pytest.fixture
def client(servers: Servers) -> Iterator[redis.Redis]:
    """An empty Redis: the newest, since the fake takes minutes for what it does in seconds."""
    with client_of(servers.url(chosen_binaries()[-1])) as client:
        client.flushall()
        yield client


@pytest.mark.parametrize(
    ("strategy", "losses", "retries"), [(Strategy.BATCHED, 1, 0), (Strategy.DATAFLOW, 0, 1)]
)
def test_every_interleaving_keeps_the_invariants_and_has_a_way_to_an_end(
    client: redis.Redis, strategy: Strategy, losses: int, retries: int
) -> None:
    explorer = Explorer(client, diamond(strategy), cap=2, losses=losses, retries=retries)
    found = explorer.explore(most=20_000)
    print(f"{strategy}: {found.states:,} states, {found.steps:,} steps; settled: {found.ends}")
    assert found.states > 500
    assert found.ends["completed"]
    assert found.ends["blocked"]


@pytest.mark.parametrize("strategy", [Strategy.BATCHED, Strategy.DATAFLOW])
def test_a_person_may_ask_for_anything_at_any_moment(client: redis.Redis, strategy: Strategy) -> None:
    explorer = Explorer(client, pair(strategy), cap=1, losses=0, retries=0, requests=2)
    found = explorer.explore(most=20_000)
    print(f"{strategy}: {found.states:,} states, {found.steps:,} steps; settled: {found.ends}")
    assert found.states > 300
    assert found.ends["completed"]
    assert found.ends["on-hold"]
