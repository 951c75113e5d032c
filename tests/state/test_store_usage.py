"""What agents use is counted once, whatever comes twice, late or never."""

from __future__ import annotations

import random
from typing import Any

import fakeredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.model.outcome import Completed
from orchestrator.model.usage import COUNTED, Allowed, Usage, summed, verdict
from orchestrator.state.keys import Keys
from orchestrator.state.store import Store
from tests.model.factories import task
from tests.state.factories import Run, launched

HAIKU = Usage(
    model="haiku",
    tier="fast",
    runtime="claude",
    input=100,
    output=20,
    requests=1,
    cost=0.25,
    source="reported",
)


def started(store: Store) -> Run:
    run = launched(store, task("T1"), task("T2"))
    run.start("T1")
    return run


def test_only_what_is_new_is_counted(store: Store) -> None:
    run = started(store)
    more = HAIKU.model_copy(update={"output": 50, "requests": 2, "cost": 0.75})
    assert store.usage.report("auth", "T1", 1, "builder", [HAIKU]).spent.cost == 0.25
    for usages in ([more], [more], [HAIKU]):
        spent = store.usage.report("auth", "T1", 1, "builder", usages).spent
        assert (spent.cost, spent.tokens, spent.feature) == (0.75, 150, 0.75)
    assert store.usage.spent("auth", "T1") == spent
    assert spent.day == 0.75
    (row,) = store.usage.rows("auth", "model")
    assert (row.name, row.tokens, row.requests, row.price) == ("haiku", 150, 2, "$0.75")
    assert run.store.usage.rows("auth", "task")[0].name == "T1"


def test_lost_and_ended_attempts_count_too(store: Store) -> None:
    run = started(store)
    run.finish("T1", Completed())
    spent = store.usage.report("auth", "T1", 1, "builder", [HAIKU]).spent
    assert spent.cost == 0.25


@pytest.mark.parametrize(
    ("feature", "task", "attempt"), [("auth", "T9", 1), ("auth", "T1", 2), ("auth", "T2", 2)]
)
def test_what_no_attempt_used_is_not_counted(store: Store, feature: str, task: str, attempt: int) -> None:
    started(store)
    account = store.usage.report(feature, task, attempt, "builder", [HAIKU], Allowed(cost=1.0))
    assert account.spent.cost == 0
    assert verdict(account).is_over  # it is to end
    assert store.usage.of_feature("auth") == []
    assert store.usage.days(2) == []


def test_a_cost_that_is_unknown_is_not_nothing(store: Store) -> None:
    started(store)
    unknown = HAIKU.model_copy(update={"model": "own", "cost": None, "source": "unknown"})
    store.usage.report("auth", "T1", 1, "builder", [HAIKU, unknown])
    assert store.usage.rows("auth", "task")[0].price == "at least $0.25"
    assert [row.price for row in store.usage.rows("auth", "model")] == ["$0.25", "unknown"]
    assert {(model, row.unknown) for _, model, row in store.usage.days(1)} == {("haiku", 0), ("own", 1)}
    # And once it is known, it counts
    store.usage.report("auth", "T1", 1, "builder", [unknown.model_copy(update={"cost": 0.5})])
    assert store.usage.rows("auth", "task")[0].price == "$0.75"
    assert {(model, row.unknown) for _, model, row in store.usage.days(1)} == {("haiku", 0), ("own", 0)}


def test_the_sums_of_a_day_outlive_the_feature(store: Store) -> None:
    run = started(store)
    store.usage.report("auth", "T1", 1, "builder", [HAIKU])
    run.cancel()
    run.finish("T1", Completed())
    run.store.delete_feature("auth")
    assert store.usage.of_feature("auth") == []
    ((specialist, model, row),) = store.usage.days(1)
    assert (specialist, model, row.price, row.tokens) == ("builder", "haiku", "$0.25", 120)


numbers = st.integers(0, 1_000)
usages = st.builds(
    Usage,
    model=st.sampled_from(["haiku", "opus"]),
    input=numbers,
    output=numbers,
    cache_read=numbers,
    requests=numbers,
    cost=st.none() | numbers.map(lambda cents: cents / 100),
)


@settings(max_examples=30, deadline=None)
@given(seen=st.lists(st.tuples(st.sampled_from(["T1", "T2"]), usages), max_size=8), seed=st.integers())
def test_any_order_and_any_repetition_gives_the_same_sums(seen: list[tuple[str, Usage]], seed: int) -> None:
    def rows(reports: list[tuple[str, Usage]]) -> Any:
        client: Any = fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True)
        store = Store(client, Keys())
        run = launched(store, task("T1"), task("T2"))
        run.start("T1")
        run.start("T2")
        for of, usage in reports:
            store.usage.report("auth", of, 1, f"by-{of}", [usage])
        by = {kind: store.usage.rows("auth", kind) for kind in ("task", "specialist", "model")}
        days = store.usage.days(1)
        sums = [
            [getattr(summed("", found), kind) for kind in (*COUNTED, "cost", "unknown")]
            for found in (*by.values(), [row for _, _, row in days])
        ]
        assert all(one == sums[0] for one in sums), sums
        return by, days

    shuffled = [*seen, *seen]
    random.Random(seed).shuffle(shuffled)
    assert rows(seen) == rows(shuffled)
