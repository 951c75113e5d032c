"""A Celery app of one's own whose broker is RabbitMQ, with the state of its features in Redis."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu import Connection

from orchestrator.model.feature import FeatureStatus
from orchestrator.model.task import TaskStatus
from tests import rabbitmq
from tests.acceptance.conftest import MakeProject
from tests.acceptance.test_own_app import file_of, handle, own_project, run, start_worker
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(rabbitmq.find() is None, reason="no rabbitmq-server is installed"),
]


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a RabbitMQ."""
    with rabbitmq.serve(tmp_path_factory.mktemp("rabbit") / "server") as url:
        yield url


def test_their_worker_runs_both(make_project: MakeProject, rabbit: str) -> None:
    """Calls, a retry, a canvas, a specialist, and the app's own tasks: all by RabbitMQ. Nothing is left in it."""
    project = own_project(make_project, f'broker="{rabbit}", backend="rpc://",')
    start_worker(project, "w1", "--prefetch-multiplier", "1")
    printed = run(
        project,
        """
from celery import chain, group
import orchestrator
first = Task(id="first", call=resize.s("a.png", width=3))
tasks = [first, Task(id="F", call="proj.tasks.flaky", args=[2]), Task(id="bad", call=fail),
         Task(id="second", call="proj.tasks.resize", args=[first.result()]), Task(id="run", run=["true"])]
handle = enqueue(Feature(title="Images", id="images", strategy="dataflow", tasks=tasks))
handle.wait(timeout=60)
print(handle.result("second"), handle.result("F"), handle.outcome("bad").reason, handle.outcome("run").status)
print(orchestrator.enqueue(chain(resize.s("c"), group(resize.s(1), resize.s(2)))).as_result().get(timeout=60))
print(resize.delay("b.png").get(timeout=30))
""",
    )
    assert printed.splitlines() == [
        "a.png@3@100 [2, 'celery'] ValueError: no completed",
        "['c@100@1', 'c@100@2']",
        "b.png@100",
    ]
    with Connection(rabbit) as connection:
        wait_until(lambda: connection.SimpleQueue("celery").qsize() == 0)


def test_a_lost_worker_and_a_purged_queue(make_project: MakeProject, rabbit: str, tmp_path: Path) -> None:
    """Tasks of a killed worker run again; messages that are gone are sent again after `recovery.patience`."""
    recovery = {"lease": "3s", "sweep": "200ms", "patience": "1s"}
    project = own_project(make_project, f'broker="{rabbit}",', recovery=recovery)
    place = tmp_path / "place"
    first = start_worker(project, "w1", "-Q", "slow")
    tasks = [
        {"id": "T1", "call": "proj.tasks.slow", "args": [str(place)]},
        {"id": "T2", "call": "proj.tasks.resize", "args": ["b.png"]},
    ]
    project.run("orchestrator", "enqueue", file_of(project, *tasks), check=True)
    wait_until(place.exists)
    with Connection(rabbit) as connection:  # nobody takes from this queue yet
        waiting = connection.SimpleQueue("celery")
        wait_until(lambda: waiting.qsize() > 0)
        waiting.clear()
    os.killpg(first.pid, signal.SIGKILL)
    start_worker(project, "w2", "-Q", "celery,slow")
    wait_until(lambda: len(place.read_text().split()) == 2)
    Path(f"{place}.go").touch()
    assert handle(project).wait(timeout=60).status == FeatureStatus.COMPLETED
    assert [(state.id, state.status) for state in handle(project).states()] == [
        ("T1", TaskStatus.COMPLETED),
        ("T2", TaskStatus.COMPLETED),
    ]
    assert "message_lost" in {event.event for event in handle(project).events()}


def test_what_is_weaker_is_said(make_project: MakeProject, rabbit: str) -> None:
    """The worker's log and the doctor name what another broker costs."""
    project = own_project(make_project, f'broker="{rabbit}",')
    start_worker(project, "w1")
    log = (project.folder / "w1.log").read_text("utf-8")
    assert "TASKORCHESTRATOR_APP=proj orchestrator doctor" in " ".join(
        project.run("orchestrator", "doctor").stdout.split()
    )
    doctor = project.run("env", "TASKORCHESTRATOR_APP=proj", "orchestrator", "doctor")
    for said in (log, " ".join(doctor.stdout.split())):
        assert "the broker is no Redis, but amqp" in said
        assert "Traceback" not in said
    assert rabbit.partition("@")[0] not in doctor.stdout + log.replace("amqp://guest:**@", "")
