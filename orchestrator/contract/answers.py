"""What each command answers with --json.

The same words everywhere: a feature is `feature`, a task `task`, a specialist `{name, title}`; a moment is ISO 8601, a
duration seconds, a count a number. What is empty, or as it always is, is left out. A list is cut to `--limit`;
`left_out` counts the others, and `after` is what `--after` takes to go on.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.contract.answer import Answer
from orchestrator.contract.feature_answers import Decision, FeatureAnswer, Features, Standing
from orchestrator.contract.machine_answers import (
    Codes,
    ErrorAnswer,
    Findings,
    Forgotten,
    Limits,
    SettingsAnswer,
    Specialists,
)
from orchestrator.contract.plan_answers import Planned, Recommended, Routes
from orchestrator.contract.task_answers import Events, Explained, TaskAnswer

ANSWERS: Mapping[str, type[Answer]] = {
    "plan": Planned,
    "route": Routes,
    "recommend": Recommended,
    "run": FeatureAnswer,
    "enqueue": FeatureAnswer,
    "watch": FeatureAnswer,
    "wait": FeatureAnswer,
    "status": FeatureAnswer,
    "features": Features,
    "progress": Standing,
    "explain": Explained,
    "task": TaskAnswer,
    "events": Events,
    "decision": Decision,
    "specialists": Specialists,
    "limits": Limits,
    "doctor": Findings,
    "config": SettingsAnswer,
    "prune": Forgotten,
    "forget": Forgotten,
    "error": ErrorAnswer,
    "codes": Codes,
}
"""The shape of each answer, by the name that `orchestrator schema NAME` takes."""

DECISIONS = (
    "retry", "unblock", "skip", "assign", "approve", "request-changes", "advance", "hold", "resume", "defer", "block",
    "pause", "launch", "cap", "cancel", "fail", "add-task", "depend",
)  # fmt: skip
"""Commands that answer with a decision."""
