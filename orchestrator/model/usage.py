"""Usage: the tokens and the money that an agent has used in one attempt, with one model."""

from __future__ import annotations

from collections.abc import Iterable
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


class Spent(NamedTuple):
    """What has been used so far."""

    cost: float = 0.0
    """Dollars for the task, all its attempts together."""
    tokens: int = 0
    """Tokens of the task."""
    feature: float = 0.0
    """Dollars for its feature."""
    day: float = 0.0
    """Dollars for all features on this day (UTC)."""


def verdict(
    spent: Spent,
    *,
    cost: float | None = None,
    tokens: int | None = None,
    feature: float | None = None,
    day: float | None = None,
) -> UsageVerdict:
    """What is left of the budgets.

    Args:
        spent: What has been used.
        cost: The budget of the task in dollars; None: none.
        tokens: Its budget in tokens; None: none.
        feature: The budget of its feature in dollars; None: none.
        day: The budget of a day in dollars; None: none.

    Example:
        >>> verdict(Spent(cost=1.5, tokens=900, feature=1.5), cost=2.0, feature=1.8)
        UsageVerdict(is_over=False, which='', cost_left=0.3, tokens_left=None)
        >>> verdict(Spent(cost=1.5, feature=20.25), cost=2.0, feature=20.0).which
        'feature'
    """
    limits = {"task": (cost, spent.cost), "feature": (feature, spent.feature), "day": (day, spent.day)}
    left = {
        name: max(0.0, round(limit - used, 6)) for name, (limit, used) in limits.items() if limit is not None
    }
    tokens_left = None if tokens is None else max(0, tokens - spent.tokens)
    over = [name for name, rest in left.items() if rest == 0] + (["task"] if tokens_left == 0 else [])
    cost_left = min(left.values()) if left else None
    return UsageVerdict(bool(over), over[0] if over else "", cost_left, tokens_left)


class UsageRow(Model):
    """A sum of usage: of a task, a specialist, a model or a day."""

    name: str = Field(description="the task, the specialist, the model or the day")
    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    requests: int = 0
    cost: float | None = Field(default=None, description="dollars, as far as they are known; null: unknown")
    unknown: int = Field(default=0, description="of how many attempts the cost is unknown")

    @property
    def tokens(self) -> int:
        """The tokens that count toward a budget: all but those that a cache gave."""
        return self.input + self.cache_write + self.output

    @property
    def price(self) -> str:
        """The cost in words.

        Example:
            >>> UsageRow(name="T1", cost=0.31).price, UsageRow(name="T1", cost=0.31, unknown=1).price
            ('$0.31', 'at least $0.31')
            >>> UsageRow(name="T1", unknown=1).price
            'unknown'
        """
        if self.cost is None:
            return "unknown" if self.unknown or self.requests else ""
        return f"{'at least ' if self.unknown else ''}{dollars(self.cost)}"


def dollars(cost: float) -> str:
    """An amount of money: of little also the part of a cent.

    Example:
        >>> dollars(3.2), dollars(0.0042), dollars(0)
        ('$3.20', '$0.0042', '$0.00')
    """
    return f"${cost:.4f}" if 0 < cost < 0.01 else f"${cost:,.2f}"


def summed(name: str, usages: Iterable[Usage | UsageRow]) -> UsageRow:
    """The sum of usages.

    Example:
        >>> summed("T1", [Usage(output=5, cost=0.5), Usage(output=7)]).price
        'at least $0.50'
    """
    found = list(usages)
    totals = {kind: sum(getattr(usage, kind) for usage in found) for kind in COUNTED}
    costs = [usage.cost for usage in found if usage.cost is not None]
    unknown = sum(usage.unknown if isinstance(usage, UsageRow) else usage.cost is None for usage in found)
    return UsageRow(name=name, **totals, cost=round(sum(costs), 6) if costs else None, unknown=unknown)


def dearest_first(rows: Iterable[UsageRow]) -> list[UsageRow]:
    """Rows in the order of their cost, then of their tokens."""
    return sorted(rows, key=lambda row: (-(row.cost or 0), -row.tokens, row.name))
