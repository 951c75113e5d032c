"""Text for people about a plan."""

from __future__ import annotations

import pytest

from orchestrator.model.feature import Feature, Strategy
from orchestrator.planning.planner import plan
from orchestrator.report.plan_text import plan_lines
from tests.model.factories import authentication, feature, task


def text(given_feature: Feature, cap: int = 5, strategy: Strategy | None = None) -> str:
    return "\n".join(plan_lines(plan(given_feature, cap, strategy)))


def test_a_plan_reads_from_batches_to_what_runs_in_parallel() -> None:
    assert text(authentication()).splitlines() == [
        "User authentication: 5 tasks in 3 batches, strategy batched, at most 5 tasks at once",
        "",
        "Batch 1: T1 Create schema, T3 Build UI (parallel, 25m)",
        "Batch 2: T2 Implement API (40m)",
        "Batch 3: T4 Write tests, T5 Write docs (parallel, 20m)",
        "",
        "Critical path: T1 → T2 → T4 (1h 15m)",
        "Expected 1h 25m against 1h 50m one after the other: 23% less",
        "Batched 1h 25m, dataflow 1h 15m: the barrier between batches costs 13%",
        "Bottlenecks: T1 blocks 3, T2 blocks 2",
        "Parallel: batch 1 runs 2 side by side, batch 3 runs 2 side by side",
    ]


def test_a_batch_over_the_cap_shows_its_sub_batches_and_never_more_side_by_side_than_the_cap() -> None:
    shown = text(feature(task("T1"), task("T2"), task("T3")), cap=2)

    assert "Batch 1: 3 tasks in 2 sub-batches (parallel, 20m)\n  1a: T1, T2\n  1b: T3\n" in shown
    assert "Parallel: batch 1 runs 2 side by side" in shown


@pytest.mark.parametrize(
    ("given_feature", "reason"),
    [
        (feature(task("T1")), "sequential (chosen by auto: there is one task)"),
        (
            feature(task("T1"), task("T2", "T1")),
            "sequential (chosen by auto: each task waits for the one before)",
        ),
        (feature(task("T1"), task("T2")), "parallel (chosen by auto: no task depends on another)"),
        (authentication(), "batched (chosen by auto: "),
        (
            feature(*(task(f"T{at}") for at in range(6)), task("end", "T1")),
            "resource_aware (chosen by auto: a batch is wider than the cap)",
        ),
    ],
    ids=["one", "line", "free", "batched", "wide"],
)
def test_what_auto_chose_is_explained(given_feature: Feature, reason: str) -> None:
    assert reason in text(given_feature, strategy=Strategy.AUTO)


@pytest.mark.parametrize(
    ("batched", "dataflow", "said"),
    [
        (660, 600, "Batched 11m, dataflow 10m: the barrier between batches costs 10%"),
        (540, 600, "Batched 9m, dataflow 10m: the barrier between batches saves 10%"),
    ],
)
def test_a_plan_says_what_the_barrier_costs(batched: float, dataflow: float, said: str) -> None:
    made = plan(authentication(), strategy=Strategy.DATAFLOW)
    times = {"expected_batched": batched, "expected_dataflow": dataflow}

    assert said in plan_lines(made.model_copy(update=times))


def test_where_no_task_waits_for_another_there_is_no_barrier_to_speak_of() -> None:
    assert "barrier" not in text(feature(task("T1"), task("T2")))


def test_where_nothing_runs_side_by_side_the_plan_says_so() -> None:
    shown = text(feature(task("T1"), task("T2")), cap=1)

    assert "no time saved" in shown
    assert "Parallel: nothing; every task runs alone" in shown
    assert "Bottlenecks" not in shown


def test_where_it_is_not_known_how_long_a_task_takes_no_time_is_told_that_rests_on_it() -> None:
    # Given a task without an estimate in the first batch
    tasks = [task("T1", estimate=None, complexity=2), task("T2"), task("T3", "T1")]

    shown = text(feature(*tasks))

    # Then only the second batch has a time
    assert "Batch 1: T1, T2 (parallel)" in shown
    assert "Batch 2: T3 (10m)" in shown
    assert "Critical path, by complexity: T1 → T3\n" in shown
    assert "not known: 2 tasks have an estimate, 1 task has none and was never completed before" in shown
    assert "Expected" not in shown
    assert "barrier" not in shown


def test_what_was_learned_is_a_time_and_the_plan_says_where_it_is_from() -> None:
    tasks = [task("T1", estimate=None, complexity=2), task("T2")]

    shown = "\n".join(plan_lines(plan(feature(*tasks), learned={"T1": 90.0, "T2": 1.0})))

    assert "Batch 1: T2, T1 (parallel, 10m)" in shown  # the estimate of T2 goes before what was learned of it
    assert "Expected 10m against 11m 30s one after the other" in shown
    assert "1 task has an estimate, 1 task takes the median of its earlier runs" in shown


def test_a_batch_that_runs_one_task_at_a_time_is_not_called_parallel() -> None:
    assert "parallel" not in text(feature(task("T1"), task("T2")), cap=1)


def test_a_huge_plan_stays_readable() -> None:
    # Given 100 levels of 100 tasks
    layers = [
        task(f"T{level}-{at}", *([f"T{level - 1}-{at}"] if level else []))
        for level in range(100)
        for at in range(100)
    ]

    # When shown with room for all of a batch, and with a narrow cap
    wide, narrow = (text(feature(*layers), cap) for cap in (100, 2))

    # Then what is left out is counted
    assert "T0-11 and 88 more (parallel, 10m)" in wide
    assert "and 60 more batches" in wide
    assert "T11-0 and 88 more (16h 40m)" in wide
    assert "  1c: " in narrow
    assert "  and 47 more" in narrow
    assert len(wide.splitlines()) < 60
    assert max(map(len, narrow.splitlines())) < 1_000
