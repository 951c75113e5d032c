"""Finds the processes of a pool that took a task and do not begin it, and has them replaced.

Such a process hangs: it was stopped, or waits for a lock that nobody will open. It pings nobody and renews nothing, but
its worker does, so that nobody else notices. What it took was never begun, so it can be ended without loss: Celery
starts another process, and the sweep sends the message again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from orchestrator.store import Store

logger = logging.getLogger("orchestrator")

PATIENCE = 10.0
"""Seconds that a process has to begin what it took, while Redis answers. One that waited for Redis asks it again within
half of that (see `outage`).
"""


def delivery_of(process: int, token: str) -> str:
    """The name of a delivery of a message: it says which process began the attempt."""
    return f"{process}-{token}"


class Watchdog:
    """Watches the requests that processes of a pool have taken.

    Args:
        store: Knows who began what.
        worker: The worker whose pool it is.
        attempt_of: The (feature, task, attempt) of a Celery request; None for a task of another kind.
        patience: Seconds from taking to beginning.
    """

    def __init__(
        self,
        store: Store,
        worker: str,
        attempt_of: Callable[[Any], tuple[str, str, int] | None],
        patience: float = PATIENCE,
    ) -> None:
        self.store = store
        self.worker = worker
        self.attempt_of = attempt_of
        self.patience = patience
        self._since: weakref.WeakKeyDictionary[Any, float] = weakref.WeakKeyDictionary()
        self._settled: weakref.WeakSet[Any] = weakref.WeakSet()

    def look(self, requests: Iterable[Any]) -> None:
        """See which of the running requests have begun, and replace the processes of those that wait for too long."""
        waiting = [
            request
            for request in requests
            if request not in self._settled
            and request.worker_pid not in (None, os.getpid())
            and self.attempt_of(request)
        ]
        try:
            begun = self.store.deliveries([self.attempt_of(request) or ("", "", 0) for request in waiting])
        except Exception:
            self._since.clear()  # Redis is away: nobody can begin anything
            raise
        now = time.monotonic()
        for request, (worker, delivery) in zip(waiting, begun, strict=True):
            if worker == self.worker and delivery.startswith(delivery_of(request.worker_pid, "")):
                self._settled.add(request)
            elif now - self._since.setdefault(request, now) > self.patience:
                self._settled.add(request)
                self._replace(request)

    def _replace(self, request: Any) -> None:
        logger.error(
            "Process %s took %s and did not begin it within %.0f s: it is replaced, and the task is sent again",
            request.worker_pid,
            request.id,
            self.patience,
        )
        with contextlib.suppress(ProcessLookupError):
            os.kill(request.worker_pid, signal.SIGKILL)
        self.store.note_replaced(self.worker)
