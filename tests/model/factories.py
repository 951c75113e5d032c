"""Features and tasks with defaults, so that a test names only what it is about."""

from __future__ import annotations

from typing import Any

from orchestrator.model.feature import Feature
from orchestrator.model.outcome import Failed, FailureCause
from orchestrator.model.progress import Progress, TaskState
from orchestrator.model.task import Task

NOW = 1_000_000.0
"""The moment at which the features and tasks below are looked at."""

TESTS_FAIL = Failed(cause=FailureCause.TESTS, reason="exit code 1: 2 failed", tail="collected 9\n2 failed\n")


def task(id: str, *depends_on: str, **fields: Any) -> Task:
    """A task of 10 minutes: `task("T2", "T1", priority="high")`."""
    return Task.model_validate({"id": id, "depends_on": depends_on, "estimate": "10m", **fields})


def feature(*tasks: Task, **fields: Any) -> Feature:
    """A feature of the given tasks, or of one."""
    return Feature.model_validate({"title": "Login", "tasks": tasks or (task("T1"),), **fields})


def authentication(**fields: Any) -> Feature:
    """Five tasks: a database, a backend upon it, an interface beside them, tests and documents at the end."""
    return feature(
        task("T1", title="Create schema", tags=["database"], estimate="15m"),
        task("T2", "T1", title="Implement API", tags=["backend"], estimate="40m"),
        task("T3", title="Build UI", tags=["frontend"], estimate="25m"),
        task("T4", "T2", title="Write tests", tags=["testing"], estimate="20m"),
        task("T5", "T2", title="Write docs", tags=["documentation"], estimate="10m"),
        **{"title": "User authentication", **fields},
    )


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
