"""Task Orchestrator: runs features (tasks with dependencies) as Celery chains of groups.

Example:
    from orchestrator import Feature, Task, enqueue

    handle = enqueue(Feature(title="Login", tasks=[Task(id="T1", run=["make", "login"])]))
    print(handle.wait(timeout=600).status)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.models import (
    Batch,
    Blocked,
    BlockKind,
    Cancelled,
    Completed,
    Event,
    Failed,
    FailureCause,
    Feature,
    FeatureStatus,
    Outcome,
    Plan,
    Priority,
    Progress,
    Retries,
    RetryLater,
    Route,
    Strategy,
    Task,
    TaskState,
    TaskStatus,
)
from orchestrator.planner import plan

if TYPE_CHECKING:
    from orchestrator.client import Client, Handle, enqueue

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "BlockKind",
    "Blocked",
    "Cancelled",
    "Client",
    "Completed",
    "Event",
    "Failed",
    "FailureCause",
    "Feature",
    "FeatureStatus",
    "Handle",
    "Outcome",
    "Plan",
    "Priority",
    "Progress",
    "Retries",
    "RetryLater",
    "Route",
    "Strategy",
    "Task",
    "TaskState",
    "TaskStatus",
    "enqueue",
    "plan",
]


def __getattr__(name: str) -> Any:
    # The client brings Celery and Redis with it; whoever only plans does not pay for them.
    if name in ("Client", "Handle", "enqueue"):
        from orchestrator import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
