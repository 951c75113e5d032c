"""The graceful shutdown of a worker: running attempts may finish within a grace period; the rest is handed back.

A warm shutdown (SIGTERM) takes no new messages and waits for running attempts; this module ends that wait. Celery's own
soft shutdown does not serve: `worker_soft_shutdown_timeout` sleeps for its whole time in the handler of the signal,
leaves the results that arrive meanwhile unread, and begins only with SIGQUIT (celery/apps/worker.py, on_cold_shutdown;
celery/worker/worker.py, wait_for_soft_shutdown).
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

KILL_AFTER = 15.0
"""Seconds from the order to end to the kill: more than a command has between SIGTERM and SIGKILL."""


class WorkerShutdown(BaseException):
    """Ends an attempt because its worker ends. A specialist's `except Exception` does not catch it."""


def is_pool_process() -> bool:
    """Whether this is a pool process, which runs one attempt at a time."""
    return bool(billiard.current_process().name != "MainProcess")


@dataclass
class InProcessAttempts:
    """The attempts that run in this process: the id of each one's message, with a function that interrupts it."""

    running: dict[str, Interrupt] = field(default_factory=dict)
    is_closed: bool = False

    @contextlib.contextmanager
    def interruptible(self, message: str) -> Iterator[None]:
        """Let an attempt be interrupted inside the block.

        Raises:
            WorkerShutdown: It was interrupted, or the worker has ended all attempts already.
        """
        with interruption.interruptible() as interrupt:
            self.running[message] = interrupt
            try:
                if self.is_closed:
                    raise WorkerShutdown
                yield
            finally:
                self.running.pop(message, None)

    def interrupt(self, message: str) -> bool:
        """Interrupt one attempt; False if it does not run here."""
        interrupt = self.running.get(message)
        if interrupt:
            interrupt(WorkerShutdown)
        return interrupt is not None

    def close(self) -> None:
        """Interrupt all attempts, and each that starts later. A second call does not interrupt an attempt again."""
        self.is_closed = True
        for message in list(self.running):
            self.interrupt(message)


in_process_attempts = InProcessAttempts()


class _Sigterm:
    """The handler of SIGTERM in a pool process, from the start of an attempt on. One stays for many attempts."""

    def __init__(self) -> None:
        self.is_ours = False
        """The handler is this one."""
        self.is_kept = False
        """It came while no attempt could be interrupted."""
        self._ends_attempt = False
        self._has_ended_attempt = False

    def handle(self, *_: object) -> None:
        """Interrupt the attempt, once: a second signal must not disturb the handing back. Else keep the signal."""
        if self._ends_attempt:
            self._ends_attempt, self._has_ended_attempt = False, True
            raise WorkerShutdown
        if not self._has_ended_attempt:
            self.is_kept = True

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Keep the signal in the block. At its end the process gets one that found no attempt."""
        before, self.is_ours = signal.signal(signal.SIGTERM, self.handle), True
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)
            is_kept, self.is_kept, self.is_ours = self.is_kept, False, False
            if is_kept:
                signal.raise_signal(signal.SIGTERM)

    @contextlib.contextmanager
    def interrupts(self) -> Iterator[None]:
        """Raise WorkerShutdown in the block when the signal comes, or if it came before."""
        with defer_sigterm():
            try:
                self._ends_attempt = True
                if self.is_kept:
                    self.is_kept = False
                    self.handle()
                yield
            finally:
                self._ends_attempt = self._has_ended_attempt = False


_sigterm = _Sigterm()


def _gets_sigterm() -> bool:
    """Whether SIGTERM is for the attempt: it has a pool process, and its main thread, to itself."""
    return is_pool_process() and threading.current_thread() is threading.main_thread()


def defer_sigterm() -> contextlib.AbstractContextManager[None]:
    """Keep a SIGTERM for `interruptible`, while an attempt starts in a pool process. It may be nested.

    A process killed at that moment could not hand the attempt back.

    Example:
        with defer_sigterm():
            start()
            with interruptible(message):
                work()
    """
    if _sigterm.is_ours or not _gets_sigterm():
        return contextlib.nullcontext()
    return _sigterm.deferred()


def interruptible(message: str) -> contextlib.AbstractContextManager[None]:
    """Let an attempt be ended inside the block: WorkerShutdown is raised in it, once.

    In a pool process SIGTERM ends it. In the main process SIGTERM is Celery's, so `in_process_attempts` ends it.

    Args:
        message: The id of its message.

    Example:
        with interruptible("auth:T1:1:0f3a9c5e71d2"):
            outcome = perform(context)
    """
    return _sigterm.interrupts() if _gets_sigterm() else in_process_attempts.interruptible(message)


class GracefulShutdown:
    """Ends the attempts that still run when the grace period is over.

    Args:
        grace: Seconds that attempts may go on; None: as long as they want.
        hand_back: Hands back the attempt of a Celery request that cannot do it itself.
        has_processes: Attempts run in pool processes; False: in this process.
        in_process: The attempts that run in this process.
        exit_process: Ends this process at once, with everything that runs in it.
    """

    def __init__(
        self,
        grace: float | None,
        hand_back: Callable[[Any], None],
        has_processes: bool = True,
        in_process: InProcessAttempts = in_process_attempts,
        exit_process: Callable[[], None] = lambda: os._exit(os.EX_OK),
    ) -> None:
        self.grace = grace
        self.hand_back = hand_back
        self.has_processes = has_processes
        self.in_process = in_process
        self.exit_process = exit_process
        self.deadline = float("inf")
        self._terminated: set[str] = set()

    def begin(self, at_once: bool = False) -> None:
        """Begin the grace period. A second call changes nothing, unless it ends the period at once."""
        now = time.monotonic()
        if at_once:
            self.deadline = min(self.deadline, now)
        elif self.deadline == float("inf") and self.grace is not None:
            self.deadline = now + self.grace

    def enforce(self, requests: Iterable[Any]) -> None:
        """After the grace period: let attempts hand themselves back; later kill those that did not, and hand them back.

        In the main process an attempt that cannot be interrupted (a call into C that does not return) is ended by
        ending the process.
        """
        now = time.monotonic()
        if now < self.deadline:
            return
        must_kill = now > self.deadline + KILL_AFTER
        if self.has_processes:
            for request in requests:
                self._end_process(request, must_kill)
            return
        self.in_process.close()
        if must_kill and (left := list(requests)):
            for request in left:
                logger.error(
                    "%s does not end, so this process ends at once; another worker starts it again",
                    request.id,
                )
                self.hand_back(request)
            self.exit_process()

    def _end_process(self, request: Any, must_kill: bool) -> None:
        if request.worker_pid is None or (request.id in self._terminated and not must_kill):
            return
        self._terminated.add(request.id)
        with contextlib.suppress(ProcessLookupError):
            os.kill(request.worker_pid, signal.SIGKILL if must_kill else signal.SIGTERM)
        if must_kill:
            self.hand_back(request)
