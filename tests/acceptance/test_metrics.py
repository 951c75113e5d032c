"""A worker without a Flower serves the metrics, and says plainly where it cannot."""

from __future__ import annotations

import contextlib
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.model.feature import Feature
from tests.acceptance.conftest import PATIENCE, MakeProject
from tests.redis_tcp import free_port
from tests.waiting import wait_until

pytestmark = pytest.mark.real

FEATURE = Feature.model_validate(
    {
        "id": "shop",
        "title": "Shop",
        "tasks": [
            {"id": "bake", "run": ["true"]},
            {"id": "burns", "run": ["false"], "retries": {"max": 1, "backoff": "10ms"}},
        ],
    }
)


def counted(port: int, name: str, **labels: str) -> float | None:
    """A sample of the page at a port; None if nobody serves there, or the page has none such."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
        for family in text_string_to_metric_families(page.read().decode()):
            for sample in family.samples:
                if sample.name == f"task_orchestrator_{name}" and labels.items() <= sample.labels.items():
                    return float(sample.value)
    return None


def test_one_worker_of_a_machine_serves_the_metrics_and_the_next_takes_its_place(
    make_project: MakeProject,
) -> None:
    # Given two workers of one machine with one port, of which the first serves
    port = free_port()
    project = make_project(metrics={"port": port})
    first = project.start_worker("first")
    wait_until(lambda: counted(port, "redis_up") == 1)
    project.start_worker("second")
    log = project.folder / "second.log"
    wait_until(lambda: log.is_file() and f"port {port} on 127.0.0.1 cannot be used" in log.read_text("utf-8"))
    # When they do a feature of which one task fails twice
    project.enqueue(FEATURE).wait(PATIENCE)
    # Then what became of it is on the page
    wait_until(lambda: counted(port, "attempts_ended_total", outcome="failed") == 1)
    assert counted(port, "attempts_ended_total", outcome="retried") == 1
    assert counted(port, "attempts_ended_total", outcome="completed") == 1
    assert counted(port, "attempt_run_seconds_count") == 3
    wait_until(lambda: counted(port, "tasks", status="failed") == 1)
    assert counted(port, "workers") == 2
    # And when the first is gone, its port is free for a new one, which goes on with the counts
    first.terminate()
    first.wait(PATIENCE)
    assert counted(port, "redis_up") is None
    project.start_worker("third")
    wait_until(lambda: counted(port, "attempts_ended_total", outcome="completed") == 1)
