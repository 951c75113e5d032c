"""Two versions on one Redis: what a newer one wrote is left as it is, and what may be passed over is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import redis

from orchestrator.model import errors
from orchestrator.model.feature import Strategy
from orchestrator.model.flows import FeatureEvent, TaskEvent
from orchestrator.model.outcome import Completed, Failed
from orchestrator.model.progress import Progress, Unreadable
from orchestrator.model.task import TaskStatus
from orchestrator.planning import extension
from orchestrator.state import schema
from orchestrator.state.store import Store
from tests.model.factories import task
from tests.state.factories import FLOW, Run, as_of_schema_3, enqueue, everything, launched, routes_of

NEXT = schema.VERSION + 1

CHANGES: dict[str, Callable[[Run], object]] = {
    "schedule": lambda run: run.store.schedule(run.id),
    "start": lambda run: run.start("T3", 1),
    "transition_attempt": lambda run: run.store.attempts.transition_attempt(
        run.id, "T1", 1, _move(TaskEvent.IMPLEMENTATION_COMPLETE), worker="w1"
    ),
    "finish": lambda run: run.finish("T1", attempt=1),
    "report_progress": lambda run: run.store.attempts.report_progress(run.id, "T1", 1, 50, "half"),
    "requeue": lambda run: run.store.attempts.requeue(run.id, "T1", 1, worker="w1"),
    "recover": lambda run: run.recover(),
    "transition_task": lambda run: run.ask("T1", TaskEvent.TASK_HELD, revoke=True),
    "assign": lambda run: run.store.requests.assign(run.id, "T2", "writer"),
    "update_feature": lambda run: run.store.requests.update_feature(run.id, FeatureEvent.FEATURE_CANCELLED),
    "grow": lambda run: grow(run, task("T9")),
    "delete_feature": lambda run: run.store.delete_feature(run.id),
}
LOOKS: dict[str, Callable[[Run], object]] = {
    "feature_summary": lambda run: run.store.features.summary(run.id),
    "states": lambda run: run.store.tasks.states(run.id),
    "state": lambda run: run.store.tasks.state(run.id, "T1"),
    "tasks": lambda run: run.store.tasks.all(run.id),
    "shape": lambda run: run.store.tasks.shape(run.id),
}
ENDS = ("transition_attempt", "finish", "report_progress", "requeue")
"""What a worker does that began an attempt while it was new enough."""


def _move(*events: TaskEvent) -> Any:
    from orchestrator.model import lifecycle

    return lifecycle.transition(FLOW, *events)


def grow(run: Run, *tasks: Any, **depends: Any) -> Any:
    return run.store.requests.grow(
        run.id,
        lambda shape: extension.grow(shape, tasks, depends),
        lambda added: (
            routes_of(run.plan.feature) | {one.id: routes_of(run.plan.feature)["T1"] for one in added}
        ),
    )


def working(store: Store) -> Run:
    """A feature of which T1 runs and T3 is launched."""
    run = launched(store)
    run.start("T1")
    return run


def rewrite(client: redis.Redis, key: str, field: str, **fields: Any) -> None:
    """Write more into a JSON value of a hash, as a newer version may."""
    stored: Any = client.hget(key, field)
    client.hset(key, field, json.dumps({**json.loads(stored), **fields}))


def test_a_feature_keeps_the_schema_that_it_was_written_in(store: Store) -> None:
    run = enqueue(store)
    assert store.client.hget(run.keys.meta, "schema") == str(schema.VERSION)


def test_a_feature_that_keeps_none_is_of_the_first_schema_and_comes_to_its_end(store: Store) -> None:
    with enqueue(store) as run:
        store.client.hdel(run.keys.meta, "schema")
        run.schedule()
        run.complete("T1", "T3", "T2", "T4", "T5")
        assert run.status() == "completed"


@pytest.mark.parametrize("strategy", [Strategy.BATCHED, Strategy.DATAFLOW])
def test_a_feature_of_schema_3_comes_to_its_end(store: Store, strategy: Strategy) -> None:
    store.limits.set("total", "2")
    run = as_of_schema_3(enqueue(store, strategy=strategy))
    run.schedule()
    run.complete("T1", "T3", "T2")
    with pytest.raises(errors.RefusedTransition):
        store.requests.update_feature(run.id, FeatureEvent.FEATURE_APPROVED)
    run.complete("T4", "T5")
    assert run.status() == "completed"
    assert store.client.hget(run.keys.meta, "schema") == "2"


def test_a_worker_of_schema_3_finds_what_this_version_writes_into_a_feature_of_its_own(store: Store) -> None:
    # Given a feature of schema 3 that is paused, of which a task runs
    store.limits.set("total", "2")
    run = as_of_schema_3(enqueue(store, strategy=Strategy.DATAFLOW))
    run.schedule()
    run.start("T1")
    store.requests.update_feature(run.id, FeatureEvent.FEATURE_PAUSED, {"paused": 1})

    # When this version ends it
    run.end("T1")

    # Then its dependents are told where that version looks, and as soon as either version schedules
    stored: Any = store.client
    assert stored.lrange(run.keys.part("resolved"), 0, -1) == ["+T1"]
    assert not stored.exists(run.keys.dependency_updates, run.keys.released)
    store.requests.update_feature(run.id, FeatureEvent.FEATURE_RESUMED, {"paused": 0})
    assert not stored.exists(run.keys.part("resolved"))
    assert "T2" in stored.zrange(run.keys.slots, 0, -1)


def test_a_feature_of_schema_3_is_deleted_with_the_keys_that_it_had(store: Store) -> None:
    run = as_of_schema_3(launched(store))
    for part in ("freed", "resolved"):
        store.client.rpush(run.keys.part(part), "x")
    run.cancel()
    assert store.delete_feature(run.id) == ("deleted", "cancelled")
    assert not [key for key in map(str, store.client.keys("*")) if run.id in key]


@pytest.mark.parametrize("change", CHANGES)
def test_a_feature_of_a_newer_schema_is_left_as_it_is(store: Store, change: str) -> None:
    run = working(store)
    store.client.hset(run.keys.meta, "schema", NEXT)
    before = everything(store.client)

    with pytest.raises(
        errors.NewerFeature, match=rf"schema {NEXT}; this one reads up to schema {schema.VERSION}"
    ):
        CHANGES[change](run)

    assert everything(store.client) == before


@pytest.mark.parametrize("look", LOOKS)
def test_a_feature_of_a_newer_schema_is_not_read_as_if_it_were_of_this_one(store: Store, look: str) -> None:
    run = working(store)
    store.client.hset(run.keys.meta, "schema", NEXT)
    with pytest.raises(errors.NewerFeature):
        LOOKS[look](run)


@pytest.mark.parametrize("change", [*CHANGES, "enqueue"])
def test_a_version_that_is_too_old_for_a_prefix_ends_what_it_began_and_begins_nothing(
    store: Store, change: str
) -> None:
    # Given an attempt that runs, and a newer version that asks for newer workers
    run = working(store)
    assert store.recovery.raise_minimum(NEXT) == NEXT
    before = everything(store.client)

    # Then what runs is brought to its end
    if change in ENDS:
        CHANGES[change](run)
        return

    # And nothing else is done
    with pytest.raises(errors.Outdated, match=rf"the prefix to: they need\s+schema {NEXT}"):
        CHANGES[change](run) if change != "enqueue" else enqueue(store, feature_id="another")
    staged = {key for key in everything(store.client) if ":staged:" in key}
    assert {key: value for key, value in everything(store.client).items() if key not in staged} == before


def test_the_minimum_of_a_prefix_is_the_newest_that_is_asked_for(store: Store) -> None:
    assert store.features.minimum() == 0
    assert store.recovery.raise_minimum(1) == 1
    assert store.recovery.raise_minimum(3) == 3
    assert store.recovery.raise_minimum(2) == 3
    assert store.features.minimum() == 3


def test_a_worker_takes_the_lead_from_an_older_one_and_from_no_other(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a leader of the version before there were schemas
    store.client.set(store.keys.sweeper, "old@here", px=60_000)
    assert store.recovery.acquire_leadership("w1", 60)
    assert store.recovery.acquire_leadership("w1", 60)
    assert not store.recovery.acquire_leadership("w2", 60)

    # When a newer one comes
    monkeypatch.setattr(schema, "VERSION", NEXT)
    assert store.recovery.acquire_leadership("next", 60)

    # Then it keeps the lead
    monkeypatch.undo()
    assert not store.recovery.acquire_leadership("w1", 60)
    assert store.client.get(store.keys.sweeper) == "next"


def test_a_version_that_is_too_old_for_a_prefix_does_not_lead(store: Store) -> None:
    store.recovery.raise_minimum(NEXT)
    assert not store.recovery.acquire_leadership("w1", 60)


def broken(store: Store, how: str) -> str:
    """A feature that cannot be read; its id."""
    run = launched(store, feature_id=f"a-{how}")
    meta = run.keys.meta
    match how:
        case "newer":
            store.client.hset(meta, "schema", NEXT)
        case "damaged":
            store.client.hset(meta, "cap", "wide")
        case "incomplete":
            store.client.hdel(meta, "strategy", "total")
        case "another type":
            store.client.delete(run.keys.counts)
            store.client.set(run.keys.counts, "no hash")
        case "no hash":
            store.client.delete(meta)
            store.client.set(meta, "no hash")
    return run.id


@pytest.mark.parametrize("how", ["newer", "damaged", "incomplete", "another type", "no hash"])
def test_a_feature_that_cannot_be_read_hides_no_other_in_a_list(store: Store, how: str) -> None:
    launched(store, feature_id="first")
    unreadable = broken(store, how)
    launched(store, feature_id="last")

    found = store.features.overview(["first", "gone", unreadable, "last"])

    assert [one.id for one in found] == ["first", unreadable, "last"]
    assert [type(one) for one in found] == [Progress, Unreadable, Progress]
    one = found[1]
    assert isinstance(one, Unreadable)
    assert one.unreadable
    assert "\n" not in one.unreadable
    if how == "newer":
        assert (one.title, one.status) == ("User authentication", "planning")
        assert (
            one.unreadable
            == f"a newer version wrote it (schema {NEXT}; this one reads up to {schema.VERSION})"
        )


def test_what_is_newer_is_named(store: Store) -> None:
    launched(store, feature_id="first")
    assert store.features.newer() == []
    assert store.features.newer() == [] != [broken(store, "newer")] == store.features.newer()


# Fields that a newer version may write into a feature of this schema.


def test_a_field_that_this_version_does_not_know_is_kept(store: Store) -> None:
    # Given fields of a newer version in all that is read
    run = launched(store)
    keys = run.keys
    rewrite(store.client, keys.states, "T1", colour="blue", marks={"a": [1, 2]})
    rewrite(store.client, keys.tasks, "T1", colour="blue")
    rewrite(store.client, keys.tasks, "T4", colour="blue", priority="urgent")
    rewrite(store.client, keys.batches, "1", colour="blue")
    rewrite(store.client, keys.meta, "head", colour="blue")
    store.client.hset(keys.meta, "colour", "blue")
    store.client.xadd(keys.events, {"event": "task_coloured", "task": "T1", "colour": "blue"})

    # When a task is begun and ended, another waits for one more, and all is looked at
    assert run.start("T1").task == task("T1", title="Create schema", tags=["database"], estimate="15m")
    run.end("T1", Completed(summary="done"))
    rewrite(store.client, keys.outcomes, "T1", colour="blue")
    grow(run, T4=["T3"])

    # Then it goes on, and each is there still
    assert run.status("T1") == "completed"
    assert store.tasks.outcomes(run.id, ["T1"])["T1"].tail == ""
    assert [event.event for event in store.events.read(run.id)].count("task_coloured") == 1
    stored: Any = store.client
    assert json.loads(stored.hget(keys.states, "T1"))["marks"] == {"a": [1, 2]}
    for key, field in ((keys.states, "T1"), (keys.tasks, "T1"), (keys.tasks, "T4"), (keys.outcomes, "T1")):
        assert json.loads(stored.hget(key, field))["colour"] == "blue", f"{field} of {key}"
    changed = json.loads(stored.hget(keys.tasks, "T4"))
    assert (changed["priority"], changed["depends_on"]) == ("urgent", ["T2", "T3"])
    assert json.loads(stored.hget(keys.meta, "head"))["colour"] == "blue"


def test_a_status_that_this_version_does_not_know_is_shown_as_it_is(store: Store) -> None:
    run = launched(store)
    rewrite(store.client, run.keys.states, "T1", status="parked")
    store.client.hset(run.keys.meta, mapping={"status": "archiving", "strategy": "tidal"})

    progress = store.features.summary(run.id)
    states = {state.id: state for state in store.tasks.states(run.id)}

    assert (progress.status, progress.strategy) == ("archiving", "tidal")
    assert json.loads(progress.model_dump_json())["status"] == "archiving"
    assert not progress.status.is_over
    assert (states["T1"].status, states["T3"].status) == ("parked", TaskStatus.PENDING)
    assert json.loads(states["T1"].model_dump_json())["status"] == "parked"
    # And nobody begins what stands there.
    assert run.start("T1", 1).code == "stale"


def test_a_cause_that_this_version_does_not_know_is_shown_as_it_is(store: Store) -> None:
    with launched(store) as run:
        run.do("T1", Failed(reason="hot"))
        rewrite(store.client, run.keys.outcomes, "T1", cause="heat")
        outcome = store.tasks.outcomes(run.id, ["T1"])["T1"]
        assert isinstance(outcome, Failed)
        assert outcome.cause == "heat"
        assert '"cause":"heat"' in outcome.model_dump_json()


def test_an_outcome_that_this_version_does_not_know_is_left_out(store: Store) -> None:
    run = launched(store)
    run.complete("T1", "T3")
    rewrite(store.client, run.keys.outcomes, "T1", status="half-done")
    assert list(store.tasks.outcomes(run.id, ["T1", "T3"])) == ["T3"]


def test_an_outcome_that_is_damaged_is_said_to_be_unreadable(store: Store) -> None:
    run = launched(store)
    run.complete("T1")
    rewrite(store.client, run.keys.outcomes, "T1", summary=7)
    with pytest.raises(errors.UnreadableFeature, match="summary"):
        store.tasks.outcomes(run.id, ["T1"])


def test_a_task_of_an_unknown_priority_waits_for_a_limit_as_one_of_medium_priority(store: Store) -> None:
    store.limits.configure({"specialist:builder": "1"})
    run = enqueue(store, task("T1"), task("T2"), task("T3", priority="low"))
    rewrite(store.client, run.keys.tasks, "T2", priority="urgent")
    assert run.schedule() == ["T1"]
    assert run.complete("T1") == ["T2"]


@pytest.mark.parametrize(
    "stored", ["no JSON", "[]", '{"id": "T9"}', '{"id": "T1", "params": "x"}', "[" * 100_000]
)
def test_a_stored_task_that_is_junk_is_not_begun_and_not_shown(store: Store, stored: str) -> None:
    """Nor one under the id of another: its attempts would end as those of a task that there is not."""
    run = launched(store, task("T1"), task("T2"))
    store.client.hset(run.keys.tasks, "T1", stored)

    for look in (
        lambda name: run.start(name, 1),
        lambda name: store.tasks.find(run.id, name),
        lambda _: store.tasks.states(run.id),
    ):
        with pytest.raises(errors.UnreadableFeature, match=f"{run.id} cannot be read"):
            look("T1")
    assert run.start("T2", 1).code == "started"
