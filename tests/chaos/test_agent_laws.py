"""The laws of agents find what they are there for: each violation is planted in a history that is well."""

from __future__ import annotations

from typing import Any

import pytest

from chaos.agent_laws import AgentHistory, Life, Mark, Result, Said, Work, check

SAID = (Said(time=1, micro=10), Said(time=3, micro=20), Said(time=3.5, micro=30))
MARK = Mark(feature="f", task="T1", attempt=1, model="weak", said=SAID, stored=30)
KILLED = MARK.model_copy(update={"killed": True})
LIFE = Life(feature="f", task="T1", pid=7, folder="/w/T1", began=1, ended=4)
WORK = Work(feature="f", task="T1", completed=True, commits=("c1",), wrote=(("a", "one"),))
RESULT = Result(feature="f", integrated=frozenset({"c1"}), merged=("T1#1",), tree={"a": "zero\none\n"})
WELL = AgentHistory(
    marks=(MARK,),
    lives=(LIFE, LIFE.model_copy(update={"pid": 8, "began": 4.5, "ended": 5.0})),
    works=(WORK, Work(feature="f", task="T2", reason="no URL", next_step="orchestrator decide")),
    results=(RESULT,),
    reachable=frozenset({"c1"}),
    budgets={"f": 20},
)


def stored(mark: Mark, micro: int) -> dict[str, Any]:
    return {"marks": (mark.model_copy(update={"stored": micro}),), "budgets": {}}


def result(**changes: Any) -> dict[str, Any]:
    return {"results": (RESULT.model_copy(update=changes),)}


def test_a_good_run_has_no_violation() -> None:
    assert check(WELL) == []


@pytest.mark.parametrize("micro", [10, 20, 30])
def test_a_killed_attempt_may_lose_its_last_second(micro: int) -> None:
    assert check(WELL.model_copy(update=stored(KILLED, micro))) == []


@pytest.mark.parametrize(
    ("law", "changes"),
    [
        ("usage_counts_once", stored(MARK, 31)),
        ("usage_counts_once", stored(MARK, 29)),
        ("usage_counts_once", stored(KILLED, 31)),
        ("usage_counts_once", stored(KILLED, 9)),
        ("budgets_hold", {"budgets": {"f": 19}}),
        ("budgets_of_tasks_hold", {"works": (WORK.model_copy(update={"budget": 19}),)}),
        ("no_commit_is_lost", {"reachable": frozenset()}),
        ("completed_is_integrated", result(merged=("T1#1", "T1#1"))),
        ("completed_is_integrated", result(merged=())),
        ("completed_is_integrated", result(integrated=frozenset())),
        ("completed_is_integrated", result(tree={"a": "zero"})),
        ("completed_is_integrated", {"results": ()}),
        ("one_agent_in_a_folder", {"lives": (LIFE.model_copy(update={"saw": (9,)}),)}),
        ("one_agent_in_a_folder", {"lives": (LIFE, LIFE.model_copy(update={"pid": 8, "began": 3.0}))}),
        ("nothing_is_stuck", {"works": (WORK, Work(feature="f", task="T2", reason="no URL"))}),
        ("nothing_is_stuck", {"still_alive": (7,)}),
    ],
)
def test_a_planted_violation_is_found(law: str, changes: dict[str, Any]) -> None:
    assert {violation.law for violation in check(WELL.model_copy(update=changes))} == {law}
