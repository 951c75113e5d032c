"""Ids of any script and with other tools' signs go through the scripts of the store as plain ones do."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings

from orchestrator.model.feature import Feature, Strategy
from orchestrator.model.flows import TaskEvent
from orchestrator.model.outcome import Failed
from orchestrator.model.task import Task
from orchestrator.planning import extension
from orchestrator.state import schema
from orchestrator.state.store import Store
from tests.model.factories import task
from tests.model.test_identifiers import FEATURE_IDS, IDS
from tests.state.factories import FEATURE_ID, Run, as_of_schema_3, check, check_limits, enqueue, routes_of

FIRST, SECOND, THIRD = "@babel/core", "//app:lib+x", "größe:日本~1"
HOLD = TaskEvent.TASK_HELD
RESUME = TaskEvent.TASK_RESUMED
NUMBERS = itertools.count()


def work_off(run: Run) -> None:
    """Complete what is in flight until nothing is."""
    while in_flight := [str(one) for one in run.store.client.zrange(run.keys.slots, 0, -1)]:
        run.complete(in_flight[0])
        check(run)


@pytest.mark.parametrize("strategy", [Strategy.BATCHED, Strategy.DATAFLOW])
@given(feature=FEATURE_IDS, first=IDS, second=IDS, third=IDS)
@settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_feature_with_any_ids_fails_is_held_retried_and_completed(
    store: Store, strategy: Strategy, feature: str, first: str, second: str, third: str
) -> None:
    # Given a feature with such ids, under limits, whose first task has failed
    store.client.flushall()
    first, second, third = (f"{name[:190]}{place}" for place, name in enumerate((first, second, third)))
    store.limits.set("total", "2")
    store.limits.set("resource:gpu", "1")
    tasks = (
        task(first, resources=["gpu"]),
        task(second, resources=["gpu"]),
        task(third, first, second),
    )
    run = enqueue(store, *tasks, feature_id=feature, strategy=strategy)
    (launched,) = run.schedule()
    (holder,) = store.limits.find("resource:gpu").holders
    assert (holder.feature, holder.task) == (feature, launched)
    run.do(launched, Failed(reason="no"))
    check_limits(store, [run])
    # When it is retried, another is held and resumed, and all is worked off
    run.reopen(launched)
    run.ask(third, HOLD)
    work_off(run)
    run.ask(third, RESUME)
    work_off(run)
    # Then it is complete, and nothing is held
    assert run.status() == "completed"
    assert {state.id: str(state.status) for state in store.tasks.states(feature)} == dict.fromkeys(
        (first, second, third), "completed"
    )
    check_limits(store, [run])
    assert store.limits.repair() == []


def test_an_older_feature_that_grows_by_such_an_id_is_kept_from_versions_that_do_not_know_it(
    store: Store,
) -> None:
    # Given a feature of schema 2
    plain = as_of_schema_3(enqueue(store, task("T1")))
    assert store.client.hget(plain.keys.meta, "schema") == "2"
    # When it grows by such an id
    plain.schedule()
    added = [Task(id=SECOND)]
    routes = routes_of(Feature(title="x", tasks=tuple(added)))
    store.requests.grow(FEATURE_ID, lambda shape: extension.grow(shape, added), lambda tasks: routes)
    # Then it is of the first schema that has such ids
    assert store.client.hget(plain.keys.meta, "schema") == str(schema.ANY_IDS)


def test_a_task_whose_id_begins_as_the_gates_of_a_feature_is_counted(store: Store) -> None:
    run = enqueue(store, task(FIRST), task("@testing-library/react"))

    run.schedule()
    run.complete(FIRST, "@testing-library/react")

    assert store.features.summary(run.id).completed == 2
    check(run)
