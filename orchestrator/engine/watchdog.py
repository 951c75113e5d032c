"""Finds pool processes that took a message and do not start its attempt, and kills them.

Such a process hangs: it was stopped, or waits for a lock that nobody releases. Its worker is well, so no other worker
notices. Its attempt never started, so nothing is lost: Celery starts another process, and the sweep sends the message
again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
import weakref
from collections.abc import Callable, Collection, Sequence
from typing import Any

from orchestrator.engine import pools
from orchestrator.engine.attempt import AttemptId, attempt_id_of
from orchestrator.state.store import Store

logger = logging.getLogger("orchestrator")

PATIENCE = 10.0
"""Seconds from taking a message to the start of its attempt, while Redis answers. A process that waits for Redis asks
again within half of that (see `outage`).
"""


def delivery_of(process: int, token: str) -> str:
    """The name of one delivery of a message. It holds the id of the process that started the attempt."""
    return f"{process}-{token}"


class Watchdog:
    """Watches the requests that pool processes have taken.

    Args:
        store: Knows which process started which attempt.
        worker: The name of the worker.
        processes: Returns the living pool processes. Celery itself sees to the requests of one that has ended.
        patience: The seconds that a process has to start an attempt.
    """

    def __init__(
        self,
        store: Store,
        worker: str,
        processes: Callable[[], Collection[int]],
        patience: float,
    ) -> None:
        self.store = store
        self.worker = worker
        self.processes = processes
        self.patience = patience
        self._since: weakref.WeakKeyDictionary[Any, float] = weakref.WeakKeyDictionary()
        self._settled: weakref.WeakSet[Any] = weakref.WeakSet()

    def check(self, requests: Sequence[Any]) -> None:
        """Kill each process that has not started its attempt for too long.

        Args:
            requests: The Celery requests that pool processes have taken or were given.
        """
        waiting = self._waiting(requests) if requests else []
        if not waiting:
            return
        try:
            started = self.store.tasks.deliveries([attempt for _, _, attempt in waiting])
        except Exception:
            self._since.clear()  # Redis is away, so no process can start an attempt
            raise
        now = time.monotonic()
        for (request, process, _), (worker, delivery) in zip(waiting, started, strict=True):
            if worker == self.worker and delivery.startswith(delivery_of(process, "")):
                self._settled.add(request)
            elif now - self._since.setdefault(request, now) > self.patience:
                self._settled.add(request)
                self._replace(request, process)

    def _waiting(self, requests: Sequence[Any]) -> list[tuple[Any, int, AttemptId]]:
        """The requests whose attempts may not have started, each with its process and its attempt."""
        at_work, living = {request.worker_pid for request in requests}, self.processes()
        found = []
        for request in requests:
            process, attempt = pools.process_given(request) or 0, attempt_id_of(request)
            is_next = (
                request.worker_pid is None and process in at_work
            )  # the process runs another attempt first
            if process in living and attempt and not is_next and request not in self._settled:
                found.append((request, process, attempt))
        return found

    def _replace(self, request: Any, process: int) -> None:
        logger.error(
            "Process %s took %s and did not start it within %.0f s. It is replaced, and the task is sent again",
            process,
            request.id,
            self.patience,
        )
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        self.store.note_replaced(self.worker)
