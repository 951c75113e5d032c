"""Asks whether a person has cancelled an attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.model import errors

if TYPE_CHECKING:
    from orchestrator.specialists.context import Context


def ask_whether_cancelled(context: Context, before: bool | None) -> bool | None:
    """Whether the attempt is cancelled; None if the store does not answer. That is logged once, not at every check."""
    try:
        return context.is_cancelled()
    except errors.OrchestratorError as error:
        # A short outage of the store must not throw away an hour of work.
        if before is not None:
            context.logger.warning("cannot ask whether the attempt is cancelled, so it goes on: %s", error)
        return None
