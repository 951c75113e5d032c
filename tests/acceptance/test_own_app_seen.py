"""A Celery app of one's own, watched by its Flower and fed by its beat: both as the project starts them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from orchestrator.local import processes
from orchestrator.model.feature import FeatureStatus
from tests.acceptance.conftest import MakeProject, Project
from tests.acceptance.test_own_app import THEIRS, handle, own_project, start_worker
from tests.redis_tcp import free_port
from tests.waiting import wait_until

pytestmark = pytest.mark.real

TASKS = 12

NIGHTLY = f"""
import orchestrator
from celery import shared_task
from orchestrator import Feature, Task
from proj.tasks import fail, resize


@shared_task
def start_nightly(day):
    tasks = [Task(id=f"T{{number}}", call=resize, args=[f"{{number}}.png"]) for number in range({TASKS})]
    feature = Feature(id="images", title="Nightly", tasks=[*tasks, Task(id="bad", call=fail)])
    return orchestrator.enqueue(feature, idempotency_key=f"nightly-{{day}}").id
"""

SCHEDULE = """
app.conf.include = ["proj.tasks", "proj.nightly"]
app.conf.beat_schedule = {
    "nightly": {"task": "proj.nightly.start_nightly", "schedule": 0.5, "args": ["2026-11-27"]},
}
"""


def start(project: Project, name: str, *command: str) -> Path:
    """`celery -A proj COMMAND …`; returns its log."""
    log = project.folder / f"{name}.log"
    project.stack.enter_context(processes.celery(project.settings, ["-A", "proj", *command], log))
    return log


def ask(port: int, path: str) -> str:
    """The answer of Flower; "" while it does not."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return str(answer.read().decode())
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return ""


def tasks_of(port: int) -> dict[str, Any]:
    """The tasks that Flower knows, by id."""
    found: dict[str, Any] = json.loads(ask(port, "/api/tasks?limit=500") or "{}")
    return found


def test_flower_and_beat(make_project: MakeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beat sends a task again and again, which enqueues one feature. Flower shows each attempt once, also those that a
    process took by itself, beside the app's own tasks.
    """
    monkeypatch.setenv("FLOWER_UNAUTHENTICATED_API", "true")
    project, port = own_project(make_project, THEIRS, parallelism={"max_parallel_tasks": TASKS}), free_port()
    source = project.folder / "proj" / "celery.py"
    source.write_text(source.read_text("utf-8") + SCHEDULE, "utf-8")
    (project.folder / "proj" / "nightly.py").write_text(NIGHTLY, "utf-8")
    flower = start(project, "flower", "flower", f"--port={port}", "--address=127.0.0.1")
    wait_until(lambda: ask(port, "/healthcheck") == "OK")
    start_worker(project, "w1", "--prefetch-multiplier", "1", "-E")
    beat = start(
        project, "beat", "beat", "--schedule", str(project.folder / "schedule"), "--loglevel", "info"
    )

    wait_until(lambda: bool(project.client().store.features.newest(5)))
    assert handle(project).wait(timeout=60).status == FeatureStatus.BLOCKED
    assert handle(project).progress().completed == TASKS
    wait_until(lambda: beat.read_text("utf-8").count("Sending due task nightly") >= 3)
    assert project.client().store.features.newest(5) == ["images"]

    def shown(name: str, state: str) -> int:
        return sum(each["name"] == name and each["state"] == state for each in tasks_of(port).values())

    wait_until(lambda: shown("call:proj.tasks.resize", "SUCCESS") == TASKS)
    wait_until(lambda: shown("proj.nightly.start_nightly", "SUCCESS") >= 3)
    wait_until(lambda: shown("call:proj.tasks.fail", "FAILURE") == 1)
    workers = json.loads(ask(port, "/api/workers?refresh=1"))
    (worker,) = workers.values()
    assert "call:proj.tasks.resize" in worker["registered"]
    assert "Traceback" not in flower.read_text("utf-8")
