"""Canvases as features, through the workers of a project's own Celery app."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from orchestrator.engine import broker
from orchestrator.local import processes
from orchestrator.state import connections
from tests.acceptance.conftest import MakeProject, Project
from tests.waiting import wait_until

pytestmark = pytest.mark.real

CELERY = """
import orchestrator
from celery import Celery

app = Celery("proj", broker="{url}", backend="{url}", include=["proj.tasks"])
orchestrator.install(app)
"""

TASKS = """
import os
import time
from pathlib import Path

from celery import chain, chord, group
from proj.celery import app

RUNS = Path("runs")


def note(*what):
    with RUNS.open("a") as file:
        file.write(" ".join(map(str, what)) + "\\n")


@app.task
def add(x, y):
    note("add", x, y)
    return x + y


@app.task
def tsum(numbers):
    note("tsum")
    return sum(numbers)


@app.task(bind=True)
def where(self, *_):
    note("where")
    return [self.request.delivery_info["routing_key"], self.request.headers]


@app.task
def fail():
    note("fail")
    raise ValueError("boom")


@app.task
def onerr(request, error, traceback):
    note("onerr", type(error).__name__)


@app.task
def old_onerr(task_id):
    note("old")


@app.task
def after(value):
    note("after", value)


@app.task
def slow(value):
    note("slow", value)
    while not Path("go").exists():
        time.sleep(0.02)
    return value


class Refused(Exception):
    pass


@app.task
def refuse(who):
    raise Refused(who, 3)


@app.task(bind=True)
def swap(self):
    note("swap")
    return self.replace(chain(add.s(1, 2), group(slow.s(), add.s(10)), tsum.s(), group(add.s(1), add.s(2))))
"""


def make(make_project: MakeProject) -> Project:
    project = make_project(app="proj")
    package = project.folder / "proj"
    package.mkdir()
    url = broker.address(connections.redis_url(project.settings)).url
    (package / "__init__.py").touch()
    (package / "celery.py").write_text(CELERY.format(url=url), "utf-8")
    (package / "tasks.py").write_text(TASKS, "utf-8")
    return project


def start_worker(project: Project, name: str) -> int:
    """`celery -A proj worker …`, when it is ready; returns its process id."""
    command = [
        "-A",
        "proj",
        "worker",
        "-n",
        f"{name}@%h",
        "--loglevel",
        "info",
        "-c",
        "2",
        "-Q",
        "celery,fast",
    ]
    log = project.folder / f"{name}.log"
    worker = project.stack.enter_context(processes.celery(project.settings, command, log))
    wait_until(lambda: " ready." in log.read_text("utf-8"))
    return worker.pid


def run(project: Project, program: str) -> str:
    """The output of a program of the project."""
    done = project.run("python", "-c", f"import json, orchestrator\nfrom proj.tasks import *\n{program}")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def runs(folder: Path) -> list[str]:
    return sorted((folder / "runs").read_text("utf-8").splitlines())


def test_canvases_give_their_values_and_each_task_runs_once(make_project: MakeProject) -> None:
    project = make(make_project)
    start_worker(project, "w1")

    printed = run(
        project,
        """
groups = chain(group(add.si(1, 1), add.si(2, 2)), group(add.si(3, 3), add.si(4, 4)), group(add.si(5, 5), add.si(6, 6)))
sent = chain(add.si(0, 0), where.s().set(queue="fast", priority=3, headers={"who": "me"}))
maps = chain(group(add.starmap([(1, 1), (2, 2)]), tsum.map([[1, 2], [3]])), add.chunks([(8, 8), (9, 9)], 1))
wide = chain(group(add.si(7, 7) for _ in range(11)), group(tsum.s() for _ in range(11)))  # a task gathers between
results = [orchestrator.enqueue(canvas).as_result() for canvas in (groups, sent, maps, wide)]
print(json.dumps([result.get(timeout=100) for result in results]))
""",
    )

    assert json.loads(printed) == [[10, 12], ["fast", {"who": "me"}], [[16], [18]], [154] * 11]
    mapped = ["add 1 1", "add 2 2", "tsum", "tsum", "add 8 8", "add 9 9"]
    gathered = [*["add 7 7"] * 11, *["tsum"] * 11]
    assert runs(project.folder) == sorted([*(f"add {n} {n}" for n in range(7)), "where", *mapped, *gathered])


def test_an_error_reaches_the_caller_and_the_errbacks(make_project: MakeProject) -> None:
    project = make(make_project)
    start_worker(project, "w1")

    printed = run(
        project,
        """
canvas = chord([chain(fail.si(), group(add.s(1), add.s(2))), add.si(1, 1)], tsum.s().on_error(onerr.s()))
try:
    orchestrator.enqueue(canvas).as_result().get(timeout=100)
except ValueError as error:
    print(repr(error))
alone = fail.si().on_error(old_onerr.s())
orchestrator.enqueue(alone).wait(timeout=100)
chained = fail.si().on_error(chain(old_onerr.s(), group(after.s(), after.s())))
orchestrator.enqueue(chained).wait(timeout=100)
""",
    )

    assert printed == "ValueError('boom')"
    expected = ["add 1 1", "after None", "after None", *["fail"] * 3, "old", "old", "onerr ChordError"]
    wait_until(lambda: len(runs(project.folder)) == len(expected))
    assert runs(project.folder) == expected


def test_a_result_is_there_before_its_callbacks_and_raises_what_the_task_raised(
    make_project: MakeProject,
) -> None:
    project = make(make_project)
    start_worker(project, "w1")

    printed = run(
        project,
        """
result = orchestrator.enqueue(chain(add.si(1, 1), add.s(2)).set(link=slow.s())).as_result()
print([result.get(timeout=100), result.state, result.parent.get(timeout=100)])
open("go", "w").close()
refused = orchestrator.enqueue(group(add.si(3, 3), chain(refuse.s("you"), add.s(4)))).as_result()
try:
    refused.get(timeout=100)
except Refused as error:
    print(error.args, [each.state for each in refused.results])
""",
    )

    assert printed.splitlines() == ["[4, 'SUCCESS', 2]", "('you', 3) ['SUCCESS', 'FAILURE']"]
    wait_until(lambda: "slow 4" in runs(project.folder))


def test_a_canvas_outlives_its_worker(make_project: MakeProject) -> None:
    project = make(make_project)
    first = start_worker(project, "w1")
    feature = run(
        project,
        """
canvas = chain(add.si(1, 2), slow.s(), add.s(4), group(add.s(10), add.s(20)), tsum.s())
print(orchestrator.enqueue(canvas).id)
""",
    )
    wait_until(lambda: (project.folder / "runs").exists() and "slow 3" in runs(project.folder))
    os.killpg(first, signal.SIGKILL)
    start_worker(project, "w2")
    wait_until(lambda: runs(project.folder).count("slow 3") == 2)
    (project.folder / "go").touch()

    with project.client() as client:
        handle = client.feature(feature)
        handle.wait(timeout=100)
        assert handle.result() == 44
    assert runs(project.folder) == ["add 1 2", "add 3 4", "add 7 10", "add 7 20", "slow 3", "slow 3", "tsum"]


def test_a_canvas_that_replaced_a_task_outlives_its_worker(make_project: MakeProject) -> None:
    """celery#9484, celery#10191, and a worker killed in the midst: the value arrives where the task's would have."""
    project = make(make_project)
    first = start_worker(project, "w1")
    feature = run(
        project,
        """
print(orchestrator.enqueue(chain(group(add.si(1, 1), swap.si(), add.si(2, 2)), add.s(["end"]))).id)
""",
    )
    wait_until(lambda: (project.folder / "runs").exists() and "slow 3" in runs(project.folder))
    with project.client() as client:  # what runs beside it is done, and would else be done again
        handle = client.feature(feature)
        wait_until(lambda: handle.outcome("swap.add-2") is not None)
    os.killpg(first, signal.SIGKILL)
    start_worker(project, "w2")
    wait_until(lambda: runs(project.folder).count("slow 3") == 2)
    (project.folder / "go").touch()

    with project.client() as client:
        handle = client.feature(feature)
        handle.wait(timeout=100)
        assert handle.result() == [2, [17, 18], 4, "end"]
    done = [line for line in runs(project.folder) if not line.startswith("slow")]
    assert done == [
        "add 1 1",
        "add 1 2",
        "add 16 1",
        "add 16 2",
        "add 2 2",
        "add 3 10",
        "add [2, [17, 18], 4] ['end']",
        "swap",
        "tsum",
    ]


def test_what_is_given_out_runs_as_plain_celery(make_project: MakeProject) -> None:
    """A chain of three groups is right there too, and the errors and errbacks of a chain are."""
    project = make(make_project)
    start_worker(project, "w1")

    printed = run(
        project,
        """
from orchestrator.planning import planner

def given_out(canvas):
    return planner.plan(orchestrator.adopt(canvas)).canvas(app).apply_async()

groups = chain(group(add.si(1, 1), add.si(2, 2)), group(add.si(3, 3), add.si(4, 4)), group(add.si(5, 5), add.si(6, 6)))
values = chain(add.si(1, 1), group(add.s(1), where.s().set(queue="fast", priority=3)), add.s(["end"]))
print(json.dumps([given_out(canvas).get(timeout=100) for canvas in (groups, values)]))
try:
    given_out(chain(add.si(7, 7), fail.si(), add.si(8, 8)).on_error(onerr.s())).get(timeout=100)
except Exception as error:
    print(error)
""",
    )

    first, second = printed.splitlines()
    assert json.loads(first) == [[10, 12], [3, ["fast", None], "end"]]
    assert "boom" in second
    wait_until(lambda: any(line.startswith("onerr") for line in runs(project.folder)))
    adds = [*(f"add {n} {n}" for n in range(1, 8)), "add 1 1", "add 2 1", "add [3, ['fast', None]] ['end']"]
    assert runs(project.folder) == sorted([*adds, "fail", "onerr ValueError", "where"])
