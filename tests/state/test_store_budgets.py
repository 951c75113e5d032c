"""Budgets keep for each attempt what it may spend, so that agents side by side never spend more together."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from orchestrator.model.outcome import Completed, Failed
from orchestrator.model.usage import MICRO, Account, Allowed, Usage, verdict
from orchestrator.state.keys import Keys
from orchestrator.state.store import Store
from tests.model.factories import task
from tests.state.factories import Run, launched
from tests.state.machines import Redis, play

TASKS = ("T1", "T2", "T3")


def started(store: Store, feature: str = "auth", *tasks: str) -> Run:
    """A feature of three tasks whose attempts run."""
    run = launched(store, *map(task, tasks or TASKS), feature_id=feature)
    for name in tasks or TASKS:
        run.start(name)
    return run


def reserve(run: Run, name: str, allowed: Allowed) -> Account:
    return run.store.usage.reserve(run.id, name, run.attempt(name), allowed)


def spend(run: Run, name: str, cost: float, allowed: Allowed) -> Account:
    """The attempt has cost so much by now."""
    used = Usage(model="haiku", cost=cost, source="reported", output=1)
    return run.store.usage.report(run.id, name, run.attempt(name), "builder", [used], allowed)


def lose(run: Run, name: str) -> None:
    """The worker of its attempt is lost, and the next attempt may start."""
    run.expire_lease(name)
    run.recover()


def test_a_start_keeps_the_cap_of_its_task_from_the_others(store: Store) -> None:
    run = started(store)
    budgets = Allowed(cost=2.0, feature=5.0)
    assert [reserve(run, name, budgets).held for name in ("T1", "T2")] == [2.0, 2.0]
    third = reserve(run, "T3", budgets)
    assert (third.held, third.lacks) == (None, "feature")
    assert verdict(third).is_held
    spend(run, "T1", 0.5, budgets)
    assert reserve(run, "T3", budgets).lacks == "feature"  # the rest of T1's is kept still
    run.finish("T1", Completed())
    assert reserve(run, "T3", budgets).held == 2.0  # 0.5 spent, 2 kept for T2


def test_what_is_spent_is_kept_no_more(store: Store) -> None:
    run = started(store)
    budgets = Allowed(cost=2.0, feature=4.0)
    reserve(run, "T1", budgets)
    account = spend(run, "T1", 1.5, budgets)
    assert (account.held, account.spent.feature) == (0.5, 1.5)
    assert spend(run, "T1", 1.5, budgets).held == 0.5  # the same report again
    assert reserve(run, "T2", budgets).held == 2.0
    over = spend(run, "T1", 2.25, budgets)
    assert over.held == 0
    assert verdict(over).is_over


def test_the_last_one_gets_what_is_left_once_nobody_holds_any(store: Store) -> None:
    run = started(store)
    budgets = Allowed(cost=2.0, feature=2.5)
    reserve(run, "T1", budgets)
    spend(run, "T1", 2.0, budgets)
    assert reserve(run, "T2", budgets).held == 0.5  # T1 runs, and has spent all that was kept for it
    spend(run, "T2", 0.5, budgets)
    used_up = verdict(reserve(run, "T3", budgets))
    assert (used_up.is_over, used_up.which, used_up.limit) == (True, "feature", 2.5)


def test_an_agent_without_a_cap_keeps_all_that_is_left(store: Store) -> None:
    run = started(store)
    assert reserve(run, "T1", Allowed(feature=5.0)).held == 5.0
    assert reserve(run, "T2", Allowed(feature=5.0)).lacks == "feature"
    assert reserve(run, "T3", Allowed()).held is None  # no budget holds


def test_the_budget_of_a_day_is_shared_by_features(store: Store) -> None:
    one, other = started(store), started(store, "shop")
    budgets = Allowed(cost=2.0, day=3.0)
    assert reserve(one, "T1", budgets).held == 2.0
    assert reserve(other, "T1", budgets).lacks == "day"
    one.cancel()
    for name in TASKS:
        one.finish(name, Completed())
    store.delete_feature(one.id)
    assert reserve(other, "T1", budgets).held == 2.0
    spend(other, "T1", 3.5, budgets)
    account = reserve(other, "T2", budgets)
    assert verdict(account).which == "day"
    assert 0 < account.day_ends <= 86_400


@pytest.mark.parametrize("how", ["lost", "cancelled", "retried"])
def test_an_attempt_that_has_ended_keeps_nothing(store: Store, how: str) -> None:
    run = started(store)
    budgets = Allowed(cost=2.0, feature=2.0)
    reserve(run, "T1", budgets)
    assert reserve(run, "T2", budgets).lacks
    if how == "lost":
        lose(run, "T1")
    elif how == "cancelled":
        run.finish("T1", Completed())
    else:
        run.finish("T1", Failed(reason="broken"), retries=1)
    assert reserve(run, "T2", budgets).held == 2.0


def test_a_late_report_of_a_lost_attempt_takes_nothing_of_the_next_one(store: Store) -> None:
    run = started(store)
    budgets = Allowed(cost=2.0, feature=9.0)
    reserve(run, "T1", budgets)
    lose(run, "T1")
    run.schedule()
    run.start("T1")
    assert run.attempt("T1") == 2
    reserve(run, "T1", budgets)
    late = Usage(model="haiku", cost=0.5, source="reported")
    store.usage.report("auth", "T1", 1, "builder", [late], Allowed(cost=2.0, feature=9.0))
    assert spend(run, "T1", 0.25, budgets).held == 1.75


def test_what_a_person_sets_comes_before_the_configuration(store: Store) -> None:
    run = started(store)
    budgets = Allowed(cost=1.0, feature=1.0)
    spend(run, "T1", 1.0, budgets)
    assert verdict(reserve(run, "T1", budgets)).which == "task"
    store.requests.update_feature("auth", "budget_changed", {"budget T1": 4 * MICRO}, "T1")
    assert verdict(reserve(run, "T1", budgets)).which == "feature"
    store.requests.update_feature("auth", "budget_changed", {"budget": 3 * MICRO}, "")
    account = reserve(run, "T1", budgets)
    assert (account.held, account.allowed.cost, account.allowed.feature) == (2.0, 4.0, 3.0)


def test_a_budget_warns_once_and_again_when_it_was_changed(store: Store) -> None:
    run = started(store)
    budgets = Allowed(cost=2.0, feature=4.0)

    def told() -> list[tuple[str, str]]:
        events = store.events.read("auth")
        return [(event.event, event.task) for event in events if event.event.startswith("budget")]

    for cost in (1.0, 1.7, 1.8):
        spend(run, "T1", cost, budgets)
    assert told() == [("budget_warned", "T1")]
    spend(run, "T1", 2.5, budgets)
    spend(run, "T2", 1.0, budgets)
    assert told()[1:] == [("budget_reached", "T1"), ("budget_warned", "")]
    store.requests.update_feature("auth", "budget_changed", {"budget": 3_600_000}, "")
    spend(run, "T2", 1.01, budgets)
    assert told()[-1] == ("budget_warned", "")
    assert len(told()) == 5


def test_requests_count_over_all_attempts(store: Store) -> None:
    run = started(store)
    asked, allowed = Usage(model="haiku", requests=3), Allowed(turns=5)
    account = store.usage.report("auth", "T1", 1, "builder", [asked], allowed)
    assert verdict(account).turns_left == 2
    lose(run, "T1")
    run.schedule()
    run.start("T1")
    assert verdict(reserve(run, "T1", allowed)).turns_left == 2
    last = verdict(
        store.usage.report("auth", "T1", 2, "builder", [asked.model_copy(update={"requests": 2})], allowed)
    )
    assert (last.is_over, last.turns_left) == (False, 0)  # the last one is to be answered
    more = verdict(store.usage.report("auth", "T1", 2, "builder", [asked], allowed))
    assert (more.is_over, more.which) == (True, "turns")


class Machine(RuleBasedStateMachine):
    """Agents of two features, which spend at most what is kept for them and one request."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store(Redis.empty(), Keys("to"))
        self.runs = {
            name: launched(self.store, *map(task, TASKS), feature_id=name) for name in ("one", "two")
        }
        self.at_work: dict[tuple[str, str], list[float]] = {}
        """Of each agent at work: what it has spent, and what it may spend."""
        self.beyond = 0.0
        """What agents have spent beyond what they may, all together."""

    allowed = Allowed(cost=2.0, feature=4.0, day=6.0)

    def spent(self, feature: str = "") -> float:
        names = [feature] if feature else list(self.runs)
        return sum(row.cost or 0.0 for name in names for row in self.store.usage.rows(name, "task"))

    def kept(self, feature: str = "") -> float:
        found = (
            allowed - spent for (name, _), (spent, allowed) in self.at_work.items() if feature in (name, "")
        )
        return sum(max(0.0, left) for left in found)

    @rule(feature=st.sampled_from(["one", "two"]), name=st.sampled_from(TASKS))
    def begin(self, feature: str, name: str) -> None:
        run = self.runs[feature]
        run.schedule()
        if (feature, name) in self.at_work or run.start(name).code != "started":
            return
        account = self.store.usage.reserve(feature, name, run.attempt(name), self.allowed)
        found = verdict(account)
        if found.is_over:
            assert self.spent(feature) >= 4.0 or self.spent() >= 6.0 or account.spent.cost >= 2.0
        elif found.is_held:
            assert self.kept(feature) or self.kept()  # somebody else holds the rest
        else:
            assert account.held is not None
            self.at_work[feature, name] = [0.0, account.held]
            return
        run.finish(name, Failed(reason="no budget"))

    @precondition(lambda self: self.at_work)
    @rule(data=st.data(), cents=st.integers(1, 90))
    def spend(self, data: st.DataObject, cents: int) -> None:
        who = data.draw(st.sampled_from(sorted(self.at_work)))
        so_far = self.at_work[who]
        if so_far[0] >= so_far[1]:  # it was told to end
            return
        so_far[0] = round(so_far[0] + cents / 100, 6)
        self.beyond += max(0.0, so_far[0] - so_far[1])
        left = spend(self.runs[who[0]], who[1], so_far[0], self.allowed)
        assert left.held == pytest.approx(max(0.0, so_far[1] - so_far[0]))
        if so_far[0] >= so_far[1]:
            assert verdict(left).is_over

    @precondition(lambda self: self.at_work)
    @rule(data=st.data(), how=st.sampled_from(["fail", "lose"]))
    def end(self, data: st.DataObject, how: str) -> None:
        feature, name = data.draw(st.sampled_from(sorted(self.at_work)))
        del self.at_work[feature, name]
        if how == "lose":
            lose(self.runs[feature], name)
        else:
            self.runs[feature].finish(name, Failed(reason="broken"))

    @rule(feature=st.sampled_from(["one", "two"]), name=st.sampled_from(TASKS))
    def retry(self, feature: str, name: str) -> None:
        if self.runs[feature].status(name) == "failed":
            self.runs[feature].reopen(name)

    @invariant()
    def never_more_than_the_budgets_and_a_request_of_each(self) -> None:
        for feature in self.runs:
            assert self.spent(feature) + self.kept(feature) <= 4.0 + self.beyond + 1e-6
        assert self.spent() + self.kept() <= 6.0 + self.beyond + 1e-6


def test_any_order_of_starts_reports_and_losses(client: Any) -> None:
    play(Machine, client, examples=25, steps=40)
