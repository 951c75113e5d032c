"""The parts of a page that change while it is watched: page and stream show them by the same templates."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.client import actions, answers, explaining
from orchestrator.report import json_features, json_tasks
from orchestrator.web import snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.client.handle import Handle
    from orchestrator.contract.answer import Action, Need
    from orchestrator.contract.feature_answers import FeatureAnswer
    from orchestrator.contract.task_answers import EventLine, OutcomeAnswer
    from orchestrator.model.progress import Progress
    from orchestrator.report.explanation import Explanation
    from orchestrator.web.site import Site

OF_A_FEATURE = ("headline", "needs", "decisions")
"""The parts of a feature's page, each a template `parts/NAME.html`."""

OF_A_TASK = ("why", "task-decisions", "outcome", "attempts")
"""The parts of a task's page."""

SHOWN = 20
"""How many of the needs of a feature a page shows."""


LOOKED_AT = 1_000
"""The last events of a feature, in which a task's page looks for those of the task."""


class FeatureParts(NamedTuple):
    """The data of the parts of a feature's page."""

    feature: FeatureAnswer
    percent: int
    needs: Sequence[Need]
    actions: Sequence[Action]
    """The decisions that a person may take about the feature as a whole."""


class TaskParts(NamedTuple):
    """The data of the parts of a task's page."""

    feature: str
    explanation: Explanation
    actions: Sequence[Action]
    """The decisions that a person may take about the task."""
    outcome: OutcomeAnswer | None
    """The end of its last attempt."""
    attempts: Sequence[EventLine]
    """Its events, oldest first, of the last of its feature."""


def of_feature(site: Site, handle: Handle, progress: Progress) -> FeatureParts:
    """Read what the parts of a feature's page show now."""
    needs = answers.find_needs(site.client, handle, progress)
    return FeatureParts(
        feature=json_features.feature(progress, time.time(), needs=needs, limit=SHOWN),
        percent=progress.percent,
        needs=needs[:SHOWN],
        actions=() if site.is_read_only else actions.of_feature(site.client, handle, progress),
    )


def of_task(site: Site, handle: Handle, found: explaining.Explained) -> TaskParts:
    """Collect the data of the parts of a task's page from its explanation."""
    state = found.states[found.task.id]
    offered = () if site.is_read_only else actions.of_task(site.client, handle, found.progress, state)
    events = handle.store.events.latest(handle.id, LOOKED_AT)
    return TaskParts(
        feature=handle.id,
        explanation=found.explanation,
        actions=offered,
        outcome=json_tasks.outcome(handle.outcome(found.task.id)),
        attempts=[snapshot.event_line(event) for event in events[::-1] if event.task == found.task.id],
    )
