"""Text for people about an event."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.model.event import Event
from orchestrator.model.outcome import Blocked, BlockKind, Completed, RetryLater
from orchestrator.report.events import event_line
from tests.model.factories import NOW, TESTS_FAIL


def event(name: str, **fields: Any) -> Event:
    return Event(id="1-0", time=NOW, event=name, **{"task": "T3", **fields})


@pytest.mark.parametrize(
    ("found", "given", "line"),
    [
        (event("batch_opened", task="", batch=2), {"size": 3}, "Batch 2 started: 3 tasks"),
        (
            event("work_started", attempt=1),
            {"specialist": "Senior Engineer"},
            "T3 Build UI: started (Senior Engineer, attempt 1)",
        ),
        (event("progress", percent="40", note="compiling"), {}, "T3 Build UI: 40%, compiling"),
        (
            event("implementation_complete", target="completed"),
            {"seconds": 4.1, "outcome": Completed(summary="9 tests pass")},
            "T3 Build UI: completed in 4.1s: 9 tests pass",
        ),
        (
            event("work_failed", cause="failing-tests"),
            {"outcome": TESTS_FAIL},
            "T3 Build UI: failed (failing-tests): exit code 1: 2 failed",
        ),
        (
            event("retry_scheduled", cause="failing-tests"),
            {"outcome": TESTS_FAIL, "next_try": "retry 1 of 2 in 2s"},
            "T3 Build UI: failed (failing-tests): exit code 1: 2 failed; retry 1 of 2 in 2s",
        ),
        (
            event("retry_scheduled", cause="retry-later"),
            {"outcome": RetryLater(reason="quota is used up"), "next_try": "tries again in 60s"},
            "T3 Build UI: not now: quota is used up; tries again in 60s",
        ),
        (
            event("blocker_detected", cause="technical"),
            {"outcome": Blocked(kind=BlockKind.TECHNICAL, reason="no API key")},
            "T3 Build UI: blocked (technical): no API key",
        ),
        (
            event("worker_lost", worker="w1@host"),
            {},
            "T3 Build UI: its worker w1@host was lost; it starts again",
        ),
        (
            event("task_escalated", cause="technical"),
            {"outcome": Blocked(reason="no API key"), "specialist": "Senior Engineer"},
            "T3 Build UI: blocked (technical): no API key; handed on to Senior Engineer",
        ),
        (
            event("task_escalated", cause="failing-tests", note="goes to the tier opus"),
            {"outcome": TESTS_FAIL},
            "T3 Build UI: failed (failing-tests): exit code 1: 2 failed; goes to the tier opus",
        ),
        (
            event("retry_scheduled", cause="rate-limit"),
            {"outcome": RetryLater(reason="haiku is used up"), "next_try": "tries again in 60s"},
            "T3 Build UI: not now: haiku is used up; tries again in 60s",
        ),
        (event("retry_requested", note="mended"), {}, "T3 Build UI: retry requested: mended"),
        (event("blocker_resolved"), {}, "T3 Build UI: unblocked"),
        (event("feature_cancelled", task="", note="no need"), {}, "Feature cancelled: no need"),
        (event("first_task_started", task=""), {}, None),
    ],
)
def test_an_event_is_a_line_of_the_log(found: Event, given: dict[str, Any], line: str | None) -> None:
    assert event_line(found, "T3 Build UI", **given) == line


def test_the_outcome_of_a_later_attempt_is_not_told_of_an_earlier_one() -> None:
    # Given a task that failed, and was completed by the time its events are read
    line = event_line(
        event("work_failed", cause="failing-tests"), "T3", outcome=Completed(summary="all well")
    )
    # Then the failure does not borrow the words of the success
    assert line == "T3: failed (failing-tests)"


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (
            event("at_capacity", task="", batch=1, in_flight=5, waiting=2),
            "5 tasks in progress (max). Queueing 2 additional tasks. "
            "Sub-batch 1b queued (2 tasks waiting for slots)",
        ),
        (
            event("at_capacity", task="", batch=2, in_flight=5, waiting=12),
            "5 tasks in progress (max). Queueing 12 additional tasks. "
            "Sub-batches 2b to 2d queued (12 tasks waiting for slots)",
        ),
        (event("task_launched", cause="queued"), "Launched queued task: T3 Build UI"),
        (event("task_launched"), None),
        (
            event("batch_overdue", task="", batch=2, ran=45 * 60_000, expected=30 * 60_000),
            "Batch 2 running 50% over estimated time (45m vs 30m)",
        ),
        (event("implementation_complete", target="testing"), None),
        (event("implementation_complete", target="in-review"), "T3 Build UI: done; it waits for its review"),
        (event("task_skipped", note="not needed"), "T3 Build UI: skipped: not needed"),
        (event("specialist_awaited"), "T3 Build UI: no specialist matches its tags; it waits for one"),
        (event("cap_changed", task="", note="3"), "At most 3 tasks at once from now on"),
    ],
)
def test_what_a_person_should_know_is_a_line_too(found: Event, line: str | None) -> None:
    assert event_line(found, "T3 Build UI" if found.task else "") == line
