"""Plans: what runs when, under each strategy, and what is said where no plan is possible."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.model import errors
from orchestrator.model.feature import Feature, Strategy
from orchestrator.model.plan import Plan
from orchestrator.planning.planner import plan
from orchestrator.planning.simulation import makespan
from tests.model.factories import authentication, feature, task


def batches(made: Plan) -> list[list[str]]:
    return [list(batch.tasks) for batch in made.batches]


def line() -> Feature:
    return feature(task("T1"), task("T2", "T1"), task("T3", "T2"))


def free(size: int, **fields: object) -> Feature:
    return feature(*(task(f"T{place}") for place in range(1, size + 1)), **fields)


@st.composite
def features(draw: st.DrawFn) -> Feature:
    ids = [f"T{place}" for place in range(draw(st.integers(1, 10)))]
    tasks = [
        task(
            name,
            *(draw(st.lists(st.sampled_from(ids[:place]), unique=True, max_size=3)) if place else []),
            priority=draw(st.sampled_from(["high", "medium", "low"])),
            estimate=draw(st.integers(1, 90)),
        )
        for place, name in enumerate(ids)
    ]
    return feature(*draw(st.permutations(tasks)))


def test_five_tasks_of_an_authentication_make_three_batches() -> None:
    # Given a database, a backend upon it, an interface that is free, tests and documents upon the backend
    # When planned
    made = plan(authentication())

    # Then what can run side by side does
    assert [set(tasks) for tasks in batches(made)] == [{"T1", "T3"}, {"T2"}, {"T4", "T5"}]
    assert [batch.parallel for batch in made.batches] == [True, False, True]
    assert made.critical_path == ("T1", "T2", "T4")
    assert made.critical_seconds == (15 + 40 + 20) * 60
    assert made.total_seconds == (15 + 40 + 25 + 20 + 10) * 60
    assert made.expected_seconds == (25 + 40 + 20) * 60
    assert [(found.task, found.blocks) for found in made.bottlenecks] == [("T1", 3), ("T2", 2)]


def test_sequential_is_one_task_a_batch_and_respects_preferences() -> None:
    # Given three free tasks, the second of high priority, and one that waits for it
    given_feature = feature(
        task("T1"), task("T2", priority="high"), task("T3", estimate="30m"), task("T4", "T2", priority="high")
    )

    # When
    made = plan(given_feature, strategy=Strategy.SEQUENTIAL)

    # Then high priority goes first as soon as it may, and of the rest the longest
    assert batches(made) == [["T2"], ["T4"], ["T3"], ["T1"]]
    assert made.expected_seconds == made.total_seconds
    assert made.saving_percent == 0


def test_parallel_is_one_batch() -> None:
    made = plan(free(3), strategy=Strategy.PARALLEL)

    assert batches(made) == [["T1", "T2", "T3"]]


def test_parallel_is_refused_where_a_task_depends_on_another() -> None:
    with pytest.raises(errors.NotParallel) as refusal:
        plan(line(), strategy=Strategy.PARALLEL)

    assert (refusal.value.task, refusal.value.dependency) == ("T2", "T1")
    assert "batched" in str(refusal.value)


@pytest.mark.parametrize("strategy", [Strategy.PARALLEL, Strategy.BATCHED, Strategy.RESOURCE_AWARE])
def test_a_batch_wider_than_the_cap_has_sub_batches_under_any_strategy(strategy: Strategy) -> None:
    # Given seven free tasks and a cap of three
    made = plan(free(7), cap=3, strategy=strategy)

    # Then the one batch is shown in parts of at most three, in launch order
    (batch,) = made.batches
    assert [(part.label, list(part.tasks)) for part in batch.sub_batches] == [
        ("1a", ["T1", "T2", "T3"]),
        ("1b", ["T4", "T5", "T6"]),
        ("1c", ["T7"]),
    ]
    assert batch.expected == 3 * 600


def test_a_batch_as_wide_as_the_cap_has_no_sub_batches() -> None:
    assert plan(free(3), cap=3).batches[0].sub_batches == ()


def test_sub_batches_after_z_have_two_letters() -> None:
    labels = [part.label for part in plan(free(28), cap=1).batches[0].sub_batches]

    assert labels[0] == "1a"
    assert labels[25:] == ["1z", "1aa", "1ab"]


@pytest.mark.parametrize(
    ("given_feature", "chosen"),
    [
        (feature(task("T1")), Strategy.SEQUENTIAL),
        (line(), Strategy.SEQUENTIAL),
        (free(9), Strategy.PARALLEL),
        (authentication(), Strategy.BATCHED),
        (feature(*free(5).tasks, task("end", "T1")), Strategy.BATCHED),
        (feature(*free(6).tasks, task("end", "T1")), Strategy.RESOURCE_AWARE),
    ],
    ids=["one task", "line", "no edges", "narrow", "as wide as the cap", "wider than the cap"],
)
def test_auto_chooses_by_the_shape_of_the_graph(given_feature: Feature, chosen: Strategy) -> None:
    made = plan(given_feature, strategy=Strategy.AUTO)

    assert (made.requested, made.strategy) == (Strategy.AUTO, chosen)


def test_the_feature_s_own_cap_and_the_caller_s_own_strategy_go_first() -> None:
    made = plan(free(4, max_parallel_tasks=2, strategy="batched"), cap=9, strategy=Strategy.SEQUENTIAL)

    assert made.cap == 2
    assert made.strategy is Strategy.SEQUENTIAL


def test_a_cap_below_one_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        plan(free(2), cap=0)


def test_launch_order_is_priority_then_remaining_path_then_order_in_the_feature() -> None:
    made = plan(
        feature(
            task("low", priority="low", estimate="90m"),
            task("first"),
            task("second"),
            task("long"),
            task("high", priority="high", estimate="1m"),
            task("end", "long"),
        )
    )

    assert made.batches[0].tasks == ("high", "long", "first", "second", "low")


@given(features(), st.integers(1, 4))
def test_a_batch_depends_only_on_batches_before_it(given_feature: Feature, cap: int) -> None:
    for strategy in (Strategy.SEQUENTIAL, Strategy.BATCHED, Strategy.AUTO):
        made = plan(given_feature, cap, strategy)

        number = {name: batch.number for batch in made.batches for name in batch.tasks}
        assert len(number) == len(given_feature.tasks) == sum(len(batch.tasks) for batch in made.batches)
        assert all(number[end] < number[each.id] for each in given_feature.tasks for end in each.depends_on)
        assert made.critical_seconds <= made.expected_seconds <= made.total_seconds
        for batch in made.batches:
            parts = list(itertools.chain.from_iterable(part.tasks for part in batch.sub_batches))
            assert parts == (list(batch.tasks) if len(batch.tasks) > cap else [])
            assert all(len(part.tasks) <= cap for part in batch.sub_batches)


def test_dataflow_has_one_launch_order_over_the_whole_feature_and_batches_for_reports() -> None:
    # Given a short chain of high priority, and a long one
    made = plan(
        feature(
            task("A"),
            task("B", "A", priority="high", estimate="1m"),
            task("C"),
            task("D", "C"),
            task("E", "D"),
        ),
        strategy=Strategy.DATAFLOW,
    )

    # Then priority goes before the longest remaining path, on whichever level
    assert made.order == ("B", "C", "D", "A", "E")
    assert batches(made) == [["C", "A"], ["B", "D"], ["E"]]


def test_a_plan_in_batches_is_launched_batch_by_batch() -> None:
    made = plan(feature(task("T1"), task("T2", "T1"), task("T3", estimate="1m")))

    assert made.order == ("T1", "T3", "T2")


@pytest.mark.parametrize("strategy", [Strategy.BATCHED, Strategy.DATAFLOW, Strategy.SEQUENTIAL])
def test_a_plan_knows_what_the_barrier_costs_under_any_strategy(strategy: Strategy) -> None:
    # Given batches of 25, 40 and 20 minutes, and a longest path of 75
    made = plan(authentication(), strategy=strategy)

    assert (made.expected_batched, made.expected_dataflow) == (85 * 60, 75 * 60)
    assert made.barrier_percent == 13


def test_each_batch_of_dataflow_knows_what_it_adds_to_the_whole() -> None:
    # Given a task of the first level that outlasts the second
    made = plan(
        feature(task("T1", estimate="1m"), task("long", estimate="60m"), task("T2", "T1")),
        strategy=Strategy.DATAFLOW,
    )

    assert made.expected_seconds == 60 * 60
    assert [batch.adds for batch in made.batches] == [60 * 60, 0]
    assert [batch.expected for batch in made.batches] == [60 * 60, 10 * 60]
    assert [batch.adds for batch in plan(authentication()).batches] == [None] * 3


def test_dataflow_has_no_sub_batches() -> None:
    assert plan(free(7), cap=3, strategy=Strategy.DATAFLOW).batches[0].sub_batches == ()


def test_a_barrier_that_saves_time_is_below_zero() -> None:
    made = plan(authentication()).model_copy(update={"expected_batched": 90.0, "expected_dataflow": 100.0})

    assert made.barrier_percent == -10


@given(features(), st.integers(1, 4))
def test_dataflow_is_a_schedule_of_the_same_work(given_feature: Feature, cap: int) -> None:
    made = plan(given_feature, cap, Strategy.DATAFLOW)

    assert sorted(made.order) == sorted(each.id for each in given_feature.tasks)
    assert made.expected_seconds == made.expected_dataflow
    assert sum(batch.adds or 0 for batch in made.batches) == pytest.approx(made.expected_seconds)
    assert max(made.critical_seconds, made.total_seconds / cap) <= made.expected_seconds + 1e-6
    assert made.expected_seconds <= made.total_seconds + 1e-6
    assert made.expected_batched == plan(given_feature, cap, Strategy.BATCHED).expected_seconds


@given(st.lists(st.integers(1, 100), min_size=1), st.integers(1, 8))
def test_the_makespan_is_between_the_bounds_of_list_scheduling(weights: list[int], cap: int) -> None:
    took = makespan(weights, cap)

    least = max(max(weights), sum(weights) / cap)
    assert least <= took <= sum(weights) / cap + max(weights)
    assert makespan(weights, 1) == sum(weights)
    assert makespan(weights, len(weights)) == max(weights)


def test_a_slot_that_frees_is_filled_at_once() -> None:
    # Given two slots, and a short task beside a long one
    # Then the third task starts when the short one ends, not when both have
    assert makespan([60, 10, 40], cap=2) == 60


def test_a_circular_dependency_is_named_with_ways_out() -> None:
    # Given a cycle of three, with titles
    given_feature = feature(
        task("T1"),
        task("T2", "T1", "T5", title="Implement API"),
        task("T5", "T7", title="Add caching"),
        task("T7", "T2", title="Update API"),
    )

    # When
    with pytest.raises(errors.CircularDependency) as refusal:
        plan(given_feature)

    # Then the cycle is written as a path, and what could be done is said
    text = str(refusal.value)
    assert "1 circular dependency." in text
    assert "  T2 (Implement API) → T5 (Add caching) → T7 (Update API) → T2\n" in text
    assert 'remove "depends_on: T5" from T2: breaks 1 of 1 cycle' in text
    assert "split T2, which is on 1 cycle: one part that T7 can depend on, and one that depends on T5" in text
    assert "reorder: T2, then T7, then T5, so that T2 does not wait for T5" in text

    # And programs get the same as data
    facts = refusal.value.facts
    assert facts["paths"] == [["T2", "T5", "T7"]]
    assert (facts["remove"], facts["split"], facts["reorder"]) == ([["T2", "T5"]], ["T2"], ["T2", "T7", "T5"])
    assert json.loads(json.dumps(facts)) == facts


def test_every_independent_cycle_is_named_and_the_edge_that_breaks_most_comes_first() -> None:
    # Given two cycles that share T1 → T2, and one apart
    given_feature = feature(
        task("A", "B"),
        task("B", "A"),
        task("T1", "T2"),
        task("T2", "T3", "T4"),
        task("T3", "T1"),
        task("T4", "T1"),
    )

    # When
    with pytest.raises(errors.CircularDependency) as refusal:
        plan(given_feature, strategy=Strategy.PARALLEL)

    # Then
    text = str(refusal.value)
    assert "3 circular dependencies" in text
    assert refusal.value.paths == [["A", "B"], ["T1", "T2", "T3"], ["T1", "T2", "T4"]]
    first, second = (text_line for text_line in text.splitlines() if "depends_on:" in text_line)
    assert first == '  - remove "depends_on: T2" from T1: breaks 2 of 3 cycles'
    assert second == '  - and remove "depends_on: B" from A: breaks 1 more'


def test_the_reordering_that_is_proposed_can_be_planned() -> None:
    # Given a feature with a cycle, and the first edge that the error proposes to remove
    tasks: dict[str, tuple[str, ...]] = {"T1": ("T3",), "T2": ("T1",), "T3": ("T2",)}
    with pytest.raises(errors.CircularDependency) as refusal:
        plan(feature(*(task(name, *ends) for name, ends in tasks.items())))
    name, dependency = refusal.value.remove[0]

    # When it is removed
    tasks[name] = tuple(end for end in tasks[name] if end != dependency)
    made = plan(feature(*(task(name, *ends) for name, ends in tasks.items())))

    # Then the order is the one proposed
    assert list(itertools.chain.from_iterable(batches(made))) == refusal.value.reorder


def test_of_many_cycles_ten_are_shown() -> None:
    pairs = [(f"A{place}", f"B{place}") for place in range(12)]

    with pytest.raises(errors.CircularDependency) as refusal:
        plan(feature(*(task(*pair) for pair in pairs), *(task(*pair[::-1]) for pair in pairs)))

    text = str(refusal.value)
    assert "12 circular dependencies" in text
    assert text.count(" → ") == 20
    assert "  and 2 more\n" in text
    assert text.count("depends_on: ") == 10
    assert "  - and remove 2 more; `--json` names them all\n" in text
    assert len(refusal.value.remove) == 12


def test_a_line_of_100_000_tasks_is_planned_by_each_strategy() -> None:
    size = 100_000
    line = feature(task("T0"), *(task(f"T{at}", f"T{at - 1}") for at in range(1, size)))
    for strategy in (Strategy.SEQUENTIAL, Strategy.BATCHED, Strategy.DATAFLOW):
        made = plan(line, strategy=strategy)

        assert len(made.batches) == len(made.critical_path) == size, strategy
        assert [found.blocks for found in made.bottlenecks] == [size - 1, size - 2, size - 3], strategy


def test_a_single_batch_of_100_000_tasks_is_planned() -> None:
    made = plan(free(100_000), cap=10_000)

    assert [len(part.tasks) for part in made.batches[0].sub_batches] == [10_000] * 10
