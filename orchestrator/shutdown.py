"""The orderly end of a worker: what runs may finish within a time, and what does not is handed back.

Celery's own soft shutdown is not used for it: `worker_soft_shutdown_timeout` sleeps for all of its time in the handler
of the signal, with the results of what finishes meanwhile left lying, and begins with SIGQUIT only
(celery/apps/worker.py, on_cold_shutdown; celery/worker/worker.py, wait_for_soft_shutdown). A warm shutdown, on SIGTERM,
takes nothing new and waits for what runs; this puts an end to the waiting.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import billiard

from orchestrator.specialists import interruption
from orchestrator.specialists.interruption import Interrupt

logger = logging.getLogger("orchestrator")

OBEDIENCE = 15.0
"""Seconds that an attempt has to end when it is told to: longer than a command has to end on SIGTERM."""


class WorkerEnds(BaseException):
    """The attempt is to end now, for its worker does. A specialist's `except Exception` does not stop it."""


def is_pool_process() -> bool:
    """This process was started by a pool, and runs one attempt at a time."""
    return bool(billiard.current_process().name != "MainProcess")


@dataclass
class Residents:
    """The attempts that run in this very process, by the ids of their messages, each with what interrupts it."""

    running: dict[str, Interrupt] = field(default_factory=dict)
    is_closed: bool = False

    @contextlib.contextmanager
    def hold(self, id: str) -> Iterator[None]:
        """Let an attempt be interrupted inside the block.

        Raises:
            WorkerEnds: It was, or the worker has ended all attempts already.
        """
        with interruption.interruptible() as interrupt:
            self.running[id] = interrupt
            try:
                if self.is_closed:
                    raise WorkerEnds
                yield
            finally:
                self.running.pop(id, None)

    def interrupt(self, id: str) -> bool:
        """Interrupt one attempt; False where it does not run here."""
        interrupt = self.running.get(id)
        if interrupt:
            interrupt(WorkerEnds)
        return interrupt is not None

    def close(self) -> None:
        """Interrupt all of them, and those that begin from now on. A second time changes nothing for the first."""
        self.is_closed = True
        for id in list(self.running):
            self.interrupt(id)


residents = Residents()

_heard: list[int] = []
"""A word to end that came before the attempt could be ended, in a process of a pool."""


def _is_alone() -> bool:
    """An attempt has this process to itself, and is what SIGTERM is for."""
    return is_pool_process() and threading.current_thread() is threading.main_thread()


@contextlib.contextmanager
def heard() -> Iterator[None]:
    """Keep a word to end until `interruptible` hears it, where it would kill a process of a pool.

    For the time in which an attempt begins: killed then, nobody would hand it back.

    Example:
        with heard():
            begin()
            with interruptible(message):
                work()
    """
    if not _is_alone():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, _: _heard.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if _heard:  # it came when there was nothing left to end but the process
            signal.raise_signal(_heard.pop())


@contextlib.contextmanager
def interruptible(id: str) -> Iterator[None]:
    """Let an attempt be told to end, or learn that it was (see `heard`): WorkerEnds is raised in it, once.

    In a process of a pool SIGTERM does it. In the main process, where that is left to Celery, `residents` does.

    Args:
        id: The id of its message.

    Example:
        with interruptible("auth:T1:1:0f3a9c5e71d2"):
            outcome = perform(context)
    """
    if not _is_alone():
        with residents.hold(id):
            yield
        return

    def end(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what is told twice must still hand back in peace
        raise WorkerEnds

    before = signal.signal(signal.SIGTERM, end)
    try:
        if _heard:
            _heard.clear()
            end()
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Shutdown:
    """Puts an end to what still runs when the grace is over.

    Args:
        grace: Seconds that it may go on; None: to its own end.
        hand_back: Hands back the attempt of a Celery request that cannot do it itself.
        has_processes: Whether attempts run in processes of the pool, or in this one.
        here: Those that run in this one.
        leave: Ends this process at once, with all that runs in it.
    """

    def __init__(
        self,
        grace: float | None,
        hand_back: Callable[[Any], None],
        has_processes: bool = True,
        here: Residents = residents,
        leave: Callable[[], None] = lambda: os._exit(os.EX_OK),
    ) -> None:
        self.grace = grace
        self.hand_back = hand_back
        self.has_processes = has_processes
        self.here = here
        self.leave = leave
        self.deadline = float("inf")
        self._told: set[str] = set()

    def begin(self, at_once: bool = False) -> None:
        """The worker was told to end. A second time changes nothing, unless it is to end at once."""
        now = time.monotonic()
        if at_once:
            self.deadline = min(self.deadline, now)
        elif self.deadline == float("inf") and self.grace is not None:
            self.deadline = now + self.grace

    def end(self, requests: Iterable[Any]) -> None:
        """Tell what runs to hand itself back, once the grace is over; kill what does not obey, and hand it back.

        What does not obey in the main process (a call into C that does not return) ends with the process alone.
        """
        now = time.monotonic()
        if now < self.deadline:
            return
        is_late = now > self.deadline + OBEDIENCE
        if self.has_processes:
            for request in requests:
                self._end_process(request, is_late)
            return
        self.here.close()
        if is_late and (stubborn := list(requests)):
            for request in stubborn:
                logger.error("%s does not end: this process does, at once", request.id)
                self.hand_back(request)
            self.leave()

    def _end_process(self, request: Any, is_late: bool) -> None:
        if request.worker_pid is None or (request.id in self._told and not is_late):
            return
        self._told.add(request.id)
        with contextlib.suppress(ProcessLookupError):
            os.kill(request.worker_pid, signal.SIGKILL if is_late else signal.SIGTERM)
        if is_late:
            self.hand_back(request)
