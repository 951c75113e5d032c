"""Outcomes of attempts whose budget is used up, or held by others."""

from __future__ import annotations

import random
from collections.abc import Sequence

from orchestrator.engine.usage_meter import UsageMeter
from orchestrator.model.agent_history import EarlierAttempt, waits
from orchestrator.model.outcome import Blocked, BlockKind, Outcome, RetryLater
from orchestrator.model.usage import UsageVerdict, budget_of, used_up
from orchestrator.specialists import Context

FIRST_WAIT = 5.0
"""Seconds after which an attempt looks again whether others hold a budget still."""

LONGEST_WAIT = 60.0
"""Seconds between two looks, at most."""


def refusal(left: UsageVerdict, earlier: Sequence[EarlierAttempt]) -> Outcome | None:
    """The outcome of an attempt whose budget is used up, or held by others; None: its agent may work.

    Args:
        left: What its agent may use, at its start.
        earlier: The attempts before it.
    """
    if left.is_over and left.which == "day":
        return _tomorrow(left)
    if left.is_over or left.turns_left == 0:
        which = left.which or "turns"
        reason = used_up(budget_of(which, left.limit))
        return Blocked(kind=BlockKind.BUDGET, reason=reason, budget=which)
    if left.is_held:
        budget = budget_of(left.which, left.limit)
        reason = f"other agents hold what is left of the budget ({budget}); it starts when they have ended"
        return RetryLater(after=_look_again(earlier), reason=reason)
    return None


def until_tomorrow(outcome: Outcome, context: Context) -> Outcome:
    """The outcome; where the budget of the day ended the work, it goes on by itself on the next day."""
    meter = context.report_usage
    left = meter.verdict if isinstance(meter, UsageMeter) else context.left
    is_ended = isinstance(outcome, Blocked) and outcome.kind is BlockKind.BUDGET
    return _tomorrow(left) if is_ended and left.is_over and left.which == "day" else outcome


def _tomorrow(left: UsageVerdict) -> RetryLater:
    budget = budget_of(left.which, left.limit)
    reason = (
        f"the budget is used up ({budget}); it goes on at midnight (UTC), or sooner if budgets.day is raised"
    )
    late = random.random() * LONGEST_WAIT  # nosec B311  # not all in one moment
    return RetryLater(after=left.day_ends + late, reason=reason)


def _look_again(earlier: Sequence[EarlierAttempt]) -> float:
    """Seconds until the next look at a budget that others hold: longer with each look."""
    seconds = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(30, waits(earlier)))
    return seconds * (1 + random.random() / 4)  # nosec B311  # they do not look together
