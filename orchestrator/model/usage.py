"""Usage: the tokens and the money that an agent has used in one attempt, with one model."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field

from orchestrator.model.fields import Model, Whole

Source = Literal["reported", "priced", "unknown"]
"""Where a cost comes from: the agent's program said it, a price list gave it, or nothing is known."""

COUNTED = ("input", "cache_read", "cache_write", "output", "reasoning", "requests")
"""The fields that only grow within an attempt."""

MICRO = 1_000_000
"""Costs are stored as whole millionths of a dollar, so that sums are exact."""


class Usage(Model):
    """What one attempt has used of one model so far: the largest values seen, never a difference.

    Example:
        >>> Usage(model="haiku", input=1_200, output=300, cost=0.0027, source="reported").tokens
        1500
    """

    model: str = ""
    tier: str = ""
    runtime: str = ""
    session: str = Field(default="", description="the agent's own name for the conversation")
    input: Whole = Field(default=0, ge=0, description="tokens read, without those that came from a cache")
    cache_read: Whole = Field(default=0, ge=0, description="tokens read from a cache")
    cache_write: Whole = Field(default=0, ge=0, description="tokens written into a cache")
    output: Whole = Field(default=0, ge=0, description="tokens written, with those of reasoning")
    reasoning: Whole = Field(default=0, ge=0, description="of these, tokens of reasoning")
    requests: Whole = Field(default=0, ge=0, description="requests to the model")
    cost: float | None = Field(default=None, ge=0, description="dollars; null: unknown")
    source: Source = Field(default="unknown", description="where the cost comes from")
    partial: bool = Field(default=False, description="the attempt ended before its agent had said everything")

    @property
    def tokens(self) -> int:
        """The tokens that count toward a budget: all but those that a cache gave."""
        return self.input + self.cache_write + self.output


class UsageVerdict(NamedTuple):
    """What is left of the budgets after a report of usage."""

    is_over: bool = False
    """A budget is used up: the agent is to be ended."""
    which: str = ""
    """The budget that is used up: task, feature or day."""
    cost_left: float | None = None
    """Dollars that the attempt may still spend; None: no budget."""
    tokens_left: int | None = None
    """Tokens that the attempt may still use; None: no budget."""


NO_BUDGET = UsageVerdict()
"""Nothing is limited."""


def higher(one: Usage, other: Usage) -> Usage:
    """The high-water mark of two reports on the same attempt and model: of each field the larger value.

    Example:
        >>> higher(Usage(input=5, output=9), Usage(input=7, output=2)).output
        9
    """
    marks = {name: max(getattr(one, name), getattr(other, name)) for name in COUNTED}
    costs = [usage.cost for usage in (one, other) if usage.cost is not None]
    newest = other if other.cost is not None or one.cost is None else one
    return other.model_copy(update={**marks, "cost": max(costs) if costs else None, "source": newest.source})
