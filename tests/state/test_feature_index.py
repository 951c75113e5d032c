"""Features are found by their status, tag, id and title, newest first, a page at a time."""

from __future__ import annotations

import pytest

from orchestrator.config.settings import Settings
from orchestrator.model import errors
from orchestrator.model.feature import Feature
from orchestrator.planning import planner, routing
from orchestrator.state import feature_index
from orchestrator.state.store import Store
from tests.model.factories import task


def enqueue(store: Store, name: str, title: str = "Login", tags: tuple[str, ...] = ()) -> None:
    feature = Feature(id=name, title=title, tags=tags, tasks=(task("T1"),))
    store.enqueue(name, planner.schedule(feature, 5), routing.route(feature, Settings()))


def all_pages(store: Store, limit: int, **asked: str) -> list[str]:
    found: list[str] = []
    after = ""
    while True:
        page = store.index.find(after=after, limit=limit, **asked)
        assert len(page.features) <= limit
        found += page.features
        after = page.after
        if not after:
            return found


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_pages_have_each_feature_once_newest_first(store: Store, limit: int) -> None:
    for number in range(7):
        enqueue(store, f"f{number}")
    expected = list(map(str, store.client.zrevrange(store.keys.features, 0, -1)))
    assert sorted(expected) == [f"f{number}" for number in range(7)]
    assert all_pages(store, limit) == expected


def test_features_of_one_moment_are_all_found(store: Store) -> None:
    for number in range(7):
        enqueue(store, f"f{number}")
        store.client.zadd(store.keys.features, {f"f{number}": 5})
    assert sorted(all_pages(store, 2)) == [f"f{number}" for number in range(7)]


def test_a_feature_is_found_by_its_title_id_and_tag(store: Store) -> None:
    enqueue(store, "auth-1", "User Login", ("web",))
    enqueue(store, "pay-1", "Ärger with invoices", ("web", "money"))
    assert store.index.find(text="LOGIN").features == ["auth-1"]
    assert store.index.find(text="pay-").features == ["pay-1"]
    assert store.index.find(text="Ärger").features == ["pay-1"]
    assert store.index.find(tag="money").features == ["pay-1"]
    assert sorted(store.index.find(tag="web").features) == ["auth-1", "pay-1"]
    assert store.index.find(tag="web", status="planning", text="user").features == ["auth-1"]
    assert store.index.find(tag="none").features == []


def test_the_index_follows_the_status_in_the_same_step(store: Store) -> None:
    enqueue(store, "auth", tags=("web",))
    assert store.index.find(status="planning").features == ["auth"]
    store.requests.update_feature("auth", "feature_cancelled")
    assert store.index.find(status="planning").features == []
    assert store.index.find(status="cancelled").features == ["auth"]
    assert store.delete_feature("auth")[0] == "deleted"
    assert store.index.find(status="cancelled").features == store.index.find(tag="web").features == []
    assert not [key for key in map(str, store.client.scan_iter()) if ":by-" in key]


def test_features_of_an_older_version_come_into_the_index(store: Store) -> None:
    enqueue(store, "auth", tags=("web",))
    store.client.delete(store.keys.by_status("planning"), store.keys.by_tag("web"))
    assert store.index.find(status="planning", tag="web").features == ["auth"]


def test_an_index_that_was_overwritten_keeps_no_feature_from_going_on(store: Store) -> None:
    store.client.set(store.keys.by_status("planning"), "junk")
    store.client.set(store.keys.by_status("cancelled"), "junk")
    store.client.set(store.keys.by_tag("web"), "junk")
    enqueue(store, "auth", tags=("web",))
    store.requests.update_feature("auth", "feature_cancelled")
    assert store.features.summary("auth").status == "cancelled"


def test_what_is_stale_is_put_right(store: Store) -> None:
    enqueue(store, "auth")
    store.client.hset(store.keys.feature("auth").meta, "status", "blocked")  # as an older version does it
    store.index.update(["auth", "gone"])
    assert store.index.find(status="blocked").features == ["auth"]
    assert store.index.find(status="planning").features == []


def test_a_search_looks_at_a_part_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_index, "LOOKED_AT", 2)
    for number in range(7):
        enqueue(store, f"f{number}", "Rare" if number in (0, 3) else "Usual")
    assert sorted(all_pages(store, 1, text="rare")) == ["f0", "f3"]


def test_what_is_no_cursor_is_refused(store: Store) -> None:
    with pytest.raises(errors.BadCursor):
        store.index.find(after="nonsense")
