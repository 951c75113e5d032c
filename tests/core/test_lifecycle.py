"""What may happen to a task and to a feature, and what follows from it."""

from __future__ import annotations

import json
from itertools import product

import pytest

from orchestrator import lifecycle
from orchestrator.lifecycle import (
    FEATURE_TABLE,
    TASK_TABLE,
    Announce,
    BatchTally,
    Facts,
    FeatureEvent,
    Launch,
    Publish,
    TaskEvent,
)
from orchestrator.models import (
    Blocked,
    BlockKind,
    Cancelled,
    Completed,
    Failed,
    FailureCause,
    FeatureStatus,
    Outcome,
    Retries,
    RetryLater,
    TaskStatus,
)

# The tables once more, as a reader would draw them: what is not here is not allowed.
TASK_ARROWS = {
    ("pending", "work_started"): "in-progress",
    ("in-progress", "implementation_complete"): "completed",
    ("in-progress", "blocker_detected"): "blocked",
    ("in-progress", "work_failed"): "failed",
    ("in-progress", "retry_scheduled"): "pending",
    ("in-progress", "worker_lost"): "pending",
    ("in-progress", "task_cancelled"): "cancelled",
    ("failed", "retry_requested"): "pending",
    ("cancelled", "retry_requested"): "pending",
    ("blocked", "blocker_resolved"): "pending",
}
FEATURE_ARROWS = {
    ("planning", "first_task_started"): "in-development",
    ("planning", "task_stopped"): "blocked",
    ("in-development", "task_stopped"): "blocked",
    ("on-hold", "task_stopped"): "blocked",
    ("blocked", "all_resolved"): "in-development",
    ("planning", "launch_awaited"): "on-hold",
    ("in-development", "launch_awaited"): "on-hold",
    ("on-hold", "batch_launched"): "in-development",
    **{
        (status, event): target
        for status in ("planning", "in-development", "blocked", "on-hold")
        for event, target in (("all_tasks_complete", "completed"), ("feature_cancelled", "cancelled"))
    },
}


@pytest.mark.parametrize(("status", "event"), product(TaskStatus, TaskEvent))
def test_every_task_status_and_event(status: TaskStatus, event: TaskEvent) -> None:
    arrow = TASK_TABLE[event]
    found = arrow.target if status in arrow.sources else None
    assert found == TASK_ARROWS.get((status, event))


@pytest.mark.parametrize(("status", "event"), product(FeatureStatus, FeatureEvent))
def test_every_feature_status_and_event(status: FeatureStatus, event: FeatureEvent) -> None:
    arrow = FEATURE_TABLE[event]
    found = arrow.target if status in arrow.sources else None
    assert found == FEATURE_ARROWS.get((status, event))


def test_a_feature_that_is_over_takes_nothing() -> None:
    over = [status for status in FeatureStatus if status.is_over]
    assert not [arrow for arrow in FEATURE_TABLE.values() for status in over if status in arrow.sources]


def test_the_script_reads_the_same_feature_table() -> None:
    read = json.loads(lifecycle.FEATURE_TABLE_JSON)
    assert {
        (status, event): arrow["to"] for event, arrow in read.items() for status in arrow["from"]
    } == FEATURE_ARROWS


@pytest.mark.parametrize("event", TaskEvent)
def test_a_move_is_its_arrow_of_the_table(event: TaskEvent) -> None:
    move = lifecycle.move(event, wait=2.5, cause="why")
    assert (move.sources, move.target) == (TASK_TABLE[event].sources, TASK_TABLE[event].target)
    assert (move.wait, move.cause) == (2.5, "why")
    assert move.resolves == (event is TaskEvent.IMPLEMENTATION_COMPLETE)


STEADY = Retries(max=2, backoff=10, factor=3, longest=20, jitter=False)


@pytest.mark.parametrize(
    ("outcome", "retried", "event", "wait", "cause"),
    [
        (Completed(), 0, "implementation_complete", None, ""),
        (Blocked(kind=BlockKind.INFORMATION, reason="?"), 0, "blocker_detected", None, "missing-information"),
        (Cancelled(), 0, "task_cancelled", None, ""),
        (RetryLater(after=7), 2, "retry_scheduled", 7.0, "retry-later"),
        (Failed(cause=FailureCause.TESTS, reason="!"), 0, "retry_scheduled", 10.0, "failing-tests"),
        (Failed(cause=FailureCause.TESTS, reason="!"), 1, "retry_scheduled", 20.0, "failing-tests"),
        (Failed(cause=FailureCause.TESTS, reason="!"), 2, "work_failed", None, "failing-tests"),
        (Failed(cause=FailureCause.TESTS, reason="!"), 3, "work_failed", None, "failing-tests"),
    ],
)
def test_the_move_that_an_outcome_asks_for(
    outcome: Outcome, retried: int, event: str, wait: float | None, cause: str
) -> None:
    move = lifecycle.conclude(outcome, STEADY, retried, chance=0.9)
    assert (move.event, move.wait, move.cause) == (event, wait, cause)


def test_without_retries_a_failure_is_final() -> None:
    assert lifecycle.conclude(Failed(reason="!"), Retries(), 0, chance=0).event == "work_failed"


@pytest.mark.parametrize(("chance", "wait"), [(0.0, 5.0), (0.5, 7.5), (0.999, 9.995)])
def test_jitter_is_between_half_of_the_wait_and_the_whole(chance: float, wait: float) -> None:
    retries = Retries(max=1, backoff=10, jitter=True)
    assert lifecycle.conclude(Failed(reason="!"), retries, 0, chance).wait == pytest.approx(wait)


@pytest.mark.parametrize(
    ("status", "allowed"),
    [("failed", "retry_requested"), ("blocked", "blocker_resolved"), ("completed", "no event: it is final")],
)
def test_a_refusal_names_what_would_be_allowed(status: str, allowed: str) -> None:
    error = lifecycle.refuse("T1 of auth", "work_started", status, TASK_TABLE)
    assert str(error) == (
        f"T1 of auth cannot take work_started: it is {status}. From there it can take {allowed}."
    )
    assert error.status == status


def test_a_refusal_of_a_feature_names_its_events() -> None:
    error = lifecycle.refuse("The feature auth", "batch_launched", "on-hold", FEATURE_TABLE)
    assert str(error).endswith(
        "it can take task_stopped, batch_launched, all_tasks_complete, feature_cancelled."
    )


LAUNCH = Launch("T2", 1, "builder")
TALLY = BatchTally(number=1, total=3, resolved=2, stopped=1)
LINE = "Batch 1: 2/3 tasks complete (66%), 1 stopped"


@pytest.mark.parametrize(
    ("launched", "finished", "commands"),
    [
        ((), None, []),
        ((LAUNCH,), None, [Publish("auth", (LAUNCH,))]),
        ((), TALLY, [Announce("auth", LINE)]),
        ((LAUNCH,), TALLY, [Announce("auth", LINE), Publish("auth", (LAUNCH,))]),
    ],
)
def test_what_follows(
    launched: tuple[Launch, ...], finished: BatchTally | None, commands: list[lifecycle.Command]
) -> None:
    facts = Facts("auth", FeatureStatus.IN_DEVELOPMENT, launched=launched, finished=finished)
    assert lifecycle.follow_up(facts) == commands
