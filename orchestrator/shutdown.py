"""The orderly end of a worker: what runs may finish within a time, and what does not is handed back.

Celery's own soft shutdown is not used for it: `worker_soft_shutdown_timeout` sleeps for all of its time in the handler
of the signal, with the results of what finishes meanwhile left lying, and begins with SIGQUIT only
(celery/apps/worker.py, on_cold_shutdown; celery/worker/worker.py, wait_for_soft_shutdown). A warm shutdown, on SIGTERM,
takes nothing new and waits for what runs; this puts an end to the waiting.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import billiard

OBEDIENCE = 15.0
"""Seconds that an attempt has to end when it is told to: longer than a command's group has to end on SIGTERM."""


class WorkerEnds(BaseException):
    """The attempt is to end now, for its worker does. A specialist's `except Exception` does not stop it."""


def is_pool_process() -> bool:
    """This process was started by a pool, and runs one attempt at a time."""
    return bool(billiard.current_process().name != "MainProcess")


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM raise WorkerEnds, once, in what runs in a process of a pool.

    In the main process and in other threads SIGTERM is left to Celery.

    Example:
        with interruptible():
            outcome = perform(context)
    """
    if not is_pool_process() or threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what is told twice must still hand back in peace
        raise WorkerEnds

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Shutdown:
    """Puts an end to what still runs when the grace is over.

    Args:
        grace: Seconds that it may go on; None: to its own end.
        hand_back: Hands back the attempt of a Celery request whose process cannot do it itself.
    """

    def __init__(self, grace: float | None, hand_back: Callable[[Any], None]) -> None:
        self.grace = grace
        self.hand_back = hand_back
        self.deadline = float("inf")
        self._told: set[str] = set()

    def begin(self) -> None:
        """The worker was told to end. A second time changes nothing."""
        if self.deadline == float("inf") and self.grace is not None:
            self.deadline = time.monotonic() + self.grace

    def end(self, requests: Iterable[Any]) -> None:
        """Tell what runs to hand itself back, once the grace is over; kill what does not obey, and hand it back.

        What runs in the main process (the pools solo, threads, gevent) is handed back at once, and learns of it when
        it asks whether it is cancelled.
        """
        now = time.monotonic()
        if now < self.deadline:
            return
        for request in requests:
            is_told, is_late = request.id in self._told, now > self.deadline + OBEDIENCE
            if is_told and not is_late:
                continue
            self._told.add(request.id)
            has_process = request.worker_pid not in (None, os.getpid())
            if has_process:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(request.worker_pid, signal.SIGKILL if is_late else signal.SIGTERM)
            if is_late or not has_process:
                self.hand_back(request)
