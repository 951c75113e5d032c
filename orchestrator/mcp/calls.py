"""The tool calls that help, written as an agent makes them, from the actions that answers and errors bring."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.client import actions
from orchestrator.contract.answer import Action

STEERED = ("pause", "resume", "launch", "cap", "cancel")
"""Actions about a feature that `steer` takes."""


def of(action: Action, facts: Mapping[str, Any] | None = None) -> str:
    """The call of an action; "" if no tool does it.

    Example:
        >>> of(Action(action="retry", task="T3", command="orchestrator retry auth T3"))
        'decide(action=retry, task=T3)'
        >>> of(Action(action="status"))
        'status()'
    """
    task = action.task or str((facts or {}).get("task", ""))
    if action.action == "claim":
        return "claim()"
    if action.action in ("status", "explain"):
        return f"{action.action}({f'task={task}' if task and action.action == 'explain' else ''})"
    if action.action == "logs":
        return f"task(task={task}, part=log)" if task else ""
    if action.task and action.action in actions.OF_A_TASK:
        given = ["note" if name == "because" else name for name in action.arguments]
        asked = [f"{'to' if name == 'specialist' else name}=…" for name in given]
        return f"decide({', '.join([f'action={action.action}', f'task={action.task}', *asked])})"
    if not action.task and action.action in STEERED:
        return f"steer(action={action.action}{', value=…' if action.action == 'cap' else ''})"
    return ""


def line(found: Iterable[Action]) -> str:
    """The calls of some actions on one line."""
    return " | ".join(call for action in found if (call := of(action)))
