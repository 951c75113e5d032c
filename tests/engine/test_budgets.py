"""What becomes of an attempt whose budget is used up, or held by others."""

from __future__ import annotations

from pathlib import Path

from orchestrator.engine import budgets
from orchestrator.model.agent_history import EarlierAttempt
from orchestrator.model.outcome import Blocked, BlockKind, Completed, RetryLater
from orchestrator.model.usage import UsageVerdict
from tests.specialists.contexts import a_context


def test_who_may_spend_something_works() -> None:
    assert budgets.refusal(UsageVerdict(cost_left=0.5), ()) is None
    assert budgets.refusal(UsageVerdict(), ()) is None


def test_a_budget_that_is_used_up_asks_a_person() -> None:
    found = budgets.refusal(UsageVerdict(is_over=True, which="feature", limit=20.0), ())
    assert isinstance(found, Blocked)
    assert (found.kind, found.budget) == (BlockKind.BUDGET, "feature")
    assert "$20.00 for the feature" in found.reason


def test_who_has_no_request_left_does_not_begin() -> None:
    found = budgets.refusal(UsageVerdict(turns_left=0), ())
    assert isinstance(found, Blocked)
    assert (found.kind, found.budget) == (BlockKind.BUDGET, "turns")
    assert budgets.refusal(UsageVerdict(turns_left=1), ()) is None


def test_the_budget_of_a_day_is_there_again_at_midnight() -> None:
    left = UsageVerdict(is_over=True, which="day", limit=100.0, day_ends=7_000.0)
    found = budgets.refusal(left, ())
    assert isinstance(found, RetryLater)
    assert 7_000 <= found.after <= 7_000 + budgets.LONGEST_WAIT
    assert "$100.00 for the day" in found.reason


def test_an_agent_that_the_budget_of_the_day_ended_goes_on_at_midnight() -> None:
    ended = Blocked(kind=BlockKind.BUDGET, reason="the budget is used up")
    over = UsageVerdict(is_over=True, which="day", limit=100.0, day_ends=60.0)
    assert isinstance(budgets.until_tomorrow(ended, a_context(Path("here"), left=over)), RetryLater)
    assert budgets.until_tomorrow(ended, a_context(Path("here"), left=over._replace(which="task"))) is ended
    done = Completed(summary="just in time")
    assert budgets.until_tomorrow(done, a_context(Path("here"), left=over)) is done


def test_who_waits_for_others_looks_less_and_less_often() -> None:
    left = UsageVerdict(which="feature", limit=5.0, is_held=True)
    after = []
    for times in (1, 2, 20):
        found = budgets.refusal(left, [EarlierAttempt(attempt=1, status="retry-later", times=times)])
        assert isinstance(found, RetryLater)
        after.append(found.after)
    assert after == sorted(after)
    assert after[-1] <= budgets.LONGEST_WAIT * 1.25
