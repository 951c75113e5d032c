"""What Celery does to an attempt from outside: its hard time limit, and the end that remote control asks for.

A hard time limit (`celery worker --time-limit`) is a failure with the cause timeout. What somebody terminates (`celery
control terminate`, `revoke(terminate=True)`, Flower's Terminate) is stopped as if a person had cancelled the task: it
does not start again elsewhere. So is what is revoked before it starts.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import redis
from billiard.exceptions import Terminated, WorkerLostError
from celery.platforms import signals
from celery.worker import state

from orchestrator import errors, forks, identifiers, pools, tasks, visibility
from orchestrator.models import Failed, FailureCause
from orchestrator.shutdown import OBEDIENCE, residents
from orchestrator.specialists import guard
from orchestrator.specialists.remains import Remains
from orchestrator.threads import Thread

logger = logging.getLogger("orchestrator")

TERMINATED = "terminated through Celery's remote control (celery control, or Terminate in Flower)"
REVOKED = "revoked through Celery's remote control (celery control, or Revoke in Flower)"
UNREACHABLE = (errors.OrchestratorError, redis.RedisError)
PAUSE = 0.1


class Request(visibility.Request):
    """A message that a worker has taken up."""

    _remains: Remains | None = None
    """What its process leaves, once it was told to end."""

    @property
    def _shell(self) -> tasks.Shell:
        return tasks.shell(self.app)

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """Called by Celery's remote control: stop the attempt for good.

        An attempt in the main process (the pools solo, threads, gevent and eventlet) is interrupted there.
        """
        attempt = tasks.attempt_of(self)
        if attempt is None:
            super().terminate(pool, signal)
        elif not self.time_start:
            self._terminate_on_ack = pool, signal
        else:
            self._stop(attempt, signals.signum(signal or "TERM"))

    def _stop(self, attempt: tasks.Attempt, number: int) -> None:
        feature_id, task_id, _ = attempt
        pid = pools.process_at_work(self)
        if identifiers.is_gates(task_id):  # the gates of a feature are no task that a person could cancel
            self._end(attempt, Failed(reason=TERMINATED, retry=False))
            return
        try:
            self._shell.stop(*attempt, note=TERMINATED, running=True)
        except UNREACHABLE as error:
            logger.error("[%s] %s is not terminated: %s", feature_id, task_id, error)
            return
        logger.warning("[%s] %s is %s", feature_id, task_id, TERMINATED)
        self.send_event("task-revoked", terminated=True, signum=number, expired=False)
        if pid is None:
            residents.interrupt(str(self.id))
            return
        self._remains = Remains(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        insistence = threading.Timer(OBEDIENCE, self._insist, (pid,))
        insistence.daemon = True
        insistence.start()

    def _insist(self, pid: int) -> None:
        """It was told to end, and has had its time."""
        if self in state.active_requests and pools.process_at_work(self) == pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Called by the pool: its process is killed when this returns."""
        attempt = tasks.attempt_of(self)
        if attempt and not soft and not state.should_terminate:
            reason = f"ended after {timeout:g} s, the hard time limit of its worker (--time-limit)"
            self._end(attempt, Failed(cause=FailureCause.TIMEOUT, reason=reason))
        super().on_timeout(soft, timeout)

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        """Called by the pool: it raised, or its process was lost."""
        # As a rule it comes wrapped (billiard.einfo).
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        attempt, remains = tasks.attempt_of(self), self._remains
        if isinstance(error, GONE) and attempt and remains:
            self._remains = None
            self._later(attempt, remains, lambda: self._shell.hand_back(*attempt, str(self.hostname)))
        return super().on_failure(exc_info, *args, **kwargs)

    def _end(self, attempt: tasks.Attempt, outcome: Failed) -> None:
        """Kill the process that runs the attempt, and commit the outcome when nothing of it lives."""
        pid = pools.process_at_work(self)
        remains = Remains(pid) if pid else Remains()
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # at once: asked to end, it would hand the attempt back
        self._later(attempt, remains, lambda: self._shell.fail(*attempt, str(self.hostname), outcome))

    def _later(self, attempt: tasks.Attempt, remains: Remains, commit: Callable[[], None]) -> None:
        """Commit how an attempt ended when nothing of it lives; until then it keeps its lease, and what it holds."""
        lease = self._shell.settings.recovery.lease
        deadline, given_up = time.monotonic() + 2 * guard.PATIENCE, threading.Event()

        def bury() -> None:
            while not remains.are_gone() and time.monotonic() < deadline:
                with contextlib.suppress(*UNREACHABLE), forks.held_off():
                    self._shell.store.renew([attempt], lease=lease)
                time.sleep(PAUSE)
            if time.monotonic() >= deadline:
                given_up.set()  # this is the last time, whatever it dies of
            with forks.held_off():
                try:
                    commit()
                except UNREACHABLE as error:  # its lease ends
                    logger.error("[%s] the end of %s is not told: %s", attempt[0], attempt[1], error)

        Thread(bury, "end of an attempt", given_up).start()

    def _announce_revoked(self, reason: str, *args: Any, **kwargs: Any) -> None:
        """Called by Celery for a message that is not to be carried out.

        Its task is cancelled, or its message would be taken for lost, and sent again and again.
        """
        attempt = tasks.attempt_of(self)
        if attempt and reason == "revoked":
            try:
                self._shell.stop(*attempt, note=REVOKED, running=False)
            except UNREACHABLE as error:
                logger.error("[%s] %s is revoked, and not cancelled: %s", attempt[0], attempt[1], error)
        super()._announce_revoked(reason, *args, **kwargs)  # type: ignore[misc]


GONE = (WorkerLostError, Terminated)
"""What the pool says of a process that has ended under its work."""
