"""Specialists do the work: each takes a task and returns an outcome.

A Python specialist is a function that takes a `Context`:

    from orchestrator import Blocked, Context, specialist

    @specialist("reviewer")
    def review(context: Context) -> str | Blocked:
        if "url" not in context.task.params:
            return Blocked(reason="params.url is missing", kind="missing-information")
        return "reviewed"
"""

from orchestrator.model.outcome import (
    Blocked,
    BlockKind,
    Cancelled,
    Completed,
    Failed,
    FailureCause,
    RetryLater,
)
from orchestrator.specialists import gates
from orchestrator.specialists.context import Context, FeatureHead, current_context
from orchestrator.specialists.registry import (
    Specialist,
    carry_out,
    has_work,
    import_all,
    perform,
    resolve,
    specialist,
    time_limit,
)

__all__ = [
    "BlockKind",
    "Blocked",
    "Cancelled",
    "Completed",
    "Context",
    "Failed",
    "FailureCause",
    "FeatureHead",
    "RetryLater",
    "Specialist",
    "carry_out",
    "current_context",
    "gates",
    "has_work",
    "import_all",
    "perform",
    "resolve",
    "specialist",
    "time_limit",
]
