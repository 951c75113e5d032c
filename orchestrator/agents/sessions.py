"""The conversations of agents: which one an attempt can go on with."""

from __future__ import annotations

import socket
from pathlib import Path

from orchestrator.config.schema.agent_runtimes import AgentRuntime
from orchestrator.model.agent_history import AgentSession


def host() -> str:
    """The name of this machine: a program keeps its conversations in a folder of it."""
    return socket.gethostname()


def fits(
    session: AgentSession | None, runtime: AgentRuntime, *, name: str, model: str, folder: Path, here: str
) -> bool:
    """Whether an attempt can go on with a conversation.

    Args:
        session: The conversation of an earlier attempt.
        runtime: The program of this attempt.
        name: The name of the runtime.
        model: The model of this attempt: another tier gets a new conversation.
        folder: Where this attempt works.
        here: The name of this machine.

    Example:
        >>> session = AgentSession(runtime="mine", model="small", session="s1", host="a", folder="/w")
        >>> runtime = AgentRuntime(command=["mine"], resume=["mine", "-r", "{session}"])
        >>> fits(session, runtime, name="mine", model="small", folder=Path("/w"), here="a")
        True
        >>> fits(session, runtime, name="mine", model="large", folder=Path("/w"), here="a")
        False
    """
    if session is None or runtime.resume is None or not session.session:
        return False
    is_same = (session.runtime, session.model, session.host) == (name, model, here)
    return is_same and (runtime.any_folder or session.folder == str(folder))
