"""The parts of a feature's page that change while it is watched: page and stream show them by the same templates."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.client import actions, answers
from orchestrator.report import json_features

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.client.handle import Handle
    from orchestrator.contract.answer import Action, Need
    from orchestrator.contract.feature_answers import FeatureAnswer
    from orchestrator.model.progress import Progress
    from orchestrator.web.site import Site

LIVE = ("headline", "needs", "decisions")
"""The names of the parts, each a template `parts/NAME.html`."""

SHOWN = 20
"""How many of the needs of a feature a page shows."""


class Parts(NamedTuple):
    """What the parts show."""

    feature: FeatureAnswer
    percent: int
    needs: Sequence[Need]
    actions: Sequence[Action]
    """What a person may do about the feature as a whole."""


def read(site: Site, handle: Handle, progress: Progress) -> Parts:
    """Read what the parts show now."""
    needs = answers.find_needs(site.client, handle, progress)
    return Parts(
        feature=json_features.feature(progress, time.time(), needs=needs, limit=SHOWN),
        percent=progress.percent,
        needs=needs[:SHOWN],
        actions=() if site.is_read_only else actions.of_feature(site.client, handle, progress),
    )
