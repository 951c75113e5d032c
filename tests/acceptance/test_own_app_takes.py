"""In an app of one's own whose broker is the Redis of the state, processes take their next task by themselves.

Its queues carry its own tasks too, and Celery's controls hold, as `test_take` has it for an app of ours.
"""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from orchestrator.client.handle import Handle
from orchestrator.model.feature import FeatureStatus
from orchestrator.model.task import TaskStatus
from tests.acceptance.conftest import MakeProject, Project
from tests.acceptance.test_own_app import THEIRS, own_project, run, start_worker
from tests.acceptance.test_take import server_of, taken
from tests.waiting import wait_until

pytestmark = pytest.mark.real

POOLS = ("prefork", "threads", "solo")
ONE = ("--prefetch-multiplier", "1", "-c", "1")

WORK = """

@app.task
def touch(place):
    Path(place).touch()


@app.task
def nap(*_):
    time.sleep(0.05)


@app.task
def tell(*_):
    return os.getpid()
"""


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    recovery = {"lease": "2s", "sweep": "200ms", "grace": "300ms", "patience": "30s"}
    found = own_project(make_project, THEIRS, recovery=recovery)
    with (found.folder / "proj" / "tasks.py").open("a") as file:
        file.write(WORK)
    return found


def enqueue(project: Project, tasks: str, **fields: object) -> Handle:
    """Enqueue a feature of calls, which a program of the project makes."""
    given = ", ".join(f"{name}={value!r}" for name, value in {"strategy": "dataflow", **fields}.items())
    feature = f'Feature(title="Take", max_parallel_tasks=1000, tasks={tasks}, {given})'
    return project.client().feature(run(project, f"print(enqueue({feature}).id)"))


def calls(name: str, number: int) -> str:
    return f'[Task(id=f"T{{place:03}}", call="proj.tasks.{name}", args=[place]) for place in range({number})]'


@pytest.mark.parametrize("pool", POOLS)
def test_a_process_goes_on_by_itself(project: Project, pool: str) -> None:
    """The log has each task as if its message had come by itself, and results are what they are."""
    handle = enqueue(project, calls("tell", 30))
    start_worker(project, "w1", *ONE, "--pool", pool)
    assert handle.wait(timeout=60).status == FeatureStatus.COMPLETED
    assert len({handle.result(state.id) for state in handle.states()}) == 1
    assert taken(project) >= 20
    log = (project.folder / "w1.log").read_text("utf-8")
    received = re.findall(r"Task call:proj\.tasks\.tell\[(\S+)\] received", log)
    succeeded = re.findall(r"Task call:proj\.tasks\.tell\[(\S+)\] succeeded", log)
    assert len(received) == len(set(received)) == 30
    assert sorted(received) == sorted(succeeded)


@pytest.mark.parametrize("pool", POOLS)
def test_the_apps_own_tasks_keep_their_turn(project: Project, tmp_path: Path, pool: str) -> None:
    """A message of the app's own that is next is left to Celery; it is done before what was sent after it."""
    first = enqueue(project, calls("nap", 20), id="first")
    run(project, f"touch.delay({str(tmp_path / 'own')!r})")
    second = enqueue(project, calls("nap", 200), id="second")
    start_worker(project, "w1", *ONE, "--pool", pool)
    wait_until((tmp_path / "own").exists)
    assert second.progress().completed <= 3
    assert first.progress().completed >= 18
    assert first.wait(timeout=60).status == FeatureStatus.COMPLETED
    wait_until(lambda: second.progress().completed > 30)
    assert taken(project) >= 20


def test_the_default_of_celery_takes_nothing(project: Project) -> None:
    """With four messages ahead, some wait in the main process, and would be overtaken."""
    handle = enqueue(project, calls("tell", 30))
    start_worker(project, "w1", "-c", "1")
    assert handle.wait(timeout=60).status == FeatureStatus.COMPLETED
    assert taken(project) == 0
    assert "its processes do not take their next task" in (project.folder / "w1.log").read_text("utf-8")


def test_a_task_with_a_queue_of_its_own_is_sent_by_the_app(project: Project) -> None:
    """Its options, its decorator and `task_routes` hold, also where it follows another one."""
    Path(project.folder / "place.go").touch()
    place = str(project.folder / "place")
    handle = enqueue(
        project,
        f"""[Task(id="A", call=resize, args=["a"]),
             Task(id="B", call=slow, args=[{place!r}], depends_on=["A"]),
             Task(id="C", call=resize.s("c").set(queue="other", priority=3), depends_on=["A"]),
             Task(id="D", call=resize.s("d"), depends_on=["B", "C"])]""",
    )
    start_worker(project, "w1", *ONE, "-Q", "celery")
    wait_until(lambda: handle.progress().completed == 1)
    client = server_of(project)
    wait_until(lambda: client.llen("slow") == client.llen("other\x06\x163") == 1)
    start_worker(project, "w2", *ONE, "-Q", "slow,other")
    assert handle.wait(timeout=60).status == FeatureStatus.COMPLETED


def test_a_revoked_task_that_waits_is_cancelled_and_not_begun(project: Project) -> None:
    handle = enqueue(project, calls("nap", 900))
    client = server_of(project)
    waiting = [str(text) for text in client.lrange("celery", 0, -1)]
    (message,) = {found for text in waiting for found in re.findall(r'"id":"([^"]+:T890:1:\w+)"', text)}
    start_worker(project, "w1", *ONE)
    wait_until(lambda: handle.progress().completed >= 3)
    project.run("celery", "-A", "proj", "control", "revoke", message, check=True)
    wait_until(lambda: handle.store.tasks.state(handle.id, "T890").status == TaskStatus.CANCELLED)
    assert handle.progress().completed < 890
    handle.cancel()
    assert "work_started" not in {event.event for event in handle.follow() if event.task == "T890"}


@pytest.mark.parametrize(
    "control",
    [["cancel_consumer", "celery"], ["rate_limit", "call:proj.tasks.nap", "1/h"]],
    ids=lambda given: given[0],
)
def test_controls_hold(project: Project, control: list[str]) -> None:
    """Nothing more is taken."""
    handle = enqueue(project, calls("nap", 400))
    start_worker(project, "w1", *ONE)
    wait_until(lambda: handle.progress().completed >= 3)
    project.run("celery", "-A", "proj", "control", *control, check=True)
    counts: list[int] = []

    def stands_still() -> bool:
        counts.append(handle.progress().completed)
        return len(counts) > 150 and len(set(counts[-100:])) == 1

    wait_until(stands_still)
    assert handle.progress().completed < 400
    if control[0] == "cancel_consumer":
        project.run("celery", "-A", "proj", "control", "add_consumer", "celery", check=True)
        wait_until(lambda: handle.progress().completed > counts[-1] + 5)


def test_a_worker_that_is_killed_loses_nothing(project: Project) -> None:
    handle = enqueue(project, calls("nap", 60))
    first = start_worker(project, "w1", *ONE)
    wait_until(lambda: handle.progress().completed >= 5)
    os.killpg(first.pid, signal.SIGKILL)
    start_worker(project, "w2", *ONE)
    assert handle.wait(timeout=100).status == FeatureStatus.COMPLETED
    assert sum(event.event == "worker_lost" for event in handle.follow()) <= 1
