"""How Celery ends an attempt from outside: its time limit, Terminate and Revoke. It starts nowhere again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.client.handle import Handle
from orchestrator.engine.app import create
from orchestrator.model.feature import Feature
from orchestrator.model.task import Retries, Task
from orchestrator.state.keys import Keys
from tests.acceptance.conftest import MakeProject, Project, all_events
from tests.redis_server import client_of
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
    (id,) = running(project)
    create(project.settings).control.revoke(id, terminate=True, signal=signal)

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


def running(project: Project) -> list[str]:
    """The ids of the messages that workers carry out, as Flower shows them."""
    found = create(project.settings).control.inspect(timeout=5).active() or {}
    return [request["id"] for requests in found.values() for request in requests]


def waiting(project: Project, queue: str) -> list[str]:
    """The ids of the messages in a queue, for who can read it."""
    server = client_of(project.settings.redis.url.get_secret_value())  # type: ignore[union-attr]
    found: Any = server.lrange(Keys(project.settings.redis.prefix).queue(queue), 0, -1)
    return [json.loads(message)["headers"]["id"] for message in found]


def test_what_is_revoked_before_it_starts_is_cancelled(make_project: MakeProject) -> None:
    # Given a task whose message waits, and a worker that knows of the revocation of all that anybody could guess of it
    project = make_project(recovery={"lease": "600s", "sweep": "200ms", "patience": "200ms"})
    project.start_worker("w", "-c", "1", *ALONE)
    control, queue = create(project.settings).control, "implementation-specialist"
    wait_until(lambda: bool(control.ping(timeout=0.5)))
    control.cancel_consumer(queue, reply=True, timeout=60, limit=1)
    guessed = [f"{feature}:T1:1{end}" for feature in ("early", "later") for end in ("", ":", ":000000000000")]
    control.revoke(guessed, reply=True, timeout=60, limit=1)
    handle = project.enqueue(Feature(id="early", title="Early", tasks=[Task(id="T1", run=("true",))]))

    # When its message is revoked by its id
    wait_until(lambda: len(waiting(project, queue)) == 1)
    control.revoke(waiting(project, queue), reply=True, timeout=60, limit=1)
    control.add_consumer(queue, reply=True, timeout=60, limit=1)

    # Then it is cancelled, and not sent again and again; it says by whom
    wait_until(lambda: handle.progress().is_settled)
    (state,) = handle.states()
    assert (state.status, state.attempt) == ("cancelled", 1)
    assert [e.note for e in all_events(handle) if e.event == "task_cancelled"] == [
        "revoked through Celery's remote control (celery control, or Revoke in Flower)"
    ]
    # And what only a guess has revoked runs
    later = project.enqueue(Feature(id="later", title="Later", tasks=[Task(id="T1", run=("true",))]))
    assert later.wait(60).status == "completed"
