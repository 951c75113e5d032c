"""What agents have used: of a feature, or of all on the last days."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from orchestrator.model import errors
from orchestrator.model.usage import Allowed, BudgetStand, UsageRow, dearest_first, summed

if TYPE_CHECKING:
    from orchestrator.state.store import Store

By = Literal["task", "specialist", "model", "day"]

DAYS = 30
"""The last days whose usage is summed up, where no feature is named."""

DayRow = tuple[str, str, UsageRow]
"""A specialist, a model, and what was used on a day, which is the name of the row."""

NAMES: dict[str, Callable[[DayRow], str]] = {
    "specialist": lambda row: row[0],
    "model": lambda row: row[1],
    "day": lambda row: row[2].name,
}


class UsageReport(NamedTuple):
    """What agents have used."""

    by: By
    rows: Sequence[UsageRow]
    """The dearest first; days: the newest first."""
    total: UsageRow
    budgets: Sequence[BudgetStand] = ()
    """Those that hold: of the feature, or of the day."""


def read(store: Store, configured: Allowed, feature: str | None, by: By | None) -> UsageReport:
    """Sum up what agents have used.

    Args:
        store: The state.
        configured: The budgets of a feature and a day.
        feature: Of this feature; None: of all, on the last days.
        by: What the rows are; None: tasks of a feature, else days.

    Raises:
        CannotSum: There is no such sum.
        NoSuchFeature: There is none of this id.
    """
    by = by or ("task" if feature else "day")
    if feature:
        if by == "day":
            raise errors.CannotSum(feature=feature)
        store.features.head(feature)
        rows = store.usage.rows(feature, by)
    elif by == "task":
        raise errors.NamesNoFeature()
    else:
        groups = defaultdict[str, list[UsageRow]](list)
        for row in store.usage.days(DAYS):
            groups[NAMES[by](row)].append(row[2])
        rows = [summed(name, found) for name, found in groups.items()]
        rows = sorted(rows, key=lambda row: row.name, reverse=True) if by == "day" else dearest_first(rows)
    return UsageReport(by, rows, summed("total", rows), tuple(_stands(store, configured, feature)))


def _stands(store: Store, configured: Allowed, feature: str | None) -> Iterator[BudgetStand]:
    """How much is used of the budget of a feature, and of the day."""
    account = store.usage.account(feature or "", "", configured)
    spent, allowed = account.spent, account.allowed
    kept = store.usage.kept() if allowed.feature or allowed.day else {}
    if feature and allowed.feature is not None:
        yield BudgetStand("feature", allowed.feature, spent.feature, kept.get(feature, 0.0))
    if allowed.day is not None:
        yield BudgetStand("day", allowed.day, spent.day, sum(kept.values()))
