"""The orderly end of a worker: what runs has its time, then hands itself back, or is killed and handed back."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import billiard
import pytest

from orchestrator.engine import shutdown
from orchestrator.engine.shutdown import (
    GracefulShutdown,
    InProcessAttempts,
    WorkerShutdown,
    defer_sigterm,
    interruptible,
)


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def request(process: subprocess.Popen[bytes] | None, id: str = "auth:T1:1:0f3a9c5e71d2") -> Any:
    return SimpleNamespace(id=id, worker_pid=process.pid if process else os.getpid())


def test_what_runs_has_its_time(process: subprocess.Popen[bytes]) -> None:
    handed: list[Any] = []
    end = GracefulShutdown(3_600, handed.append)
    end.enforce([request(process)])
    end.begin()
    end.enforce([request(process)])
    assert (process.poll(), handed) == (None, [])


def test_what_runs_is_told_once_its_time_is_over(process: subprocess.Popen[bytes]) -> None:
    handed: list[Any] = []
    end = GracefulShutdown(0, handed.append)
    end.begin()
    end.enforce([request(process)])
    assert (process.wait(60), handed) == (-signal.SIGTERM, [])  # it hands itself back
    end.enforce([request(process)])


def test_what_does_not_obey_is_killed_and_handed_back(
    process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutdown, "KILL_AFTER", 0.0)
    handed: list[Any] = []
    end = GracefulShutdown(0, handed.append)
    end.begin()
    end.enforce([request(process)])
    assert process.wait(60) == -signal.SIGKILL
    assert [one.id for one in handed] == ["auth:T1:1:0f3a9c5e71d2"]


def begin(here: InProcessAttempts, work: Callable[[], object]) -> tuple[threading.Thread, list[str]]:
    """Do some work in a thread of the pool `threads`; how it ended is in the list."""
    ended: list[str] = []
    has_begun = threading.Event()

    def attempt() -> None:
        try:
            with here.interruptible("auth:T1:1"):
                has_begun.set()
                work()
        except WorkerShutdown:
            ended.append("interrupted")

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    has_begun.wait()
    return thread, ended


def for_ever() -> None:
    while True:
        time.sleep(0.001)


def test_what_runs_in_the_main_process_is_interrupted_and_hands_itself_back() -> None:
    # Given an attempt in a thread
    here, handed = InProcessAttempts(), list[Any]()
    thread, ended = begin(here, for_ever)

    # When its time is over
    end = GracefulShutdown(0, handed.append, False, here, exit_process=lambda: handed.append("left"))
    end.begin()
    end.enforce([request(None)])
    thread.join(60)

    # Then it ends, and whatever begins later ends too; nobody else hands it back
    assert (ended, handed, here.running) == (["interrupted"], [], {})
    with pytest.raises(WorkerShutdown), here.interruptible("auth:T2:1"):
        pass


def test_what_does_not_end_in_the_main_process_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an attempt that catches everything
    monkeypatch.setattr(shutdown, "KILL_AFTER", 0.0)
    here, done = InProcessAttempts(), list[str]()
    go = threading.Event()
    thread, _ = begin(here, go.wait)  # which no exception interrupts

    # When its time is over
    end = GracefulShutdown(
        0,
        lambda one: done.append(f"{one.id} is handed back"),
        False,
        here,
        exit_process=lambda: done.append("the process ends"),
    )
    end.begin()
    end.enforce([request(None)])

    # Then it is handed back, and the process ends at once
    assert done == ["auth:T1:1:0f3a9c5e71d2 is handed back", "the process ends"]
    go.set()
    thread.join(60)


def test_an_attempt_is_interrupted_alone() -> None:
    here = InProcessAttempts()
    thread, ended = begin(here, for_ever)
    assert not here.interrupt("auth:T2:1")
    assert here.interrupt("auth:T1:1")
    thread.join(60)
    assert ended == ["interrupted"]
    assert not here.interrupt("auth:T1:1")


def test_without_a_grace_what_runs_goes_on_to_its_end(process: subprocess.Popen[bytes]) -> None:
    end = GracefulShutdown(None, print)
    end.begin()
    end.enforce([request(process)])
    assert process.poll() is None


def test_a_pool_process_is_interrupted_once_and_may_hand_back_in_peace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(billiard, "current_process", lambda: SimpleNamespace(name="ForkPoolWorker-1"))
    before = signal.getsignal(signal.SIGTERM)
    told: list[str] = []
    with interruptible("auth:T1:1"):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait(60)
        except WorkerShutdown:
            os.kill(os.getpid(), signal.SIGTERM)
            told.append("handed back")
    assert told == ["handed back"]
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_word_that_comes_while_an_attempt_begins_is_kept_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(billiard, "current_process", lambda: SimpleNamespace(name="ForkPoolWorker-1"))
    with defer_sigterm():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(WorkerShutdown), interruptible("auth:T1:1"):
            pytest.fail("it goes on")
        with interruptible("auth:T1:1"):  # it was said once
            pass


def test_a_word_that_finds_no_attempt_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(billiard, "current_process", lambda: SimpleNamespace(name="ForkPoolWorker-1"))
    told: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    try:
        with defer_sigterm():
            os.kill(os.getpid(), signal.SIGTERM)
            assert not told
        assert told == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_main_process_keeps_its_own_way_to_end() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with defer_sigterm(), interruptible("auth:T1:1"):
        assert signal.getsignal(signal.SIGTERM) == before
