"""The decisions about a feature before it is stored."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.config.settings import Settings
    from orchestrator.model.feature import Feature


def make_id(title: str) -> str:
    """An id for a feature: its title, shortened, and six random characters.

    Example:
        >>> make_id("Add user login!")[:15]
        'add-user-login-'
    """
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40].strip("-")
    return f"{slug or 'feature'}-{uuid.uuid4().hex[:6]}"


def gated_stages(feature: Feature, settings: Settings) -> dict[str, str]:
    """The stages of the feature's flow that have gates, each with the specialist whose queue runs them."""
    flow = settings.feature_flow_for(feature.tags)
    stages = {"testing": "testing", "validating": "completion"}
    return {
        status: settings.specialist_routing.default
        for status, stage in stages.items()
        if status in flow.statuses and settings.feature_gates(stage, feature.tags)
    }
