"""Replaces a pool process as soon as it has ended, instead of up to five seconds later.

When a process ends, its pipe closes. Celery then looks once whether it can wait for the process, and next at its timer
of 5 s (celery/concurrency/asynpool.py, `_event_process_exit`, `timers`). But the kernel closes the pipe a moment before
the process can be waited for. So on a busy machine the one look often comes too early: the process is not replaced, and
a message already written for it waits. With `--max-tasks-per-child` that happens again and again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import bootsteps

if TYPE_CHECKING:
    from celery.worker import WorkController

PAUSES = (0.01, 0.05, 0.1, 0.5, 1.0)
"""Seconds between two looks. After the last one Celery's own timer is near."""


class Respawn(bootsteps.StartStopStep):
    """A Celery worker bootstep that looks more than once."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: WorkController, **_: Any) -> None:
        super().__init__(parent)

    def start(self, parent: WorkController) -> None:
        """Called after the pool has started, and before its event loop watches the processes."""
        pool: Any = getattr(parent.pool, "_pool", None)
        if hasattr(pool, "_event_process_exit"):  # prefork, with an event loop
            pool._event_process_exit = ProcessReplacer(pool).on_process_exit


class ProcessReplacer:
    """Replaces the processes of a pool that have ended.

    Args:
        pool: Celery's `AsynPool`.
    """

    def __init__(self, pool: Any) -> None:
        self.pool = pool

    def on_process_exit(self, hub: Any, process: Any) -> None:
        """Called by the event loop when the pipe of a process has closed."""
        self.pool._untrack_child_process(process, hub)
        self.replace(hub, process, PAUSES)

    def replace(self, hub: Any, process: Any, pauses: tuple[float, ...]) -> None:
        """Replace the process if it can be waited for; else try again after a pause."""
        self.pool.maintain_pool()
        if process in self.pool._pool and pauses:
            hub.call_later(pauses[0], self.replace, hub, process, pauses[1:])
