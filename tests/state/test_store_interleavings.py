"""A small feature in every order in which things can happen. The exploration finds a script that is broken."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from orchestrator.model.feature import Strategy
from orchestrator.state import script_sources, scripts
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


@pytest.mark.parametrize(
    ("script", "rule", "broken"),
    [
        ("finish", "if state.attempt ~= tonumber(attempt) then", "if false then"),
        ("parts/start", "if state.attempt ~= tonumber(attempt) or state.ending then", "if false then"),
        ("schedule", "(meta.batch == 0 or is_resolved(meta.batch))", "true"),
        ("parts/launch", "meta.cap - redis.call('ZCARD', slots_key)", "9"),
        ("parts/attempts", "redis.call('ZADD', ready_key, (plan_of(task)) - 1e9, task)", ""),
        ("transition_task", "if held and tonumber(held) > 0 then", "if false then"),
        ("transition_task", "state.resolves, state.resolved = state.resolved, nil", ""),
        (
            "parts/prelude",
            "  redis.call('ZREM', slots_key, task)\n  if state.resolves",
            "  if state.resolves",
        ),
        ("parts/prelude", "then delay(task, now) end", "then end"),
    ],
    ids=[
        "a finish that is not fenced",
        "a start of an earlier attempt",
        "no barrier",
        "no cap",
        "a loss forgotten",
        "a slot given away before its attempt has ended",
        "a skip that does not wait for the end",
        "a slot that is never given back",
        "a resumed task forgotten",
    ],
)
def test_a_broken_script_is_found(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch, script: str, rule: str, broken: str
) -> None:
    source = script_sources.sources()[script]
    assert source.count(rule) == 1
    planted = {**script_sources.sources(), script: source.replace(rule, broken)}
    scripts.compose.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(script_sources, "sources", lambda: planted)
        is_asked = script in ("transition_task", "parts/prelude")
        feature = pair(Strategy.BATCHED) if is_asked else diamond(Strategy.BATCHED)
        losses, requests = (0, 2) if is_asked else (1, 0)
        explorer = Explorer(client, feature, cap=1, losses=losses, retries=0, requests=requests)
        with pytest.raises((AssertionError, redis.ResponseError)):
            explorer.explore(most=5_000)
    scripts.compose.cache_clear()
