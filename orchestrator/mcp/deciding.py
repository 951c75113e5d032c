"""The tools by which an agent decides about tasks and features, and the question to a person where it may not."""

from __future__ import annotations

from typing import Annotated, Any, Literal

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
    "budget",
]


Steering = Literal["pause", "resume", "launch", "cap", "budget", "cancel"]


_Word = Annotated[str, Field(coerce_numbers_to_str=True)]
"""A text, or a number: of a budget an agent sends 5 as often as "5"."""


class Approval(BaseModel):
    """The answer of a person."""

    agreed: bool = Field(description="Do it")


AGREED = AcceptedElicitation[Approval](data=Approval(agreed=True))


class Deciding:
    """The decisions about tasks, and about features as a whole.

    Args:
        client: Of the settings in force. `mcp.human` says for which actions a person is asked.
    """

    def __init__(self, client: Client) -> None:
        self.client = client

    def ask_about_task(
        self, feature: str, task: str, action: Decision, context: Context[Any, Any]
    ) -> Approval | Elicit[Approval]:
        """Ask a person about a task, if this action is a person's.

        Raises:
            ToolError: The client cannot ask; the command that a person types is in it.
        """
        return self._ask(action, f"task {task} of feature {feature}", f"{feature} {task}", context)

    def ask_about_feature(
        self, feature: str, action: Steering, context: Context[Any, Any]
    ) -> Approval | Elicit[Approval]:
        """Ask a person about a feature, if this action is a person's.

        Raises:
            ToolError: The client cannot ask; the command that a person types is in it.
        """
        return self._ask(action, f"feature {feature}", feature, context)

    def _ask(
        self, action: str, what: str, arguments: str, context: Context[Any, Any]
    ) -> Approval | Elicit[Approval]:
        if action not in self.client.settings.mcp.human:
            return AGREED.data
        capabilities = context.client_capabilities
        if capabilities is None or capabilities.elicitation is None:
            raise ToolError(f"A person has to do this: orchestrator {action} {arguments}")
        return Elicit(f"An agent wants to {action} {what}. Agree?", Approval)

    def decide(
        self,
        feature: str,
        task: str,
        action: Decision,
        approval: ElicitationResult[Approval],
        note: str = "",
        to: _Word = "",
        attempt: int = 0,
    ) -> str:
        """Decide about a task. to: whom to assign, or the budget. With attempt, refused once a later one has run."""
        _check(approval)
        handle = self.client.feature(feature)
        state = self.client.store.tasks.state(handle.id, task)
        if attempt and state.attempt != attempt:
            raise errors.Outpaced(task=task, attempt=attempt, last=state.attempt)
        given = {"note": note, "because": note, "specialist": to, "amount": to}
        return actions.carry_out(handle, action, task, given)

    def steer(
        self, feature: str, action: Steering, approval: ElicitationResult[Approval], value: _Word = ""
    ) -> str:
        """Steer a whole feature; value is the cap, or the budget: dollars, +5 to add."""
        _check(approval)
        handle = self.client.feature(feature)
        given = {"cap": "most", "budget": "amount"}.get(action, "note")
        return actions.carry_out(handle, action, "", {given: value})


def _check(approval: ElicitationResult[Approval]) -> None:
    """Raises ToolError unless a person agreed, or was not to be asked."""
    if not (isinstance(approval, AcceptedElicitation) and approval.data.agreed):
        raise ToolError("A person said no. Ask them what to do instead.")
