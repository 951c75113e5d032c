"""A worker in the thread that waits, for a Redis in memory: no other process could see that Redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from orchestrator.model.task import TaskStatus
from orchestrator.state import memory

if TYPE_CHECKING:
    from orchestrator.client.handle import Handle
    from orchestrator.config.settings import Settings
    from orchestrator.engine.dispatcher import Dispatcher
    from orchestrator.engine.installation import Installation
    from orchestrator.state.store import Store


WORKER = "in-process"


class InProcessWorker:
    """Does attempts one after another, in the thread that calls.

    It takes the attempts that were launched, and runs each by the code of a worker. Where all that is left waits for a
    moment (a retry, a rate), it moves the clock of the Redis on to that moment, so nothing sleeps.

    Args:
        settings: The settings; their Redis is one in memory.
        store: The store on that Redis.
        open_engine: Finds the engine in the Celery app.
        open_dispatcher: Makes what publishes messages.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        open_engine: Callable[[], Installation],
        open_dispatcher: Callable[[], Dispatcher],
    ) -> None:
        self.store = store
        self.open_engine = open_engine
        self.open_dispatcher = open_dispatcher
        self.raised: dict[tuple[str, str], BaseException] = {}
        """The exception of the last attempt of a task, by feature and task."""
        server = settings.redis.server
        self.server = memory.find(server.service if server else "")

    def run_until(self, is_over: Callable[[], bool]) -> bool:
        """Work until something holds.

        Args:
            is_over: Asked before each attempt.

        Returns:
            Whether it holds. False: nothing is left to do, and no moment is waited for.
        """
        while not is_over():
            if not self.step():
                return is_over()  # another thread may have done the rest meanwhile
        return True

    @property
    def is_eager(self) -> bool:
        """A feature is done by the call that enqueues it."""
        return self.open_engine().is_eager

    def finish(self, handle: Handle) -> None:
        """Do a feature that was enqueued in an app that is eager, as far as it goes without a person.

        Raises:
            Exception: The task's own, if the app says `task_eager_propagates`.
        """
        self.run_until(lambda: handle.progress().is_settled)
        if self.open_engine().propagates and (error := handle.as_result().error()):
            raise error

    def step(self) -> bool:
        """Do one attempt, or move the clock on to the next moment at which one is due. False: there is neither."""
        with self.server.work:
            if self._do_next():
                return True
            left, due = self._launch_due()
            if left is not None:
                self.server.ahead += left
            return bool(due) or left is not None

    def move_on(self, seconds: float) -> None:
        """Move the clock of the Redis on, and launch what is due then."""
        self.server.ahead += seconds
        with self.server.work:
            self._launch_due()

    def _launch_due(self) -> tuple[float | None, list[str]]:
        """Launch what is due; returns the seconds until the next is, and the features that had some."""
        left, due = self.store.limits.take_due()
        self.open_dispatcher().wake(due)
        return left, due

    def _do_next(self) -> bool:
        from orchestrator.engine import canvas
        from orchestrator.engine.attempt_runner import runner_of
        from orchestrator.engine.visibility import TaskFailed, TaskStopped

        if not self.server.launched:
            return False
        feature_id, launch = self.server.launched.popleft()
        attempt = (feature_id, launch.task, launch.attempt)
        message = canvas.message_id(feature_id, launch)
        self.raised.pop(attempt[:2], None)
        try:
            runner_of(self.open_engine()).run(launch.specialist, *attempt, WORKER, message)
        except Exception as error:  # what Celery would show of an attempt that did not complete
            raised = error.__cause__ if isinstance(error, TaskFailed | TaskStopped) else error
            if raised is not None:
                self.raised[attempt[:2]] = raised
            if self.store.tasks.attempt(feature_id, launch.task).get("status") == TaskStatus.IN_PROGRESS:
                raise  # it did not end: the fault is ours
        return True
