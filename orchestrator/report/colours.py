"""The colours of statuses in pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from orchestrator.model.task import TaskStatus


class Colour(NamedTuple):
    """How a box is painted."""

    fill: str
    line: str


PLAIN = Colour("#ffffff", "#64748b")
GREY, BLUE, VIOLET = Colour("#f1f5f9", "#94a3b8"), Colour("#dbeafe", "#2563eb"), Colour("#ede9fe", "#7c3aed")
GREEN, AMBER, RED = Colour("#dcfce7", "#16a34a"), Colour("#fef3c7", "#d97706"), Colour("#fee2e2", "#dc2626")

COLOURS: Mapping[TaskStatus, Colour] = {
    TaskStatus.BACKLOG: PLAIN,
    TaskStatus.PENDING: PLAIN,
    TaskStatus.IN_PROGRESS: BLUE,
    TaskStatus.IN_REVIEW: VIOLET,
    TaskStatus.CHANGES_REQUESTED: VIOLET,
    TaskStatus.TESTING: VIOLET,
    TaskStatus.BLOCKED: AMBER,
    TaskStatus.ON_HOLD: AMBER,
    TaskStatus.FAILED: RED,
    TaskStatus.COMPLETED: GREEN,
    TaskStatus.CANCELLED: GREY,
    TaskStatus.DEFERRED: GREY,
}

MARKED = "#dc2626"
"""The arrows of a cycle, or of the critical path."""
