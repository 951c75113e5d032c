"""The tools of an agent that does tasks: it claims one, and reports on it.

What stands in their docstrings, and in that of the outcome, the agent reads: each word costs every caller tokens.
"""

from __future__ import annotations

import secrets
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from orchestrator.client.client import Client
from orchestrator.mcp import lines
from orchestrator.mcp.caller import Caller
from orchestrator.mcp.running import LONGEST_WAIT
from orchestrator.model import durations, errors
from orchestrator.model.outcome import Blocked, Completed, Failed, Outcome
from orchestrator.model.usage import NO_BUDGET, Usage, dollars

Kind = Literal["technical", "missing-information", "external-dependency", "permission", "budget"]


class OutcomeInput(BaseModel):
    """completed: summary ≤200, handoff for those after you. blocked or failed: reason. released: undone, for others."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["completed", "blocked", "failed", "released"]
    summary: str = ""
    handoff: str = ""
    result: Any = None
    reason: str = ""
    kind: Kind = "technical"

    def outcome(self) -> Outcome:
        """The outcome that is stored."""
        match self.status:
            case "completed":
                return Completed(summary=self.summary, handoff=self.handoff, result=self.result)
            case "blocked":
                return Blocked(kind=self.kind, reason=self.reason or self.summary)
        return Failed(reason=self.reason or self.summary)


class UsageInput(BaseModel):
    """Sums since the claim; cost in dollars, if you know it."""

    model_config = ConfigDict(extra="forbid")

    model: str
    input: int = 0
    cache_read: int = 0
    output: int = 0
    requests: int = 0
    cost: float | None = None

    def usage(self, runtime: str) -> Usage:
        """As it is stored."""
        source = "unknown" if self.cost is None else "reported"
        return Usage.model_validate({**self.model_dump(), "runtime": runtime, "source": source})


class Working:
    """Gives tasks to agents, and takes what they report.

    Args:
        client: Of the settings in force.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self._own = secrets.token_hex(2)
        """It tells the agents of several servers apart, which may have the same client."""

    def claim(self, caller: Caller, specialist: str = "", feature: str = "", wait: int = LONGEST_WAIT) -> str:
        """Get a task that waits for an agent. It is yours while you report within the lease."""
        most = max(0, min(wait, LONGEST_WAIT))

        def look(waited: float) -> None:
            if waited:
                caller.progress(waited, most, "no task yet")

        found = self.client.claim(
            specialist, feature=feature, wait=most, worker=self._worker(caller), look=look
        )
        if found is None:
            return "no task"
        caller.changed(found.feature)
        head = f"claim {found.token}, attempt {found.attempt}, lease {durations.write(found.lease)}"
        return lines.joined([head, found.brief])

    def _worker(self, caller: Caller) -> str:
        name = caller.client or "agent"
        return f"mcp:{name}/{self._own}"

    def report(
        self,
        caller: Caller,
        claim: str,
        progress: str = "",
        percent: float | None = None,
        outcome: OutcomeInput | None = None,
        usage: UsageInput | None = None,
    ) -> str:
        """Report progress or usage, which renews the lease, or the outcome, which ends it."""
        found = self.client.claimed(claim)
        caller.changed(found.feature)
        left = found.use(usage.usage("pull")) if usage else NO_BUDGET
        if outcome is None:
            found.progress(percent, progress)
            if left.is_over:
                return "the budget is used up: end with blocked, kind budget"
            rest = "" if left.cost_left is None else f", {dollars(left.cost_left)} left"
            return f"yours for {durations.write(found.lease)}{rest}"
        if outcome.status == "released":
            found.release()
            return "released"
        if outcome.status in ("blocked", "failed") and not (outcome.reason or outcome.summary):
            why = f"what is {outcome.status} needs a reason"
            raise errors.BadOutcome(feature=found.feature, task=found.task.id, reason=why)
        return f"{found.task.id} is {found.end(outcome.outcome())}"
