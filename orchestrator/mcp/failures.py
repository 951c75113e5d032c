"""Errors as an agent reads them: data, with the calls that help."""

from __future__ import annotations

from typing import Any

from orchestrator.contract import compact, error_codes
from orchestrator.mcp import calls
from orchestrator.model import errors


def as_data(error: errors.OrchestratorError) -> str:
    """An error as JSON: its code, what it says, and the calls that help.

    Example:
        >>> as_data(errors.NoSuchDraft(draft="1f"))
        '{"error":"no-such-draft","message":"There is no plan 1f: it is kept for a day.\\\\nPlan the feature again."}'
    """
    found = error_codes.of(error)
    told: dict[str, Any] = {"error": found.code, "message": found.message}
    if helping := [call for action in found.actions if (call := calls.of(action, error.facts))]:
        told["calls"] = helping
    return compact.write(told)
