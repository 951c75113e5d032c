"""`async def` specialists on the event loop of the process."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from orchestrator.config.schema.limits import Limits
from orchestrator.model import errors
from orchestrator.model.outcome import Cancelled, Completed
from orchestrator.specialists import Context, event_loop
from orchestrator.specialists.python import PythonRunner
from tests.specialists.contexts import a_context


def never() -> bool:
    return False


def test_many_wait_side_by_side() -> None:
    """Two hundred coroutines meet, which no two could if each had to end before the next begins."""
    met, everybody = 0, asyncio.Event()
    loops = set()

    async def meet(number: int) -> int:
        nonlocal met
        loops.add(asyncio.get_running_loop())
        met += 1
        if met == 200:
            everybody.set()
        await everybody.wait()
        return number

    with ThreadPoolExecutor(200) as pool:
        assert sorted(pool.map(lambda number: event_loop.run(meet(number), never), range(200))) == list(
            range(200)
        )
    assert len(loops) == 1


def test_an_error_passes_through() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        event_loop.run(fail(), never)


def test_a_person_cancels(tmp_path: Path) -> None:
    """The coroutine is cancelled where it waits, and may clean up."""
    begun, cleaned = threading.Event(), threading.Event()

    async def wait(context: Context) -> None:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            cleaned.set()

    outcome = PythonRunner(wait, Limits()).perform(a_context(tmp_path, is_cancelled=begun.is_set))
    assert isinstance(outcome, Cancelled)
    assert cleaned.is_set()


def test_a_store_that_does_not_answer_cancels_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_loop, "LOOK_SECONDS", 0.01)
    asked = asyncio.Event()
    loop: list[Any] = []

    def ask() -> bool:
        loop[0].call_soon_threadsafe(asked.set)
        raise errors.RedisUnreachable(url="redis://nowhere", cause="gone")

    async def wait(context: Context) -> str:
        loop.append(asyncio.get_running_loop())
        await asked.wait()
        return "done"

    assert PythonRunner(wait, Limits()).perform(a_context(tmp_path, is_cancelled=ask)) == Completed(
        summary="done"
    )


def test_a_time_limit_cancels(tmp_path: Path) -> None:
    cleaned = threading.Event()

    async def wait(context: Context) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            cleaned.set()

    with pytest.raises(TimeoutError):
        PythonRunner(wait, Limits(), timeout=0.05).perform(a_context(tmp_path))
    assert cleaned.is_set()


def test_a_coroutine_that_cancels_itself(tmp_path: Path) -> None:
    async def stop(context: Context) -> None:
        raise asyncio.CancelledError

    with pytest.raises(event_loop.WorkCancelled, match="itself"):
        PythonRunner(stop, Limits()).perform(a_context(tmp_path))
