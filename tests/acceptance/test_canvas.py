"""A plan as plain Celery: the same order, without our state."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator import canvas, planner
from orchestrator.celery import App, create
from orchestrator.models import Feature
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


def test_a_failing_task_stops_the_plain_chain(project: Project, app: App) -> None:
    order = project.folder / "order"

    plan = planner.plan(feature_that_writes(str(order), failing="T2"))
    result: Any = canvas.chain_of_groups(plan, app).apply_async()

    with pytest.raises(Exception, match="T2: failed: exit code 1"):
        result.parent.get(timeout=PATIENCE)  # the second of the three links
    assert not any(link.ready() for link in result.results)
    assert set(order.read_text().split()) == {"T1", "T3"}
