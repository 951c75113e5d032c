"""Three sentinels, a master and a replica: the cost of a failover, and the data that it cannot lose."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from socket import gethostname

import pytest

from orchestrator.local import processes
from orchestrator.model.feature import Feature, FeatureStatus
from tests.acceptance.conftest import Project, open_project
from tests.acceptance.test_secrets import fetch, is_up
from tests.redis_tcp import free_port
from tests.sentinels import SENTINEL_PASSWORD, SERVER_PASSWORD, Cluster, watched
from tests.waiting import wait_until

pytestmark = pytest.mark.real

LONG = 120.0
"""Seconds for a failover and all that follows from it, on a machine that has much else to do."""


@contextlib.contextmanager
def project_on(folder: Path, cluster: Cluster, **redis: object) -> Iterator[Project]:
    """A project whose state, broker and results are in database 1 of that master."""
    with open_project(folder, redis={"url": cluster.url(db=1), **redis}) as project:
        yield project


def test_the_master_is_killed_under_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given two workers at work, and Flower, on a master that three sentinels watch
    port = free_port()
    monkeypatch.setenv("FLOWER_BASIC_AUTH", "ops:sentinel-flower-3Vx")
    with watched(tmp_path / "servers") as cluster, project_on(tmp_path, cluster) as project:
        for name in ("one", "two"):
            project.start_worker(name, "-c", "2", "-E")
        tasks = [{"id": f"T{number}", "run": "true", "tags": ["backend"]} for number in range(60)]
        load = {"title": "Load", "strategy": "parallel", "max_parallel_tasks": 4, "tasks": tasks}
        handle = project.enqueue(Feature.model_validate(load))
        wait_until(lambda: handle.progress().completed >= 10)

        # When the master is killed
        cluster.kill("one")

        # Then the other one takes over, and the feature goes on to its end
        assert handle.wait(LONG).status is FeatureStatus.COMPLETED
        assert cluster.master() == "two"
        with cluster.client("two") as client:
            client.select(1)
            assert client.exists("to:features")

        # and all that reads the broker's URL has found it, and shows no password
        shown = {}
        with processes.flower(project.settings, port=port, log=project.folder / "flower.log"):
            wait_until(lambda: is_up(port))
            wait_until(lambda: "broker" in fetch(port, "/api/workers?refresh=1"))
            shown["flower /broker"] = fetch(port, "/broker")
            for name in json.loads(fetch(port, "/api/workers")):
                shown[f"flower {name}"] = fetch(port, f"/worker/{name}")
        assert "senior-engineer" in shown["flower /broker"]
        ask = ["inspect", "--timeout", "60", "-d", f"one@{gethostname()}"]
        for tool in ([*ask, "stats"], [*ask, "conf"], ["report"]):
            ran = project.run("celery", "-A", "orchestrator", *tool)
            shown[tool[-1]] = ran.stdout + ran.stderr
        assert "max-concurrency" in shown["stats"]
        for command in (["doctor"], ["status"], ["config"]):
            ran = project.run("orchestrator", *command)
            assert ran.returncode == 0, ran.stdout + ran.stderr
            shown[command[0]] = ran.stdout + ran.stderr
        shown |= {file.name: file.read_text("utf-8", "replace") for file in project.folder.glob("*.log")}
        telling = {
            place for place, text in shown.items() if SERVER_PASSWORD in text or SENTINEL_PASSWORD in text
        }
        assert telling == set()


@pytest.mark.parametrize(("replicas", "runs"), [(0, 2), (1, 1)])
def test_an_outcome_that_no_replica_has(tmp_path: Path, replicas: int, runs: int) -> None:
    # Given a task at work, and a replica that gets nothing any more
    ran, go = tmp_path / "ran", tmp_path / "go"
    work = f"echo ran >> {ran}; until [ -e {go} ]; do sleep 0.05; done"
    with (
        watched(tmp_path / "servers", down_after=3.0) as cluster,
        project_on(tmp_path, cluster, replicas=replicas) as project,
    ):
        project.start_worker("one", "-c", "1")
        tasks = [{"id": "T1", "run": ["/bin/sh", "-c", work], "tags": ["backend"]}]
        handle = project.enqueue(Feature.model_validate({"title": "Login", "tasks": tasks}))
        wait_until(ran.exists)
        wait_until(lambda: cluster.in_step())
        cluster.cut_off("two")

        # When the task completes, and the master is lost before the replica knows
        go.touch()
        log = project.folder / "one.log"
        if replicas:
            wait_until(lambda: "0 of 1 replicas have it" in log.read_text("utf-8"))
        else:
            wait_until(lambda: " succeeded in " in log.read_text("utf-8"))  # it holds the outcome no more
        cluster.kill("one")
        cluster.wait_for_master("two")
        cluster.start_server("one", None)  # the sentinels make it a replica

        # Then the worker that still holds the outcome tells it again; one that does not hold it runs the task again
        assert handle.wait(LONG).status is FeatureStatus.COMPLETED
        assert ran.read_text("utf-8").count("ran") == runs


def test_who_enqueues_is_told_that_too_few_replicas_have_it(tmp_path: Path) -> None:
    with (
        watched(tmp_path / "servers", down_after=30.0) as cluster,
        project_on(tmp_path, cluster, replicas=1) as project,
    ):
        file = project.write("f.yaml", {"title": "Login", "tasks": [{"id": "T1", "run": "true"}]})
        assert project.orchestrator("enqueue", file, "--key", "k1").returncode == 0

        cluster.cut_off("two")
        told = project.orchestrator("enqueue", file, "--key", "k2")
        again = project.orchestrator("enqueue", file, "--key", "k2")
        found = project.orchestrator("doctor")

        assert (told.returncode, again.returncode) == (3, 3)
        assert "only 0 of 1 replicas did" in told.stdout + told.stderr
        assert "0 of 1 replicas are there" in found.stdout
