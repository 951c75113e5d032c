"""A feature as tools that watch Celery see it: Sentry, OpenTelemetry, signal handlers, the log, Flower's events."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from celery import states
from celery.events.state import State

from orchestrator.local import processes
from orchestrator.model.feature import Feature
from tests.acceptance.conftest import Project, open_project
from tests.events import listening
from tests.waiting import wait_until

pytest.importorskip("sentry_sdk")
pytest.importorskip("opentelemetry.instrumentation.celery")
pytestmark = pytest.mark.real

SECRET = "sentinel-4711"
"""Stands in title, params, output and exceptions; Celery's events are to say nothing of it."""

INSTRUMENTED = """
import json, os
import sentry_sdk
from celery import signals
from opentelemetry import trace
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from sentry_sdk.integrations.celery import CeleryIntegration
from sentry_sdk.transport import Transport

def note(kind, **what):
    with open("seen.jsonl", "a") as file:
        file.write(json.dumps({"kind": kind, **what}) + "\\n")

class ToFile(SpanExporter):
    def export(self, spans):
        for span in spans:
            note("span", name=span.name, trace=span.context.trace_id, span=span.context.span_id,
                 parent=span.parent.span_id if span.parent else None, ok=span.status.is_ok,
                 errors=[dict(event.attributes) for event in span.events])
        return SpanExportResult.SUCCESS

class ToFileToo(Transport):
    def capture_envelope(self, envelope):
        for item in envelope.items:
            if item.type in ("event", "transaction"):
                body = item.payload.json
                values = body.get("exception", {}).get("values", [])
                note(item.type, trace=body["contexts"]["trace"]["trace_id"],
                     name=body.get("transaction"), types=[value["type"] for value in values],
                     values=[value["value"] for value in values],
                     frames=[frame["filename"] + ":" + frame["function"]
                             for value in values for frame in (value.get("stacktrace") or {}).get("frames", [])])

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ToFile()))
trace.set_tracer_provider(provider)
CeleryInstrumentor().instrument()
sentry_sdk.init(dsn="http://x@127.0.0.1:9/1", integrations=[CeleryIntegration()], transport=ToFileToo,
                traces_sample_rate=1.0)

def tell(name):
    def told(sender=None, task_id=None, exception=None, headers=None, state=None, **_):
        note("signal", name=name, sender=getattr(sender, "name", sender), id=task_id or (headers or {}).get("id"),
             exception=type(exception).__name__ if exception else "", state=state)
    getattr(signals, name).connect(told, weak=False)

for name in ("before_task_publish", "after_task_publish", "task_prerun", "task_postrun", "task_success",
             "task_failure", "task_retry"):
    tell(name)
"""

SHOP = f'''
from orchestrator import Blocked, RetryLater, specialist

class OutOfStock(Exception):
    """A class that the main process of the worker has not loaded; it cannot be made from its arguments."""
    def __init__(self, item, store):
        super().__init__(f"no {{item}} in {{store}} {SECRET}")

def look(item):
    raise OutOfStock(item, "Turin")

@specialist("seller")
def sell(context):
    match context.task.params.get("how"):
        case "fail": look("tea")
        case "memory": raise MemoryError("{SECRET}")
        case "block": return Blocked(reason="no key {SECRET}")
        case "later" if context.attempt == 1: return RetryLater(after=0.01, reason="{SECRET}")
    return {{"sold": "{SECRET}"}}
'''

ENQUEUE = """
import sys
import instrumented
import sentry_sdk
from opentelemetry import trace
from orchestrator import Feature, enqueue

with sentry_sdk.start_transaction(name="request") as transaction:
    instrumented.note("request", trace=transaction.trace_id)
    with trace.get_tracer("shop").start_as_current_span("request"):
        enqueue(Feature.model_validate_json(sys.argv[1]))
"""

COMMAND_FAILS = [sys.executable, "-c", f"print('{SECRET}'); raise SystemExit(3)"]
FEATURE = Feature.model_validate(
    {
        "id": "shop",
        "title": f"Shop {SECRET}",
        "strategy": "dataflow",
        "tasks": [
            {"id": "ok", "title": SECRET, "specialist": "seller"},
            {"id": "late", "specialist": "seller", "params": {"how": "later"}, "depends_on": ["ok"]},
            {"id": "fails", "specialist": "seller", "params": {"how": "fail", "x": SECRET}, "depends_on": ["ok"],
             "retries": {"max": 1, "backoff": "10ms"}},
            {"id": "memory", "specialist": "seller", "params": {"how": "memory"}, "depends_on": ["late"]},
            {"id": "blocked", "specialist": "seller", "params": {"how": "block"}, "depends_on": ["ok"]},
            {"id": "command", "run": COMMAND_FAILS, "depends_on": ["ok"]},
        ],
    }
)  # fmt: skip
ATTEMPTS = ["blocked:1", "command:1", "fails:1", "fails:2", "late:1", "late:2", "memory:1", "ok:1"]


@dataclass
class Seen:
    """The records of one run of the feature."""

    project: Project
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def notes(self) -> list[dict[str, Any]]:
        """The lines that the tools wrote."""
        file = self.project.folder / "seen.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The notes of a kind."""
        return [note for note in self.notes if note["kind"] == kind]

    def signals(self, name: str) -> list[str]:
        """The attempts, without their feature, for which a signal came."""
        return sorted(short(note["id"] or "?") for note in self.of("signal") if note["name"] == name)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """The feature, run by an instrumented worker after an enqueue that was traced."""
    folder = tmp_path_factory.mktemp("seen")
    with open_project(folder, specialists={"seller": {}}, imports=["shop"]) as project:
        (project.folder / "instrumented.py").write_text(INSTRUMENTED)
        (project.folder / "shop.py").write_text(SHOP)
        (project.folder / "enqueue.py").write_text(ENQUEUE)
        (project.folder / "wrap.py").write_text("import instrumented\nfrom orchestrator.celery import app\n")
        seen = Seen(project)
        with listening(project.settings, seen.events):
            command = ["-A", "wrap", "worker", "-n", "one@%h", "-c", "2", "-E", "--loglevel", "info"]
            with processes.celery(project.settings, command, project.folder / "one.log"):
                project.run(sys.executable, "enqueue.py", FEATURE.model_dump_json(), check=True)
                project.client().feature("shop").wait(timeout=120)
                wait_until(lambda: seen.signals("task_postrun") == ATTEMPTS)
                wait_until(lambda: len(ended(seen.events)) == len(ATTEMPTS))
        yield seen


def short(id: str) -> str:
    """What everybody knows of the id of a message: task and attempt."""
    return ":".join(id.removeprefix("shop:").split(":")[:2])


def ended(events: list[dict[str, Any]]) -> list[str]:
    begins = ("task-received", "task-started")
    return [one["uuid"] for one in events if one["type"].startswith("task-") and one["type"] not in begins]


def test_one_trace_goes_from_the_enqueue_through_every_task(seen: Seen) -> None:
    spans = seen.of("span")
    by_id = {span["span"]: span for span in spans}
    (request,) = [span for span in spans if span["name"] == "request"]
    runs = [span for span in spans if span["name"].startswith("run/")]
    assert len(runs) == len(ATTEMPTS)
    assert {span["trace"] for span in spans} == {request["trace"]}
    assert {by_id[run["parent"]]["name"] for run in runs} == {"apply_async/orchestrator.enqueue"}
    # And Sentry's, which travels beside it
    (begun,) = seen.of("request")
    transactions = seen.of("transaction")
    assert sorted(one["name"] for one in transactions).count("seller") == len(ATTEMPTS) - 1
    assert {one["trace"] for one in [*transactions, *seen.of("event")]} == {begun["trace"]}


def test_errors_have_the_frames_of_whoever_wrote_the_specialist(seen: Seen) -> None:
    events = seen.of("event")
    assert sorted(tuple(event["types"]) for event in events) == [
        ("MemoryError",), ("OutOfStock",), ("OutOfStock",), ("TaskFailed",),
    ]  # fmt: skip
    for event in events:
        if event["types"] == ["OutOfStock"]:
            assert event["frames"][-2:] == ["shop.py:sell", "shop.py:look"]
        if event["types"] == ["TaskFailed"]:
            assert event["values"][0].startswith("command: failed: exit code 3")
    failed = [span for span in seen.of("span") if span["errors"]]
    told = sorted(error["exception.type"].rpartition(".")[2] for span in failed for error in span["errors"])
    assert told == ["MemoryError", "OutOfStock", "OutOfStock", "TaskFailed"]
    assert all(not span["ok"] for span in failed)


def test_celerys_signals_fire(seen: Seen) -> None:
    assert seen.signals("before_task_publish") == seen.signals("after_task_publish") == ["shop"]
    assert seen.signals("task_prerun") == seen.signals("task_postrun") == ATTEMPTS
    assert seen.signals("task_failure") == ["command:1", "fails:1", "fails:2", "memory:1"]
    assert [len(seen.signals(name)) for name in ("task_success", "task_retry")] == [2, 1]
    raised = [note["exception"] for note in seen.of("signal") if note["name"] == "task_failure"]
    assert sorted(raised) == ["MemoryError", "OutOfStock", "OutOfStock", "TaskFailed"]


def test_the_log_has_the_error_and_the_frames(seen: Seen) -> None:
    log = (seen.project.folder / "one.log").read_text()
    found = re.findall(r"ERROR/\S+\] Task \S+\[shop:(\S+:\d+):\w+\] raised unexpected: (\w+)", log)
    assert sorted(task for task, _ in found) == ["command:1", "fails:1", "fails:2", "memory:1"]
    assert log.count('shop.py", line') >= 2 * 2 + 1
    assert log.count("in look") == 2
    (command,) = re.findall(r"\[shop:command:1:\w+\] raised unexpected: (.*?)\n\[2", log, re.DOTALL)
    assert "File" not in command
    assert re.search(r"WARNING/\S+\] \[shop\] blocked attempt 1 is blocked: no key", log)
    assert "ERROR/MainProcess" not in log


def test_monitors_show_what_became_of_each_attempt_and_nothing_else(seen: Seen) -> None:
    state = State()
    for event in seen.events:
        state.event(dict(event))
    shown = {short(task.uuid): task for _, task in state.tasks_by_timestamp()}
    assert {name: task.state for name, task in shown.items()} == {
        "ok:1": states.SUCCESS,
        "late:1": states.RETRY,
        "late:2": states.SUCCESS,
        "fails:1": states.FAILURE,
        "fails:2": states.FAILURE,
        "memory:1": states.FAILURE,
        "command:1": states.FAILURE,
        "blocked:1": "BLOCKED",
    }
    assert shown["fails:2"].exception == "TaskFailed('fails: failed: code-error')"
    assert shown["memory:1"].exception == "TaskFailed('memory: failed: out-of-memory')"
    assert shown["ok:1"].args == "('shop', 'ok', 1)"
    assert [str(event) for event in seen.events if SECRET in json.dumps(event)] == []
