"""The figures of this moment, summed over the features that are not over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.model.feature import FeatureStatus
from orchestrator.model.task import TaskStatus

AT_WORK = (FeatureStatus.IN_DEVELOPMENT, FeatureStatus.TESTING, FeatureStatus.VALIDATING)
"""The statuses of features whose tasks may be launched."""


def total(features: Iterable[Mapping[str, Any]], now: float) -> dict[str, Any]:
    """The sums of what `feature_figures.lua` says of each feature.

    Args:
        features: The figures of each feature.
        now: Seconds since the epoch.

    Example:
        >>> auth = {"status": "in-development", "cap": 2, "paused": False, "total": 5, "tasks": {"completed": 3},
        ...         "running": {"writer": 1}, "launched": {"writer": 1}, "ended": 0, "ready": 0, "delayed": 0,
        ...         "unassigned": 0, "limited": {}}
        >>> total([auth], 12.5)["tasks"]
        {'completed': 3, 'pending': 2}
    """
    statuses, tasks, waiting = Counter[str](), Counter[str](), Counter[str]()
    running, launched, limited = Counter[str](), Counter[str](), Counter[str]()
    allowed = ended = 0
    for one in features:
        statuses[one["status"]] += 1
        tasks.update(one["tasks"])
        tasks[str(TaskStatus.PENDING)] += one["total"] - sum(one["tasks"].values())
        waiting.update(
            slot=one["ready"],
            limit=sum(one["limited"].values()),
            retry=one["delayed"],
            specialist=one["unassigned"],
        )
        running.update(one["running"])
        launched.update(one["launched"])
        limited.update(one["limited"])
        ended += one["ended"]
        allowed += one["cap"] if one["status"] in AT_WORK and not one["paused"] else 0
    return {
        "time": now,
        "features": statuses,
        "tasks": {status: count for status, count in tasks.items() if count},
        "waiting": waiting,
        "running": running,
        "launched": launched,
        "limited": limited,
        "leases_ended": ended,
        "allowed": allowed,
    }
