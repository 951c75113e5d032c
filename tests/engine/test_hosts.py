"""An agent's attempt is left to the machine on which its conversation is, and not for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.config.schema.agents import AgentSettings
from orchestrator.engine import hosts
from orchestrator.model.agent_history import AgentSession, EarlierAttempt
from orchestrator.specialists import Context
from tests.specialists.contexts import a_context

AGENT = AgentSettings()
THERE = AgentSession(runtime="claude", session="s1", host="b")


def context(session: AgentSession | None, *earlier: EarlierAttempt) -> Context:
    return a_context(Path("here"), session=session, earlier=earlier)


def test_it_is_left_to_the_machine_of_its_conversation() -> None:
    found = hosts.leave_to(context(THERE), AGENT, here="a", hosts={"a", "b"})
    assert found is not None
    assert (found.after, found.limit) == (hosts.EVERY, "")
    assert found.reason == "its conversation is on b, and a worker there can go on with it"


@pytest.mark.parametrize(
    ("session", "agent", "known"),
    [
        (None, AGENT, {"b"}),
        (THERE.model_copy(update={"host": "a"}), AGENT, {"a", "b"}),
        (THERE.model_copy(update={"host": ""}), AGENT, {"a", ""}),
        (THERE, AGENT, {"a"}),
        (THERE, AGENT.model_copy(update={"resume": False}), {"a", "b"}),
    ],
)
def test_it_works_here_where_nobody_else_could_go_on(
    session: AgentSession | None, agent: AgentSettings, known: set[str]
) -> None:
    assert hosts.leave_to(context(session), agent, here="a", hosts=known) is None


def test_it_begins_anew_after_a_minute() -> None:
    tries, waited = 0, EarlierAttempt(attempt=1, status="worker-lost")
    while found := hosts.leave_to(context(THERE, waited), AGENT, here="a", hosts={"b"}):
        tries += 1
        times = waited.times + 1 if waited.reason == found.reason else 1
        waited = EarlierAttempt(attempt=1 + tries, status="retry-later", reason=found.reason, times=times)
    assert tries == hosts.TIMES
