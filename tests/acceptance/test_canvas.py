"""A plan as plain Celery: the same order, without our state."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.engine import canvas
from orchestrator.engine.app import App, create
from orchestrator.model.feature import Feature
from orchestrator.model.plan import Plan
from orchestrator.planning import planner
from tests.acceptance.conftest import PATIENCE, MakeProject, Project
from tests.redis_server import client_of

pytestmark = pytest.mark.real

APPEND = "import sys; open(sys.argv[1], 'a').write(sys.argv[2] + '\\n')"


def feature_that_writes(file: str, failing: str = "") -> Feature:
    """The five tasks of the authentication feature; each appends its id to a file, but the failing one exits 1."""
    dependencies = {"T1": [], "T2": ["T1"], "T3": [], "T4": ["T2"], "T5": ["T2"]}
    return Feature.model_validate(
        {
            "title": "Authentication",
            "tasks": [
                {
                    "id": task,
                    "depends_on": depends_on,
                    "run": [
                        sys.executable,
                        "-c",
                        "raise SystemExit(1)" if task == failing else APPEND,
                        file,
                        task,
                    ],
                }
                for task, depends_on in dependencies.items()
            ],
        }
    )


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    """A project with one worker."""
    project = make_project()
    project.start_worker("one", "-c", "2")
    return project


@pytest.fixture
def app(project: Project) -> Iterator[App]:
    """The project's app. Celery's results unsubscribe when they are collected, which needs the Redis to be there."""
    yield create(project.settings)
    gc.collect()


@pytest.mark.bounds
def test_plain_celery_runs_a_plan_in_the_same_order(project: Project, app: App) -> None:
    order = project.folder / "order"

    result: Any = canvas.chain_of_groups(planner.plan(feature_that_writes(str(order))), app).apply_async()
    result.get(timeout=PATIENCE, disable_sync_subtasks=False)

    done = order.read_text().split()
    assert [set(done[:2]), set(done[2:3]), set(done[3:])] == [{"T1", "T3"}, {"T2"}, {"T4", "T5"}]
    keys = client_of(project.settings.redis.url.get_secret_value()).keys("to:*")  # type: ignore[union-attr]
    ours = {key for key in map(str, keys) if not key.startswith("to:celery:")}
    its_own = {"sweeper", "sweeper:schema", "minimum", "workers", "configured", "identity"}
    assert ours <= {f"to:{name}" for name in its_own}, "nothing was written but what a worker itself leaves"


def test_groups_that_follow_each_other_run_each_task_once(project: Project, app: App) -> None:
    order = project.folder / "order"
    layers = [[f"L{layer}-{place}" for place in range(2)] for layer in range(4)]
    feature = Feature.model_validate(
        {
            "title": "Layers",
            "tasks": [
                {"id": task, "depends_on": before, "run": [sys.executable, "-c", APPEND, str(order), task]}
                for before, layer in zip([[], *layers], layers, strict=False)
                for task in layer
            ],
        }
    )

    result: Any = canvas.chain_of_groups(planner.plan(feature), app).apply_async()
    result.get(timeout=PATIENCE, disable_sync_subtasks=False)

    done = order.read_text().split()
    assert [sorted(done[place : place + 2]) for place in range(0, len(done), 2)] == layers


SPECIALIST = """
def work(context):
    params = context.task.params
    with open("ran", "a") as file:
        file.write(f"{context.feature.id}/{context.task.id} {context.attempt}\\n")
    if context.attempt <= params.get("fails", 0):
        raise RuntimeError("no luck")
    return {"sum": params.get("n", 0) + sum(one.result["sum"] for one in context.dependencies.values())}
"""


def plan_of(name: str, tasks: dict[str, dict[str, Any]], **options: Any) -> Plan:
    return planner.plan(
        Feature.model_validate(
            {
                "id": name,
                "title": name,
                "tasks": [{"id": task, "specialist": "adder", **given} for task, given in tasks.items()],
                **options,
            }
        )
    )


@pytest.fixture
def adding(make_project: MakeProject) -> Iterator[tuple[Project, App]]:
    """A project whose specialist adds `n` to the sums of what its task depends on, or fails; with one worker."""
    project = make_project(specialists={"adder": {"python": "adder:work"}})
    (project.folder / "adder.py").write_text(SPECIALIST, "utf-8")
    project.start_worker("one", "-c", "2")
    app = create(project.settings)
    yield project, app
    gc.collect()
    backend: Any = app.backend
    backend.result_consumer._pubsub = (
        None  # a result that an error holds unsubscribes later, when Redis is gone
    )


def ran(project: Project, name: str) -> list[str]:
    file = project.folder / "ran"
    lines = file.read_text().splitlines() if file.exists() else []
    return [line.partition("/")[2] for line in lines if line.startswith(f"{name}/")]


FAILS: dict[str, Any] = {"params": {"fails": 99}}
FAILING: dict[str, dict[str, dict[str, Any]]] = {
    "one-one-one": {"A": FAILS, "B": {"depends_on": ["A"]}, "C": {"depends_on": ["B"]}},
    "group-one": {"A": FAILS, "A2": {}, "B": {"depends_on": ["A", "A2"]}},
    "one-group": {"A": FAILS, "B": {"depends_on": ["A"]}, "C": {"depends_on": ["A"]}},
    "group-group": {"A": FAILS, "A2": {}, "B": {"depends_on": ["A"]}, "C": {"depends_on": ["A2"]}},
    "group-group-group": {
        "A": FAILS,
        "A2": {},
        "B": {"depends_on": ["A"]},
        "B2": {"depends_on": ["A2"]},
        "C": {"depends_on": ["B"]},
        "C2": {"depends_on": ["B2"]},
    },
    "one-group-group": {
        "B0": {},
        "A": {**FAILS, "depends_on": ["B0"]},
        "A2": {"depends_on": ["B0"]},
        "C": {"depends_on": ["A"]},
        "C2": {"depends_on": ["A2"]},
    },
    "group": {"A": FAILS, "A2": {}},
}


def test_whoever_waits_for_a_canvas_that_failed_learns_of_it(adding: tuple[Project, App]) -> None:
    # Given canvases of every shape, each with a task that fails
    project, app = adding
    results: dict[str, Any] = {
        name: canvas.chain_of_groups(plan_of(name, tasks), app).apply_async()
        for name, tasks in FAILING.items()
    }
    for name, result in results.items():
        # When somebody waits for it, then the error is that of the specialist
        with pytest.raises(Exception, match="no luck") as raised:
            result.get(timeout=PATIENCE)
        assert "RuntimeError" in repr(raised.value), name
        # and so it is for who knows its id alone
        with pytest.raises(Exception, match="no luck"):
            app.AsyncResult(result.id).get(timeout=PATIENCE)
        # And what comes after it has not run
        later = {
            task for task, given in FAILING[name].items() if {"A", "A2"} & set(given.get("depends_on", ()))
        }
        assert not {line.split()[0] for line in ran(project, name)} & later, name


def test_a_canvas_is_the_same_plan(adding: tuple[Project, App]) -> None:
    project, app = adding
    long = "a text of several lines,\nwith a no-break\N{NO-BREAK SPACE}space and \x1b\n" + "x" * 5_000
    plan = plan_of(
        "sums",
        {
            "a": {"params": {"n": 1, "text": long}, "description": "two\nlines"},
            "b": {"params": {"n": 2}, "depends_on": ["a"]},
            "c": {
                "params": {"n": 4, "fails": 2},
                "depends_on": ["b"],
                "retries": {"max": 2, "backoff": "10ms"},
            },
            "d": {"params": {"n": 8}, "depends_on": ["b"]},
            "e": {"params": {"n": 16}, "depends_on": ["a"]},
            "f": {"params": {"n": 32}, "depends_on": ["a", "c", "d"]},
            "g": {"params": {"n": 64}, "depends_on": ["f", "a", "e"]},
        },
        description="two\nlines",
    )

    result: Any = canvas.chain_of_groups(plan, app).apply_async()

    sums = {"a": 1, "b": 3, "c": 7, "d": 11, "e": 17}
    sums["f"] = 32 + sums["a"] + sums["c"] + sums["d"]
    assert result.get(timeout=PATIENCE)["result"] == {"sum": 64 + sums["f"] + sums["a"] + sums["e"]}
    assert sorted(ran(project, "sums")) == sorted([f"{task} 1" for task in "abcdefg"] + ["c 2", "c 3"])
    assert "refused" not in (project.folder / "one.log").read_text()


def test_a_canvas_keeps_the_cap(adding: tuple[Project, App]) -> None:
    project, app = adding
    plan = plan_of(
        "wide", {f"T{number}": {"params": {"n": number}} for number in range(5)}, max_parallel_tasks=2
    )

    flow = canvas.chain_of_groups(plan, app)
    result: Any = flow.apply_async()

    members = [step.get("kwargs", {}).get("tasks", ()) for step in flow.tasks]  # type: ignore[attr-defined]
    assert max(map(len, members)) <= 2
    assert [one["result"]["sum"] for one in result.get(timeout=PATIENCE)] == [0, 1, 2, 3, 4]
    assert len(ran(project, "wide")) == 5
