"""A run: the attempts that a process of a worker does one after another, for one message that Celery gave it.

The script that commits an attempt takes the next message of the worker's queues too (`take_next.lua`). Celery's own
tracer then runs that attempt as if its message had come by itself: with its signals, its hooks and its log lines.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from billiard.einfo import ExceptionInfo
from celery.app import trace as celery_trace
from pydantic_core import from_json

from orchestrator.config.schema.limits import Take
from orchestrator.engine import attempt_runner, canvas, installation, shutdown, visibility, watchdog
from orchestrator.engine.attempt import AttemptId
from orchestrator.engine.board import Board, Permission
from orchestrator.engine.reports import LONGEST_ID, LONGEST_TEXT, Answer, Began, Ended, Report, Reporter
from orchestrator.specialists import output
from orchestrator.state.start_result import Claim, Taken

if TYPE_CHECKING:
    from celery import Celery

Tracer = Callable[..., Any]
"""Celery's: it runs a task, and answers with a `trace_ok_t`."""

SHORT = 0.002
"""After an attempt that took no more seconds than this, a run looks again where there is nothing to take."""

PAUSES = (0.0002, 0.0003, 0.0005)
"""Seconds before each of these looks: another process may be about to open the next batch. What comes later comes
through Celery, which takes longer."""

OF_EACH_MESSAGE = frozenset(("argsrepr", "group", "id", "lang", "task"))
"""The headers that a message of ours always has (see publish.lua). Others are of the feature's trace."""

received = logging.getLogger("celery.worker.strategy")
"""The logger by which Celery says that a task was received."""


@dataclass
class Run:
    """The attempts that a process does for one message.

    Args:
        message_id: The message whose attempt is at work.
        specialist: The specialist whose message Celery gave.
        limits: How long the run may go on.
        board: Says what may be taken.
    """

    message_id: str
    specialist: str
    limits: Take
    board: Board
    taken: Taken | None = None
    """The attempt that was taken and has not begun its work."""
    last_claim: Claim | None = None
    """The claim of the last commit, until the work that it took begins."""
    is_full: bool = False
    """The main process is behind with reading reports."""
    began: float = field(default_factory=time.monotonic)
    since: float = field(default_factory=time.monotonic)
    """When its last attempt began."""
    count: int = 1
    last_queue: str = ""
    token: str = field(default_factory=lambda: secrets.token_hex(4))
    """Makes the deliveries of this run unlike all others."""
    claims: int = 0

    def claim(self, worker: str, lease: float) -> Claim | None:
        """The claim of the next commit; None if the run is over.

        Args:
            worker: The name of the worker.
            lease: Seconds of the lease of an attempt that is taken.
        """
        permission = self.board.read()
        is_over = (
            self.is_full
            or len(self.message_id) > LONGEST_ID
            or self.count >= self.limits.count
            or time.monotonic() - self.began >= self.limits.seconds
        )
        if is_over or not any(self.specialist in specialists for specialists in permission.values()):
            return None
        self.claims += 1
        delivery = watchdog.delivery_of(os.getpid(), f"{self.token}{self.claims}")
        self.last_claim = Claim(self._queues(permission), worker, lease, delivery)
        return self.last_claim

    def _queues(self, permission: Permission) -> Permission:
        """The queues in the order in which Celery asks them: last the one from which the last message came."""
        if len(permission) < 2:
            return permission
        return dict(sorted(permission.items(), key=lambda entry: entry[0] == self.last_queue))

    def go_on(self, began: Began) -> None:
        """Note that the taken attempt begins."""
        self.count += 1
        self.since = time.monotonic()
        self.message_id, self.last_queue = began.message_id, began.queue

    def look_again(
        self,
        worker: str,
        lease: float,
        look: Callable[[Claim], Taken | None],
        pause: Callable[[float], None] = time.sleep,
    ) -> Taken | None:
        """Take the next attempt a moment later, after a short one that left none; None: there is none.

        Args:
            worker, lease: As of `claim`.
            look: Takes the next attempt.
            pause: Sleeps for some seconds.
        """
        if time.monotonic() - self.since > SHORT:
            return None
        for seconds in PAUSES:
            claim = self.claim(worker, lease)
            if claim is None:
                return None
            pause(seconds)
            self.taken = look(claim)
            if self.taken:
                return self.taken
        return None

    def accept(self, attempt: AttemptId) -> Taken | None:
        """Begin the work of an attempt: the taken one; None if Celery gave its message, and it is not started yet."""
        taken, self.taken, self.last_claim = self.taken, None, None
        return taken if taken and taken.id == attempt else None


class Runs:
    """The runs of the processes of one worker.

    Args:
        app: The Celery app.
        board: Says what may be taken.
        reporter: Tells the main process.
    """

    def __init__(self, app: Celery, board: Board, reporter: Reporter) -> None:
        self.app = app
        self.board = board
        self.reporter = reporter
        self._local = threading.local()

    @property
    def current(self) -> Run | None:
        """The run of this thread."""
        return getattr(self._local, "run", None)

    def trace(self, tracer: Tracer, message_id: str, args: Any, kwargs: Any, request: Any = None) -> Any:
        """Run the attempt of a message, and those that are taken after it.

        Args:
            tracer: Celery's, for the first.
            message_id, args, kwargs, request: As Celery's tracer takes them.

        Returns:
            The tracer's answer for the first: Celery knows of no other message.
        """
        settings = installation.of(self.app).settings
        limits, lease = settings.parallelism.take, settings.recovery.lease
        if not limits or self.current or not self.board.read():
            return tracer(message_id, args, kwargs, request)
        info = (request or {}).get("delivery_info") or {}
        run = Run(message_id, request["task"], limits, self.board, last_queue=info.get("routing_key") or "")
        runner = attempt_runner.runner(self.app)
        with shutdown.defer_sigterm(), runner.store.held(), output.kept(), self._entered(run):
            first = answer = tracer(message_id, args, kwargs, request)
            feature_id, worker = args[0], request["hostname"]
            try:
                while taken := run.taken or run.look_again(
                    worker, lease, partial(runner.recorder.take, feature_id)
                ):
                    feature_id = taken.id[0]
                    message = envelope(taken, worker)
                    ended = Ended(run.message_id, shown_answer(answer), time.monotonic())
                    began = Began(message["id"], message["task"], taken.message, taken.queue, ended.at)
                    run.is_full |= not self.reporter.send(Report(os.getpid(), ended, began))
                    run.go_on(began)
                    answer = None
                    _log_received(message)
                    task: Any = self.app.tasks[message["task"]]
                    answer = task.tracer(message["id"], message["args"], message["kwargs"], message)
            finally:
                if run.count > 1:
                    ended = Ended(run.message_id, shown_answer(answer), time.monotonic())
                    self.reporter.send(Report(os.getpid(), ended))
        return first

    @contextlib.contextmanager
    def _entered(self, run: Run) -> Iterator[None]:
        self._local.run = run
        try:
            yield
        finally:
            self._local.run = None


def envelope(taken: Taken, hostname: str) -> dict[str, Any]:
    """The request of a taken attempt, as Celery's worker makes it of a message (celery/worker/request.py)."""
    message = from_json(taken.message)
    properties, headers = message["properties"], message["headers"]
    return {
        **headers,
        # Else Celery looks for them itself, which takes longer than all else here.
        "headers": {name: value for name, value in headers.items() if name not in OF_EACH_MESSAGE},
        "argsrepr": canvas.shown_arguments(*taken.id),
        "kwargsrepr": "{}",
        "properties": properties,
        "reply_to": None,
        "correlation_id": None,
        "hostname": hostname,
        "delivery_info": {**properties["delivery_info"], "priority": None, "redelivered": False},
        "args": list(taken.id),
        "kwargs": {},
        "is_eager": False,
    }


def shown_answer(traced: Any) -> Answer:
    """As Celery's pool sends it to the main process (celery/app/trace.py, `fast_trace_task`).

    Args:
        traced: The answer of the tracer; None if it raised.
    """
    if traced is None:
        return (1, _failure(), 0.0)
    result, info, runtime, text = traced
    if not info:
        return (0, str(text)[:LONGEST_TEXT], runtime)
    said = str(result.exception)
    # The hooks of our tasks conceal all but a `TaskStopped`, and errors of Celery's own.
    if result.traceback or len(said) > LONGEST_TEXT:
        visibility.conceal(result, said[:LONGEST_TEXT])
    return (1, result, runtime)


def _failure() -> ExceptionInfo:
    try:
        raise visibility.TaskFailed
    except visibility.TaskFailed:
        info = ExceptionInfo()
    visibility.conceal(info, "its process could not go on")
    return info


def _log_received(message: Mapping[str, Any]) -> None:
    if received.isEnabledFor(logging.INFO):
        context = {
            "id": message["id"],
            "name": message["task"],
            "args": message["argsrepr"],
            "kwargs": message["kwargsrepr"],
            "eta": None,
        }
        received.info(celery_trace.LOG_RECEIVED, context, extra={"data": context})
