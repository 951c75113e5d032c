"""Where an agent's attempt works best: on the machine on which its conversation is."""

from __future__ import annotations

from collections.abc import Collection

from orchestrator.config.schema.agents import AgentSettings
from orchestrator.model.agent_history import EarlierAttempt
from orchestrator.model.outcome import RetryLater
from orchestrator.specialists import Context

EVERY = 5.0
"""Seconds until the attempt is tried again, perhaps by a worker of that machine."""

TIMES = 12
"""How often it is left to others: for a minute. Then it begins anew where it is."""


def leave_to(
    context: Context, agent: AgentSettings, *, here: str, hosts: Collection[str]
) -> RetryLater | None:
    """Leave an attempt to a worker of the machine on which its conversation is; None: it works here.

    Args:
        context: The attempt, with the conversation that it could go on with.
        agent: The agent.
        here: The name of this machine.
        hosts: The machines of workers that take tasks of this specialist.

    Example:
        leave_to(context, agent, here="a", hosts={"a", "b"})
    """
    session = context.session
    if not agent.resume or session is None or session.host in ("", here) or session.host not in hosts:
        return None
    reason = f"its conversation is on {session.host}, and a worker there can go on with it"
    last: EarlierAttempt | None = context.earlier[-1] if context.earlier else None
    if last and last.reason == reason and last.times >= TIMES:
        return None
    return RetryLater(after=EVERY, reason=reason)
