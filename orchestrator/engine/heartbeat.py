"""Renews the leases of the attempts that a worker runs."""

from __future__ import annotations

import time
from typing import Any

from celery.worker import state

from orchestrator.config.schema.operation import Recovery
from orchestrator.engine.attempt import attempt_id_of
from orchestrator.engine.shutdown import GracefulShutdown
from orchestrator.state.store import Store


class LeaseHeartbeat:
    """Renews leases in each round, and between two features of a long sweep.

    It runs in the worker's main process, so that the work of a pool process cannot delay it.

    Args:
        store: Where the leases are kept.
        recovery: The settings of leases and rounds.
        shutdown: Ends attempts whose grace period is over: they need no lease.
    """

    def __init__(self, store: Store, recovery: Recovery, shutdown: GracefulShutdown) -> None:
        self.store = store
        self.recovery = recovery
        self.shutdown = shutdown
        self.due_at = 0.0

    @property
    def is_due(self) -> bool:
        """A round has passed since the last heartbeat."""
        return time.monotonic() >= self.due_at

    def renew_leases(self) -> None:
        """Enforce the grace period of a shutdown, then renew the lease of each running attempt."""
        self.due_at = time.monotonic() + self.recovery.sweep
        running = running_attempts()
        self.shutdown.enforce(running)
        if running:
            attempts = [attempt for attempt in map(attempt_id_of, running_attempts()) if attempt]
            self.store.attempts.renew(attempts, lease=self.recovery.lease)


def running_attempts() -> list[Any]:
    """The Celery requests of the attempts that this worker runs."""
    return [request for request in list(state.active_requests) if attempt_id_of(request)]
