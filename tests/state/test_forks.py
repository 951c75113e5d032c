"""A forked process inherits no lock that a thread of its parent is inside, and no connection."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.config.settings import Settings
from orchestrator.state import connections, forks
from orchestrator.state.store import Store
from tests.redis_server import serve
from tests.waiting import wait_until


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with serve(tmp_path / "redis") as url:
        settings = Settings.model_validate({"redis": {"url": url}})
        yield connections.open_store(settings)


def in_a_child(work: Callable[[], object]) -> str:
    """Do it in a forked process; how that ended."""
    child = os.fork()
    if not child:
        signal.alarm(60)  # of a process that hangs
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    code = os.waitpid(child, 0)[1]
    return {0: "done", signal.SIGALRM: "hung"}.get(code, f"ended with {code}")


@pytest.mark.real
def test_a_child_asks_redis_though_a_thread_of_its_parent_is_inside_the_lock_of_the_pool(
    store: Store,
) -> None:
    # Given a thread inside the lock of the pool, at whatever it does there
    store.client.ping()
    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        with store.client.connection_pool._lock:
            held.set()
            go.wait(120)

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    held.wait()

    # When the process forks, then the child has connections of its own
    assert in_a_child(store.features.active) == "done"
    go.set()
    thread.join()
    assert store.features.active() == []


def test_a_fork_waits_for_threads_that_are_inside_a_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "PATIENCE", 120.0)
    # Given a thread that goes in and out, with a lock that it holds inside
    lock, stopped = threading.Lock(), threading.Event()

    def work() -> None:
        while not stopped.is_set():
            with forks.held_off(), lock:
                stopped.wait(0.002)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()

    # When the process forks again and again, then no child finds the lock closed
    try:
        assert {in_a_child(lock.acquire) for _ in range(20)} == {"done"}
    finally:
        stopped.set()
    for thread in threads:
        thread.join()


def test_a_thread_that_waits_for_somebody_else_lets_forks_through() -> None:
    gate = forks.Gate()
    gate.enter()
    gate.enter()
    depth = gate.step_out()

    closing = threading.Thread(target=gate.close)
    closing.start()
    closing.join()

    gate.open()
    gate.step_in(depth)
    assert depth == 2
    gate.leave()
    gate.leave()


def test_nobody_goes_in_while_a_fork_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "PATIENCE", 120.0)
    gate, inside = forks.Gate(), threading.Event()
    gate.close()

    def enter() -> None:
        gate.enter()
        inside.set()

    thread = threading.Thread(target=enter, daemon=True)
    thread.start()
    wait_until(lambda: len(gate._condition._waiters) == 1)  # type: ignore[attr-defined]
    assert not inside.is_set()
    gate.open()
    thread.join(60)
    assert inside.is_set()
