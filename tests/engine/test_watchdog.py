"""A process that takes a task and does not begin it is replaced."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from orchestrator.config.settings import Settings
from orchestrator.engine.watchdog import Watchdog, delivery_of
from orchestrator.planning import planner, routing
from orchestrator.state.store import Store
from tests.model import factories
from tests.model.factories import task


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


@pytest.fixture
def watchdog(store: Store, process: subprocess.Popen[bytes]) -> Watchdog:
    """One without patience: the second look is too late."""
    feature = factories.feature(task("T1"))
    store.enqueue("auth", planner.plan(feature), routing.route(feature, Settings()))
    store.schedule("auth")
    return Watchdog(store, "w1", lambda: {process.pid}, patience=0.0)


@dataclass(eq=False)
class Request:
    """A request of Celery's, as far as it matters here."""

    id: str
    worker_pid: int | None
    job: Any = None

    def _apply_result(self) -> Any:
        return self.job


def taken_by(process: subprocess.Popen[bytes], id: str = "auth:T1:1:0f3a9c5e71d2") -> Request:
    return Request(id, process.pid)


def given_to(process: subprocess.Popen[bytes]) -> Request:
    return Request("auth:T1:1:0f3a9c5e71d2", None, SimpleNamespace(_write_to=process))


def begin(store: Store, worker: str, pid: int) -> None:
    delivery = delivery_of(pid, "1a2b")
    specialist = "implementation-specialist"
    started = store.attempts.start(
        "auth", "T1", 1, specialist=specialist, worker=worker, lease=60, delivery=delivery
    )
    assert started.code == "started"


def test_a_process_that_does_not_begin_is_killed_once_and_counted(
    watchdog: Watchdog, store: Store, process: subprocess.Popen[bytes]
) -> None:
    request = taken_by(process)
    watchdog.check([request])
    assert process.poll() is None
    for _ in range(3):
        watchdog.check([request])
    assert process.wait(60) == -signal.SIGKILL
    assert store.client.hgetall(store.keys.replaced) == {"w1": "1"}


def test_so_is_one_that_was_given_a_task_and_does_not_take_it_unless_it_is_at_another(
    watchdog: Watchdog, store: Store, process: subprocess.Popen[bytes]
) -> None:
    other, request = taken_by(process, "4f1c"), given_to(process)
    for _ in range(3):
        watchdog.check([other, request])
    assert process.poll() is None
    for _ in range(3):
        watchdog.check([request])
    assert process.wait(60) == -signal.SIGKILL


def test_one_that_has_begun_is_left_alone_whatever_becomes_of_its_attempt(
    watchdog: Watchdog, store: Store, process: subprocess.Popen[bytes]
) -> None:
    request = taken_by(process)
    begin(store, "w1", process.pid)
    watchdog.check([request])
    store.client.hdel(store.keys.feature("auth").states, "T1")
    for _ in range(3):
        watchdog.check([request])
    assert process.poll() is None


@pytest.mark.parametrize(("worker", "step"), [("w2", 0), ("w1", 1)])
def test_what_another_process_began_is_not_its_beginning(
    watchdog: Watchdog, store: Store, process: subprocess.Popen[bytes], worker: str, step: int
) -> None:
    # Given a task that came again, and was begun by the second who took it
    begin(store, worker, process.pid + step)
    request = taken_by(process)
    for _ in range(3):
        watchdog.check([request])
    assert process.wait(60) == -signal.SIGKILL


def test_an_outage_of_redis_counts_for_nobody(
    watchdog: Watchdog, store: Store, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise redis.ConnectionError

    request = taken_by(process)
    watchdog.check([request])
    with monkeypatch.context() as away:
        away.setattr(store.tasks, "deliveries", fail)
        with pytest.raises(redis.ConnectionError):
            watchdog.check([request])
    watchdog.check([request])
    assert process.poll() is None


def test_tasks_of_other_kinds_are_not_watched(watchdog: Watchdog, process: subprocess.Popen[bytes]) -> None:
    request = taken_by(process, id="4f1c")
    for _ in range(3):
        watchdog.check([request])
    assert process.poll() is None


def test_a_number_that_was_a_process_of_the_pool_is_not_killed(
    watchdog: Watchdog, process: subprocess.Popen[bytes]
) -> None:
    # Given a process that ended and left its request behind; another program may have its number by now
    watchdog.processes = set
    for _ in range(3):
        watchdog.check([taken_by(process)])
    assert process.poll() is None
