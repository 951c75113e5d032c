"""How Celery ends an attempt from outside: its time limit, Terminate and Revoke. It starts nowhere again."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from orchestrator.celery import create
from orchestrator.client import Handle
from orchestrator.models import Feature, Retries, Task
from tests.acceptance.conftest import MakeProject, Project, all_events
from tests.waiting import wait_until

pytestmark = pytest.mark.real

ALONE = ("--without-mingle", "--without-gossip", "--pool", "prefork")

DAEMON = """
trap '' TERM HUP
(setsid sh -c 'trap "" TERM; echo $$ >> {0}; while :; do sleep 600; done' &)
while :; do sleep 600; done
"""
"""A command that does not listen, with a daemon that does not either."""


def daemons(file: Path) -> list[int]:
    """One for each attempt that began."""
    return [int(pid) for pid in file.read_text().split()] if file.exists() else []


def living(file: Path) -> list[int]:
    return [pid for pid in daemons(file) if psutil.pid_exists(pid)]


def begun(project: Project, task: Task, *options: str) -> tuple[Handle, Path]:
    """A feature of one task, enqueued for a worker with these options."""
    project.start_worker("w", "-c", "1", *ALONE, *options)
    return project.enqueue(Feature(title="Ends", tasks=[task])), project.folder / "pids"


def a_daemon(project: Project, **fields: object) -> Task:
    command = ("sh", "-c", DAEMON.format(project.folder / "pids"))
    return Task.model_validate({"id": "T1", "run": command, **fields})


def test_a_hard_time_limit_is_a_timeout_and_its_retries_are_counted(make_project: MakeProject) -> None:
    # Given a worker with a hard time limit, and a task that takes longer and may be retried once
    project = make_project(recovery={"lease": "600s", "sweep": "200ms"})
    task = a_daemon(project, retries=Retries(max=1, backoff=0.1))
    handle, file = begun(project, task, "--time-limit", "2")

    # Then it fails with that cause, after two attempts, of which no process is left
    wait_until(lambda: handle.progress().is_settled)
    assert len(daemons(file)) <= 2  # on a slow machine the limit may come before the daemon
    assert living(file) == []
    (state,) = handle.states()
    assert (state.status, state.attempt, state.retried, state.lost) == ("failed", 2, 1, 0)
    ends = [(e.event, e.cause) for e in all_events(handle) if e.source == "in-progress"]
    assert ends == [("retry_scheduled", "timeout"), ("work_failed", "timeout")]
    assert "hard time limit" in project.orchestrator("explain", handle.id, "T1").stdout


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGKILL"])
def test_what_somebody_terminates_is_stopped(make_project: MakeProject, signal: str) -> None:
    # Given a command that runs
    project = make_project(recovery={"lease": "600s", "sweep": "200ms"})
    handle, file = begun(project, a_daemon(project, retries=Retries(max=3, backoff=0.1)))
    wait_until(lambda: len(daemons(file)) == 1)

    # When somebody terminates it by Celery's means, as Flower does
    create(project.settings).control.revoke(f"{handle.id}:T1:1", terminate=True, signal=signal)

    # Then it is cancelled, and says by whom; its slot is free when all of it has ended, and it starts nowhere again
    wait_until(lambda: handle.progress().is_settled)
    wait_until(lambda: handle.progress().in_flight == 0)
    assert living(file) == []
    (state,) = handle.states()
    assert (state.status, state.attempt) == ("cancelled", 1)
    assert [e.note for e in all_events(handle) if e.event == "task_cancelled"] == [
        "terminated through Celery's remote control (celery control, or Terminate in Flower)"
    ]
    # And the worker goes on with the next
    next_one = project.enqueue(Feature(title="Next", tasks=[Task(id="T1", run=("true",))]))
    assert next_one.wait(60).status == "completed"
    assert len(daemons(file)) == 1


def test_what_is_revoked_before_it_starts_is_cancelled(make_project: MakeProject) -> None:
    # Given a worker that knows of a revocation
    project = make_project(recovery={"lease": "600s", "sweep": "200ms", "patience": "200ms"})
    project.start_worker("w", "-c", "1", *ALONE)
    control = create(project.settings).control
    wait_until(lambda: bool(control.ping(timeout=0.5)))
    control.revoke("early:T1:1", reply=True)

    # When the task comes
    handle = project.enqueue(Feature(id="early", title="Early", tasks=[Task(id="T1", run=("true",))]))

    # Then it is cancelled, and not sent again and again; a person may begin again
    wait_until(lambda: handle.progress().is_settled)
    (state,) = handle.states()
    assert (state.status, state.attempt) == ("cancelled", 1)
