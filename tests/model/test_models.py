"""The nouns: what a feature and a task may be, and what they know of themselves."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import ValidationError

from orchestrator.model.feature import SUGGESTIONS, Feature, Strategy
from orchestrator.model.outcome import OUTCOME, Blocked, Completed
from orchestrator.model.task import MINUTES_PER_COMPLEXITY, Priority, Retries, Task
from orchestrator.planning import planner

pytestmark = pytest.mark.bounds


def mistakes(**data: Any) -> list[tuple[tuple[int | str, ...], str]]:
    with pytest.raises(ValidationError) as caught:
        Feature(**data)
    return [(line["loc"], line["type"]) for line in caught.value.errors()]


# Tasks


def test_a_task_needs_an_id_and_nothing_else() -> None:
    task = Task(id="T1")

    assert (task.name, task.priority, task.complexity, task.depends_on) == ("T1", Priority.MEDIUM, 5, ())
    assert Task(id="T1", title="Schema").name == "Schema"


def test_a_task_weighs_its_estimate_or_a_guess_from_its_complexity() -> None:
    assert Task.model_validate({"id": "T1", "estimate": "25m"}).weight == 1500
    assert Task(id="T1", complexity=3).weight == 3 * MINUTES_PER_COMPLEXITY * 60


def test_tags_are_small_letters_and_each_is_there_once() -> None:
    task = Task(id="T1", tags=(" Bug", "bug", "Backend"), depends_on=("A", "B", "A"))

    assert (task.tags, task.depends_on) == (("bug", "backend"), ("A", "B"))


@pytest.mark.parametrize("task_id", ["T1", "a", "0", "a.b-c_d", "a/b", "a:b", "ä", "x" * 200])
def test_an_id(task_id: str) -> None:
    assert Task(id=task_id).id == task_id


@pytest.mark.parametrize("task_id", ["", "-a", ".a", "a b", "{a}", "a\n", "x" * 201])
def test_what_is_no_id(task_id: str) -> None:
    with pytest.raises(ValidationError):
        Task(id=task_id)


def test_a_text_to_run_is_split_as_a_shell_would_but_never_given_to_one() -> None:
    assert Task.model_validate({"id": "T1", "run": "echo 'a b' '$HOME;' rm"}).run == (
        "echo",
        "a b",
        "$HOME;",
        "rm",
    )
    with pytest.raises(ValidationError, match="means something to a shell"):
        Task.model_validate({"id": "T1", "run": "echo 'a b' $HOME; rm"})


@pytest.mark.parametrize("run", ["echo 'a", 'echo "a', "echo a\\", "", " ", [], ["a\0"], [1], 5])
def test_what_cannot_be_run(run: object) -> None:
    with pytest.raises(ValidationError):
        Task.model_validate({"id": "T1", "run": run})


@pytest.mark.parametrize(
    "field",
    [
        {"title": "a\nb"},
        {"title": "a\x1b[31m"},
        {"title": "a\u2028b"},
        {"tags": ["a\tb"]},
        {"specialist": "a\nb"},
        {"description": "a\x00b"},
        {"retries": True},
        {"retries": -1},
        {"priority": "urgent"},
        {"complexity": 0},
        {"unknown": 1},
    ],
)
def test_what_a_task_cannot_have(field: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Task.model_validate({"id": "T1", **field})


def test_a_description_may_have_lines_and_tabs() -> None:
    assert Task(id="T1", description="a\n\tb\r\n").description == "a\n\tb\r\n"


def test_priorities_have_an_order() -> None:
    assert [Priority.HIGH.rank, Priority.MEDIUM.rank, Priority.LOW.rank] == [0, 1, 2]


# Retries


def test_a_number_is_enough_for_retries() -> None:
    assert Task.model_validate({"id": "T1", "retries": 3}).retries == Retries(max=3)


def test_waits_grow_up_to_the_longest() -> None:
    retries = Retries(max=9, backoff=2, factor=3, longest=50, jitter=False)

    assert [retries.wait(number, chance=0.9) for number in (1, 2, 3, 4, 5)] == [2, 6, 18, 50, 50]


@given(some.integers(1, 100), some.floats(0, 1, exclude_max=True), some.floats(1, 10))
def test_jitter_takes_at_most_half_of_a_wait(number: int, chance: float, factor: float) -> None:
    whole = Retries(factor=factor, jitter=False).wait(number, chance)

    assert whole / 2 <= Retries(factor=factor).wait(number, chance) <= whole <= 300


# Features


def test_a_feature_knows_its_tasks() -> None:
    feature = Feature(title="x", tasks=(Task(id="T1"), Task(id="T2", depends_on=("T1",))))

    assert (feature.strategy, feature.task("T2").depends_on) == (Strategy.BATCHED, ("T1",))
    with pytest.raises(KeyError):
        feature.task("T3")


def test_a_feature_is_read_back_from_its_json() -> None:
    feature = Feature(title="x", tasks=(Task(id="T1", run=("a", "b"), estimate=60, params={"a": [1, None]}),))

    assert Feature.model_validate_json(feature.model_dump_json()) == feature


def test_mistakes_of_fields_and_between_tasks_are_reported_together() -> None:
    assert mistakes(
        title="",
        tasks=[
            {"id": "T1", "complexity": 11},
            {"id": "T1"},
            {"id": "T2", "depends_on": ["T2", "T9", 5]},
        ],
    ) == [
        (("title",), "string_too_short"),
        (("tasks", 0, "complexity"), "less_than_equal"),
        (("tasks", 2, "depends_on", 2), "string_type"),
        (("tasks", 1, "id"), "duplicate_id"),
        (("tasks", 2, "depends_on", 0), "self_dependency"),
        (("tasks", 2, "depends_on", 1), "unknown_dependency"),
    ]


def test_mistakes_between_tasks_made_in_python_are_found_too() -> None:
    assert mistakes(title="x", tasks=[Task(id="T1", depends_on=("T2",)), Task(id="T1")]) == [
        (("tasks", 1, "id"), "duplicate_id"),
        (("tasks", 0, "depends_on", 0), "unknown_dependency"),
    ]


@pytest.mark.parametrize("tasks", [None, 5, "T1", {}, []])
def test_a_feature_has_a_list_of_tasks_with_at_least_one(tasks: object) -> None:
    assert [place for place, _ in mistakes(title="x", tasks=tasks)] == [("tasks",)]


def test_an_unknown_dependency_is_answered_with_the_nearest_id() -> None:
    with pytest.raises(ValidationError, match="no task has this id; did you mean schema"):
        Feature(title="x", tasks=(Task(id="schema"), Task(id="api", depends_on=("shema",))))


def test_suggestions_end_after_some_because_each_is_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[str] = []

    def nearest(word: str, known: Collection[str]) -> None:
        if known:
            searched.append(word)

    monkeypatch.setattr("orchestrator.model.words.nearest", nearest)
    tasks = [{"id": f"T{number}", "depends_on": [f"X{number}"]} for number in range(100)]

    assert len(mistakes(title="x", tasks=tasks)) == 100
    assert len(searched) == SUGGESTIONS


# Outcomes


@pytest.mark.parametrize("outcome", [Completed(summary="done", result={"a": 1}), Blocked(reason="no key")])
def test_an_outcome_is_read_back_as_its_own_kind(outcome: Completed | Blocked) -> None:
    assert OUTCOME.validate_json(outcome.model_dump_json()) == outcome


@pytest.mark.parametrize(
    "fields",
    [
        {"complexity": True},
        {"complexity": "1_0"},
        {"retries": {"max": True}},
        {"retries": {"max": 1, "factor": True}},
        {"retries": {"max": 1, "later": False}},
        {"resources": {"gpu": True}},
        {"estimate": True},
    ],
)
def test_a_boolean_is_no_number_and_neither_is_a_text_with_underscores(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Task.model_validate({"id": "T1", **fields})


def test_work_may_be_expected_to_take_no_time() -> None:
    # Given a feature of which all is recorded as done in no time
    feature = Feature.model_validate(
        {
            "title": "Zero",
            "tasks": [{"id": "a", "estimate": 0}, {"id": "b", "depends_on": ["a"], "estimate": "0s"}],
        }
    )
    # When it is planned
    plan = planner.plan(feature)
    # Then nothing is guessed in place of the zeros
    assert (plan.expected_seconds, plan.total_seconds, plan.saving_percent, plan.barrier_percent) == (
        0,
        0,
        0,
        0,
    )
    assert [batch.due for batch in plan.batches] == [0, 0]
    assert not plan.is_guess
