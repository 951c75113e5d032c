"""The functions by which templates write values."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from orchestrator.client import actions
from orchestrator.contract.answer import Action
from orchestrator.contract.task_answers import TaskSpec
from orchestrator.model import durations
from orchestrator.report import next_steps


def age(moment: str) -> str:
    """How long ago a moment of an answer was.

    Example:
        >>> age("2999-01-01T00:00:00Z")
        '0ms'
    """
    return durations.write(max(0.0, time.time() - _seconds(moment)))


def until(moment: str) -> str:
    """How long it is until a moment of an answer.

    Example:
        >>> until("2020-01-01T00:00:00Z")
        '0ms'
    """
    return durations.write(max(0.0, _seconds(moment) - time.time()))


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def as_json(value: Any) -> str:
    """A value as JSON that people read.

    Example:
        >>> as_json([1])
        '[\\n  1\\n]'
    """
    return json.dumps(value, indent=2, ensure_ascii=False)


def decisions(found: Sequence[Action]) -> tuple[Action, ...]:
    """Those of some actions that a form can carry out."""
    return actions.with_notes(
        one for one in found if one.action in actions.OF_A_TASK or one.action in actions.OF_A_FEATURE
    )


def facts(brief: TaskSpec) -> Mapping[str, str]:
    """The fields of a task as a page shows them, without its description.

    Example:
        >>> facts(TaskSpec(tags=("backend",), timeout=90))
        {'tags': 'backend', 'timeout': '1m 30s'}
    """
    told = brief.model_dump(mode="json", exclude_defaults=True, exclude={"description"})
    return {name: _fact(name, value) for name, value in told.items()}


def _fact(name: str, value: Any) -> str:
    if name in ("estimate", "timeout"):
        return durations.write(value)
    if isinstance(value, list):
        return (" " if name == "run" else ", ").join(map(str, value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "age": age,
    "until": until,
    "as_json": as_json,
    "noted": decisions,
    "brief_facts": facts,
    "write_duration": durations.write,
    "need_text": next_steps.need_text,
}
"""The functions for templates, by the names that they use."""
