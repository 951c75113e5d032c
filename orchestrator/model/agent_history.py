"""The past of an agent at a task: its conversation, and the attempts before."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from orchestrator.model.fields import Model
from orchestrator.model.usage import Usage


class AgentSession(Model):
    """The conversation of an agent with its model, which a later attempt can go on with."""

    runtime: str
    model: str = ""
    session: str
    host: str = ""
    folder: str = ""
    attempt: int = 0
    baseline: Usage | None = None
    """What the conversation had used before this attempt, for runtimes that report its sum."""


class EarlierAttempt(Model):
    """An attempt at the task before this one, for the digest in an agent's brief."""

    attempt: int
    tier: str = ""
    status: str
    reason: str = ""
    tail: str = ""
    seconds: float = 0.0
    """How long it worked; the oldest that is kept has also the time of those before it."""
    times: int = 1
    """How many attempts in a row ended so; they wait for the same, and are kept as one."""


def waits(earlier: Sequence[EarlierAttempt]) -> int:
    """How often a task has waited by now, one time after the other.

    Example:
        >>> failed = EarlierAttempt(attempt=1, status="failed")
        >>> waits([failed, EarlierAttempt(attempt=4, status="retry-later", times=3)])
        3
    """
    last = itertools.takewhile(lambda one: one.status == "retry-later", reversed(earlier))
    return sum(one.times for one in last)
