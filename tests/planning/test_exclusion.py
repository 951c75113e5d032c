"""Tasks share a lock if, and only if, they may touch the same file."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.model import errors
from orchestrator.model.task import Task
from orchestrator.planning import exclusion, extension
from orchestrator.planning.exclusion import locks
from orchestrator.workspaces import globs
from tests.model import factories

parts = st.sampled_from(["api", "web", "*", "a*", "**", "b.py", "*.py"])
lists = st.lists(st.lists(parts, min_size=1, max_size=3).map("/".join), max_size=3)


@given(found=st.lists(lists, max_size=9))
def test_two_tasks_share_a_lock_if_and_only_if_they_overlap(found: list[list[str]]) -> None:
    touches = {f"T{place}": one for place, one in enumerate(found)}
    held = locks(touches)
    for one, other in itertools.combinations(touches, 2):
        is_apart = bool(set(held.get(one, ())) & set(held.get(other, ())))
        assert is_apart == globs.overlap(touches[one], touches[other]), (one, other)
    for numbers in held.values():
        assert list(numbers) == sorted(set(numbers))


@given(found=lists)
def test_pairs_are_found_as_by_comparing_each_with_each(found: list[str]) -> None:
    unique = list(dict.fromkeys(found))
    pairs = {frozenset(pair) for pair in globs.overlapping(unique)}
    assert pairs == {
        frozenset(pair) for pair in itertools.combinations(unique, 2) if globs.overlap([pair[0]], [pair[1]])
    }


def test_one_file_of_many_tasks_is_one_lock() -> None:
    held = locks({f"T{number}": ["README.md"] for number in range(1_000)})
    assert set(held.values()) == {(1,)}


def test_who_has_only_a_neighbour_in_common_runs_side_by_side() -> None:
    held = locks({"A": ["api/a.py"], "B": ["api/**"], "C": ["api/c.py"]})
    assert not set(held["A"]) & set(held["C"])


def test_too_many_overlaps_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exclusion, "MOST_LOCKS", 3)
    star = {"all": ["**"], **{f"T{number}": [f"src/{number}.py"] for number in range(5)}}
    with pytest.raises(errors.TooManyOverlaps, match="all touches files that more than 3 groups"):
        locks(star)
    monkeypatch.setattr(exclusion, "MOST_LISTS", 3)
    with pytest.raises(errors.TooManyOverlaps, match="6 different lists of files"):
        locks(star)


def test_a_feature_that_runs_takes_in_no_task_with_touches() -> None:
    login = factories.feature(factories.task("T1"))
    shape = extension.Shape(login, "in-development", login.strategy, 5, 1, 0, {"T1": 1}, {"T1": 1})
    with pytest.raises(errors.TouchesCannotGrow, match="T2 has touches"):
        extension.grow(shape, [Task(id="T2", touches=["src/**"])])
