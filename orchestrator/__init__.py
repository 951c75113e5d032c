"""Task Orchestrator: runs features (tasks with dependencies) over Celery and Redis.

Example:
    from orchestrator import Feature, Task, enqueue

    handle = enqueue(Feature(title="Login", tasks=[Task(id="T1", run=["make", "login"])]))
    print(handle.wait(timeout=600).status)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.client.adoption import adopt
    from orchestrator.client.asynchronous import AsyncClient, AsyncHandle
    from orchestrator.client.client import Client, enqueue
    from orchestrator.client.handle import Handle
    from orchestrator.engine.guest import install
    from orchestrator.model.event import Event
    from orchestrator.model.feature import Feature, FeatureStatus, Strategy
    from orchestrator.model.outcome import (
        Blocked,
        BlockKind,
        Cancelled,
        Completed,
        Failed,
        FailureCause,
        Outcome,
        RetryLater,
    )
    from orchestrator.model.plan import Batch, Plan, Route
    from orchestrator.model.progress import Progress, TaskState
    from orchestrator.model.task import Priority, Retries, Task, TaskStatus
    from orchestrator.specialists import Context, FeatureHead, current_context, specialist

__version__ = "0.1.0"

__all__ = [
    "AsyncClient",
    "AsyncHandle",
    "Batch",
    "BlockKind",
    "Blocked",
    "Cancelled",
    "Client",
    "Completed",
    "Context",
    "Event",
    "Failed",
    "FailureCause",
    "Feature",
    "FeatureHead",
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
    "adopt",
    "current_context",
    "enqueue",
    "install",
    "plan",
    "specialist",
]


def plan(feature: Feature, cap: int | None = None, strategy: Strategy | None = None) -> Plan:
    """Plan a feature as it would be enqueued here, and store nothing.

    Args:
        feature: The feature to plan.
        cap: How many tasks may run at once, unless the feature says so; None: as configured.
        strategy: Overrides the strategy of the feature.

    Raises:
        InvalidConfiguration: The configuration has mistakes.
        InvalidFeature: The feature is over a limit.
        CircularDependency, NotParallel: It cannot be planned.

    Example:
        >>> from orchestrator import Feature, Task, plan
        >>> plan(Feature(title="Login", tasks=[Task(id="T1"), Task(id="T2", depends_on=["T1"])])).cap
        5
    """
    from orchestrator.config import configuration
    from orchestrator.feature_file import reader
    from orchestrator.planning import planner

    settings = configuration.load()
    reader.check(feature, settings.limits)
    return planner.plan(feature, settings.parallelism.max_parallel_tasks if cap is None else cap, strategy)


_MODULES = {
    "client.adoption": ("adopt",),
    "client.asynchronous": ("AsyncClient", "AsyncHandle"),
    "client.client": ("Client", "enqueue"),
    "client.handle": ("Handle",),
    "engine.guest": ("install",),
    "model.event": ("Event",),
    "model.feature": ("Feature", "FeatureStatus", "Strategy"),
    "model.outcome": (
        "BlockKind", "Blocked", "Cancelled", "Completed", "Failed", "FailureCause", "Outcome", "RetryLater",
    ),
    "model.plan": ("Batch", "Plan", "Route"),
    "model.progress": ("Progress", "TaskState"),
    "model.task": ("Priority", "Retries", "Task", "TaskStatus"),
    "specialists": ("Context", "FeatureHead", "current_context", "specialist"),
}  # fmt: skip
_PLACES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a name at its first use, because planning needs no Celery, and commands should start fast."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"orchestrator.{_PLACES[name]}"), name)
