"""A reader of Flower, or of Celery's events, learns which task ended how, and nothing that anybody wrote."""

from __future__ import annotations

import base64
import contextlib
import gc
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator.engine import canvas
from orchestrator.engine.app import create
from orchestrator.local import processes
from orchestrator.model.feature import Feature
from orchestrator.model.outcome import Blocked, Cancelled, Completed, Failed, GateResult, Outcome, RetryLater
from orchestrator.model.task import Task
from orchestrator.planning import planner
from orchestrator.state.keys import Keys
from tests.acceptance.conftest import PATIENCE, Project, open_project
from tests.events import listening
from tests.redis_server import client_of
from tests.redis_tcp import free_port
from tests.waiting import wait_until

pytestmark = pytest.mark.real

PASSWORD = "ops:secret"
TOLD: tuple[type[BaseModel], ...] = (Completed, Failed, Blocked, Cancelled, RetryLater)

MEANT = {"Feature.id", "Task.id", "Task.depends_on", "Task.specialist"}
"""Ids of features and tasks, and names of the configuration: that is what is shown."""

NO_TEXT = {
    "Feature.strategy", "Feature.max_parallel_tasks", "Feature.budget", "Feature.tasks",
    "Task.priority", "Task.complexity", "Task.estimate",
    "Task.timeout", "Task.retries", "Task.idempotent", "Completed.status", "Failed.status", "Failed.cause",
    "Failed.retry", "Blocked.status", "Blocked.kind", "Cancelled.status", "RetryLater.status", "RetryLater.after",
    "GateResult.passed", "GateResult.required",
}  # fmt: skip
"""Numbers and words of ours, which nobody can write anything into."""

OF_A_CALL = {
    "Task.call",
    "Task.args",
    "Task.kwargs",
    "Task.options",
    "Task.on_failure",
    "Feature.result",
    "RetryLater.next",
    "Failed.raised",
}
"""Only a task of somebody's own Celery app has these; that app shows what it shows."""

NOT_IN_A_CANVAS = {"Task.resources", "Task.touches"}

TELLER = """
import json, os
from pydantic import TypeAdapter
from orchestrator import specialist
from orchestrator.model.outcome import Outcome

TOLD = json.load(open("told.json"))

@specialist("teller")
def tell(context):
    print(TOLD["printed"])
    context.progress(50, TOLD["noted"])
    if context.task.id == "raises":
        raise ValueError(TOLD["raised"])
    kind = context.task.id if context.task.id in TOLD and context.attempt == 1 else "completed"
    return TypeAdapter(Outcome).validate_python(TOLD[kind])
"""


def sentinel(place: str) -> str:
    return f"sentinel-{place.lower().replace('.', '-').replace('_', '-')}"


def planted(model: type[BaseModel], **given: Any) -> dict[str, Any]:
    """What fills each field of a model that takes a text with a sentinel of its own."""
    for name, info in model.model_fields.items():
        place, kind = f"{model.__name__}.{name}", str(info.annotation)
        if name in given or place in MEANT | NO_TEXT | OF_A_CALL:
            continue
        text = sentinel(place)
        if "GateResult" in kind:
            given[name] = [planted(GateResult, passed=True)]
        elif place == "Task.resources":
            given[name] = {text: 1}
        elif "Mapping" in kind or "JsonValue" in kind:
            given[name] = {text: [text]}
        elif "tuple" in kind:
            given[name] = [text]
        else:
            assert "str" in kind, f"{place} is new: say here what it can hold"
            given[name] = text
    return given


@dataclass
class Seen:
    """The texts that were shown, by place."""

    project: Project
    shown: dict[str, str] = field(default_factory=dict)

    def sentinels(self, begins: str = "") -> dict[str, set[str]]:
        """The sentinels in each place that has some."""
        found = {
            place: set(re.findall(r"sentinel-[a-z-]*[a-z]", text))
            for place, text in self.shown.items()
            if place.startswith(begins)
        }
        return {place: texts for place, texts in found.items() if texts}


def ask(port: int, path: str) -> str:
    """The answer of Flower."""
    basic = {"Authorization": f"Basic {base64.b64encode(PASSWORD.encode()).decode()}"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=basic)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode()}"


def is_up(port: int) -> bool:
    with contextlib.suppress(OSError):
        return ask(port, "/healthcheck") == "OK"
    return False


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """All that was shown of a feature and of a canvas with a sentinel in each of their fields."""
    endings = {model.model_fields["status"].default: planted(model, **later(model)) for model in TOLD}
    texts = {name: sentinel(name) for name in ("printed", "noted", "raised")}
    tasks = [
        planted(Task, id=name, specialist="teller", run=None, retries={"max": 0})
        for name in (*endings, "raises")
    ]
    feature = planted(Feature, id="auth", strategy="parallel", max_parallel_tasks=len(tasks), tasks=tasks)
    sections: dict[str, Any] = {
        "specialists": {"teller": {}},
        "imports": ["teller"],
        "resources": {sentinel("Task.resources"): 9},
    }
    port, events = free_port(), list[dict[str, Any]]()
    with (
        pytest.MonkeyPatch.context() as given,
        open_project(tmp_path_factory.mktemp("flower"), **sections) as project,
    ):
        (project.folder / "teller.py").write_text(TELLER)
        (project.folder / "told.json").write_text(json.dumps({**endings, **texts}))
        seen = Seen(project)
        given.setenv("FLOWER_BASIC_AUTH", PASSWORD)
        with (
            listening(project.settings, events),
            processes.flower(project.settings, port=port, log=project.folder / "flower.log"),
        ):
            wait_until(lambda: is_up(port))
            project.start_worker("one", "-c", "2", "-E")
            project.enqueue(Feature.model_validate(feature)).wait(PATIENCE)
            alone = [{**task, "resources": {}, "touches": []} for task in tasks]
            flow = canvas.chain_of_groups(
                planner.plan(Feature.model_validate({**feature, "tasks": alone, "id": "canvas"})),
                create(project.settings),
            )
            result: Any = flow.apply_async()
            with pytest.raises(Exception, match="sentinel"):
                result.get(timeout=PATIENCE, disable_sync_subtasks=False)
            ends = ("task-succeeded", "task-failed", "task-blocked", "task-cancelled")
            wait_until(lambda: sum(one["type"] in ends for one in events) >= 2 * len(tasks))
            ids = {one["uuid"] for one in events if "uuid" in one}
            wait_until(lambda: ids <= set(json.loads(ask(port, "/api/tasks"))))
            pages = ["/", "/workers", "/tasks", "/api/tasks", "/api/workers?refresh=1", "/metrics", "/broker"]
            pages += [f"/{page}/{id}" for page in ("task", "api/task/info", "api/task/result") for id in ids]
            for page in pages:
                seen.shown[f"flower {page}"] = ask(port, page)
        seen.shown |= {f"event {number}": json.dumps(event) for number, event in enumerate(events)}
        server = client_of(project.settings.redis.url.get_secret_value())  # type: ignore[union-attr]
        begins = Keys(project.settings.redis.prefix).celery()
        for key in map(str, server.scan_iter(f"{begins}*")):
            held = server.get(key) if server.type(key) == "string" else server.dump(key)
            seen.shown[f"key {key.removeprefix(begins)}"] = str(held)
        seen.shown["log"] = (project.folder / "one.log").read_text("utf-8")
        del result, flow
        gc.collect()  # Celery's results unsubscribe, for which the Redis has to be there
        yield seen


def later(model: type[BaseModel]) -> dict[str, Any]:
    given = {"status": model.model_fields["status"].default}
    return {**given, "after": 0.01} if model is RetryLater else given


def test_every_model_is_planted() -> None:
    outcomes = set(Outcome.__args__[0].__args__)
    assert outcomes == set(TOLD)


def test_flower_shows_nothing_that_anybody_wrote(seen: Seen) -> None:
    """A reader of Flower sees ids, states and causes, and no title, parameter, result, print or exception."""
    named = {"flower /metrics": {sentinel("Task.resources")}}  # its limit has the name of the configuration
    assert seen.sentinels("flower") == named
    assert "raises: failed: code-error" in seen.shown["flower /api/tasks"]
    assert len([place for place in seen.shown if place.startswith("flower /task/")]) > 10


def test_celerys_events_say_nothing_that_anybody_wrote(seen: Seen) -> None:
    """Nor does who hears Celery's events."""
    assert seen.sentinels("event") == {}


def test_flower_reads_no_result(seen: Seen) -> None:
    """Flower's API reads no result (403)."""
    results = [text for place, text in seen.shown.items() if "/api/task/result/" in place]
    assert results
    assert all(text.startswith("403") for text in results)


def test_the_result_backend_holds_the_outcomes_of_canvases_alone(seen: Seen) -> None:
    """The result backend holds nothing of an enqueued feature, and of a canvas only the results for its caller."""
    held = seen.sentinels("key")
    assert held
    of_canvases = ("key celery-task-meta-", "key celery-taskset-meta-")  # of a task, and of a group
    assert [place for place in held if not place.startswith(of_canvases)] == []
    assert not [place for place in seen.shown if place.startswith("key celery-task-meta-auth:")]
    told = {
        sentinel(place) for place in ("Feature.title", "Feature.description", "Task.title", "Task.params")
    }
    assert not set().union(*held.values()) & told


def test_the_log_of_a_worker_names_tasks_by_their_ids(seen: Seen) -> None:
    """The worker's log has, beside ids, why an attempt did not complete, and what its code raises."""
    reasons = ("Failed.reason", "Blocked.reason", "Cancelled.reason", "RetryLater.reason")
    allowed = {sentinel(place) for place in (*reasons, "raised")}
    assert seen.sentinels("log").get("log", set()) <= allowed
