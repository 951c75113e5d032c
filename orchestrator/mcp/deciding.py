"""The tool by which an agent decides about a task, and the question to a person where an agent may not decide."""

from __future__ import annotations

from typing import Any, Literal

from mcp.server.elicitation import AcceptedElicitation, ElicitationResult
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.resolve import Elicit
from pydantic import BaseModel, Field

from orchestrator.client import actions
from orchestrator.client.client import Client
from orchestrator.model import errors

Decision = Literal[
    "retry",
    "unblock",
    "skip",
    "assign",
    "approve",
    "request-changes",
    "hold",
    "resume",
    "defer",
    "block",
    "cancel",
]


class Approval(BaseModel):
    """The answer of a person."""

    agreed: bool = Field(description="Do it")


AGREED = AcceptedElicitation[Approval](data=Approval(agreed=True))


class Deciding:
    """The decisions about tasks.

    Args:
        client: Of the settings in force. `mcp.human` says for which actions a person is asked.
    """

    def __init__(self, client: Client) -> None:
        self.client = client

    def ask(
        self, feature: str, task: str, action: Decision, context: Context[Any, Any]
    ) -> Approval | Elicit[Approval]:
        """Ask a person, if this action is a person's.

        Raises:
            ToolError: The client cannot ask; the command that a person types is in it.
        """
        if action not in self.client.settings.mcp.human:
            return AGREED.data
        capabilities = context.client_capabilities
        if capabilities is None or capabilities.elicitation is None:
            raise ToolError(f"A person has to do this: orchestrator {action} {feature} {task}")
        return Elicit(f"An agent wants to {action} task {task} of feature {feature}. Agree?", Approval)

    def decide(
        self,
        feature: str,
        task: str,
        action: Decision,
        approval: ElicitationResult[Approval],
        note: str = "",
        to: str = "",
        attempt: int = 0,
    ) -> str:
        """Decide about a task. to: the specialist of assign. With attempt, refused once a later one has run."""
        if not (isinstance(approval, AcceptedElicitation) and approval.data.agreed):
            raise ToolError("A person said no. Ask them what to do instead.")
        handle = self.client.feature(feature)
        state = self.client.store.tasks.state(handle.id, task)
        if attempt and state.attempt != attempt:
            raise errors.Outpaced(task=task, attempt=attempt, last=state.attempt)
        given = {"note": note, "because": note, "specialist": to}
        return actions.carry_out(handle, action, task, given)
