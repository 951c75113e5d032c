"""Tags decide who gets a task; the task may name its specialist; nothing is guessed where nobody should guess."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.config.schema.specialists import SHIPPED_MAPPING
from orchestrator.config.settings import Settings
from orchestrator.model import errors
from orchestrator.model.feature import Feature
from orchestrator.model.plan import Route
from orchestrator.model.task import Task
from orchestrator.planning import routing
from orchestrator.report.routes import fallback_lines, recommendation_lines


def settings(**routing_settings: Any) -> Settings:
    return Settings(
        specialist_routing=routing_settings,
        specialists={"reviewer": {"title": "Code Reviewer", "queue": "reviews", "model_tier": "best"}},
    )


def task(*tags: str, task_id: str = "T1", specialist: str | None = None) -> Task:
    return Task(id=task_id, tags=tags, specialist=specialist)


@pytest.mark.parametrize(
    ("tag", "specialist"),
    [
        ("bug", "senior-engineer"),
        ("complex", "senior-engineer"),
        ("feature-creation", "feature-architect"),
        ("planning", "planning-specialist"),
        ("backend", "implementation-specialist"),
        (" BackEnd ", "implementation-specialist"),
    ],
)
def test_a_tag_goes_to_its_specialist(tag: str, specialist: str) -> None:
    route = routing.recommend(task(tag), settings())

    assert (route.specialist, route.rule, route.tag) == (specialist, "tag", tag.strip().lower())
    assert route.reason == f"tag {tag.strip().lower()} → {route.title}"


def test_the_first_tag_in_the_priority_wins_whatever_the_order_of_the_task() -> None:
    route = routing.recommend(task("backend", "database", "bug", "unmapped"), settings())

    assert (route.specialist, route.tag) == ("senior-engineer", "bug")
    assert route.reason == "tag bug → Senior Engineer (before database, backend)"


def test_mapped_tags_outside_the_priority_come_after_it_in_the_order_of_the_task() -> None:
    chosen = settings(
        mapping={"a": "reviewer", "b": "senior-engineer", "c": "feature-architect"},
        tag_priority=["c", "gone"],
    )

    assert routing.recommend(task("b", "a"), chosen).reason == "tag b → Senior Engineer (before a)"
    assert routing.recommend(task("a", "b"), chosen).reason == "tag a → Code Reviewer (before b)"
    assert routing.recommend(task("a", "b", "c"), chosen).tag == "c"


def test_a_tag_in_the_priority_that_is_not_mapped_decides_nothing() -> None:
    route = routing.recommend(task("gone"), settings(tag_priority=["gone"]))

    assert route.rule == "default"


def test_a_route_says_where_to() -> None:
    route = routing.recommend(task("a"), settings(mapping={"a": "reviewer"}))

    assert (route.title, route.queue, route.model_tier) == ("Code Reviewer", "reviews", "best")


@pytest.mark.parametrize("name", ["reviewer", "Reviewer", "Code Reviewer", " code reviewer "])
def test_a_task_that_names_its_specialist_gets_it(name: str) -> None:
    route = routing.recommend(task("bug", specialist=name), settings())

    assert (route.specialist, route.rule, route.tag) == ("reviewer", "task", None)
    assert route.reason == "the task asks for Code Reviewer"


@pytest.mark.parametrize("name", ["nobody", ""])
def test_a_task_that_names_nobody_known_is_refused(name: str) -> None:
    with pytest.raises(errors.UnknownSpecialist, match=r"Choose one of: .*senior-engineer") as caught:
        routing.recommend(task(specialist=name), settings())

    assert (caught.value.task, caught.value.specialist) == ("T1", name)


def test_without_a_match_the_default_gets_it_with_tags_that_would_have_matched() -> None:
    near = routing.recommend(task("bakend", "frontent"), settings())
    far = routing.recommend(task("xyz"), settings(mapping={"a": "reviewer"}))
    none = routing.recommend(task(), settings(default="reviewer"))

    assert (near.specialist, near.rule, near.suggestions) == (
        "implementation-specialist",
        "default",
        ("backend", "frontend"),
    )
    assert near.reason == "none of the task's tags is mapped → Implementation Specialist, the default"
    assert set(far.suggestions) == {*SHIPPED_MAPPING, "a"}
    assert (none.specialist, none.reason) == ("reviewer", "the task has no tags → Code Reviewer, the default")


def test_where_the_user_is_to_be_asked_nothing_is_guessed() -> None:
    asking = settings(fallback="ask_user")

    with pytest.raises(errors.NoSpecialist) as caught:
        routing.recommend(task("xyz"), asking)

    assert str(caught.value).startswith("No specialist matches T1 (tags: xyz), and")
    assert (
        "  1. Code Reviewer (reviewer)\n  2. Implementation Specialist (implementation-specialist): Builds"
        in str(caught.value)
    )
    assert routing.recommend(task("bug"), asking).rule == "tag"
    assert routing.recommend(task(specialist="reviewer"), asking).rule == "task"


def test_a_feature_is_routed_task_by_task() -> None:
    feature = Feature(
        title="x", tasks=(task("bug"), task("backend", task_id="T2"), task("bug", task_id="T3"))
    )

    routes = routing.route(feature, settings())

    assert {task_id: route.specialist for task_id, route in routes.items()} == {
        "T1": "senior-engineer",
        "T2": "implementation-specialist",
        "T3": "senior-engineer",
    }


def test_all_tasks_without_a_specialist_are_named_together() -> None:
    lost = tuple(task("xyz", task_id=f"L{number}") for number in range(10))
    feature = Feature(title="x", tasks=(task("bug"), *lost))

    error = routing.no_specialist(list(lost), settings(fallback="ask_user"))

    assert error.task_ids == [f"L{number}" for number in range(10)]
    assert "L7 (tags: xyz), 2 more, and" in str(error)
    # Routing itself refuses nothing: such a task waits for a person.
    routes = routing.route(feature, settings(fallback="ask_user"))
    assert {routes[task.id].rule for task in lost} == {"nobody"}
    assert routes["L1"].specialist == ""


def test_what_a_person_assigned_goes_before_tags_and_fallback() -> None:
    feature = Feature(title="x", tasks=(task("bug", task_id="T1"), task("xyz", task_id="T2")))

    routes = routing.route(feature, settings(fallback="ask_user"), {"T1": "Code Reviewer", "T2": "reviewer"})

    assert (routes["T1"].specialist, routes["T2"].specialist) == ("reviewer", "reviewer")


def test_tasks_alike_are_matched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Task] = []
    match = routing._match

    def count(task: Task, settings: Settings) -> Route | None:
        asked.append(task)
        return match(task, settings)

    monkeypatch.setattr(routing, "_match", count)
    feature = Feature(title="x", tasks=tuple(task("bug", task_id=f"T{number}") for number in range(50)))

    assert len(routing.route(feature, settings())) == 50
    assert len(asked) == 1


# who does an enqueued task, and what is recommended


def test_an_enqueued_task_is_with_whom_it_is_stored() -> None:
    chosen = settings()
    handling = Settings(error_handling={"escalate_technical_to": "senior-engineer"})

    def stands(who: str, given: Settings = chosen, *, escalated: bool = False) -> tuple[str, str, str]:
        found = routing.current(task("backend"), who, given, escalated=escalated)
        return found.specialist, found.queue, found.rule

    assert stands("implementation-specialist") == (
        "implementation-specialist",
        "implementation-specialist",
        "tag",
    )
    assert stands("reviewer") == ("reviewer", "reviews", "assigned")
    assert stands("senior-engineer", handling, escalated=True)[2] == "escalated"
    assert stands("elsewhere") == ("elsewhere", "elsewhere", "assigned")
    assert stands("")[2] == "nobody"


def test_a_route_names_the_agent_its_ladder_and_the_tier_that_works_now() -> None:
    ladder = {"runtime": "claude", "ladder": ["haiku", "opus"]}
    chosen = Settings(specialists={"senior-engineer": {"agent": ladder}})
    found = routing.by_tags(["bug"], chosen)
    assert (found.runtime, found.model_tier, found.ladder) == (
        "claude",
        "haiku",
        "haiku, then opus, then a person",
    )
    assert recommendation_lines(found, {}) == [
        "senior-engineer haiku (tag bug), by claude: haiku, then opus, then a person"
    ]
    assert [
        routing.current(task("bug"), "senior-engineer", chosen, rung=rung).model_tier for rung in (0, 1, 9)
    ] == [
        "haiku",
        "opus",
        "opus",
    ]
    plain = routing.current(task("bug"), "senior-engineer", Settings(), rung=1)
    assert (plain.runtime, plain.model_tier, plain.ladder) == ("", "sonnet", "")


def test_a_recommendation_is_a_line_and_names_the_domains_where_no_tag_matches() -> None:
    found = routing.by_tags(["backend", "bug"], Settings())
    assert recommendation_lines(found, routing.domains(Settings())) == ["senior-engineer sonnet (tag bug)"]

    lost = routing.by_tags(["bakend"], Settings())
    near = routing.near(["bakend"], Settings())
    assert recommendation_lines(lost, routing.domains(Settings()), near) == [
        "implementation-specialist haiku (default, no tag matches)",
        "  database: implementation-specialist",
        "  frontend: implementation-specialist",
        "  backend: implementation-specialist",
        "Did you mean backend?",
    ]
    assert routing.by_tags(["ops"], Settings()).suggestions[:3] == ("database", "frontend", "backend")
    with pytest.raises(errors.BadTags, match="cannot be tags"):
        routing.by_tags(["a\x01"], Settings())


def test_the_fallback_is_said_once_for_each_cause() -> None:
    tasks = (task(task_id="A"), task(task_id="B"), task("ops", task_id="C"), task("bug", task_id="D"))
    lines = fallback_lines(tasks, routing.route(Feature(title="F", tasks=tasks), Settings()))

    assert [line.split(". ")[0] for line in lines] == ["No tags: A, B", "No mapped tag (ops): C"]
