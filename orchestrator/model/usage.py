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

MOST_MONEY = 1_000_000
"""Dollars that a budget can have, at most."""

MOST_TOKENS = 10**12
"""Tokens that an attempt can have used, at most. A larger number is nonsense, and Redis could not add to it."""

MOST_COST = 10**9
"""Dollars that an attempt can have used, at most: more than so many tokens cost."""

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
    input: Whole = Field(
        default=0, ge=0, le=MOST_TOKENS, description="tokens read, without those that came from a cache"
    )
    cache_read: Whole = Field(default=0, ge=0, le=MOST_TOKENS, description="tokens read from a cache")
    cache_write: Whole = Field(default=0, ge=0, le=MOST_TOKENS, description="tokens written into a cache")
    output: Whole = Field(
        default=0, ge=0, le=MOST_TOKENS, description="tokens written, with those of reasoning"
    )
    reasoning: Whole = Field(default=0, ge=0, le=MOST_TOKENS, description="of these, tokens of reasoning")
    requests: Whole = Field(default=0, ge=0, le=MOST_TOKENS, description="requests to the model")
    cost: float | None = Field(default=None, ge=0, le=MOST_COST, description="dollars; null: unknown")
    source: Source = Field(default="unknown", description="where the cost comes from")
    partial: bool = Field(default=False, description="the attempt ended before its agent had said everything")

    @property
    def tokens(self) -> int:
        """The tokens that count toward a budget: all but those that a cache gave."""
        return self.input + self.cache_write + self.output


class UsageVerdict(NamedTuple):
    """What is left of the budgets, at the start of an attempt or after a report of usage."""

    is_over: bool = False
    """A budget is used up: the agent is to be ended."""
    which: str = ""
    """The budget that is used up: task, tokens, turns, feature or day; or that others hold: feature or day."""
    cost_left: float | None = None
    """Dollars that the attempt may still spend; None: no budget."""
    tokens_left: int | None = None
    """Tokens that the attempt may still use; None: no budget."""
    turns_left: int | None = None
    """Requests that the attempt may still make; None: no budget."""
    limit: float | None = None
    """That budget, in dollars."""
    is_held: bool = False
    """Other attempts hold what is left: this one is to begin when they have ended."""
    day_ends: float = 0.0
    """Seconds until the budget of the next day holds."""


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
    requests: int = 0
    """Requests of the task."""
    feature: float = 0.0
    """Dollars for its feature."""
    day: float = 0.0
    """Dollars for all features on this day (UTC)."""


class Allowed(NamedTuple):
    """The budgets that hold for an attempt; None: no such budget."""

    cost: float | None = None
    """Dollars for the task, all its attempts together."""
    tokens: int | None = None
    """Tokens of the task."""
    turns: int | None = None
    """Requests of the task."""
    feature: float | None = None
    """Dollars for its feature."""
    day: float | None = None
    """Dollars for all features on a day (UTC)."""


class Account(NamedTuple):
    """The budgets of an attempt, and what has been used of them."""

    spent: Spent = Spent()
    allowed: Allowed = Allowed()
    held: float | None = None
    """Dollars that are kept for this attempt alone; None: none are, because its cost is not limited."""
    lacks: str = ""
    """The budget of which others hold what is left, so that the attempt cannot begin yet: feature or day."""
    day_ends: float = 0.0
    """Seconds until the next day (UTC)."""


def verdict(account: Account) -> UsageVerdict:
    """What is left of the budgets. An attempt may spend what is kept for it, whatever others spend meanwhile.

    Example:
        >>> verdict(Account(Spent(cost=1.5, tokens=900, feature=1.5), Allowed(cost=2.0, feature=1.8))).cost_left
        0.3
        >>> found = verdict(Account(Spent(cost=1.5, feature=20.25), Allowed(cost=2.0, feature=20.0)))
        >>> found.which, found.limit
        ('feature', 20.0)
        >>> verdict(Account(Spent(feature=19.5), Allowed(cost=2.0, feature=20.0), held=0.0)).which
        'feature'
    """
    spent, allowed = account.spent, account.allowed
    limits = {
        "task": (allowed.cost, spent.cost),
        "feature": (allowed.feature, spent.feature),
        "day": (allowed.day, spent.day),
    }
    left = {
        name: max(0.0, round(limit - used, 6)) for name, (limit, used) in limits.items() if limit is not None
    }
    tokens_left = None if allowed.tokens is None else max(0, allowed.tokens - spent.tokens)
    turns_left = None if allowed.turns is None else allowed.turns - spent.requests
    over = [name for name, rest in left.items() if rest == 0]
    over += ["tokens"] if tokens_left == 0 else []
    over += ["turns"] if turns_left is not None and turns_left < 0 else []  # the last one is to be answered
    if not over and account.held == 0 and left:
        over = [min(left, key=lambda name: left[name])]
    rests = [*left.values(), *([] if account.held is None else [account.held])]
    which = over[0] if over else account.lacks
    return UsageVerdict(
        is_over=bool(over),
        which=which,
        limit=limits[which][0] if which in limits else None,
        cost_left=min(rests) if rests else None,
        tokens_left=tokens_left,
        turns_left=None if turns_left is None else max(0, turns_left),
        is_held=bool(account.lacks) and not over,
        day_ends=account.day_ends,
    )


def used_up(budget: str, said: str = "") -> str:
    """Why an agent does not work: its budget is used up.

    Args:
        budget: The budget, such as "$2.00 for the task"; "": its program did not say which.
        said: What the program said of it.

    Example:
        >>> used_up("$2.00 for the task")
        'the budget is used up ($2.00 for the task); raise it, and the agent goes on where it stood'
    """
    which = f" ({budget})" if budget else ""
    return f"the budget is used up{which}{said}; raise it, and the agent goes on where it stood"


def budget_of(which: str, limit: float | None) -> str:
    """A budget in words.

    Example:
        >>> budget_of("feature", 20.0)
        '$20.00 for the feature'
        >>> budget_of("turns", None)
        'the requests of the task'
    """
    if which in ("tokens", "turns"):
        return f"the {'requests' if which == 'turns' else which} of the task"
    return f"{dollars(limit)} for the {which}" if limit is not None else f"that of the {which}"


class BudgetStand(NamedTuple):
    """How much of a budget is used."""

    which: str
    """feature or day."""
    limit: float
    """Dollars."""
    spent: float
    kept: float = 0.0
    """What is kept for agents at work, and not spent yet."""

    @property
    def left(self) -> float:
        """Dollars that neither are spent nor kept."""
        return round(max(0.0, self.limit - self.spent - self.kept), 6)

    def __str__(self) -> str:
        kept = f", {dollars(self.kept)} kept for agents at work" if self.kept else ""
        return (
            f"Budget of the {self.which}: {dollars(self.spent)} of {dollars(self.limit)} spent{kept}, "
            f"{dollars(self.left)} left"
        )


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
