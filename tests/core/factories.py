"""Features and tasks with defaults, so that a test names only what it is about."""

from __future__ import annotations

from typing import Any

from orchestrator.models import Feature, Task


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
