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
from collections.abc import Callable, Collection, Sequence
from typing import Any

from orchestrator import pools
from orchestrator.store import Store

logger = logging.getLogger("orchestrator")

PATIENCE = 10.0
"""Seconds that a process has to begin what it took, while Redis answers. One that waited for Redis asks it again within
half of that (see `outage`).
"""


Attempt = tuple[str, str, int]


def delivery_of(process: int, token: str) -> str:
    """The name of a delivery of a message: it says which process began the attempt."""
    return f"{process}-{token}"


class Watchdog:
    """Watches the requests that processes of a pool have taken.

    Args:
        store: Knows who began what.
        worker: The worker whose pool it is.
        attempt_of: The (feature, task, attempt) of a Celery request; None for a task of another kind.
        processes: Those of the pool that live: Celery itself sees to what one had that has ended.
        patience: Seconds from taking to beginning.
    """

    def __init__(
        self,
        store: Store,
        worker: str,
        attempt_of: Callable[[Any], Attempt | None],
        processes: Callable[[], Collection[int]],
        patience: float,
    ) -> None:
        self.store = store
        self.worker = worker
        self.attempt_of = attempt_of
        self.processes = processes
        self.patience = patience
        self._since: weakref.WeakKeyDictionary[Any, float] = weakref.WeakKeyDictionary()
        self._settled: weakref.WeakSet[Any] = weakref.WeakSet()

    def look(self, requests: Sequence[Any]) -> None:
        """See which requests have begun, and replace the processes of those that wait for too long.

        Args:
            requests: What processes have taken, or were given.
        """
        waiting = self._waiting(requests)
        try:
            begun = self.store.deliveries([attempt for _, _, attempt in waiting])
        except Exception:
            self._since.clear()  # Redis is away: nobody can begin anything
            raise
        now = time.monotonic()
        for (request, process, _), (worker, delivery) in zip(waiting, begun, strict=True):
            if worker == self.worker and delivery.startswith(delivery_of(process, "")):
                self._settled.add(request)
            elif now - self._since.setdefault(request, now) > self.patience:
                self._settled.add(request)
                self._replace(request, process)

    def _waiting(self, requests: Sequence[Any]) -> list[tuple[Any, int, Attempt]]:
        """The requests that may not have begun, each with its process and its attempt."""
        at_work, living = {request.worker_pid for request in requests}, self.processes()
        found = []
        for request in requests:
            process, attempt = pools.process_given(request) or 0, self.attempt_of(request)
            is_next = request.worker_pid is None and process in at_work  # it waits for its turn
            if process in living and attempt and not is_next and request not in self._settled:
                found.append((request, process, attempt))
        return found

    def _replace(self, request: Any, process: int) -> None:
        logger.error(
            "Process %s has %s and did not begin it within %.0f s: it is replaced, and the task is sent again",
            process,
            request.id,
            self.patience,
        )
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        self.store.note_replaced(self.worker)
