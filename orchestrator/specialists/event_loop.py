"""Runs coroutines on one event loop for each process, so that those of many attempts wait side by side.

The thread of each attempt waits for its own. So a pool of threads or greenlets does as many at once as it has of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from orchestrator.model import errors

LOOK_SECONDS = 0.5
"""Between two looks whether a person has cancelled the attempt. An interruption from outside is noticed as soon."""

LEAVE_SECONDS = 5.0
"""A coroutine that is cancelled has this long to clean up. Then it is left alone."""


class WorkCancelled(Exception):
    """A coroutine has cancelled itself."""


class CancelledByPerson(WorkCancelled):
    """A coroutine was cancelled, because a person has cancelled its attempt."""


class EventLoop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._work, name="event loop", daemon=True)
        self.thread.start()

    def _work(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def run(self, awaitable: Awaitable[Any], is_cancelled: Callable[[], bool]) -> Any:
        """Wait for a coroutine, and return what it returns. Its exceptions pass through.

        An exception that is raised in this thread meanwhile, such as one at a time limit, cancels the coroutine first.

        Args:
            awaitable: The coroutine.
            is_cancelled: Asked about twice a second whether a person has cancelled the attempt.

        Raises:
            CancelledByPerson, WorkCancelled: It was cancelled.
        """
        work = _Work(self.loop, awaitable)
        try:
            while not work.is_over.wait(LOOK_SECONDS):
                with contextlib.suppress(errors.OrchestratorError):
                    if is_cancelled():
                        work.cancel()
                        raise CancelledByPerson
            return work.result()
        except BaseException:
            work.cancel()
            raise


class _Work:
    """A coroutine on a loop, in the context of the thread that began it: its output goes into the attempt's log."""

    def __init__(self, loop: asyncio.AbstractEventLoop, awaitable: Awaitable[Any]) -> None:
        self.loop = loop
        self.awaitable = awaitable
        self.is_over = threading.Event()
        self.task: asyncio.Task[Any] | None = None
        self.context = contextvars.copy_context()
        loop.call_soon_threadsafe(self._start)

    def _start(self) -> None:
        self.task = self.loop.create_task(_await(self.awaitable), context=self.context)
        self.task.add_done_callback(lambda _: self.is_over.set())

    def cancel(self) -> None:
        """Cancel the coroutine, and give it time to clean up."""
        if not self.is_over.is_set():
            self.loop.call_soon_threadsafe(lambda: self.task and self.task.cancel())
            self.is_over.wait(LEAVE_SECONDS)

    def result(self) -> Any:
        assert self.task is not None  # nosec B101  # for mypy: it is over
        if self.task.cancelled():
            raise WorkCancelled("it cancelled itself")
        return self.task.result()


async def _await(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


_lock = threading.Lock()
_loop: EventLoop | None = None


def run(awaitable: Awaitable[Any], is_cancelled: Callable[[], bool]) -> Any:
    """Wait for a coroutine on the event loop of this process; see `EventLoop.run`.

    Example:
        value = run(fetch(url), context.is_cancelled)
    """
    return _of_this_process().run(awaitable, is_cancelled)


def _of_this_process() -> EventLoop:
    global _loop
    with _lock:
        if _loop is None or _loop.pid != os.getpid():  # a forked process has no thread of its parent's
            _loop = EventLoop()
        return _loop
