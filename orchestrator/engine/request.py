"""Ends attempts from outside: at Celery's hard time limit, and when Celery's remote control asks for it.

A hard time limit (`celery worker --time-limit`) is a failure with the cause timeout. A task that somebody terminates
(`celery control terminate`, `revoke(terminate=True)`, Flower's Terminate) is cancelled as if by a person: it does not
start again elsewhere. So is a task that is revoked before it starts.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any, cast

import redis
from billiard.exceptions import Terminated, WorkerLostError
from celery import Celery
from celery.platforms import signals
from celery.worker import state

from orchestrator.engine import installation, pools, revocation, taken_attempts, visibility
from orchestrator.engine.attempt import AttemptId, attempt_id_of
from orchestrator.engine.attempt_runner import AttemptRunner, runner
from orchestrator.engine.reports import Ended
from orchestrator.engine.shutdown import KILL_AFTER, in_process_attempts
from orchestrator.model import errors, identifiers
from orchestrator.model.outcome import Failed, FailureCause
from orchestrator.specialists import guard
from orchestrator.specialists.leftovers import Leftovers
from orchestrator.state import forks
from orchestrator.state.threads import Thread

logger = logging.getLogger("orchestrator")

TERMINATED = "terminated through Celery's remote control (celery control, or Terminate in Flower)"
UNREACHABLE = (errors.OrchestratorError, redis.RedisError)
PAUSE = 0.1
PROCESS_ENDED = (WorkerLostError, Terminated)
"""The errors by which the pool reports a process that ended during its work."""


class Request(visibility.Request):
    """A message that a worker has taken."""

    is_told = False
    """Its end was reported while its process went on (see `run`). The message is acknowledged when the run ends."""
    _teller: int | None = None
    """The thread that tells monitors of that end at this moment."""
    _leftovers: Leftovers | None = None
    """The processes that its pool process leaves behind, once that was ordered to end."""

    @property
    def _runner(self) -> AttemptRunner:
        return runner(cast("Celery", self.app))

    def on_accepted(self, pid: Any, time_accepted: float) -> None:
        """Called by the pool, or with the first report of a process: whichever comes first."""
        if self.time_start is None:
            super().on_accepted(pid, time_accepted)

    def end_within_run(self, pid: int, ended: Ended) -> None:
        """Called when its process reports that it has ended, and goes on with another attempt."""
        self.on_accepted(pid, ended.at)
        self.is_told, self._teller = True, threading.get_ident()
        self.moment = taken_attempts.wall_clock(ended.at)
        try:
            self.on_success(ended.answer)
        finally:
            self._teller = self.moment = None

    @property
    def _is_over(self) -> bool:
        """Monitors know its end already: Celery only says now that its process is free."""
        return self.is_told and self._teller != threading.get_ident()

    def send_event(self, type: str, **fields: Any) -> None:
        """Send an event, unless monitors know the end of the attempt already."""
        if not self._is_over:
            super().send_event(type, **fields)

    def acknowledge(self) -> None:
        """Acknowledge the message, unless its process goes on: it counts as the one that the process works on."""
        if not self.is_told or self._is_over:
            super().acknowledge()

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """Called by Celery's remote control: cancel the attempt.

        An attempt in the main process (the pools solo, threads, gevent and eventlet) is interrupted there.
        """
        attempt = attempt_id_of(self)
        if attempt is None:
            super().terminate(pool, signal)
        elif not self.time_start:
            self._terminate_on_ack = pool, signal
        else:
            self._cancel(attempt, signals.signum(signal or "TERM"))

    def _cancel(self, attempt: AttemptId, number: int) -> None:
        feature_id, task_id, _ = attempt
        pid = pools.process_at_work(self)
        if identifiers.is_gates(task_id):  # no person can cancel the gates of a feature, so they fail
            self._kill_and_fail(attempt, Failed(reason=TERMINATED, retry=False))
            return
        try:
            self._runner.recorder.cancel(*attempt, note=TERMINATED, running=True)
        except UNREACHABLE as error:
            logger.error("[%s] %s is not terminated, and goes on: %s", feature_id, task_id, error)
            return
        logger.warning("[%s] %s is %s", feature_id, task_id, TERMINATED)
        self.send_event("task-revoked", terminated=True, signum=number, expired=False)
        if pid is None:
            in_process_attempts.interrupt(str(self.id))
            return
        self._leftovers = Leftovers(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        kill = threading.Timer(KILL_AFTER, self._kill_if_at_work, (pid,))
        kill.daemon = True
        kill.start()

    def _kill_if_at_work(self, pid: int) -> None:
        if self in state.active_requests and pools.process_at_work(self) == pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Called by the pool. It kills the process when this returns."""
        attempt = attempt_id_of(self)
        if attempt and not soft and not state.should_terminate:
            whose = "the task (time_limit)" if self.task.time_limit else "its worker (--time-limit)"
            reason = f"ended after {timeout:g} s, the hard time limit of {whose}"
            self._kill_and_fail(attempt, Failed(cause=FailureCause.TIMEOUT, reason=reason))
        super().on_timeout(soft, timeout)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """Called by the pool after the task raised, or its process ended."""
        taken = installation.of(cast("Celery", self.app)).taken_attempts
        lost = taken.lose(cast("int", self.worker_pid)) if taken and not return_ok else None
        if self._is_over:
            self.acknowledge()
            return lost.on_failure(exc_info, send_failed_event) if lost else None
        # As a rule the error comes wrapped (billiard.einfo).
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        attempt, leftovers = attempt_id_of(self), self._leftovers
        if isinstance(error, PROCESS_ENDED) and attempt and leftovers:
            self._leftovers = None
            hand_back = self._runner.recorder.hand_back
            self._commit_when_gone(attempt, leftovers, lambda: hand_back(*attempt, str(self.hostname)))
        return super().on_failure(exc_info, send_failed_event, return_ok)

    def _kill_and_fail(self, attempt: AttemptId, outcome: Failed) -> None:
        """Kill the process of the attempt, and commit the outcome when all its children are gone too."""
        pid = pools.process_at_work(self)
        leftovers = Leftovers(pid) if pid else Leftovers()
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # on SIGTERM it would hand the attempt back
        fail = self._runner.recorder.fail
        self._commit_when_gone(attempt, leftovers, lambda: fail(*attempt, str(self.hostname), outcome))

    def _commit_when_gone(
        self, attempt: AttemptId, leftovers: Leftovers, commit: Callable[[], object]
    ) -> None:
        """Commit the end of an attempt when its processes are gone. Until then it keeps its lease and its limits."""
        lease = self._runner.settings.recovery.lease
        deadline, is_last_try = time.monotonic() + 2 * guard.PATIENCE, threading.Event()

        def wait_and_commit() -> None:
            while not leftovers.end() and time.monotonic() < deadline:
                with contextlib.suppress(*UNREACHABLE), forks.held_off():
                    self._runner.store.attempts.renew([attempt], lease=lease)
                time.sleep(PAUSE)
            if time.monotonic() >= deadline:
                is_last_try.set()  # an error must not start this thread again
            with forks.held_off():
                try:
                    commit()
                except UNREACHABLE as error:
                    logger.error(
                        "[%s] the end of %s is not recorded: %s. The sweep finds it when its lease ends",
                        attempt[0],
                        attempt[1],
                        error,
                    )

        Thread(wait_and_commit, "end of an attempt", is_last_try).start()

    def _announce_revoked(self, reason: str, *args: Any, **kwargs: Any) -> None:
        """Called by Celery for a message that it drops.

        The task is cancelled: otherwise the sweep would take its message for lost, and send it again and again.
        """
        attempt = attempt_id_of(self)
        if attempt and reason == "revoked":
            try:
                self._runner.recorder.cancel(*attempt, note=revocation.REVOKED, running=False)
            except UNREACHABLE as error:
                logger.error("[%s] %s is revoked, but not cancelled: %s", attempt[0], attempt[1], error)
        super()._announce_revoked(reason, *args, **kwargs)  # type: ignore[misc]
