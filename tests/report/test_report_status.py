"""Text for people about the status of a feature, a batch or a task."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.model.progress import TaskState
from orchestrator.report import status_text
from tests.model.factories import NOW, failed, progress, running, state


def test_the_progress_of_a_feature_names_only_what_there_is() -> None:
    line = status_text.progress_line(progress())
    assert line == "in-development, batch 1 of 3, 2/8 tasks complete (25%), 2 in flight, 1 queued"


def test_stopped_tasks_are_in_the_progress() -> None:
    line = status_text.progress_line(progress(status="blocked", counts={"failed": 1, "blocked": 2}, queued=0))
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
    assert status_text.batch_line(progress(**fields), number, 5) == line


@pytest.mark.parametrize(
    ("found", "word", "why"),
    [
        (running("T1", percent=40, note="compiling\nmain"), "running", "40%, compiling main"),
        (state("T1", phase="queued"), "queued", "waiting for a slot (2 of 2 in use)"),
        (state("T1", phase="launched", attempt=1), "launched", "waiting to be taken"),
        (state("T1", phase="delayed", due=NOW + 4), "retrying", "retry in 4s"),
        (state("T1", phase="delayed", due=NOW - 4), "retrying", "retry is due"),
        (state("T1", phase="waiting", batch=3), "waiting", "waiting for batch 2"),
        (failed("T1"), "failed", "tests: 2 failed"),
    ],
)
def test_a_task_stands_somewhere_and_says_why(found: TaskState, word: str, why: str) -> None:
    assert status_text.word(found) == word
    assert status_text.why(found, progress(), NOW, said="tests: 2 failed") == why


def test_the_next_batch_of_a_feature_on_hold_waits_for_launch() -> None:
    held = progress(status="on-hold", batch_resolved=5, in_flight=0, queued=0)
    assert status_text.why(state("T9", phase="waiting", batch=2), held, NOW) == "waiting for launch"


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
    assert status_text.spent(found, NOW) == seconds


def test_a_batch_ahead_waits_for_no_batch_in_dataflow() -> None:
    line = status_text.batch_line(progress(strategy="dataflow"), 2, 3)

    assert line == "Batch 2: 3 tasks, each starting when its own dependencies are complete"


@pytest.mark.parametrize("phase", ["queued", "limited", "delayed"])
def test_what_is_ready_in_a_paused_feature_waits_for_no_slot(phase: str) -> None:
    paused = progress(is_paused=True, in_flight=0)
    assert status_text.why(state("T1", phase=phase, due=NOW + 4), paused, NOW) == "the feature is paused"


def test_skipped_tasks_are_no_share_that_is_missing() -> None:
    done = progress(status="completed", total=4, counts={"completed": 3, "cancelled": 1}, resolved=4)
    assert "3/4 tasks complete, 1 skipped (100%)" in status_text.progress_line(done)


def test_of_an_overdue_wide_batch_a_few_that_run_are_shown_and_the_others_counted() -> None:
    # Given 3,000 tasks, of which 40 run, the last one for longest
    states = [running(f"R{at}").model_copy(update={"started": NOW - at}) for at in range(40)]
    states += [state(f"T{at}", phase="queued") for at in range(2_959)] + [failed("F1")]
    late = progress(overdue=1, batch_ran=60, batch_due=30)

    lines = status_text.overdue_lines(late, states, NOW, {})

    assert len(lines) == 14
    assert lines[1].startswith("  R39: running for 39s")
    assert lines[-1] == "  and 28 running, 2,959 queued, 1 failed"
