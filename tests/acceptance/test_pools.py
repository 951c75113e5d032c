"""The promises, in each pool that Celery brings. What one cannot keep is in docs/explanation/stopping.md, "Pools"."""

from __future__ import annotations

import signal
import subprocess
from functools import partial
from typing import Any

import pytest

from orchestrator.client.handle import Handle
from orchestrator.model.feature import Feature, FeatureStatus
from orchestrator.model.outcome import Failed, FailureCause
from orchestrator.model.task import TaskStatus
from tests.acceptance.conftest import MakeProject, Project, all_events
from tests.waiting import wait_until

pytestmark = pytest.mark.real

POOLS = ("prefork", "solo", "threads", "gevent", "eventlet")

WORK = """
import time
from pathlib import Path


def nap(context):
    time.sleep(context.task.params["seconds"])


def run_for_ever(context):
    while True:
        time.sleep(0.01)


def hold(context):
    "Nobody else may hold it; FileExistsError otherwise."
    place = Path(context.task.params["place"])
    place.mkdir()
    try:
        run_for_ever(context)
    finally:
        place.rmdir()
"""

HOLD = 'mkdir "$0" || exit 1; trap "rmdir \\"$0\\"; exit 1" TERM; while :; do sleep 0.05; done'
"""The same as a command."""

SPECIALISTS = {
    "napper": {"python": "work:nap"},
    "runner": {"python": "work:run_for_ever"},
    "holder": {"python": "work:hold"},
}


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    project = make_project(
        specialists=SPECIALISTS,
        recovery={"lease": "1s", "sweep": "100ms", "grace": "200ms", "patience": "30s"},
    )
    (project.folder / "work.py").write_text(WORK, "utf-8")
    return project


def start(project: Project, name: str, pool: str, *options: str) -> subprocess.Popen[bytes]:
    size = "1" if pool == "solo" else "4"
    quiet = ("--without-mingle", "--without-gossip", "--without-heartbeat")
    worker = project.start_worker(name, "--pool", pool, "-c", size, *quiet, *options)
    wait_until(lambda: " ready." in (project.folder / f"{name}.log").read_text("utf-8"))
    return worker


def enqueue(project: Project, *tasks: dict[str, Any]) -> Handle:
    feature = {"title": "Pool", "strategy": "parallel", "max_parallel_tasks": 4, "tasks": tasks}
    return project.enqueue(Feature.model_validate(feature))


def naps(number: int, seconds: float) -> list[dict[str, Any]]:
    return [
        {"id": f"T{place}", "specialist": "napper", "params": {"seconds": seconds}} for place in range(number)
    ]


def is_settled(handle: Handle) -> bool:
    return handle.progress().is_settled


def runs(handle: Handle, attempt: int) -> bool:
    return all(
        state.status is TaskStatus.IN_PROGRESS and state.attempt == attempt for state in handle.states()
    )


@pytest.mark.parametrize("pool", POOLS)
def test_a_pool_keeps_pace_and_leases_and_ends_what_is_cancelled_or_late(project: Project, pool: str) -> None:
    start(project, "w1", pool)

    # Pace: somebody works for most of the time, and does not wait for a clock
    handle = enqueue(project, *naps(4 if pool == "solo" else 16, 0.1))
    wait_until(partial(is_settled, handle))
    assert busy(handle) > 1 / 3

    # Leases: what takes several of them is begun once. Time limits: of a command, and of Python code
    late: list[dict[str, Any]] = [
        {"id": "command", "run": ["sleep", "600"], "timeout": "300ms"},
        {"id": "python", "specialist": "runner", "timeout": "300ms"},
    ]
    handle = enqueue(project, *naps(1, 2.5), *late)
    wait_until(partial(is_settled, handle))
    states = {state.id: state for state in handle.states()}
    assert (states["T0"].status, states["T0"].attempt, states["T0"].lost) == ("completed", 1, 0)
    for task in ("command", "python"):
        outcome = handle.outcome(task)
        assert isinstance(outcome, Failed)
        assert outcome.cause is FailureCause.TIMEOUT

    # Cancel: a command is ended
    place = project.folder / "cancelled"
    handle = enqueue(project, {"id": "held", "run": ["sh", "-c", HOLD, str(place)]})
    wait_until(place.exists)
    handle.cancel()
    wait_until(lambda: not place.exists())
    wait_until(lambda: handle.progress().status is FeatureStatus.CANCELLED)


def busy(handle: Handle) -> float:
    """The share of the time from the first start to the last end in which at least one task ran."""
    started = {event.task: event.time for event in all_events(handle) if event.target == "in-progress"}
    ended = {
        event.task: event.time for event in all_events(handle) if event.target == "completed" and event.task
    }
    spans = sorted((started[task], ended[task]) for task in ended)
    worked, until = 0.0, spans[0][0]
    for begin, end in spans:
        worked += max(0.0, end - max(begin, until))
        until = max(until, end)
    return worked / (until - spans[0][0])


@pytest.mark.parametrize("pool", POOLS)
def test_a_pool_hands_back_what_runs_warm_and_cold_when_it_has_ended(project: Project, pool: str) -> None:
    # Given a worker in the midst of Python code and of a command that never end, and nobody else may run beside
    first = start(project, "w1", pool)
    python, command = project.folder / "python", project.folder / "command"
    tasks: list[dict[str, Any]] = [
        {"id": "python", "specialist": "holder", "params": {"place": str(python)}},
        {"id": "command", "run": ["sh", "-c", HOLD, str(command)]},
    ]
    places = [python, command][: 1 if pool == "solo" else 2]
    handle = enqueue(project, *tasks[: len(places)])
    wait_until(lambda: all(place.exists() for place in places) and runs(handle, 1))

    # When it is told to end warm (solo answers no remote control while it works), and there is another one
    second = start(project, "w2", pool)
    if pool == "solo":
        first.send_signal(signal.SIGTERM)
    else:
        project.client().app.control.shutdown(destination=[hostname(project, "w1")])

    # Then the grace is kept, what runs is ended and handed back, and begun there
    assert first.wait(60) == 0
    wait_until(lambda: all(place.exists() for place in places) and runs(handle, 2))

    # And the same where that one is told to end cold
    second.send_signal(signal.SIGQUIT)
    second.wait(60)
    assert not any(place.exists() for place in places)
    assert [(state.status, state.attempt, state.lost) for state in handle.states()] == [
        (TaskStatus.PENDING, 3, 0)
    ] * len(places)
    for name in ("w1", "w2"):
        assert "Traceback" not in (project.folder / f"{name}.log").read_text("utf-8")


def hostname(project: Project, name: str) -> str:
    """The node name of a worker, as its log has it."""
    words = (project.folder / f"{name}.log").read_text("utf-8").split()
    return next(word for word in words if word.startswith(f"{name}@"))


@pytest.mark.parametrize(
    "pool", [pool for pool in POOLS if pool != "solo"]
)  # it answers nobody while it works
def test_a_pool_ends_what_is_terminated_and_it_starts_nowhere_again(project: Project, pool: str) -> None:
    # Given Python code and a command that never end, in a worker that goes on with others
    start(project, "w1", pool)
    python, command = project.folder / "python", project.folder / "command"
    handle = enqueue(
        project,
        {"id": "python", "specialist": "holder", "params": {"place": str(python)}},
        {"id": "command", "run": ["sh", "-c", HOLD, str(command)]},
    )
    wait_until(lambda: python.exists() and command.exists() and runs(handle, 1))

    # When somebody terminates both by Celery's means
    control = project.client().app.control
    requests = (control.inspect(timeout=60, limit=1).active() or {})[hostname(project, "w1")]
    control.revoke([request["id"] for request in requests], terminate=True)

    # Then both are ended and cancelled, no worker counts as lost, and the slots are free
    wait_until(lambda: handle.progress().in_flight == 0)
    assert not python.exists()
    assert not command.exists()
    assert [(state.status, state.attempt, state.lost) for state in handle.states()] == [
        (TaskStatus.CANCELLED, 1, 0)
    ] * 2
    assert "Traceback" not in (project.folder / "w1.log").read_text("utf-8")

    # And the worker goes on
    after = enqueue(project, *naps(4, 0.1))
    wait_until(partial(is_settled, after))
    assert after.progress().status is FeatureStatus.COMPLETED


SLOW_TO_HEAR = """
# The main process does not come to read that a process took a task, before it is told to end.
import time

from celery.worker import state

before = state.maybe_shutdown


def maybe_shutdown():
    while state.should_stop is None and any(was_given(request) for request in list(state.reserved_requests)):
        time.sleep(0.01)
    before()


def was_given(request):
    job = request._apply_result and request._apply_result()
    writer = getattr(job, "_writer", None)
    is_written = writer is not None and not (writer() and writer().gi_frame)
    return is_written and request not in state.active_requests


state.maybe_shutdown = maybe_shutdown
"""


def test_what_a_process_took_unheard_is_ended_and_handed_back_too(project: Project) -> None:
    # Given a worker that is told to end at the moment at which a task begins
    (project.folder / "slow.py").write_text(SLOW_TO_HEAR, "utf-8")
    worker = start(project, "w1", "prefork", "-I", "slow")
    handle = enqueue(project, {"id": "T1", "run": ["sleep", "600"]})
    wait_until(partial(runs, handle, 1))
    worker.terminate()

    # Then it does not wait for the task to its end
    assert worker.wait(60) == 0
    (state,) = handle.states()
    assert (state.status, state.attempt, state.lost) == (TaskStatus.PENDING, 2, 0)


TOLD_AS_IT_BEGINS = """
import signal
from pathlib import Path

from orchestrator.engine.attempt_recorder import AttemptRecorder

before = AttemptRecorder.start


def begin(*attempt):
    started = before(*attempt)
    Path("begun").touch()
    signal.pause()
    return started


AttemptRecorder.start = begin
"""


def test_what_is_told_to_end_as_it_begins_is_handed_back(project: Project) -> None:
    # Given a process that has begun an attempt, and not its work
    (project.folder / "told.py").write_text(TOLD_AS_IT_BEGINS, "utf-8")
    worker = start(project, "w1", "prefork", "-I", "told")
    handle = enqueue(project, {"id": "T1", "run": ["true"]})
    wait_until((project.folder / "begun").exists)

    # When it is told to end, then its work does not begin, and it hands itself back
    worker.terminate()
    assert worker.wait(60) == 0
    (state,) = handle.states()
    assert (state.status, state.attempt, state.lost) == (TaskStatus.PENDING, 2, 0)


STUCK = """
import time
from pathlib import Path

from celery import signals

from orchestrator.engine import watchdog

watchdog.PATIENCE = 0.3


@signals.task_prerun.connect
def hang_once(**_):
    if Path("hang").exists():
        Path("hang").rename("hangs")
        time.sleep(600)
"""


def test_a_process_that_took_a_task_and_does_not_begin_it_is_replaced(project: Project) -> None:
    # Given a process that hangs before its task begins
    (project.folder / "stuck.py").write_text(STUCK, "utf-8")
    (project.folder / "hang").touch()
    start(project, "w1", "prefork", "-c", "1", "-I", "stuck")

    # When it has a task, then another process does that, at once, and it is counted
    handle = enqueue(project, {"id": "T1", "run": ["true"]})
    wait_until(partial(is_settled, handle))
    (state,) = handle.states()
    assert (state.status, state.attempt, state.lost) == (TaskStatus.COMPLETED, 1, 0)
    store = project.client().store
    assert list(store.client.hgetall(store.keys.replaced).values()) == ["1"]
