"""The orderly end of a worker: what runs has its time, then hands itself back, or is killed and handed back."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import billiard
import pytest

from orchestrator import shutdown
from orchestrator.shutdown import Shutdown, WorkerEnds, interruptible


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def request(process: subprocess.Popen[bytes] | None, id: str = "auth:T1:1:0f3a9c5e71d2") -> Any:
    return SimpleNamespace(id=id, worker_pid=process.pid if process else os.getpid())


def test_what_runs_has_its_time(process: subprocess.Popen[bytes]) -> None:
    handed: list[Any] = []
    end = Shutdown(3_600, handed.append)
    end.end([request(process)])
    end.begin()
    end.end([request(process), request(None)])
    assert (process.poll(), handed) == (None, [])


def test_what_runs_is_told_once_its_time_is_over(process: subprocess.Popen[bytes]) -> None:
    handed: list[Any] = []
    end = Shutdown(0, handed.append)
    end.begin()
    end.end([request(process)])
    assert (process.wait(60), handed) == (-signal.SIGTERM, [])  # it hands itself back
    end.end([request(process)])


def test_what_does_not_obey_is_killed_and_handed_back(
    process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutdown, "OBEDIENCE", 0.0)
    handed: list[Any] = []
    end = Shutdown(0, handed.append)
    end.begin()
    end.end([request(process)])
    assert process.wait(60) == -signal.SIGKILL
    assert [one.id for one in handed] == ["auth:T1:1:0f3a9c5e71d2"]


def test_what_runs_in_the_main_process_is_handed_back(monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[Any] = []
    end = Shutdown(0, handed.append)
    end.begin()
    end.end([request(None)])
    end.end([request(None)])
    assert [one.id for one in handed] == ["auth:T1:1:0f3a9c5e71d2"]


def test_without_a_grace_what_runs_goes_on_to_its_end(process: subprocess.Popen[bytes]) -> None:
    end = Shutdown(None, print)
    end.begin()
    end.end([request(process)])
    assert process.poll() is None


def test_a_pool_process_is_interrupted_once_and_may_hand_back_in_peace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(billiard, "current_process", lambda: SimpleNamespace(name="ForkPoolWorker-1"))
    before = signal.getsignal(signal.SIGTERM)
    told: list[str] = []
    with interruptible():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait(60)
        except WorkerEnds:
            os.kill(os.getpid(), signal.SIGTERM)
            told.append("handed back")
    assert told == ["handed back"]
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_main_process_keeps_its_own_way_to_end() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with interruptible():
        assert signal.getsignal(signal.SIGTERM) == before
