"""What people read about a feature without a barrier between its batches."""

from __future__ import annotations

from typing import Any

from orchestrator import report
from orchestrator.models import Progress, TaskState
from tests.core.factories import task

FLOWING = Progress.model_validate(
    {
        "id": "login-1",
        "title": "Login",
        "status": "blocked",
        "strategy": "dataflow",
        "cap": 2,
        "auto_launch": True,
        "total": 8,
        "counts": {"failed": 1},
        "in_flight": 1,
        "queued": 0,
        "delayed": 0,
        "batch": 1,
        "batches": 3,
        "batch_total": 5,
        "batch_resolved": 2,
        "batch_counts": {},
        "created": 0.0,
    }
)


def state(id: str, **fields: Any) -> TaskState:
    return TaskState.model_validate({"id": id, "title": id, "specialist": "Builder", "batch": 1, **fields})


def test_a_waiting_task_waits_for_its_dependencies_and_not_for_a_batch() -> None:
    # Given a task of the third batch, one of whose two dependencies has failed
    waiting = state("T5", phase="waiting", batch=3, waits=1)
    others = {
        "T1": state("T1", status="completed"),
        "T3": state("T3", status="failed", attempt=1, finished=1.0),
    }

    # When
    found = report.explain(task("T5", "T1", "T3"), waiting, FLOWING, others=others, now=9.0)

    # Then
    assert found.answer == "T5 starts when the 2 tasks it depends on are resolved: 1 to go."
    assert found.details == ("Depends on T3: failed", "Depends on T1: completed")
    assert "orchestrator retry login-1 T3" in found.next
    assert report.why(waiting, FLOWING, 9.0) == "waiting for 1 task it depends on"


def test_a_batch_ahead_waits_for_no_batch() -> None:
    line = report.batch_line(FLOWING, 2, 3)

    assert line == "Batch 2: 3 tasks, each starting when its own dependencies are complete"
