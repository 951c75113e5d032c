"""Replaces a pool process as soon as it has ended, not up to five seconds later.

Celery learns of the end of a process when a pipe closes, looks for it once, and then not before its timer of 5 s
(celery/concurrency/asynpool.py, `_event_process_exit`, `timers`). But the kernel closes the pipe a moment before the
process can be waited for. So on a busy machine the one look is often too early: the process is not replaced, and a
message that was already written for it waits. With `--max-tasks-per-child` that happens again and again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import bootsteps

if TYPE_CHECKING:
    from celery.worker import WorkController

PAUSES = (0.01, 0.05, 0.1, 0.5, 1.0)
"""Seconds from look to look. After the last one Celery's own timer is near."""


class Respawn(bootsteps.StartStopStep):
    """A Celery worker bootstep, which looks again."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: WorkController, **_: Any) -> None:
        super().__init__(parent)

    def start(self, parent: WorkController) -> None:
        """The pool has started; its processes are not watched before the event loop begins."""
        pool: Any = getattr(parent.pool, "_pool", None)
        if hasattr(pool, "_event_process_exit"):  # prefork, with an event loop
            pool._event_process_exit = Watch(pool).ended


class Watch:
    """Looks for the end of the processes of a pool."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool

    def ended(self, hub: Any, process: Any) -> None:
        """Called by the event loop when the pipe of a process has closed."""
        self.pool._untrack_child_process(process, hub)
        self.look(hub, process, PAUSES)

    def look(self, hub: Any, process: Any, pauses: tuple[float, ...]) -> None:
        """Replace the process if it can be waited for, else look again in a moment."""
        self.pool.maintain_pool()
        if process in self.pool._pool and pauses:
            hub.call_later(pauses[0], self.look, hub, process, pauses[1:])
