"""What people read about a feature that runs: progress, events, what stopped, and why a task waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from orchestrator import graph, report
from orchestrator.models import (
    Blocked,
    BlockKind,
    Completed,
    Event,
    Failed,
    FailureCause,
    Feature,
    Outcome,
    Progress,
    Retries,
    RetryLater,
    Route,
    TaskState,
)
from tests.core.factories import authentication, task

NOW = 1_000_000.0
TESTS_FAIL = Failed(cause=FailureCause.TESTS, reason="exit code 1: 2 failed", tail="collected 9\n2 failed\n")


def progress(**fields: Any) -> Progress:
    """Batch 1 of 3 is open: 2 of its 5 tasks are complete."""
    return Progress.model_validate(
        {
            "id": "login-1",
            "title": "Login",
            "status": "in-development",
            "strategy": "batched",
            "cap": 2,
            "auto_launch": True,
            "total": 8,
            "counts": {"completed": 2, "in-progress": 2},
            "in_flight": 2,
            "queued": 1,
            "delayed": 0,
            "batch": 1,
            "batches": 3,
            "batch_total": 5,
            "batch_resolved": 2,
            "batch_counts": {},
            "created": NOW - 60,
            **fields,
        }
    )


def state(id: str, **fields: Any) -> TaskState:
    return TaskState.model_validate(
        {"id": id, "title": id, "specialist": "Senior Engineer", "batch": 1, **fields}
    )


def running(id: str, **fields: Any) -> TaskState:
    return state(id, status="in-progress", attempt=1, started=NOW - 12, worker="w1@host", **fields)


def failed(id: str, **fields: Any) -> TaskState:
    return state(
        id, status="failed", attempt=2, started=NOW - 5, finished=NOW - 1, worker="w1@host", **fields
    )


def route(**fields: Any) -> Route:
    return Route.model_validate(
        {
            "specialist": "senior-engineer",
            "title": "Senior Engineer",
            "queue": "hard-work",
            "model_tier": "advanced",
            "tag": "bug",
            "rule": "tag",
            "reason": "tag bug → Senior Engineer",
            **fields,
        }
    )


def event(name: str, **fields: Any) -> Event:
    return Event(id="1-0", time=NOW, event=name, **{"task": "T3", **fields})


def explain(
    found: TaskState,
    *others: TaskState,
    of: Progress | None = None,
    depends_on: Sequence[str] = (),
    outcome: Outcome | None = None,
    listeners: Mapping[str, Sequence[str]] | None = None,
    **fields: Any,
) -> report.Explanation:
    return report.explain(
        task(found.id, *depends_on, **fields),
        found,
        of or progress(),
        others={other.id: other for other in others},
        now=NOW,
        outcome=outcome,
        route=route(),
        listeners=listeners,
    )


# Progress


def test_the_progress_of_a_feature_names_only_what_there_is() -> None:
    line = report.progress_line(progress())
    assert line == "in-development, batch 1 of 3, 2/8 tasks complete (25%), 2 in flight, 1 queued"


def test_stopped_tasks_are_in_the_progress() -> None:
    line = report.progress_line(progress(status="blocked", counts={"failed": 1, "blocked": 2}, queued=0))
    assert line.endswith("0/8 tasks complete (0%), 2 in flight, 1 failed, 2 blocked")


@pytest.mark.parametrize(
    ("number", "fields", "line"),
    [
        (1, {}, "Batch 1: 2/5 tasks complete (40%)"),
        (1, {"batch_counts": {"failed": 1}}, "Batch 1: 2/5 (1 failed)"),
        (2, {}, "Batch 2: 5 tasks, waiting for batch 1"),
        (1, {"batch": 2}, "Batch 1: 5/5 tasks complete (100%)"),
        (2, {"status": "cancelled"}, "Batch 2: 5 tasks, never started"),
    ],
)
def test_a_batch_is_open_behind_or_ahead(number: int, fields: dict[str, Any], line: str) -> None:
    assert report.batch_line(progress(**fields), number, 5) == line


@pytest.mark.parametrize(
    ("found", "word", "why"),
    [
        (running("T1", percent=40, note="compiling\nmain"), "running", "40%, compiling main"),
        (state("T1", phase="queued"), "queued", "waiting for a slot (2 of 2 in use)"),
        (state("T1", phase="launched", attempt=1), "launched", "waiting for a worker"),
        (state("T1", phase="delayed", due=NOW + 4), "retrying", "retry in 4s"),
        (state("T1", phase="delayed", due=NOW - 4), "retrying", "retry is due"),
        (state("T1", phase="waiting", batch=3), "waiting", "waiting for batch 2"),
        (failed("T1"), "failed", "tests: 2 failed"),
    ],
)
def test_a_task_stands_somewhere_and_says_why(found: TaskState, word: str, why: str) -> None:
    assert report.word(found) == word
    assert report.why(found, progress(), NOW, said="tests: 2 failed") == why


def test_the_next_batch_of_a_feature_on_hold_waits_for_launch() -> None:
    held = progress(status="on-hold", batch_resolved=5, in_flight=0, queued=0)
    assert report.why(state("T9", phase="waiting", batch=2), held, NOW) == "waiting for launch"


@pytest.mark.parametrize(
    ("found", "seconds"),
    [
        (running("T1"), 12),
        (failed("T1"), 4),
        (state("T1"), None),
        (state("T1", phase="delayed", started=NOW - 5, finished=NOW - 1), None),
        (running("T1").model_copy(update={"started": NOW + 3}), 0),
    ],
)
def test_the_time_of_an_attempt_grows_while_it_runs(found: TaskState, seconds: float | None) -> None:
    assert report.spent(found, NOW) == seconds


# Events


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
        (event("retry_requested", note="mended"), {}, "T3 Build UI: retry requested: mended"),
        (event("blocker_resolved"), {}, "T3 Build UI: unblocked"),
        (event("feature_cancelled", task="", note="no need"), {}, "Feature cancelled: no need"),
        (event("first_task_started", task=""), {}, None),
    ],
)
def test_an_event_is_a_line_of_the_log(found: Event, given: dict[str, Any], line: str | None) -> None:
    assert report.event_line(found, "T3 Build UI", **given) == line


def test_the_outcome_of_a_later_attempt_is_not_told_of_an_earlier_one() -> None:
    # Given a task that failed, and was completed by the time its events are read
    line = report.event_line(
        event("work_failed", cause="failing-tests"), "T3", outcome=Completed(summary="all well")
    )
    # Then the failure does not borrow the words of the success
    assert line == "T3: failed (failing-tests)"


# What stopped


def test_a_stopped_task_is_reported_with_cause_output_consequence_and_command() -> None:
    # Given
    followers = graph.dependents({task.id: task.depends_on for task in authentication().tasks})
    stopped = report.stopped("login-1", failed("T1"), TESTS_FAIL, report.behind("T1", followers))
    # When
    lines = report.stopped_lines(stopped)
    # Then
    assert lines == [
        "T1: failed (failing-tests) after 2 attempts: exit code 1: 2 failed",
        "  | collected 9",
        "  | 2 failed",
        "  Suggestion: Mend what the tests found, and retry.",
        "  Waiting behind it: T2, T4, T5",
        "  Next: orchestrator retry login-1 T1",
        "        orchestrator logs login-1 T1",
        '        orchestrator skip login-1 T1 --because "…"',
    ]


def test_a_blocked_task_is_unblocked_not_retried() -> None:
    blocked = state("T2", status="blocked", attempt=1)
    assert report.remedies("login-1", blocked)[0] == 'orchestrator unblock login-1 T2 --note "…"'


def test_what_waits_behind_a_task_is_named_once_nearest_first() -> None:
    diamond = Feature(
        title="Diamond", tasks=(task("A"), task("B", "A"), task("C", "A"), task("D", "B", "C"), task("E"))
    )
    followers = graph.dependents({one.id: one.depends_on for one in diamond.tasks})
    assert report.behind("A", followers) == ["B", "C", "D"]


# Why a task stands where it stands


def test_a_task_behind_a_batch_names_who_holds_that_batch_and_what_to_do() -> None:
    # Given T5 in batch 2, and a failed and a running task in batch 1
    stopped, busy = failed("T3"), running("T2")
    waiting = state("T5", phase="waiting", batch=2)
    # When
    found = explain(waiting, busy, stopped, state("T1", status="completed"), waiting, depends_on=["T1", "T2"])
    # Then
    assert found.answer == "T5 is in batch 2, which opens when batch 1 is complete."
    assert found.details[0] == "Batch 1: 2/5 tasks complete (40%)"
    assert [line for line in found.details if line.startswith("Holding")] == [
        "Holding it open: T3: failed",
        "Holding it open: T2: running",
    ]
    assert [line for line in found.details if line.startswith("Depends")] == [
        "Depends on T2: running",
        "Depends on T1: completed",
    ]
    assert found.next == (
        "orchestrator retry login-1 T3",
        "orchestrator logs login-1 T3",
        'orchestrator skip login-1 T3 --because "…"',
    )


def test_a_queued_task_names_who_has_the_slots() -> None:
    found = explain(state("T5", phase="queued"), running("T1"), state("T2", phase="launched"))
    assert found.answer == "T5 is ready and waits for a slot: 2 of 2 slots in use, 1 queued."
    assert found.details[:2] == (
        "Has a slot: T1: running",
        "Has a slot: T2: launched (waiting for a worker)",
    )


def test_a_task_in_a_queue_that_no_worker_takes_from_says_so() -> None:
    found = explain(state("T5", phase="launched", attempt=1), listeners={"other": ["w1@host"]})
    assert "no worker takes from that queue" in found.answer
    assert "celery -A orchestrator worker -Q hard-work" in found.next


@pytest.mark.parametrize("listeners", [None, {"hard-work": ["w1@host"]}])
def test_a_launched_task_waits_for_a_worker(listeners: Mapping[str, Sequence[str]] | None) -> None:
    found = explain(state("T5", phase="launched", attempt=1), listeners=listeners)
    assert (
        found.answer
        == "T5 has its slot, was sent to the queue hard-work, and waits for a worker (attempt 1)."
    )
    assert found.next == ()


def test_a_delayed_retry_says_when_it_is_due_and_what_went_wrong() -> None:
    found = explain(
        state("T5", phase="delayed", due=NOW + 4, retried=1), outcome=TESTS_FAIL, retries=Retries(max=2)
    )
    assert found.answer == "T5 waits for its next attempt, which is due in 4s."
    assert found.details[:2] == ("The last attempt: failing-tests: exit code 1: 2 failed", "Retry 1 of 2")


def test_a_running_task_says_since_when_where_and_how_far() -> None:
    found = explain(running("T5", percent=40, note="compiling", noted=NOW - 3))
    assert found.answer == "T5 has been running for 12s."
    assert found.details[:2] == ("Worker w1@host, attempt 1", "It says: 40%, compiling (3s ago)")


def test_a_failed_task_gives_reason_and_remedy() -> None:
    found = explain(failed("T3"), outcome=TESTS_FAIL)
    assert found.answer == "T3 is failed (failing-tests): exit code 1: 2 failed"
    assert "| 2 failed" in found.details
    assert found.next[0] == "orchestrator retry login-1 T3"


def test_a_batch_that_waits_for_launch_gives_the_command() -> None:
    found = explain(
        state("T5", phase="waiting", batch=2),
        of=progress(status="on-hold", batch_resolved=5, in_flight=0, queued=0),
    )
    assert found.next == ("orchestrator launch login-1",)


@pytest.mark.parametrize(
    ("found", "answer"),
    [
        (state("T1", status="cancelled"), "T1 is cancelled. What depends on it waits until it is skipped."),
        (state("T1", status="cancelled", resolved=True), "T1 was skipped; it counts as resolved."),
        (state("T1", status="in-review"), "T1 is done and waits for a person's review."),
        (state("T1", status="on-hold"), "T1 is on-hold until somebody resumes it."),
        (state("T1", phase="unassigned"), "T1 waits for a specialist: none matches its tags."),
        (
            state("T1", status="completed", attempt=1, started=NOW - 9, finished=NOW - 4, worker="w"),
            "T1 is completed in 5s.",
        ),
        (
            state("T9", phase="waiting", batch=3),
            "T9 is in batch 3, which opens when batches 1 to 2 are complete.",
        ),
    ],
)
def test_every_other_standing_has_an_answer(found: TaskState, answer: str) -> None:
    assert explain(found).answer == answer


def test_the_route_is_explained() -> None:
    assert explain(state("T5")).details[-1] == (
        "Route: Senior Engineer (tag bug → Senior Engineer), queue hard-work, model tier advanced"
    )


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
    assert report.event_line(found, "T3 Build UI" if found.task else "") == line


def test_all_that_needs_a_person_is_named_with_its_command() -> None:
    states = [
        failed("T1"),
        state("T2", status="blocked"),
        state("T3", status="in-review"),
        state("T4", phase="unassigned"),
        state("T5", status="on-hold"),
        running("T6"),
    ]
    found = report.needs(progress(status="blocked", overdue=1), states)
    assert [(need.what, need.command) for need in found] == [
        ("T1: failed", "orchestrator retry login-1 T1"),
        ("T2: blocked", 'orchestrator unblock login-1 T2 --note "…"'),
        ("T3: waits for a review", "orchestrator approve login-1 T3"),
        ("T4: waits for a specialist", 'orchestrator assign login-1 T4 "SPECIALIST"'),
        ("T5: on-hold", "orchestrator resume login-1 T5"),
        ("batch 1 is overdue", "orchestrator status login-1"),
    ]
    assert report.needs(progress(status="completed"), states) == []


def test_a_feature_that_waits_names_its_own_command() -> None:
    assert report.needs(progress(is_paused=True))[0].command == "orchestrator resume login-1"
    assert report.needs(progress(status="pending-review"))[0].command == "orchestrator approve login-1"
    waiting = progress(status="on-hold", batch_resolved=5, in_flight=0, queued=0)
    assert report.needs(waiting)[0].command == "orchestrator launch login-1"
