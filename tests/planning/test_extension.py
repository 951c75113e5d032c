"""How a plan grows: new tasks and dependencies find their batches, and what was launched stays where it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.model import errors
from orchestrator.model.feature import Feature, Strategy
from orchestrator.model.task import Task
from orchestrator.planning import planner
from orchestrator.planning.extension import Growth, Shape, grow
from tests.model.factories import feature, task


def shape(
    planned: Feature,
    open: int = 0,
    started: Mapping[str, str] | None = None,
    resolved: Collection[str] = (),
    **fields: Any,
) -> Shape:
    """A feature as it was planned, with so many batches opened; a resolved task has started too."""
    plan = planner.plan(planned)
    order = [task for batch in plan.batches for task in batch.tasks]
    given: dict[str, Any] = {
        "feature": planned.model_copy(
            update={"id": "auth", "tasks": tuple(planned.task(task) for task in order)}
        ),
        "status": "in-development",
        "strategy": plan.strategy,
        "cap": plan.cap,
        "grown": 0,
        "batches": {task: batch.number for batch in plan.batches for task in batch.tasks},
        "ranks": {task: rank for rank, task in enumerate(order, start=1)},
    }
    done = dict.fromkeys(resolved, "completed")
    return Shape(open=open, started=done | dict(started or {}), resolved=set(resolved), **(given | fields))


def line() -> Feature:
    """T1, then T2, then T3."""
    return feature(task("T1"), task("T2", "T1"), task("T3", "T2"))


def batches(growth: Growth) -> list[tuple[str, ...]]:
    return [batch.tasks for batch in growth.batches]


RUNS = {"T1": "in-progress"}


@pytest.mark.parametrize(
    ("given", "added", "expected"),
    [
        pytest.param(
            shape(line(), 1, RUNS), task("N"), [("T1", "N"), ("T2",), ("T3",)], id="joins-the-open-batch"
        ),
        pytest.param(
            shape(line(), 1, RUNS), task("N", "T1"), [("T1",), ("T2", "N"), ("T3",)], id="joins-a-later-batch"
        ),
        pytest.param(
            shape(line(), 1, RUNS), task("N", "T3"), [("T1",), ("T2",), ("T3",), ("N",)], id="appends-a-batch"
        ),
        pytest.param(
            shape(line(), 3, resolved=["T1", "T2"]),
            task("N", "T1"),
            [("T1",), ("T2",), ("T3", "N")],
            id="what-is-resolved-is-not-waited-for",
        ),
        pytest.param(
            shape(line(), 3, resolved=["T1", "T2", "T3"], status="pending-review"),
            task("N"),
            [("T1",), ("T2",), ("T3",), ("N",)],
            id="behind-the-complete-end",
        ),
        pytest.param(
            shape(line(), 1, resolved=["T1"]),
            task("N"),
            [("T1",), ("T2", "N"), ("T3",)],
            id="behind-a-complete-batch-whose-follower-awaits-launch",
        ),
        pytest.param(shape(line()), task("N"), [("T1", "N"), ("T2",), ("T3",)], id="before-the-first-batch"),
        pytest.param(
            shape(line(), 1, RUNS),
            task("N", priority="high"),
            [("N", "T1"), ("T2",), ("T3",)],
            id="high-priority-goes-first-in-its-batch",
        ),
    ],
)
def test_a_new_task_finds_the_earliest_batch(
    given: Shape, added: Task, expected: list[tuple[str, ...]]
) -> None:
    assert batches(grow(given, [added])) == expected


@pytest.mark.parametrize(
    ("given", "dependencies", "expected"),
    [
        pytest.param(
            shape(feature(task("T1"), task("T2"), task("T3", "T2")), 1, RUNS),
            {"T2": ["T1"]},
            [("T1",), ("T2",), ("T3",)],
            id="out-of-the-open-batch-and-its-dependents-with-it",
        ),
        pytest.param(
            shape(line(), 2, resolved=["T1"]),
            {"T3": ["T1"]},
            [("T1",), ("T2",), ("T3",)],
            id="a-resolved-dependency-moves-nothing",
        ),
        pytest.param(
            shape(feature(task("T1"), task("T2"), task("T3")), 1, RUNS, strategy=Strategy.PARALLEL),
            {"T2": ["T3"]},
            [("T1", "T3"), ("T2",)],
            id="parallel-becomes-batched",
        ),
    ],
)
def test_a_new_dependency_moves_what_has_to_wait(
    given: Shape, dependencies: dict[str, list[str]], expected: list[tuple[str, ...]]
) -> None:
    growth = grow(given, dependencies=dependencies)
    assert batches(growth) == expected
    assert growth.strategy is Strategy.BATCHED


def test_sequential_keeps_one_task_a_batch() -> None:
    given = shape(feature(task("T1"), task("T2"), task("T3"), strategy="sequential"), 1, RUNS)
    growth = grow(given, [task("N1"), task("N2", "N1")], {"T2": ["N2"]})
    assert batches(growth) == [("T1",), ("N1",), ("N2",), ("T2",), ("T3",)]


def test_an_open_batch_that_all_have_left_is_filled_again() -> None:
    given = shape(feature(task("T1"), task("T2"), strategy="sequential"), 1)
    assert batches(grow(given, dependencies={"T1": ["T2"]})) == [("T2",), ("T1",)]


def test_batches_end_where_a_resolved_task_is_waited_for_no_longer() -> None:
    """T2 was skipped before its turn, so T3 may run beside it, and T4 right after."""
    given = shape(
        feature(task("T1"), task("T2", "T1"), task("T3", "T2"), task("T4", "T3")), 1, RUNS, resolved=["T2"]
    )
    growth = grow(given, [task("N", "T1")])
    assert batches(growth) == [("T1",), ("T2", "T3", "N"), ("T4",)]
    assert list(growth.ended) == [4]


def test_only_what_changed_is_to_be_written() -> None:
    growth = grow(shape(line(), 1, RUNS), [task("N", "T3")])
    assert growth.moved == {"N": (1, 4)}
    assert growth.unlaunched == ()


def test_who_stays_in_a_batch_keeps_the_order() -> None:
    """N makes the path through T3 the longest; the order of T2 and T3 is not changed for that."""
    growth = grow(shape(feature(task("T1"), task("T2"), task("T3")), 1), [task("N", "T3")])
    assert batches(growth) == [("T1", "T2", "T3"), ("N",)]
    assert list(growth.moved) == ["N"]


def test_what_must_still_be_unlaunched_is_named() -> None:
    given = shape(feature(task("T1"), task("T2"), task("T3")), 1, RUNS)
    assert grow(given, dependencies={"T2": ["T1"]}).unlaunched == ("T2",)


def test_the_expected_time_grows_with_it() -> None:
    assert grow(shape(line(), 1, RUNS), [task("N", "T3", estimate="25m")]).expected == 55 * 60


# --- refusals -------------------------------------------------------------------------------------------


def test_a_cycle_is_refused_with_its_full_report() -> None:
    with pytest.raises(errors.CircularDependency) as refused:
        grow(shape(line(), 1, RUNS), [task("N", "T3")], {"T2": ["N"]})
    assert refused.value.paths == [["T2", "N", "T3"]]
    assert "Ways out" in str(refused.value)


@pytest.mark.parametrize(
    ("added", "said"),
    [
        pytest.param(task("T2"), "T2.id: there is a task of this id already", id="taken"),
        pytest.param(
            task("N", "T22"), "N.depends_on: T22: no task has this id; did you mean T2?", id="unknown"
        ),
        pytest.param(task("N", "N"), "N.depends_on: N: a task cannot depend on itself", id="itself"),
    ],
)
def test_a_mistake_is_named_with_its_task(added: Task, said: str) -> None:
    with pytest.raises(errors.InvalidFeature) as refused:
        grow(shape(line(), 1, RUNS), [added])
    assert said in str(refused.value)


def test_a_task_that_has_started_takes_no_dependency() -> None:
    with pytest.raises(errors.TaskStarted) as refused:
        grow(shape(line(), 1, RUNS), [task("N")], {"T1": ["N"]})
    assert "T1 of auth has started already (it is in-progress), so it cannot wait for N" in str(refused.value)


def test_a_task_that_has_started_keeps_the_dependencies_it_has() -> None:
    growth = grow(shape(line(), 2, {"T2": "in-progress"}, resolved=["T1"]), dependencies={"T2": ["T1"]})
    assert growth.changed == ()


def test_a_feature_that_is_over_does_not_grow() -> None:
    with pytest.raises(errors.FeatureOver):
        grow(shape(line(), 3, resolved=["T1", "T2", "T3"], status="completed"), [task("N")])


def test_an_unknown_task_is_given_nothing_to_wait_for() -> None:
    with pytest.raises(errors.NoSuchTask):
        grow(shape(line()), dependencies={"T9": ["T1"]})


# --- in general -----------------------------------------------------------------------------------------


@st.composite
def growths(draw: st.DrawFn) -> Growth:
    """Some feature, stopped somewhere on its way, that takes in some tasks and dependencies without a cycle."""
    strategy = draw(st.sampled_from(["sequential", "batched", "resource_aware"]))
    old = draw(st.integers(1, 8))
    ids = [f"T{number}" for number in range(old)]
    tasks = []
    for at, task_id in enumerate(ids):
        waits_for = draw(st.sets(st.sampled_from(ids[:at]))) if at else set()
        tasks.append(task(task_id, *waits_for, priority=draw(st.sampled_from(["high", "medium", "low"]))))
    planned = feature(*tasks, strategy=strategy)
    plan = planner.plan(planned)
    opened = draw(st.integers(0, len(plan.batches)))
    resolved, started = set(), {}
    for batch in plan.batches:
        for member in batch.tasks:
            place = (batch.number > opened) - (batch.number < opened)
            is_resolved = place < 0 or draw(st.integers(0, 3)) == 0  # one of a later batch was skipped
            if is_resolved:
                resolved.add(member)
            elif place == 0 and draw(st.booleans()):
                started[member] = "in-progress"
    before = shape(planned, opened, started, resolved)
    # A place in one order over old and new tasks keeps the whole free of cycles.
    new = [f"N{number}" for number in range(draw(st.integers(0, 4)))]
    order = ids.copy()
    for task_id in new:
        order.insert(draw(st.integers(0, len(order))), task_id)
    added = [
        task(
            task_id,
            *(draw(st.sets(st.sampled_from(order[: order.index(task_id)]))) if order.index(task_id) else ()),
        )
        for task_id in new
    ]
    free = [task_id for task_id in ids if task_id not in before.started and order.index(task_id)]
    chosen = draw(st.sets(st.sampled_from(free))) if free else set()
    dependencies = {
        task_id: sorted(draw(st.sets(st.sampled_from(order[: order.index(task_id)]), min_size=1)))
        for task_id in sorted(chosen)
    }
    return grow(before, added, dependencies)


@given(growths())
def test_no_task_is_lost_or_doubled(growth: Growth) -> None:
    placed = [member for batch in growth.batches for member in batch.tasks]
    assert sorted(placed) == sorted([*growth.shape.batches, *(task.id for task in growth.added)])
    assert [batch.number for batch in growth.batches] == list(range(1, len(growth.batches) + 1))
    assert all(batch.tasks for batch in growth.batches)


@given(growths())
def test_what_is_launched_or_behind_never_moves(growth: Growth) -> None:
    number = _numbers(growth)
    before = growth.shape
    for member, was in before.batches.items():
        if was < before.open or (was == before.open and member in before.started):
            assert number[member] == was
        else:
            assert number[member] >= before.open


@given(growths())
def test_each_task_comes_after_all_it_waits_for(growth: Growth) -> None:
    number = _numbers(growth)
    before = growth.shape
    for member in growth.feature.tasks:
        for dependency in member.depends_on:
            if dependency in before.resolved or before.stays(member.id):
                continue
            assert number[dependency] < number[member.id]


@given(growths())
def test_no_task_waits_longer_than_it_has_to(growth: Growth) -> None:
    number, before = _numbers(growth), growth.shape
    if before.strategy is Strategy.SEQUENTIAL:
        behind = [len(batch.tasks) for batch in growth.batches if batch.number > before.open]
        assert set(behind) <= {1}
        return
    for member in growth.feature.tasks:
        latest = max(
            (number[dependency] for dependency in member.depends_on if dependency not in before.resolved),
            default=0,
        )
        if not before.stays(member.id):
            assert number[member.id] <= max(before.open, latest) + 1


@given(growths())
def test_ranks_follow_the_launch_order(growth: Growth) -> None:
    for batch in growth.batches:
        assert all(growth.ranks[one] < growth.ranks[other] for one, other in pairwise(batch.tasks))


def _numbers(growth: Growth) -> dict[str, int]:
    return {member: batch.number for batch in growth.batches for member in batch.tasks}


def test_a_dataflow_feature_says_that_it_cannot_grow() -> None:
    feature = Feature(title="Login", tasks=(Task(id="T1"),))
    shape = Shape(feature, "in-development", Strategy.DATAFLOW, 5, 1, 0, {"T1": 1}, {"T1": 1})
    with pytest.raises(errors.CannotGrow, match="Login cannot grow while it runs"):
        grow(shape, [Task(id="T2")])
