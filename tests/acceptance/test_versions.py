"""Workers and clients of two versions on one Redis: while an upgrade is under way, and when it is taken back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from orchestrator.local import processes
from orchestrator.model.feature import FeatureStatus
from orchestrator.state import connections, schema
from tests import versions
from tests.acceptance.conftest import PATIENCE, MakeProject, Project, all_events, tools
from tests.waiting import wait_until

pytestmark = pytest.mark.real

ORCHESTRATOR = ("-m", "orchestrator")
WORKER = (
    "-m",
    "celery",
    "-A",
    "orchestrator",
    "worker",
    "--loglevel",
    "info",
    "-c",
    "2",
    "--pool",
    "prefork",
)
ALONE = ("--without-mingle", "--without-gossip")


@dataclass
class Version:
    """A version of the package, as a user has it in an environment of its own."""

    name: str
    project: Project
    environment: Mapping[str, str] = field(default_factory=tools)
    command: tuple[str, ...] = ORCHESTRATOR
    worker: tuple[str, ...] = WORKER

    def start_worker(self, name: str) -> subprocess.Popen[bytes]:
        """Start a worker of this version, and wait until it takes messages; it ends with the test."""
        log = self.project.folder / f"{name}.log"
        process = subprocess.Popen(
            [sys.executable, *self.worker, *ALONE, "-n", f"{name}@%h"],
            cwd=self.project.folder,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=log.open("ab"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.project.stack.callback(processes.stop, process)
        wait_until(lambda: " ready." in log.read_text("utf-8"))
        return process

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The `orchestrator` command of this version."""
        return subprocess.run(
            [sys.executable, *self.command, *arguments],
            cwd=self.project.folder,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def enqueue(self, feature_id: str, **fields: object) -> None:
        """Enqueue, with the client of this version, a feature of three batches; each task notes that it ran."""
        tasks = [
            {
                "id": name,
                "depends_on": depends_on,
                "run": ["sh", "-c", f"sleep 0.2; echo {feature_id}:{name} >> ran"],
            }
            for name, depends_on in TASKS.items()
        ]
        file = self.project.write(
            f"{feature_id}.yaml", {"title": f"By {self.name}", "tasks": tasks, **fields}
        )
        enqueued = self.run("enqueue", file, "--id", feature_id)
        assert enqueued.returncode == 0, enqueued.stderr

    def __str__(self) -> str:
        return self.name


TASKS = {"a": [], "b": [], "c": ["a"], "d": ["a", "b"], "e": ["c", "d"]}


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    # The sweep finds messages that a version has sent where the other one does not look.
    # The version before knows no other trust than this.
    return make_project(
        trust={"inline_commands": True}, recovery={"lease": "60s", "sweep": "200ms", "patience": "1s"}
    )


@pytest.fixture
def this(project: Project) -> Version:
    return Version("this", project)


@pytest.fixture
def before(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Version:
    return Version("before", project, versions.unpack_the_one_before(tmp_path_factory.mktemp("before")))


@pytest.fixture
def following(project: Project) -> Version:
    file = project.folder / "following.py"
    file.write_text(versions.NEXT, "utf-8")
    worker = tuple("following" if part == "orchestrator" else part for part in WORKER)
    return Version("next", project, tools(), (str(file),), worker)


def status_of(project: Project, feature_id: str) -> str:
    """The status as it is stored, even if this version cannot read the feature."""
    store = connections.open_store(project.settings)
    with store.client as client:
        return str(client.hget(store.keys.feature(feature_id).meta, "status"))


def statuses(listed: Any) -> dict[str, str]:
    """The answer of `status --json`: the version before lists features by `id`."""
    if isinstance(listed, list):
        return {one["id"]: one["status"] for one in listed}
    return {one["feature"]: one["status"] for one in listed["features"]}


def check(project: Project, *feature_ids: str) -> None:
    """Each feature is completed, each of its tasks ran once and was committed once."""
    client = project.client()
    for feature_id in feature_ids:
        handle = client.feature(feature_id)
        assert handle.wait(timeout=PATIENCE).status is FeatureStatus.COMPLETED, feature_id
        committed = Counter(e.task for e in all_events(handle) if e.target == "completed" and e.task)
        assert committed == Counter(list(TASKS)), feature_id
    ran = Counter((project.folder / "ran").read_text("utf-8").split())
    assert ran == Counter(f"{feature_id}:{task}" for feature_id in feature_ids for task in TASKS)


def test_this_version_finishes_what_the_one_before_enqueued_and_its_own_is_left_to_it(
    project: Project, before: Version, this: Version
) -> None:
    # Given a worker of the version before alone, a feature that it finished, one that it began, and one of this one
    worker = before.start_worker("before")
    before.enqueue("before-done")
    wait_until(lambda: status_of(project, "before-done") == "completed")
    this.enqueue("this")
    before.enqueue("before-begun", strategy="dataflow", max_parallel_tasks=1)
    wait_until(lambda: status_of(project, "before-begun") != "planning")
    worker.terminate()
    assert worker.wait(60) == 0
    assert status_of(project, "this") == "planning"
    listed = statuses(json.loads(before.run("status", "--json").stdout))
    assert listed["this"] == "planning"

    # When there are workers of this version alone
    this.start_worker("this")

    # Then each comes to its end
    check(project, "before-done", "before-begun", "this")


def test_an_upgrade_and_the_way_back_under_load_lose_and_repeat_nothing(
    project: Project, before: Version, this: Version
) -> None:
    # Given two workers of the version before, under load
    ids: list[str] = []

    def load(by: Version) -> None:
        for strategy in ("batched", "dataflow"):
            ids.append(f"{by}-{strategy}-{len(ids)}")
            by.enqueue(ids[-1], strategy=strategy, max_parallel_tasks=2)

    workers = [before.start_worker(f"before-{number}") for number in range(2)]
    load(before)

    # When workers of this version take their place, one after the other, and give it back when its features are done
    for to in (this, before):
        wait_until(
            lambda: all(status_of(project, one) == "completed" for one in ids if one.startswith("this"))
        )
        for number, worker in enumerate(workers):
            replacement = to.start_worker(f"{to}-{number}-{len(ids)}")
            worker.terminate()
            load(to)
            assert worker.wait(60) == 0
            workers[number] = replacement

    # Then every feature comes to its end, and every task ran once
    check(project, *ids)


def test_a_worker_leaves_what_a_newer_version_wrote_and_says_so(
    project: Project, this: Version, following: Version
) -> None:
    # Given a worker of this version alone, a feature of this version and one of the next
    this.start_worker("this")
    following.enqueue("newer")
    this.enqueue("own")
    wait_until(lambda: status_of(project, "own") == "completed")

    # Then the one is done, the other is as it was, the worker says so, and so do list, status and doctor
    log = project.folder / "this.log"
    wait_until(lambda: "[newer] is not swept" in log.read_text("utf-8"))
    wait_until(lambda: "is left to a newer worker" in log.read_text("utf-8"))
    assert f"schema {schema.VERSION + 1}" in log.read_text("utf-8")
    listed = this.run("status")
    assert listed.returncode == 0
    assert [
        line
        for line in listed.stdout.splitlines()
        if line.startswith("newer  By next  planning: cannot be read")
    ]
    assert [line for line in listed.stdout.splitlines() if line.startswith("own ") and "completed" in line]
    for command in (["status", "newer"], ["cancel", "newer"], ["explain", "newer", "a"]):
        refused = this.run(*command)
        assert refused.returncode == 1, refused.stdout
        assert "was written by a newer version" in refused.stderr
        assert "Traceback" not in refused.stderr
    assert "a newer version wrote newer" in this.run("doctor").stdout

    # When a newer worker comes
    following.start_worker("next")

    # Then it takes the lead, and the feature to its end
    wait_until(lambda: status_of(project, "newer") == "completed")
    ran = Counter((project.folder / "ran").read_text("utf-8").split())
    assert ran == Counter(f"{feature_id}:{task}" for feature_id in ("own", "newer") for task in TASKS)


def test_a_worker_ends_where_newer_workers_are_asked_for(
    project: Project, this: Version, following: Version
) -> None:
    # Given a worker of this version, at work
    worker = this.start_worker("this")
    this.enqueue("own")
    wait_until((project.folder / "ran").exists)

    # When a newer version asks for newer workers
    store = project.client().store
    assert store.recovery.raise_minimum(schema.VERSION + 1) == schema.VERSION + 1

    # Then it ends in order, a client refuses, doctor names it, and a newer worker goes on
    assert worker.wait(60) == 0
    assert "This worker ends" in (project.folder / "this.log").read_text("utf-8")
    refused = this.run("enqueue", "own.yaml", "--id", "another")
    assert refused.returncode == 1
    assert "too old for the data under the prefix to" in refused.stderr
    assert "too old for the data under the prefix to" in this.run("doctor").stdout
    following.start_worker("next")
    check(project, "own")
