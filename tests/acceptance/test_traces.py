"""A traced feature: a program enqueues it, a real worker exports its spans, and its commands join the trace."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.local import processes
from tests.acceptance.conftest import MakeProject
from tests.waiting import wait_until

pytest.importorskip("opentelemetry.sdk")
pytestmark = pytest.mark.real

OBSERVED = """
import json
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

def as_line(span):
    return json.dumps(json.loads(span.to_json())) + "\\n"

provider = TracerProvider()
file = open("spans.jsonl", "a", buffering=1)
provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter(out=file, formatter=as_line)))
trace.set_tracer_provider(provider)

from orchestrator.celery import app
"""

ENQUEUE = """
import observed
from opentelemetry import trace
from orchestrator import Feature, enqueue

tell = ["sh", "-c", "echo $TRACEPARENT > $ORCHESTRATOR_PROJECT/$ORCHESTRATOR_TASK_ID.trace"]
with trace.get_tracer("shop").start_as_current_span("request"):
    enqueue(Feature(id="shop", title="Shop", tasks=[
        {"id": "bake", "run": tell},
        {"id": "fails-once", "run": ["sh", "-c", "test -e again || { touch again; exit 1; }"],
         "retries": {"max": 1, "backoff": "10ms"}},
        {"id": "sell", "run": tell, "depends_on": ["bake", "fails-once"]},
    ])).wait(timeout=100)
"""


def spans(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "spans.jsonl").read_text("utf-8").splitlines()]


def task_of(span: dict[str, Any]) -> str:
    named = span["attributes"]
    return f"{named.get('task_orchestrator.task', '')}:{named.get('task_orchestrator.attempt', '')}"


def test_a_feature_is_one_trace_from_its_caller_to_its_commands(make_project: MakeProject) -> None:
    # Given a worker whose module sets up OpenTelemetry, and a program that has a span
    project = make_project(tracing=True)
    (project.folder / "observed.py").write_text(OBSERVED, "utf-8")
    (project.folder / "enqueue.py").write_text(ENQUEUE, "utf-8")
    worker = project.stack.enter_context(
        processes.celery(
            project.settings,
            ["-A", "observed", "worker", "-n", "w1@%h", "--loglevel", "info"],
            project.folder / "w1.log",
        )
    )
    # When the program enqueues a feature, and the worker has done it and ends
    project.run(sys.executable, "enqueue.py", check=True)
    file = project.folder / "spans.jsonl"
    wait_until(lambda: '"name": "feature"' in file.read_text("utf-8"))
    worker.terminate()
    worker.wait(60)
    found = spans(project.folder)
    # Then request, feature and attempts are one trace, each below the one before
    (request,) = [span for span in found if span["name"] == "request"]
    (feature,) = [span for span in found if span["name"] == "feature"]
    attempts = {task_of(span): span for span in found if span["name"].startswith("task ")}
    assert sorted(attempts) == ["bake:1", "fails-once:1", "fails-once:2", "sell:1"]
    assert feature["parent_id"] == request["context"]["span_id"]
    assert {span["parent_id"] for span in attempts.values()} == {feature["context"]["span_id"]}
    assert {span["context"]["trace_id"] for span in found} == {request["context"]["trace_id"]}
    # And a task is linked to the last attempts of what it depends on
    linked = {link["context"]["span_id"] for link in attempts["sell:1"]["links"]}
    assert linked == {attempts[name]["context"]["span_id"] for name in ("bake:1", "fails-once:2")}
    # And the commands have had the span of their attempt in their environment
    for task in ("bake", "sell"):
        context = attempts[f"{task}:1"]["context"]
        written = (project.folder / f"{task}.trace").read_text("utf-8").strip()
        assert written == f"00-{context['trace_id'][2:]}-{context['span_id'][2:]}-01"
    # And the failed attempt says so
    assert attempts["fails-once:1"]["status"]["status_code"] == "ERROR"
    assert attempts["fails-once:2"]["attributes"]["task_orchestrator.outcome"] == "completed"
