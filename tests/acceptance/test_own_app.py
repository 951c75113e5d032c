"""A Celery app of one's own: a project with an app and tasks as people have them, whose workers run features too."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client.handle import Handle
from orchestrator.engine import broker
from orchestrator.local import processes
from orchestrator.model.feature import FeatureStatus
from orchestrator.model.task import TaskStatus
from orchestrator.state import connections
from tests.acceptance.conftest import MakeProject, Project
from tests.waiting import wait_until

pytestmark = pytest.mark.real

CELERY = """
import orchestrator
from celery import Celery

app = Celery("proj", {servers} include=["proj.tasks"])
app.conf.task_routes = {{"proj.tasks.slow": {{"queue": "slow"}}}}
orchestrator.install(app)
"""

TASKS = """
import asyncio
import os
import time
from pathlib import Path

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from proj.celery import app


@shared_task
def resize(name, width=100):
    return f"{name}@{width}"


@app.task
def slow(place):
    with Path(place).open("a") as file:
        file.write(f"{os.getpid()}\\n")
    while not Path(place + ".go").exists():
        time.sleep(0.02)
    return "slept"


@app.task(bind=True, max_retries=3)
def flaky(self, times):
    if self.request.retries < times:
        raise self.retry(countdown=0.05)
    return [self.request.retries, self.request.delivery_info["routing_key"]]


@app.task
def fail():
    raise ValueError("no")


@app.task(time_limit=1)
def hang():
    time.sleep(600)


@app.task(soft_time_limit=1)
def tidy():
    try:
        time.sleep(600)
    except SoftTimeLimitExceeded:
        return "tidied up"


@app.task(bind=True)
def begin(self):
    return self.replace(slow.si(os.path.abspath("place")))


met = 0


@app.task
async def meet(everybody):
    global met
    met += 1
    while met < everybody:
        await asyncio.sleep(0.01)
    return met
"""


def own_project(make_project: MakeProject, servers: str = "", **settings: Any) -> Project:
    """A project with a Celery app of its own.

    Args:
        make_project: The fixture.
        servers: The arguments of its Celery app that name servers; "" for none.
        settings: More of the configuration.
    """
    project = make_project(app="proj", **settings)
    package = project.folder / "proj"
    package.mkdir()
    given = servers.format(url=url_of(project))
    (package / "__init__.py").touch()
    (package / "celery.py").write_text(CELERY.format(servers=given), "utf-8")
    (package / "tasks.py").write_text(TASKS, "utf-8")
    return project


def url_of(project: Project) -> str:
    """The URL of the project's Redis, as Celery takes it."""
    return broker.address(connections.redis_url(project.settings)).url


THEIRS = 'broker="{url}", backend="{url}",'


def start_worker(project: Project, name: str, *options: str, app: str = "proj") -> subprocess.Popen[bytes]:
    """`celery -A proj worker -n NAME@%h …`, when it is ready."""
    command = ["-A", app, "worker", "-n", f"{name}@%h", "--loglevel", "info", "-c", "2", *options]
    log = project.folder / f"{name}.log"
    worker = project.stack.enter_context(processes.celery(project.settings, command, log))
    wait_until(lambda: " ready." in log.read_text("utf-8"))
    return worker


def run(project: Project, program: str) -> str:
    """The output of a program of the project."""
    done = project.run("python", "-c", f"from proj.tasks import *\nfrom orchestrator import *\n{program}")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def file_of(project: Project, *tasks: dict[str, Any]) -> str:
    return project.write("images.yaml", {"title": "Images", "id": "images", "tasks": list(tasks)})


def handle(project: Project, feature: str = "images") -> Handle:
    return project.client().feature(feature)


@pytest.mark.parametrize("servers", [THEIRS, ""], ids=["their broker", "no broker of its own"])
def test_their_worker_runs_both(make_project: MakeProject, servers: str) -> None:
    """A worker of theirs runs the tasks of a feature, each on its own queue, beside those that they send."""
    project = own_project(make_project, servers)
    start_worker(project, "w1", "-Q", "celery,slow")
    printed = run(
        project,
        """
feature = Feature(title="Images", id="images", tasks=[
    resize.s("a.png", width=3), Task(id="F", call="proj.tasks.flaky", args=[2]), Task(id="bad", call=fail)])
handle = enqueue(feature)
handle.wait(timeout=60)
print(handle.result("resize"), handle.result("F"), handle.outcome("bad").reason)
"""
        + ('print(resize.delay("b.png").get(timeout=30))' if servers else 'resize.delay("b.png")'),
    )
    assert printed.split("\n")[0] == "a.png@3 [2, 'celery'] ValueError: no"
    assert "b.png@100" in printed if servers else True
    wait_until(lambda: "'b.png@100'" in (project.folder / "w1.log").read_text("utf-8"))


def test_a_lost_worker(make_project: MakeProject, tmp_path: Path) -> None:
    """A worker that is killed in the midst of a task: another one runs it again, and what came before stays done."""
    project, place = own_project(make_project, THEIRS), tmp_path / "place"
    first = start_worker(project, "w1", "-Q", "celery,slow")
    tasks = [
        {"id": "T1", "call": "proj.tasks.resize", "args": ["a.png"]},
        {"id": "T2", "call": "proj.tasks.slow", "args": [str(place)], "depends_on": ["T1"]},
        {"id": "T3", "call": "proj.tasks.resize", "args": ["b.png"], "depends_on": ["T2"]},
    ]
    project.run("orchestrator", "enqueue", file_of(project, *tasks), check=True)
    wait_until(place.exists)
    os.killpg(first.pid, signal.SIGKILL)
    start_worker(project, "w2", "-Q", "celery,slow")
    wait_until(lambda: len(place.read_text().split()) == 2)
    Path(f"{place}.go").touch()
    assert handle(project).wait(timeout=60).status == FeatureStatus.COMPLETED
    assert {state.id: state.attempt for state in handle(project).states()} == {"T1": 1, "T2": 2, "T3": 1}


def test_queues(make_project: MakeProject) -> None:
    """Without -Q a worker takes from the queues of the app and from ours; with it, from those that it names."""
    project = own_project(make_project, THEIRS)

    def taken(*options: str) -> set[str]:
        worker = start_worker(project, "w1", *options)
        found = {name for one in project.client().store.workers.present() for name in one.queues}
        processes.stop(worker)
        wait_until(lambda: not project.client().store.workers.present())
        (project.folder / "w1.log").unlink()
        return found

    ours = set(project.settings.specialists)
    assert taken() == {"celery", *ours}
    assert taken("-Q", "slow,senior-engineer") == {"slow", "senior-engineer"}
    assert taken("-X", "senior-engineer") == {"celery", *ours} - {"senior-engineer"}


def test_nothing_of_theirs_is_changed(make_project: MakeProject) -> None:
    """The app's settings, classes and tasks are what they are without the engine."""
    project = own_project(make_project, THEIRS)
    look = """
from proj.celery import app
print(sorted((name, str(value)) for name, value in app.conf.table().items()))
print([type(each) for each in (app, app.amqp, app.control, app.log, app.loader)])
print(app.Task.mro(), app.AsyncResult.mro())
print(sorted(name for name in app.tasks if name.startswith("proj.")), resize.signature_from_request.__qualname__)
"""
    installed = run(project, look)
    source = project.folder / "proj" / "celery.py"
    source.write_text(source.read_text().replace("orchestrator.install(app)", ""), "utf-8")
    assert run(project, look) == installed


def test_what_a_file_may_call(make_project: MakeProject) -> None:
    """A feature file calls what the operator has allowed: else the enqueue is refused, with the next step."""
    project = own_project(make_project, trust={"calls": ["proj.tasks.re*"]})
    allowed = file_of(project, {"id": "T1", "call": "proj.tasks.resize", "args": ["a.png"]})
    assert project.orchestrator("enqueue", allowed).returncode == 0
    (project.folder / "other.yaml").write_text("title: Other\ntasks: [{id: T1, call: proj.tasks.slow}]\n")
    refused = project.orchestrator("enqueue", "other.yaml")
    assert refused.returncode == 2
    assert 'calls: ["proj.tasks.slow"]' in " ".join(refused.stderr.split())


def test_a_decision_reaches_their_worker(make_project: MakeProject) -> None:
    """`orchestrator retry` sends the message through the app, to the queue of the task."""
    project = own_project(make_project, THEIRS)
    start_worker(project, "w1")
    project.run(
        "orchestrator", "enqueue", file_of(project, {"id": "T1", "call": "proj.tasks.fail"}), check=True
    )
    wait_until(lambda: handle(project).states()[0].status == TaskStatus.FAILED)
    project.run("orchestrator", "retry", "images", "T1", check=True)
    wait_until(lambda: handle(project).states()[0].attempt == 2)
    with connections.open_client(connections.redis_url(project.settings)) as client:
        assert not [key for key in client.keys("*") if "call:" in str(key) and client.type(key) == "list"]


def test_limits_and_replacements_of_a_task(make_project: MakeProject) -> None:
    """The time limits of a task hold in a feature; a task that replaces another runs on its own queue."""
    project = own_project(make_project, THEIRS)
    (project.folder / "place.go").touch()
    start_worker(project, "w1", "-Q", "celery,slow")
    printed = run(
        project,
        """
handle = enqueue(Feature(title="Limits", tasks=[
    Task(id="hang", call=hang), Task(id="tidy", call=tidy), Task(id="begin", call=begin)]))
handle.wait(timeout=60)
print(handle.outcome("hang").cause, handle.result("tidy"), handle.result("begin"), sep=", ")
print(handle.outcome("hang").reason)
""",
    )
    assert printed.splitlines() == [
        "timeout, tidied up, slept",
        "ended after 1 s, the hard time limit of the task (time_limit)",
    ]


def test_async_tasks_wait_side_by_side(make_project: MakeProject) -> None:
    """In a pool of threads, as many `async def` tasks wait at once as the pool has threads, on one event loop."""
    project = own_project(make_project, THEIRS)
    start_worker(project, "w1", "--pool", "threads", "-c", "40")
    printed = run(
        project,
        """
tasks = [Task(id=f"T{number}", call=meet, args=[40]) for number in range(40)]
handle = enqueue(Feature(title="Meeting", max_parallel_tasks=40, tasks=tasks))
print(handle.wait(timeout=60).status, {handle.result(task.id) for task in tasks})
""",
    )
    assert printed == "completed {40}"


def test_a_worker_that_was_not_restarted(make_project: MakeProject) -> None:
    """It refuses messages of features as unknown tasks. They come again, until a worker takes them that knows."""
    recovery = {"lease": "3s", "sweep": "200ms", "patience": "500ms"}
    project = own_project(make_project, THEIRS, recovery=recovery)
    source = (project.folder / "proj" / "celery.py").read_text("utf-8")
    (project.folder / "old.py").write_text(source.replace("orchestrator.install(app)", ""), "utf-8")
    start_worker(project, "old", app="old")
    printed = run(
        project,
        """
tasks = [resize.s(str(number)) for number in range(4)]
print(enqueue(Feature(title="Early", id="early", tasks=tasks)).id, resize.delay("own").get(timeout=60))
""",
    )
    assert printed == "early own@100"
    log = project.folder / "old.log"
    wait_until(lambda: log.read_text("utf-8").count("Received unregistered task") >= 4)
    start_worker(project, "new")
    assert handle(project, "early").wait(timeout=60).status == FeatureStatus.COMPLETED


def test_a_queue_without_a_worker(make_project: MakeProject) -> None:
    """`watch` asks the app for the queue of a called task. `explain` imports nothing of theirs, and claims nothing."""
    project = own_project(make_project, THEIRS)
    start_worker(project, "w1")
    calls: list[dict[str, Any]] = [
        {"id": "T1", "call": "proj.tasks.slow", "args": ["place"]},
        {"id": "T2", "call": "proj.tasks.fail"},
    ]
    project.run("orchestrator", "enqueue", file_of(project, *calls), check=True)
    wait_until(lambda: handle(project).progress().stopped == 1)
    watch = project.stack.enter_context(
        subprocess.Popen(
            ["orchestrator", "watch", "images"],
            cwd=project.folder,
            env=project.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    )
    project.stack.callback(processes.stop, watch)
    assert watch.stderr is not None
    said = next(line.decode() for line in watch.stderr if b"No worker takes from" in line)
    assert "from slow: tasks sent there wait" in said
    assert said.strip().endswith("celery -A proj worker -Q slow")
    explained = project.run("orchestrator", "explain", "images", "T1", check=True).stdout
    assert "was sent to its queue, and waits for a worker" in explained
    assert "orchestrator watch images" in explained
