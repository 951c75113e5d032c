"""Budgets as people write them."""

from __future__ import annotations

from orchestrator.model import errors
from orchestrator.model.usage import MOST_MONEY


def read(amount: float | str, held: float | None, what: str) -> float:
    """Read the budget that somebody wants.

    Args:
        amount: Dollars; a text may begin with a $, or with a +: then it is added to the budget that holds now.
        held: That budget; None: there is none.
        what: The feature or the task, for the error.

    Raises:
        BadBudget: It is no amount from more than 0 to 1,000,000 dollars.
        NoBudget: Nothing holds to which it could be added.

    Example:
        >>> read("+5", 20.0, "login-1"), read("$7.50", None, "login-1"), read(3, None, "T1")
        (25.0, 7.5, 3.0)
    """
    text = str(amount).strip()
    is_more = text.startswith("+")
    try:
        number = float(text.removeprefix("+").removeprefix("$"))
    except ValueError:
        raise errors.BadBudget(amount=amount) from None
    if is_more and held is None:
        raise errors.NoBudget(what=what, amount=text)
    wanted = round(number + (held or 0.0 if is_more else 0.0), 6)
    if not (number > 0 and 0 < wanted <= MOST_MONEY):  # also not a number
        raise errors.BadBudget(amount=amount)
    return wanted
