"""Features that are over are forgotten after a while, and leave nothing."""

from __future__ import annotations

import pytest
import redis

from orchestrator.model.feature import FeatureStatus
from orchestrator.state.retention import forget_old
from orchestrator.state.store import Store
from tests.model.factories import task
from tests.state.factories import Run, enqueue, launched


def finish(run: Run, days: float = 0.0) -> None:
    """Complete a feature of T1 alone, as if so many days ago."""
    run.complete("T1")
    if days:
        ended = float(str(run.store.client.hget(run.keys.meta, "finished"))) - days * 86_400_000
        run.store.client.hset(run.keys.meta, "finished", ended)
        run.store.client.zadd(run.store.keys.finished, {run.id: ended})


def all_keys(client: redis.Redis) -> list[str]:
    return sorted(map(str, client.scan_iter("*")))


def test_nothing_of_a_forgotten_feature_is_left(store: Store, client: redis.Redis) -> None:
    # Given a feature with all that a feature can have, and another one beside it
    other = launched(store, task("T1"), feature_id="other")
    before = all_keys(client)
    run = launched(store, task("T1"), strategy="dataflow", key="nightly")
    finish(run)
    assert store.features.newest() == ["auth", "other"]

    assert store.delete_feature("auth") == ("deleted", FeatureStatus.COMPLETED)

    # Then no key has its name, no index has it, and the key of its enqueue may be used again
    assert [key for key in all_keys(client) if "auth" in key or "nightly" in key] == []
    assert set(all_keys(client)) - set(before) <= {store.keys.last_started}
    assert store.features.newest() == ["other"]
    assert (store.features.active(), store.features.finished(0, 10)) == (["other"], [])
    assert enqueue(store, task("T1"), key="nightly").id == "auth"
    assert other.status() != FeatureStatus.COMPLETED


@pytest.mark.parametrize("end", ["completed", "cancelled"])
def test_what_is_over_for_long_is_found_and_forgotten_oldest_first(store: Store, end: str) -> None:
    for number, days in ((1, 40), (2, 35), (3, 31), (4, 29)):
        run = launched(store, task("T1"), feature_id=f"f{number}")
        if end == "cancelled":
            run.start("T1")
            run.cancel()
            run.end("T1")
        else:
            run.complete("T1")
        ended = float(str(store.client.hget(run.keys.meta, "finished"))) - days * 86_400_000
        store.client.hset(run.keys.meta, "finished", ended)
        assert store.client.zadd(store.keys.finished, {run.id: ended}, xx=True, ch=True) == 1

    assert forget_old(store, 30 * 86_400, portion=2) == ["f1", "f2"]
    assert forget_old(store, 30 * 86_400, portion=2) == ["f3"]
    assert forget_old(store, 30 * 86_400, portion=2) == []
    assert store.features.newest() == ["f4"]


def test_what_is_not_over_is_not_forgotten(store: Store) -> None:
    with launched(store, task("T1")) as run:
        assert store.delete_feature(run.id) == ("refused", FeatureStatus.PLANNING)
        # Nor is one of which something still runs
        run.start("T1")
        run.cancel()
        assert store.delete_feature(run.id) == ("running", FeatureStatus.CANCELLED)
        run.end("T1")
        # Nor one that is over for too short a time
        assert store.delete_feature(run.id, older_than=3_600) == ("young", FeatureStatus.CANCELLED)
        assert store.delete_feature("unknown") == ("missing", "")
        assert store.features.exists(run.id)
