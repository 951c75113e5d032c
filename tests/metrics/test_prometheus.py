"""A real Prometheus scrapes the figures, and answers each query of the dashboard and each rule."""

from __future__ import annotations

import functools
import json
import re
import shutil
import socket
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.config.settings import Settings
from orchestrator.metrics.catalogue import METRICS, PREFIX, Kind
from orchestrator.metrics.meter import Meter
from orchestrator.metrics.server import MetricsServer
from orchestrator.model.outcome import Failed
from orchestrator.state import connections
from orchestrator.state.store import Store
from orchestrator.state.workers import Worker
from tests.model import factories as features
from tests.redis_server import serve
from tests.state import factories
from tests.waiting import PATIENCE, wait_until

HOUSE = Path(__file__).parents[2]
DASHBOARD = json.loads((HOUSE / "deploy/grafana/dashboard.json").read_text("utf-8"))
RULES = HOUSE / "deploy/prometheus/rules.yaml"
SCALED = HOUSE / "deploy/keda/scaledobject.yaml"
JOB = "task-orchestrator"

needs_prometheus = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")),
    reason="Prometheus is not installed (Debian: apt install prometheus)",
)


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def dashboard_queries() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def scaling_query() -> str:
    (trigger,) = yaml.safe_load(SCALED.read_text("utf-8"))["spec"]["triggers"]
    return str(trigger["metadata"]["query"])


def promtool(*arguments: str, folder: Path = HOUSE, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["promtool", *arguments], cwd=folder, input=given, capture_output=True, timeout=PATIENCE
    )


# Tests that need no Prometheus


def test_the_dashboard_has_what_grafana_needs() -> None:
    # Given the dashboard, which no Grafana has shown here
    panels = DASHBOARD["panels"]
    # Then its ids differ, its panels do not overlap, and each has a query of its own data source
    assert DASHBOARD["uid"]
    assert DASHBOARD["schemaVersion"] >= 36
    assert {one["name"] for one in DASHBOARD["templating"]["list"]} == {"datasource", "job"}
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels)
    for panel in panels:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["targets"]
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
            assert 'job=~"$job"' in target["expr"]


def test_each_query_names_metrics_that_there_are() -> None:
    known = {metric.full_name for metric in METRICS}
    known |= {f"{metric.full_name}_bucket" for metric in METRICS if metric.kind is Kind.HISTOGRAM}
    queries = [*dashboard_queries(), *(rule["expr"] for rule in rules()), scaling_query()]
    named = {name for query in queries for name in re.findall(rf"\b{PREFIX}\w+", query)}
    assert named - known == set()
    assert len(named) > 15


def test_there_are_four_alerts_that_say_what_to_do() -> None:
    assert len(rules()) == 4
    for rule in rules():
        assert rule["annotations"]["summary"].endswith(".")
        assert len(rule["annotations"]["description"]) > 40
        assert rule["labels"]["severity"] in ("warning", "critical")


def test_keda_scales_the_workers_of_deploy() -> None:
    # Given the ScaledObject, and the Deployment of the workers
    scaled = yaml.safe_load(SCALED.read_text("utf-8"))
    (worker, *_) = yaml.safe_load_all((HOUSE / "deploy/k8s/worker.yaml").read_text("utf-8"))
    # Then it is of KEDA's kind, names that Deployment, and keeps the one worker that counts
    assert (scaled["apiVersion"], scaled["kind"]) == ("keda.sh/v1alpha1", "ScaledObject")
    assert scaled["spec"]["scaleTargetRef"]["name"] == worker["metadata"]["name"]
    assert scaled["spec"]["minReplicaCount"] >= 1
    (trigger,) = scaled["spec"]["triggers"]
    assert int(trigger["metadata"]["threshold"]) == Settings().parallelism.max_parallel_tasks


# With a Prometheus


@needs_prometheus
def test_the_files_of_prometheus_are_right() -> None:
    for arguments in (
        ("check", "rules", str(RULES)),
        ("check", "config", str(HOUSE / "deploy/prometheus/prometheus.yaml")),
        ("test", "rules", str(HOUSE / "tests/metrics/rules_test.yaml")),
    ):
        ran = promtool(*arguments)
        assert ran.returncode == 0, ran.stdout + ran.stderr


@contextmanager
def metrics_of(store: Store, url: str, port: int) -> Iterator[str]:
    """The page of a worker, and a leader that counts."""
    settings = Settings.model_validate(
        {"redis": {"url": url}, "metrics": {"port": port}, "specialists": {"builder": {"title": "Builder"}}}
    )
    server, stopped = MetricsServer(settings), threading.Event()
    meter = Meter(store, lambda: True, ["builder"], pause=0.1)
    server.start()
    meter.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        stopped.set()
        meter.stop()
        meter.thread.join(PATIENCE)
        server.stop()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Prometheus:
    """A Prometheus that scrapes one address."""

    def __init__(self, folder: Path, target: str, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        config = {
            "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
            "rule_files": [str(RULES)],
            "scrape_configs": [{"job_name": JOB, "static_configs": [{"targets": [target]}]}],
        }
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config), "utf-8")
        with (folder / "prometheus.log").open("wb") as log:
            self.process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={folder / 'prometheus.yaml'}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                stdout=log,
                stderr=log,
            )

    def ask(self, query: str) -> list[Any]:
        """The samples that answer a query; an error fails."""
        words = urllib.parse.urlencode({"query": query})
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{words}", timeout=PATIENCE) as answer:
            found = json.load(answer)
        assert found["status"] == "success", found
        result: list[Any] = found["data"]["result"]
        return result

    def answers(self, query: str) -> bool:
        return bool(self.ask(query))

    def is_up(self) -> bool:
        try:
            return bool(self.ask("task_orchestrator_redis_up == 1"))
        except (urllib.error.URLError, ConnectionError):
            return False

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)


@needs_prometheus
@pytest.mark.real
def test_a_real_prometheus_answers_each_query_of_the_dashboard(tmp_path: Path) -> None:
    with ExitStack() as stack:
        # Given features with retries, losses, limits and refused messages, and a Prometheus that scrapes
        url = stack.enter_context(serve(tmp_path / "redis"))
        settings = Settings.model_validate({"redis": {"url": url}})
        store = connections.open_store(settings)
        store.limits.configure({"resource:gpu": "1"})
        store.workers.announce(Worker(id="w1@host/1", name="w1@host", processes=5))
        store.refuse("malformed")
        address = stack.enter_context(metrics_of(store, url, free_port()))
        prometheus = Prometheus(tmp_path, address, free_port())
        stack.callback(prometheus.stop)
        wait_until(prometheus.is_up)
        tasks = [features.task(f"T{number}") for number in range(4)]
        run = factories.launched(store, *tasks, features.task("G", resources={"gpu": 1}), cap=4)
        run.recover()
        run.do("T0", Failed(reason="once"), retries=1)
        run.complete("T1")
        # When it has seen that work
        counted = f'{PREFIX}attempts_ended_total{{outcome="completed"}} == 1'
        wait_until(functools.partial(prometheus.answers, counted))
        # Then each query of the dashboard answers with samples, and so does what KEDA asks
        for query in dashboard_queries():
            asked = query.replace("$__rate_interval", "1m").replace("$job", ".*")
            wait_until(functools.partial(prometheus.answers, asked))
        # KEDA gets as many as have a slot
        in_flight = store.client.zcard(run.keys.slots)
        assert in_flight > 2
        wait_until(lambda: float(prometheus.ask(scaling_query())[0]["value"][1]) == in_flight)
        # And each rule can be evaluated
        for rule in rules():
            prometheus.ask(rule["expr"])
        # And promtool finds nothing to say about the page
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=PATIENCE) as answer:
            page = answer.read()
        ran = promtool("check", "metrics", given=page)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_port_that_is_taken_is_said_plainly_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a port at which somebody listens
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        settings = Settings.model_validate(
            {"redis": {"url": "redis://127.0.0.1:9"}, "metrics": {"port": port}}
        )
        # When a worker is to serve there
        server = MetricsServer(settings)
        server.start()
        server.stop()
    # Then its log names the port, the cause and the way out
    assert f"port {port} on 127.0.0.1 cannot be used" in caplog.text
    assert "metrics.port" in caplog.text
