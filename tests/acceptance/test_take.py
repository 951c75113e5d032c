"""Processes take their next task in the step that commits the last: Celery's view of it, and its controls."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import redis

from orchestrator.client.handle import Handle
from orchestrator.model.feature import Feature, FeatureStatus
from tests.acceptance.conftest import MakeProject, Project, all_events
from tests.events import listening
from tests.redis_server import client_of
from tests.waiting import wait_until

pytestmark = pytest.mark.real

POOLS = ("prefork", "threads", "solo")
QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")

WORK = """
import os
import time
from pathlib import Path


def noop(context):
    return {"pid": os.getpid()}


def nap(context):
    time.sleep(context.task.params.get("seconds", 0.02))


def hold(context):
    Path(context.task.params["place"]).write_text(str(os.getpid()))
    while True:
        time.sleep(0.01)
"""

SPECIALISTS: dict[str, Any] = {
    "writer": {"python": "work:noop"},
    "napper": {"python": "work:nap"},
    "holder": {"python": "work:hold"},
}


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    return project_of(make_project)


def project_of(make_project: MakeProject, **sections: Any) -> Project:
    recovery = {"lease": "2s", "sweep": "200ms", "grace": "300ms", "patience": "30s"}
    project = make_project(**{"specialists": SPECIALISTS, "recovery": recovery, **sections})
    (project.folder / "work.py").write_text(WORK, "utf-8")
    return project


def server_of(project: Project) -> redis.Redis:
    url = project.settings.redis.url
    assert url
    return client_of(url.get_secret_value())


def start(project: Project, pool: str = "prefork", *options: str, size: int = 1) -> subprocess.Popen[bytes]:
    """Start a worker, and wait until it is ready."""
    log = project.folder / "one.log"
    worker = project.start_worker("one", "--pool", pool, "-c", str(size), *QUIET, *options, log=log)
    wait_until(lambda: " ready." in log.read_text("utf-8"))
    return worker


def log_of(project: Project) -> str:
    return (project.folder / "one.log").read_text("utf-8")


def tasks(number: int, specialist: str = "writer", **params: Any) -> list[dict[str, Any]]:
    """Independent tasks."""
    return [{"id": f"T{place}", "specialist": specialist, "params": params} for place in range(1, number + 1)]


def enqueue(project: Project, tasks: list[dict[str, Any]], **fields: Any) -> Handle:
    feature = {"title": "Take", "max_parallel_tasks": 100, "tasks": tasks, **fields}
    return project.enqueue(Feature.model_validate(feature))


def celery(project: Project, *arguments: str) -> str:
    """`celery -A orchestrator …` as a person would run it."""
    return project.run("celery", "-A", "orchestrator", *arguments, check=True).stdout


def taken(project: Project) -> int:
    """How many messages were taken from the queues by scripts: Celery itself takes them with BRPOP."""
    stats: Any = server_of(project).info("commandstats")
    return int(stats.get("cmdstat_rpop", {}).get("calls", 0))


def took(project: Project, number: int) -> bool:
    return taken(project) >= number


# --- it takes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", POOLS)
def test_a_process_goes_on_by_itself_through_a_line(project: Project, pool: str) -> None:
    # Given a worker with one process, and tasks that each wait for the one before
    start(project, pool)
    line = [{"id": f"T{place}", "specialist": "writer", "depends_on": [f"T{place - 1}"] * (place > 1)}
            for place in range(1, 41)]  # fmt: skip

    # When they run
    handle = enqueue(project, line)

    # Then each ran once, and nearly all were taken by the process itself
    assert handle.wait().status is FeatureStatus.COMPLETED
    started = [event.task for event in all_events(handle) if event.event == "work_started"]
    assert started == [task["id"] for task in line]
    assert took(project, 30)


def test_false_turns_it_off(make_project: MakeProject) -> None:
    project = project_of(make_project, parallelism={"take": False})
    start(project)
    assert enqueue(project, tasks(20)).wait().status is FeatureStatus.COMPLETED
    assert taken(project) == 0


@pytest.mark.parametrize("pool", POOLS)
def test_features_and_queues_take_turns(project: Project, pool: str) -> None:
    # Given two features, each with a specialist that has a queue of its own
    first = enqueue(project, tasks(12, "napper", seconds=0.01), id="first")
    second = enqueue(project, tasks(12, "writer"), id="second")

    # When one process does all
    start(project, pool)

    # Then it took from both queues in turn
    assert first.wait().status is second.wait().status is FeatureStatus.COMPLETED
    starts = sorted(
        (event.id, handle.id)
        for handle in (first, second)
        for event in all_events(handle)
        if event.event == "work_started"
    )
    order = [feature for _, feature in starts]
    assert took(project, 15)
    assert {"first", "second"} <= set(order[:6])


# --- Celery's view -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", POOLS)
def test_monitors_and_the_log_see_each_task_as_if_it_had_come_by_itself(project: Project, pool: str) -> None:
    # Given a worker that sends events
    start(project, pool, "-E")
    names = [f"T{place}" for place in range(1, 21)]

    # When tasks run that one process takes
    events: list[dict[str, Any]] = []
    with listening(project.settings, events):
        handle = enqueue(project, tasks(20))
        assert handle.wait().status is FeatureStatus.COMPLETED
        wait_until(lambda: len([event for event in events if event["type"] == "task-succeeded"]) == 20)

    # Then each has its events in their order, each with the moment at which it happened
    assert took(project, 10)
    for name in names:
        of_task = [event for event in events if f":{name}:" in event.get("uuid", "")]
        assert [event["type"] for event in of_task] == ["task-received", "task-started", "task-succeeded"]
        stamps = [event["timestamp"] for event in of_task]
        assert stamps == sorted(stamps)
        assert of_task[0]["name"] == "writer"
        assert of_task[0]["args"] == f"('{handle.id}', '{name}', 1)"
        assert of_task[2]["result"] == f"'{name}: completed'"
    log = log_of(project)
    for name in names:
        lines = re.findall(rf"Task writer\[{handle.id}:{name}:1:[0-9a-f]+\] (received|succeeded)", log)
        assert lines == ["received", "succeeded"]
