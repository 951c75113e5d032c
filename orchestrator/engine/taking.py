"""Lets the processes of a worker take messages by themselves: only those that Celery would give them now."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from celery import bootsteps, signals
from celery.bootsteps import RUN  # type: ignore[attr-defined]
from celery.worker import state

from orchestrator.engine import canvas, installation, pools, revocation
from orchestrator.engine.board import NOTHING, Board, Permission
from orchestrator.engine.reports import DirectReporter, Reporter, ReportPipe
from orchestrator.engine.run import Runs
from orchestrator.engine.taken_attempts import TakenAttempts

if TYPE_CHECKING:
    from celery import Celery
    from celery.worker import WorkController

LOOK_SECONDS = 0.25
"""While something runs, the main process reads reports, and looks what may be taken, this often. A worker that has
nothing to do does not look: each message that it gets from Celery wakes it."""


class Taking(bootsteps.StartStopStep):
    """A Celery worker bootstep, which is made before the pool forks its processes."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self.parent: Any = parent
        self.app: Celery = parent.app
        self.engine = installation.of(self.app)
        self.board = Board()
        self.attempts = self.engine.taken_attempts = TakenAttempts(self.app, parent)
        reporter: Reporter = DirectReporter(self.attempts.handle)
        if pools.has_processes(self.parent.pool_cls):
            reporter = self.attempts.pipe = ReportPipe()
        self.engine.runs = Runs(self.app, self.board, reporter)
        self.is_possible = self._is_possible()
        self.is_over = False
        self._revoked: set[str] = set()
        """The messages that were revoked, as far as they have been looked for."""
        self._hub: Any = None
        self._next_look: Any = None
        self.engine.taking = self

    def _is_possible(self) -> bool:
        """Whether messages may be taken at all: not where Celery applies a limit to each of them."""
        settings, parent = self.engine.settings, self.parent
        obeyed_for_each = (
            parent.time_limit,
            parent.soft_time_limit,
            parent.max_tasks_per_child,
            parent.max_memory_per_child,
            parent.autoscale,
            parent.statedb,
        )
        return (
            bool(settings.parallelism.take)
            and parent.prefetch_multiplier
            == 1  # else messages wait in the main process, and would be overtaken
            and pools.can_take(parent.pool_cls)
            and settings.celery_queues is not None
            and not any(obeyed_for_each)
        )

    def start(self, parent: WorkController) -> None:
        """Called when the worker starts."""
        signals.worker_shutting_down.connect(self.stop_taking)

    def stop(self, parent: WorkController) -> None:
        """Called at a warm shutdown."""
        self.stop_taking()

    def terminate(self, parent: WorkController) -> None:
        """Called at a cold shutdown."""
        self.stop_taking()

    def stop_taking(self, **_: Any) -> None:
        """Let nothing more be taken: the worker ends. It may be called in the handler of a signal."""
        self.is_over = True
        self.board.close()

    def register_with_event_loop(self, parent: WorkController, hub: Any) -> None:
        """Called by Celery each time it begins to take messages."""
        if self.is_possible:
            if self._next_look is not None:
                self._next_look.cancel()  # it may be of an event loop that ended with its connection
            self._hub = hub
            self._look_until_idle()

    def wake(self) -> None:
        """Called before Celery handles a message, in the thread of the event loop: say what may be taken."""
        if self._hub is not None and self._next_look is None:
            self._look_until_idle()

    def _look_until_idle(self) -> None:
        """Look now, and later again."""
        self.look()
        self._next_look = self._hub.call_later(LOOK_SECONDS, self._look_again)

    def _look_again(self) -> None:
        """Look once more, and later again if something runs."""
        is_idle = not state.active_requests and not state.reserved_requests
        if is_idle:
            self._next_look = None
            self.look()  # at the last reports: a process sends them before Celery learns that it is free
        else:
            self._look_until_idle()

    def look(self) -> None:
        """Read reports, and say what may be taken."""
        self.attempts.drain()
        if self.engine.is_guest:
            self._cancel_revoked()
        self.board.write(self.permission())
        if self.is_over:  # the signal came meanwhile
            self.board.close()

    def _cancel_revoked(self) -> None:
        """Cancel what `revoke` has named and waits in a queue. (In an app of ours, its own remote control does it.)"""
        if len(state.revoked) != len(self._revoked):
            found = set(map(str, state.revoked))
            revocation.cancel_queued(self.app, list(found - self._revoked))
            self._revoked = found

    def permission(self) -> Permission:
        """The queues and specialists whose messages may be taken now."""
        consumer = self.parent.consumer
        tasks = getattr(consumer, "task_consumer", None)
        is_ending = self.is_over or state.should_stop or state.should_terminate
        if is_ending or tasks is None or consumer.blueprint.state != RUN:
            return NOTHING
        found = {queue.name: self._specialists(queue) for queue in _in_celerys_order(tasks)}
        return {name: specialists for name, specialists in found.items() if specialists}

    def _specialists(self, queue: Any) -> list[str]:
        """The specialists of a queue whose messages may be taken: no limit of Celery's holds for one of them."""
        found = []
        for specialist in self.engine.specialists_of(queue.name):
            task: Any = self.app.tasks[canvas.celery_task(specialist)]
            if not (task.rate_limit or task.time_limit or task.soft_time_limit):
                found.append(specialist)
        return found


def _in_celerys_order(tasks: Any) -> Iterable[Any]:
    """The queues of a consumer, in the order in which kombu would ask them next."""
    cycle = getattr(tasks.channel, "_queue_cycle", None)
    places = {name: place for place, name in enumerate(getattr(cycle, "items", ()))}
    return sorted(tasks.queues, key=lambda queue: places.get(queue.name, len(places)))
