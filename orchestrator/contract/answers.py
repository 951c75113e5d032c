"""The answer of each command with --json.

The same words everywhere: a feature is `feature`, a task `task`, a specialist `{name, title}`; a moment is ISO 8601, a
duration seconds, a count a number. Empty fields and usual values are left out. A list is cut to `--limit`;
`left_out` counts the others, and `after` is what `--after` takes to go on.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.contract.answer import Answer
from orchestrator.contract.feature_answers import (
    DecisionAnswer,
    FeatureAnswer,
    FeaturesAnswer,
    ProgressAnswer,
)
from orchestrator.contract.machine_answers import (
    CodesAnswer,
    DeliverAnswer,
    DoctorAnswer,
    ErrorAnswer,
    LimitsAnswer,
    PruneAnswer,
    SettingsAnswer,
    SpecialistsAnswer,
    UsageAnswer,
)
from orchestrator.contract.plan_answers import (
    AdoptAnswer,
    GraphAnswer,
    PlanAnswer,
    RecommendAnswer,
    RoutesAnswer,
)
from orchestrator.contract.task_answers import (
    ClaimAnswer,
    EventsAnswer,
    ExplainAnswer,
    LogAnswer,
    TaskAnswer,
)

ANSWERS: Mapping[str, type[Answer]] = {
    "plan": PlanAnswer,
    "route": RoutesAnswer,
    "recommend": RecommendAnswer,
    "graph": GraphAnswer,
    "adopt": AdoptAnswer,
    "run": FeatureAnswer,
    "enqueue": FeatureAnswer,
    "watch": FeatureAnswer,
    "wait": FeatureAnswer,
    "status": FeatureAnswer,
    "features": FeaturesAnswer,
    "progress": ProgressAnswer,
    "explain": ExplainAnswer,
    "task": TaskAnswer,
    "events": EventsAnswer,
    "logs": LogAnswer,
    "claim": ClaimAnswer,
    "report": ClaimAnswer,
    "decision": DecisionAnswer,
    "specialists": SpecialistsAnswer,
    "limits": LimitsAnswer,
    "usage": UsageAnswer,
    "doctor": DoctorAnswer,
    "config": SettingsAnswer,
    "deliver": DeliverAnswer,
    "prune": PruneAnswer,
    "forget": PruneAnswer,
    "error": ErrorAnswer,
    "codes": CodesAnswer,
}
"""The shape of each answer, by the name that `orchestrator schema NAME` takes."""

DECISIONS = (
    "retry", "unblock", "skip", "assign", "approve", "request-changes", "advance", "hold", "resume", "defer", "block",
    "pause", "launch", "cap", "budget", "cancel", "fail", "add-task", "depend",
)  # fmt: skip
"""Commands that answer with a decision."""
