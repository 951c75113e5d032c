"""A thread of a worker that dies is started again, and says what it died of without what the error says."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from orchestrator.engine.maintenance import Maintenance
from orchestrator.local import worker_checks
from orchestrator.state import threads
from orchestrator.state.threads import Thread
from orchestrator.state.workers import Worker
from tests.engine.test_maintenance import maintenance  # noqa: F401  a fixture
from tests.waiting import wait_until

SECRET = "a-part-of-a-password"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "PAUSE", 0.001)
    monkeypatch.setattr(threads, "_deaths", {})


def test_it_is_started_again_and_tells_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    stopped, begun = threading.Event(), 0

    def work() -> None:
        nonlocal begun
        begun += 1
        if begun < 3:
            raise ValueError(SECRET)
        stopped.wait()

    thread = Thread(work, "notifier", stopped)
    thread.start()
    wait_until(lambda: begun == 3)
    assert thread.is_alive()
    stopped.set()
    thread.join(60)
    assert not thread.is_alive()
    (trouble,) = threads.troubles()
    assert trouble.startswith("the notifier died 2 times, last of ValueError at test_threads.py:")
    assert len(caplog.messages) == 2
    assert SECRET not in caplog.text + trouble


def test_it_ends_where_it_dies_after_it_was_stopped() -> None:
    stopped = threading.Event()
    stopped.set()

    def work() -> None:
        raise KeyError

    thread = Thread(work, "timer", stopped)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


def test_the_doctor_is_told_of_it_by_the_worker(
    maintenance: Maintenance,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def dies(*_: Any) -> None:
        raise RuntimeError(SECRET)

    maintenance.timer.leads.set()
    monkeypatch.setattr(maintenance.timer, "_launch_while_leader", dies)
    maintenance.timer.start()
    maintenance.thread.start()
    store = maintenance.runner.store
    wait_until(lambda: any(worker.trouble for worker in store.workers.present()))
    (finding,) = worker_checks.check_threads(store.workers.present())
    assert finding.text.startswith("w1@here: the timer died ")
    assert SECRET not in finding.text
    assert not list(worker_checks.check_threads([Worker(id="1", name="w1")]))
