"""The decisions about a feature before it is stored."""

from __future__ import annotations

import contextlib
import re
import uuid
from typing import TYPE_CHECKING, TypeVar

from orchestrator.model import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from orchestrator.config.settings import Settings
    from orchestrator.model.feature import Feature
    from orchestrator.model.plan import Route


T = TypeVar("T")

IDS_TRIED = 5
"""Two of some 5,000 features of one title would have the same id by chance: its end is one of 16 million."""


def make_id(title: str) -> str:
    """An id for a feature: its title, shortened, and six random characters.

    Example:
        >>> make_id("Add user login!")[:15]
        'add-user-login-'
    """
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40].strip("-")
    return f"{slug or 'feature'}-{uuid.uuid4().hex[:6]}"


def under_an_id(feature: Feature, put: Callable[[str], T]) -> T:
    """Store a feature under its own id, or under one that is made for it: another one where that exists.

    Raises:
        FeatureExists: Another feature has its own id.

    Example:
        under_an_id(feature, lambda feature_id: store.enqueue(feature_id, plan, routes))
    """
    if feature.id:
        return put(feature.id)
    for _ in range(IDS_TRIED - 1):
        with contextlib.suppress(errors.FeatureExists):
            return put(make_id(feature.title))
    return put(make_id(feature.title))


def base(routes: Iterable[Route], settings: Settings) -> str:
    """The commit that the agents of a feature start from: `workspaces.base` as it is now.

    Args:
        routes: Of its tasks.
        settings: Where the project and its agents are.

    Returns:
        Its hash; "" where no agent works in a worktree, or the project's repository is not here. Then it is fixed when
        the first of them starts.
    """
    agents = map(settings.agent, {route.specialist for route in routes})
    if not any(agent and agent.works_in == "worktree" for agent in agents):
        return ""
    from orchestrator import workspaces  # late: most features have no agents

    try:
        return workspaces.find(settings.project).resolve(settings.workspaces.base)
    except errors.OrchestratorError:  # the worker says it, where the agents work
        return ""


def gated_stages(feature: Feature, settings: Settings) -> dict[str, str]:
    """The stages of the feature's flow that have gates, each with the specialist whose queue runs them."""
    flow = settings.feature_flow_for(feature.tags)
    stages = {"testing": "testing", "validating": "completion"}
    return {
        status: settings.specialist_routing.default
        for status, stage in stages.items()
        if status in flow.statuses and settings.feature_gates(stage, feature.tags)
    }
