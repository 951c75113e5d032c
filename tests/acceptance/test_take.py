"""Processes take their next task in the step that commits the last: Celery's view of it, and its controls."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import redis

from orchestrator.client.handle import Handle
from orchestrator.model.event import Event
from orchestrator.model.feature import Feature, FeatureStatus
from orchestrator.model.task import TaskStatus
from orchestrator.state.keys import Keys
from tests.acceptance.conftest import MakeProject, Project, all_events
from tests.events import listening
from tests.redis_server import client_of
from tests.waiting import wait_until

pytestmark = pytest.mark.real

POOLS = ("prefork", "threads", "solo")
QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")

WORK = """
import os
import time
from pathlib import Path


def noop(context):
    return {"pid": os.getpid()}


def nap(context):
    time.sleep(context.task.params.get("seconds", 0.02))


def hold(context):
    Path(context.task.params["place"]).write_text(str(os.getpid()))
    while True:
        time.sleep(0.01)
"""

OWN = """
from pathlib import Path

from celery import shared_task


@shared_task(name="own.touch")
def touch(place):
    Path(place).touch()
"""

SPECIALISTS: dict[str, Any] = {
    "writer": {"python": "work:noop"},
    "napper": {"python": "work:nap"},
    "holder": {"python": "work:hold"},
}


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    return project_of(make_project)


def project_of(make_project: MakeProject, **sections: Any) -> Project:
    recovery = {"lease": "2s", "sweep": "200ms", "grace": "300ms", "patience": "30s"}
    project = make_project(**{"specialists": SPECIALISTS, "recovery": recovery, **sections})
    (project.folder / "work.py").write_text(WORK, "utf-8")
    return project


def server_of(project: Project) -> redis.Redis:
    url = project.settings.redis.url
    assert url
    return client_of(url.get_secret_value())


def start(project: Project, pool: str = "prefork", *options: str, size: int = 1) -> subprocess.Popen[bytes]:
    """Start a worker, and wait until it is ready."""
    log = project.folder / "one.log"
    worker = project.start_worker("one", "--pool", pool, "-c", str(size), *QUIET, *options, log=log)
    wait_until(lambda: " ready." in log.read_text("utf-8"))
    return worker


def log_of(project: Project) -> str:
    return (project.folder / "one.log").read_text("utf-8")


def tasks(number: int, specialist: str = "writer", **params: Any) -> list[dict[str, Any]]:
    """Independent tasks."""
    return [{"id": f"T{place}", "specialist": specialist, "params": params} for place in range(1, number + 1)]


def enqueue(project: Project, tasks: list[dict[str, Any]], **fields: Any) -> Handle:
    feature = {"title": "Take", "max_parallel_tasks": 1_000, "tasks": tasks, **fields}
    return project.enqueue(Feature.model_validate(feature))


def celery(project: Project, *arguments: str) -> str:
    """`celery -A orchestrator …` as a person would run it."""
    return project.run("celery", "-A", "orchestrator", *arguments, check=True).stdout


def taken(project: Project) -> int:
    """How many messages were taken from the queues by scripts: Celery itself takes them with BRPOP."""
    stats: Any = server_of(project).info("commandstats")
    return int(stats.get("cmdstat_rpop", {}).get("calls", 0))


def took(project: Project, number: int) -> bool:
    return taken(project) >= number


# --- it takes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", POOLS)
def test_a_process_goes_on_by_itself_through_a_line(project: Project, pool: str) -> None:
    # Given a worker with one process, and tasks that each wait for the one before
    start(project, pool)
    line = [{"id": f"T{place}", "specialist": "writer", "depends_on": [f"T{place - 1}"] * (place > 1)}
            for place in range(1, 41)]  # fmt: skip

    # When they run
    handle = enqueue(project, line)

    # Then each ran once, and nearly all were taken by the process itself
    assert handle.wait().status is FeatureStatus.COMPLETED
    started = [event.task for event in all_events(handle) if event.event == "work_started"]
    assert started == [task["id"] for task in line]
    assert took(project, 30)


def test_false_turns_it_off(make_project: MakeProject) -> None:
    project = project_of(make_project, parallelism={"take": False})
    start(project)
    assert enqueue(project, tasks(20)).wait().status is FeatureStatus.COMPLETED
    assert taken(project) == 0


@pytest.mark.parametrize("pool", POOLS)
def test_features_and_queues_take_turns(project: Project, pool: str) -> None:
    # Given two features, each with a specialist that has a queue of its own
    first = enqueue(project, tasks(12, "napper", seconds=0.01), id="first")
    second = enqueue(project, tasks(12, "writer"), id="second")

    # When one process does all
    start(project, pool)

    # Then it took from both queues in turn
    assert first.wait().status is second.wait().status is FeatureStatus.COMPLETED
    starts = sorted(
        (event.id, handle.id)
        for handle in (first, second)
        for event in all_events(handle)
        if event.event == "work_started"
    )
    order = [feature for _, feature in starts]
    assert took(project, 15)
    assert {"first", "second"} <= set(order[:6])


# --- Celery's view -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", POOLS)
def test_monitors_and_the_log_see_each_task_as_if_it_had_come_by_itself(project: Project, pool: str) -> None:
    # Given a worker that sends events
    start(project, pool, "-E")
    names = [f"T{place}" for place in range(1, 21)]

    # When tasks run that one process takes
    events: list[dict[str, Any]] = []
    with listening(project.settings, events):
        handle = enqueue(project, tasks(20))
        assert handle.wait().status is FeatureStatus.COMPLETED
        wait_until(lambda: len([event for event in events if event["type"] == "task-succeeded"]) == 20)

    # Then each has its events in their order, each with the moment at which it happened
    assert took(project, 10)
    for name in names:
        of_task = [event for event in events if f":{name}:" in event.get("uuid", "")]
        assert [event["type"] for event in of_task] == ["task-received", "task-started", "task-succeeded"]
        stamps = [event["timestamp"] for event in of_task]
        assert stamps == sorted(stamps)
        assert of_task[0]["name"] == "writer"
        assert of_task[0]["args"] == f"('{handle.id}', '{name}', 1)"
        assert of_task[2]["result"] == f"'{name}: completed'"
    log = log_of(project)
    for name in names:
        lines = re.findall(rf"Task writer\[{handle.id}:{name}:1:[0-9a-f]+\] (received|succeeded)", log)
        assert lines == ["received", "succeeded"]


@pytest.mark.parametrize("pool", POOLS)
def test_inspect_shows_a_taken_attempt_and_its_lease_is_renewed(project: Project, pool: str) -> None:
    # Given a process that has taken a task which holds longer than its lease
    start(project, pool)
    place = project.folder / "place"
    handle = enqueue(project, [*tasks(5), hold(place)])
    wait_until(place.exists)

    # When it is looked at (a solo worker answers no command while it works)
    if pool != "solo":
        (active,) = (project.client().app.control.inspect(timeout=60, limit=1).active() or {}).values()
        assert [request["id"].split(":")[1] for request in active] == ["hold"]
        assert active[0]["worker_pid"] == int(place.read_text())

    # Then no lease ends meanwhile
    time.sleep(2.5 * project.settings.recovery.lease)
    assert not [event for event in all_events_so_far(handle) if event.event == "worker_lost"]
    assert [state.attempt for state in handle.states()] == [1] * 6


# --- Celery's controls -------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", POOLS)
def test_a_warm_shutdown_ends_a_run_at_its_next_boundary(make_project: MakeProject, pool: str) -> None:
    # Given a process in the middle of a run that would go on for a minute
    project = project_of(make_project, parallelism={"take": {"seconds": 60, "count": 1000}})
    worker = start(project, pool)
    handle = enqueue(project, tasks(400, "napper", seconds=0.05))
    wait_until(lambda: taken(project) > 5)

    # When the worker is told to end
    worker.send_signal(signal.SIGTERM)
    worker.wait(60)

    # Then it ended soon, and each task that began was completed or handed back
    progress = handle.progress()
    assert in_queue(project, "napper") + progress.queued > 100
    assert progress.counts.get(TaskStatus.IN_PROGRESS, 0) == 0

    # And another worker does the rest
    project.start_worker("two", "--pool", "threads", "-c", "20", *QUIET)
    assert handle.wait().status is FeatureStatus.COMPLETED
    assert all(state.lost == 0 for state in handle.states())


@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGKILL])
def test_a_worker_that_ends_at_once_loses_nothing(project: Project, how: signal.Signals) -> None:
    # Given a process in the middle of a run
    worker = start(project)
    handle = enqueue(project, tasks(200, "napper"))
    wait_until(lambda: taken(project) > 5)

    # When its worker ends at once
    worker.send_signal(how)
    worker.wait(60)

    # Then another one does the rest, and no completed task ran again
    project.start_worker("two", "--pool", "threads", "-c", "20", *QUIET)
    assert handle.wait().status is FeatureStatus.COMPLETED
    completed = [event.task for event in all_events(handle) if event.event == "work_completed"]
    assert len(completed) == len(set(completed))
    assert sum(state.attempt for state in handle.states()) <= 201


def test_a_process_that_is_killed_loses_the_attempt_at_work_and_no_other(project: Project) -> None:
    # Given a process that works on an attempt which it has taken
    start(project)
    place = project.folder / "place"
    handle = enqueue(project, [*tasks(5), hold(place)])
    wait_until(place.exists)
    assert took(project, 1)

    # When it is killed
    pid = int(place.read_text())
    place.unlink()
    os.kill(pid, signal.SIGKILL)

    # Then that attempt is recovered, and starts in another process
    wait_until(place.exists)
    assert int(place.read_text()) != pid
    lost = {state.id: (state.attempt, state.lost) for state in handle.states()}
    assert lost == {**{f"T{number}": (1, 0) for number in range(1, 6)}, "hold": (2, 1)}


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_terminate_ends_the_taken_attempt_and_the_worker_goes_on(project: Project, pool: str) -> None:
    # Given a process that works on an attempt which it has taken
    start(project, pool)
    place = project.folder / "place"
    handle = enqueue(project, [*tasks(5), hold(place)])
    wait_until(place.exists)

    # When that is terminated
    control = project.client().app.control
    (active,) = (control.inspect(timeout=60, limit=1).active() or {}).values()
    control.revoke([request["id"] for request in active], terminate=True)

    # Then it is cancelled, and nothing else is
    wait_until(lambda: handle.progress().in_flight == 0)
    assert {state.id: str(state.status) for state in handle.states()} == {
        **{f"T{number}": "completed" for number in range(1, 6)},
        "hold": "cancelled",
    }

    # And the worker goes on
    assert enqueue(project, tasks(5)).wait().status is FeatureStatus.COMPLETED


def test_a_revoked_task_that_waits_is_cancelled_and_not_begun(project: Project) -> None:
    # Given tasks in the queue of a process that is in the middle of a run
    start(project)
    handle = enqueue(project, tasks(300, "napper"))
    wait_until(lambda: taken(project) > 5)
    message = server_of(project).lindex(Keys().queue("napper"), 0)
    request = json.loads(str(message))["headers"]["id"]

    # When the last of them is revoked
    project.client().app.control.revoke(request)

    # Then it is cancelled, and never begins
    task = request.split(":")[1]
    wait_until(lambda: {state.id: state for state in handle.states()}[task].status == TaskStatus.CANCELLED)
    handle.wait()
    assert not [
        event for event in all_events_so_far(handle) if event.event == "work_started" and event.task == task
    ]


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_queue_that_is_cancelled_is_not_taken_from(make_project: MakeProject, pool: str) -> None:
    # Given a process in the middle of a run that would go on for a minute
    project = project_of(make_project, parallelism={"take": {"seconds": 60, "count": 1000}})
    start(project, pool)
    handle = enqueue(project, tasks(300, "napper", seconds=0.05))
    wait_until(lambda: taken(project) > 5)

    # When its worker is told to leave the queue alone
    control = project.client().app.control
    control.cancel_consumer("napper", reply=True, timeout=60, limit=1)
    time.sleep(1.0)

    # Then it takes no more from it
    before = in_queue(project, "napper")
    time.sleep(1.0)
    assert in_queue(project, "napper") == before > 100

    # Until it is told to take again
    control.add_consumer("napper", reply=True, timeout=60, limit=1)
    assert handle.wait().status is FeatureStatus.COMPLETED


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_rate_limit_that_is_set_while_it_runs_is_kept(make_project: MakeProject, pool: str) -> None:
    # Given a process in the middle of a run that would go on for a minute
    project = project_of(make_project, parallelism={"take": {"seconds": 60, "count": 1000}})
    start(project, pool)
    enqueue(project, tasks(300, "napper", seconds=0.05))
    wait_until(lambda: taken(project) > 5)

    # When a rate limit is set
    project.client().app.control.rate_limit("napper", "1/s", reply=True, timeout=60, limit=1)
    time.sleep(1.0)

    # Then nothing more is taken past Celery, which keeps the rate
    before, waiting = taken(project), in_queue(project, "napper")
    time.sleep(3.0)
    assert taken(project) == before
    assert 0 < waiting - in_queue(project, "napper") <= 6


@pytest.mark.parametrize(
    "options",
    [
        ("--max-tasks-per-child", "7"),
        ("--max-memory-per-child", "1000000"),
        ("--time-limit", "60"),
        ("--soft-time-limit", "60"),
        ("--autoscale", "2,1"),
        ("--prefetch-multiplier", "2"),
        ("--statedb", "state.db"),
    ],
)
def test_where_celery_has_to_see_each_task_nothing_is_taken(
    project: Project, options: tuple[str, ...]
) -> None:
    start(project, "prefork", *options)
    assert enqueue(project, tasks(20)).wait().status is FeatureStatus.COMPLETED
    assert taken(project) == 0


@pytest.mark.parametrize("pool", POOLS)
def test_another_queue_with_tasks_of_ones_own_is_not_starved(make_project: MakeProject, pool: str) -> None:
    # Given a worker that serves a queue of ours, and one with a Celery task of the project's own
    project = project_of(make_project, imports=["own"], parallelism={"take": {"seconds": 0.3, "count": 50}})
    (project.folder / "own.py").write_text(OWN, "utf-8")
    start(project, pool, "-Q", "napper,other")
    handle = enqueue(project, tasks(400, "napper", seconds=0.02))
    wait_until(lambda: taken(project) > 5)

    # When such a task is sent in the middle of a run
    project.client().app.send_task("own.touch", (str(project.folder / "touched"),), queue="other")

    # Then it has its turn long before the queue of ours is empty
    wait_until((project.folder / "touched").exists)
    assert in_queue(project, "napper") > 100
    assert handle.wait().status is FeatureStatus.COMPLETED


@pytest.mark.parametrize(
    "change",
    [
        {"headers": {"eta": "2030-01-01T00:00:00+00:00"}},
        {"headers": {"task": "holder"}},
        {"headers": {"id": "auth:T1:1:0123456789ab"}},
        {"content-type": "application/x-python-serialize"},
        {"body": '[["auth", "T1", 1], {}, {"chain": []}]'},
    ],
)
def test_a_message_that_is_not_ours_is_left_to_celery(project: Project, change: dict[str, Any]) -> None:
    # Given a task whose message somebody has changed, behind one that is as it should be
    handle = enqueue(project, tasks(2))
    server, queue = server_of(project), Keys().queue("writer")
    first, second = map(json.loads, map(str, server.lrange(queue, 0, -1)))
    server.delete(queue)
    changed = {**first, **change, "headers": {**first["headers"], **change.get("headers", {})}}
    server.lpush(queue, json.dumps(second), json.dumps(changed))

    # When a process takes from the queue
    start(project)

    # Then it takes what is as it should be, and Celery refuses the other, or keeps it until its time
    wait_until(lambda: sum(state.status == TaskStatus.COMPLETED for state in handle.states()) >= 1)
    wait_until(lambda: in_queue(project, "writer") == 0)
    assert taken(project) == 0


# --- helpers -----------------------------------------------------------------------------------------------


def hold(place: Path) -> dict[str, Any]:
    """A task that never ends, after those of `tasks(5)`."""
    after = [f"T{number}" for number in range(1, 6)]
    return {"id": "hold", "specialist": "holder", "params": {"place": str(place)}, "depends_on": after}


def in_queue(project: Project, queue: str) -> int:
    """How many messages wait in a queue."""
    return int(str(server_of(project).llen(Keys().queue(queue))))


def all_events_so_far(handle: Handle) -> list[Event]:
    return handle.events("-")
