"""The effect of an event in a flow."""

from __future__ import annotations

import contextlib
import itertools

import pytest

from orchestrator.model import commands, errors, flows, lifecycle
from orchestrator.model.commands import BatchProgress, Launch, LogProgress, PublishTasks, ScheduleResult
from orchestrator.model.feature import FeatureStatus
from orchestrator.model.flows import SHIPPED_FLOWS, Flow, Rules, TaskEvent
from orchestrator.model.lifecycle import Attempts
from orchestrator.model.outcome import (
    Blocked,
    BlockKind,
    Cancelled,
    Completed,
    Failed,
    FailureCause,
    GateResult,
    Outcome,
    RetryLater,
)
from orchestrator.model.task import Retries, TaskStatus

FLOW = Flow("default", SHIPPED_FLOWS["default"])
REVIEW = Flow("with_review", SHIPPED_FLOWS["with_review"])


@pytest.mark.parametrize("status", FLOW.everywhere)
def test_a_move_leads_where_its_steps_lead(status: str) -> None:
    for event in TaskEvent:
        assert lifecycle.transition(FLOW, event).target(status) == FLOW.target(event, status)
    both = lifecycle.transition(FLOW, TaskEvent.IMPLEMENTATION_COMPLETE, TaskEvent.TESTS_PASSED)
    assert both.target(status) == ("completed" if status == "in-progress" else None)


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
    transition = lifecycle.conclude(FLOW, outcome, STEADY, Attempts(retried), chance=0.9)
    assert (transition.event, transition.wait, transition.cause) == (event, wait, cause)


def test_without_retries_a_failure_is_final() -> None:
    assert lifecycle.conclude(FLOW, Failed(reason="!"), Retries()).event == "work_failed"


@pytest.mark.parametrize(("chance", "wait"), [(0.0, 5.0), (0.5, 7.5), (0.999, 9.995)])
def test_jitter_is_between_half_of_the_wait_and_the_whole(chance: float, wait: float) -> None:
    retries = Retries(max=1, backoff=10, jitter=True)
    assert lifecycle.conclude(FLOW, Failed(reason="!"), retries, chance=chance).wait == pytest.approx(wait)


def test_only_the_named_causes_are_tried_again() -> None:
    retries = Retries(max=3, on=(FailureCause.TIMEOUT,))
    assert (
        lifecycle.conclude(FLOW, Failed(cause=FailureCause.TIMEOUT, reason="!"), retries).counts == "retried"
    )
    assert (
        lifecycle.conclude(FLOW, Failed(cause=FailureCause.CODE, reason="!"), retries).event == "work_failed"
    )


@pytest.mark.parametrize(
    ("retry", "on", "retried", "event"),
    [
        (None, (), 0, "retry_scheduled"),
        (False, (), 0, "work_failed"),
        (None, (FailureCause.TIMEOUT,), 0, "work_failed"),
        (True, (FailureCause.TIMEOUT,), 0, "retry_scheduled"),
        (True, (), 2, "work_failed"),
    ],
)
def test_a_failure_may_say_whether_a_retry_makes_sense(
    retry: bool | None, on: tuple[FailureCause, ...], retried: int, event: str
) -> None:
    failed = Failed(reason="no such account", retry=retry)
    assert lifecycle.conclude(FLOW, failed, Retries(max=2, on=on), Attempts(retried)).event == event


def test_what_asks_to_be_tried_later_without_end_fails() -> None:
    retries, asks = Retries(max=5, later=2), RetryLater(reason="no licence", tail="no licence\n")
    assert lifecycle.bounded(asks, retries, Attempts(later=1)) is asks
    assert lifecycle.conclude(FLOW, asks, retries).counts == "later"
    failed = lifecycle.bounded(asks, retries, Attempts(later=2))
    assert failed == Failed(
        reason="asked 3 times to be tried again later, and its limit is 2 (retries.later): no licence",
        tail="no licence\n",
        retry=False,
    )
    assert lifecycle.conclude(FLOW, failed, retries, Attempts(later=2)).event == "work_failed"
    assert lifecycle.bounded(asks, Retries(later=None), Attempts(later=10**6)) is asks


def test_failed_gates_send_a_task_back_while_it_has_retries() -> None:
    gate = Failed(cause=FailureCause.GATE, reason="lint")
    back = lifecycle.conclude(FLOW, gate, Retries(max=1), status="testing")
    assert (back.event, back.target("testing")) == ("retry_scheduled", "pending")
    end = lifecycle.conclude(FLOW, gate, Retries(max=1), Attempts(retried=1), status="testing")
    assert (end.event, end.target("testing")) == ("tests_failed", "failed")


def test_failed_gates_fail_a_task_where_nothing_goes_backward() -> None:
    strict = Flow("strict", SHIPPED_FLOWS["default"], Rules(allow_backward=False))
    transition = lifecycle.conclude(strict, Failed(reason="lint"), Retries(max=5), status="testing")
    assert transition.target("testing") == "failed"


def test_a_technical_blocker_is_handed_on_once() -> None:
    blocked = Blocked(kind=BlockKind.TECHNICAL, reason="?")
    first = lifecycle.conclude(FLOW, blocked, Retries(), escalate_to="senior-engineer")
    assert (first.event, first.route, first.target("in-progress")) == (
        "task_escalated",
        "senior-engineer",
        "pending",
    )
    again = lifecycle.conclude(
        FLOW, blocked, Retries(), Attempts(escalated=True), escalate_to="senior-engineer"
    )
    assert again.event == "blocker_detected"
    other = Blocked(kind=BlockKind.EXTERNAL, reason="?")
    assert (
        lifecycle.conclude(FLOW, other, Retries(), escalate_to="senior-engineer").event == "blocker_detected"
    )


def test_completed_work_rests_in_review_where_its_flow_has_one() -> None:
    transition = lifecycle.conclude(REVIEW, Completed(), Retries())
    assert transition.target("in-progress") == TaskStatus.IN_REVIEW
    assert lifecycle.stages_ahead(REVIEW, "testing") == ["testing", "completion"]


def test_a_person_goes_one_step_and_skips_none() -> None:
    assert lifecycle.path_forward(FLOW, "pending") == ["work_started", "implementation_complete"]
    assert lifecycle.path_forward(FLOW, "testing") == ["tests_passed"]
    assert lifecycle.path_forward(FLOW, "in-progress", "testing") == ["implementation_complete"]
    with pytest.raises(errors.CannotAdvance, match="the next status is testing"):
        lifecycle.path_forward(FLOW, "pending", "completed")


@pytest.mark.parametrize("name", SHIPPED_FLOWS)
@pytest.mark.parametrize("is_strict", [True, False])
def test_a_person_never_puts_a_task_in_progress(name: str, is_strict: bool) -> None:
    flow = Flow(name, SHIPPED_FLOWS[name], Rules(enforce_sequential=is_strict))
    for status, to in itertools.product(flow.everywhere, [None, *flow.everywhere]):
        with contextlib.suppress(errors.CannotAdvance):
            transition = lifecycle.transition(flow, *lifecycle.path_forward(flow, status, to))
            assert transition.target(status) != TaskStatus.IN_PROGRESS
            assert to in (None, transition.target(status))
    with pytest.raises(errors.CannotAdvance, match="only a worker puts a task in progress"):
        lifecycle.path_forward(flow, "pending", "in-progress")


def test_of_the_gates_of_a_feature_a_person_asks_only_that_they_run_again() -> None:
    assert set(lifecycle.ASKED_OF_GATES.table) == {"retry_requested", "blocker_resolved"}


def test_a_person_may_skip_statuses_where_the_rules_say_so() -> None:
    loose = Flow("loose", SHIPPED_FLOWS["default"], Rules(enforce_sequential=False))
    path = lifecycle.path_forward(loose, "pending", "completed")
    assert path == ["work_started", "implementation_complete", "tests_passed"]
    with pytest.raises(errors.CannotAdvance):
        lifecycle.path_forward(loose, "pending", "in-review")


@pytest.mark.parametrize(
    ("status", "allowed"),
    [("in-review", "no event: it is final"), ("completed", "no event: it is final")],
)
def test_a_refusal_of_what_is_final_says_so(status: str, allowed: str) -> None:
    error = lifecycle.refuse(
        "auth", "T1", "work_started", status, {"retry": {"failed": "pending"}}, "default"
    )
    assert str(error) == (
        f"T1 of auth cannot take work_started: it is {status}. From there the flow default allows {allowed}."
    )
    assert error.status == status


def test_a_refusal_of_a_feature_names_its_events() -> None:
    table = flows.FeatureFlow("default", flows.SHIPPED_FEATURE_FLOWS["default"]).table()
    error = lifecycle.refuse("auth", "", "feature_approved", "on-hold", table, "default")
    assert "allows task_stopped, all_resolved, all_tasks_complete, feature_paused, feature_resumed" in str(
        error
    )


LAUNCH = Launch("T2", 1, "builder")
TALLY = BatchProgress(number=1, total=4, resolved=2, blocked=1)


@pytest.mark.parametrize(
    ("launched", "finished", "expected"),
    [
        ((), None, []),
        ((LAUNCH,), None, [PublishTasks("auth", (LAUNCH,))]),
        ((), TALLY, [LogProgress("auth", TALLY)]),
        ((LAUNCH,), TALLY, [LogProgress("auth", TALLY), PublishTasks("auth", (LAUNCH,))]),
    ],
)
def test_what_follows(
    launched: tuple[Launch, ...], finished: BatchProgress | None, expected: list[commands.Command]
) -> None:
    scheduled = ScheduleResult("auth", FeatureStatus.IN_DEVELOPMENT, launched=launched, finished=finished)
    assert commands.follow_up(scheduled) == expected


def test_a_gate_that_let_completed_work_through_is_in_the_event() -> None:
    gate = GateResult(name="style", stage="testing", passed=False, required=False, reason="exit code 1")
    transition = lifecycle.conclude(FLOW, Completed(gates=(gate,)), Retries())
    assert (transition.cause, transition.note) == ("gate", "the gate style did not pass: exit code 1")
    passed = lifecycle.conclude(FLOW, Completed(gates=(gate.model_copy(update={"passed": True}),)), Retries())
    assert (passed.cause, passed.note) == ("", "")
