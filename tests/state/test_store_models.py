"""The limit of a model closes for all, and opens gently."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.state.store import Store
from tests.model.factories import task
from tests.state.factories import launched


def at_work(store: Store, *features: str) -> None:
    """Features of ten tasks each, T0 to T9, whose attempts run."""
    for feature in features:
        run = launched(store, *(task(f"T{number}") for number in range(10)), feature_id=feature, cap=10)
        for number in range(10):
            run.start(f"T{number}")


def opens_now(store: Store, model: str = "haiku") -> None:
    """Move the reset of a model into the past."""
    import json

    client: Any = store.client
    limit = json.loads(client.hget(store.keys.models, model))
    client.hset(store.keys.models, model, json.dumps({**limit, "opens": 0}))


def test_a_model_that_is_closed_lets_nobody_in_until_its_reset(store: Store) -> None:
    at_work(store, "auth")
    models = store.models
    assert [models.enter("haiku", f"auth:T{number}:1") for number in range(4)] == [0, 0, 0, 0]
    models.close("haiku", 60)
    models.close("haiku", 20)  # another one met it too; the later reset holds
    assert 50 < models.enter("haiku", "auth:T9:1") <= 60
    assert models.enter("opus", "auth:T9:1") == 0
    (limit,) = models.all()
    assert (limit.model, limit.cap) == ("haiku", 2)
    assert 50 < limit.opens <= 60


def test_it_opens_with_half_and_grows_with_each_completed_attempt(store: Store) -> None:
    at_work(store, "old", "new", "more")
    models = store.models
    for number in range(4):
        models.enter("haiku", f"old:T{number}:1")
    models.close("haiku", 60)
    for number in range(4):
        models.leave("haiku", f"old:T{number}:1", completed=False)
    opens_now(store)
    assert [models.enter("haiku", f"new:T{number}:1") > 0 for number in range(3)] == [False, False, True]
    assert models.enter("haiku", "new:T0:1") == 0  # it asked twice
    models.leave("haiku", "new:T0:1", completed=True)
    assert [models.enter("haiku", f"more:T{number}:1") > 0 for number in range(3)] == [False, False, True]
    for number in range(2):
        models.leave("haiku", f"more:T{number}:1", completed=True)
    assert models.all() == []  # as before
    assert all(models.enter("haiku", f"last:T{number}:1") == 0 for number in range(9))


def test_who_is_lost_counts_no_more(store: Store) -> None:
    run = launched(store, *(task(f"T{number}") for number in range(4)))
    for number in range(4):
        run.start(f"T{number}")
        store.models.enter("haiku", f"auth:T{number}:1")
    store.models.close("haiku", 60)
    opens_now(store)
    run.start("T3")
    assert store.models.enter("haiku", "other:T1:1") > 0  # four are at work, and two may be
    for number in range(3):
        run.expire_lease(f"T{number}")
    run.recover()
    assert store.models.enter("haiku", "other:T1:1") == 0


@settings(max_examples=30, deadline=None)
@given(steps=st.lists(st.sampled_from(["enter", "completed", "leave", "close", "open"]), max_size=30))
def test_never_more_than_its_cap_are_let_in(steps: list[str]) -> None:
    import fakeredis

    from orchestrator.state.keys import Keys

    client: Any = fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True)
    store, inside, number = Store(client, Keys()), list[str](), 0
    run = launched(store, *(task(f"T{one}") for one in range(1, 31)), cap=30)
    for one in range(1, 31):
        run.start(f"T{one}")
    for step in steps:
        known = {limit.model: limit for limit in store.models.all()}.get("haiku")
        if step == "enter":
            number += 1
            if store.models.enter("haiku", f"auth:T{number}:1") == 0:
                assert known is None or (known.opens == 0 and len(inside) < known.cap)
                inside.append(f"auth:T{number}:1")
            else:
                assert known is not None
                assert known.opens > 0 or len(inside) >= known.cap
        elif step in ("completed", "leave") and inside:
            store.models.leave("haiku", inside.pop(), completed=step == "completed")
        elif step == "close":
            store.models.close("haiku", 60)
        elif step == "open" and known:
            opens_now(store)


@pytest.mark.parametrize("model", ["anthropic/claude-sonnet", "a model: with {odd} letters"])
def test_a_model_may_be_called_anything(store: Store, model: str) -> None:
    assert store.models.enter(model, "auth:T1:1") == 0
    store.models.close(model, 60)
    assert store.models.all()[0].model == model
