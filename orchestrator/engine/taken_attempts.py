"""The attempts that pool processes take by themselves, as the main process of their worker knows them.

Each gets a request of Celery's, as if its message had come to the main process: so its lease is renewed, and remote
control, monitors and the shutdown see it.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from celery import signals
from celery.worker import state
from kombu.message import Message
from kombu.utils.imports import symbol_by_name

from orchestrator.engine import canvas
from orchestrator.engine.reports import Began, Ended, Report, ReportPipe

if TYPE_CHECKING:
    from celery import Celery

logger = logging.getLogger("orchestrator")


RECEIVED = {
    "kwargs": "{}",
    "root_id": None,
    "parent_id": None,
    "retries": 0,
    "eta": None,
    "expires": None,
}
"""Fields that are the same in each event that an attempt was received: no message of ours asks for more."""


class TakenAttempts:
    """Handles the reports of pool processes.

    Args:
        app: The Celery app.
        parent: Celery's worker.
    """

    def __init__(self, app: Celery, parent: Any) -> None:
        self.app = app
        self.parent = parent
        self.pipe: ReportPipe | None = None
        """The pipe from the pool processes; None if attempts run in this process."""
        self._lock = threading.RLock()
        self._at_work: dict[int, Any] = {}
        """The taken attempt that each pool process works on."""

    def drain(self) -> None:
        """Handle the reports that have come. Any thread may call it."""
        if self.pipe:
            with self._lock:
                reports = list(self.pipe.read())
                ended = {report.ended.message_id: report.ended for report in reports if report.ended}
                for report in reports:
                    end = ended.get(report.began.message_id) if report.began else None
                    try:
                        self.handle(report, end)
                    except Exception as error:
                        # The broker of the events is gone. The leases are to be renewed all the same.
                        text = "A report of process %s is not passed on to monitors: %s"
                        logger.warning(text, report.pid, error)

    def handle(self, report: Report, end: Ended | None = None) -> None:
        """Handle a report.

        Args:
            report: The report.
            end: The end of the attempt that it began, if that is known already.
        """
        if report.ended:
            self._end(report.pid, report.ended)
        if report.began:
            if end and self._is_passed(end):
                self._pass(report.began, end)
            else:
                self._begin(report.pid, report.began)

    def _is_passed(self, end: Ended) -> bool:
        """Whether an attempt that has begun and ended needs no request: it succeeded, and no handler asks for one."""
        return not end.answer[0] and not signals.task_received.receivers

    def _pass(self, began: Began, end: Ended) -> None:
        """Count an attempt that has begun and ended since the last look, and tell monitors."""
        state.total_count[began.task] += 1
        state.all_total_count[0] += 1
        eventer = self.parent.consumer.event_dispatcher
        if eventer and eventer.enabled and self.app.tasks[began.task].send_events:
            begins, ends = wall_clock(began.at), wall_clock(end.at)
            args = canvas.shown_arguments(*_arguments(json.loads(began.message)))
            shown = {"name": began.task, "args": args, **RECEIVED}
            eventer.send("task-received", uuid=began.message_id, timestamp=begins, **shown)
            eventer.send("task-started", uuid=began.message_id, timestamp=begins)
            _, result, runtime = end.answer
            eventer.send(
                "task-succeeded", uuid=began.message_id, timestamp=ends, result=result, runtime=runtime
            )

    def lose(self, pid: int) -> Any:
        """The request of the attempt that a process worked on when it was lost; None if it had taken none."""
        self.drain()
        return self._at_work.pop(pid, None)

    def _begin(self, pid: int, began: Began) -> None:
        request = self._request(began)
        if self.pipe:
            self._at_work[pid] = request
        request.moment = wall_clock(began.at)
        state.task_reserved(request)
        try:
            signals.task_received.send(sender=self.parent.consumer, request=request)
            request.send_event("task-received", name=request.name, args=request.argsrepr, **RECEIVED)
        finally:
            request.on_accepted(pid, began.at)
            request.moment = None

    def _end(self, pid: int, ended: Ended) -> None:
        taken = self._at_work.get(pid)
        if taken is not None and taken.id == ended.message_id:
            del self._at_work[pid]
        request = state.requests.get(ended.message_id)
        if request is not None:
            request.end_within_run(pid, ended)

    def _request(self, began: Began) -> Any:
        found = json.loads(began.message)
        headers, properties = found["headers"], found["properties"]
        args = _arguments(found)
        task = self.app.tasks[headers["task"]]
        consumer = self.parent.consumer
        message = Message(
            body=found["body"],
            delivery_tag=properties["delivery_tag"],
            content_type=found["content-type"],
            content_encoding=found["content-encoding"],
            delivery_info={**properties["delivery_info"], "queue": began.queue},
            properties=properties,
            headers={**headers, "argsrepr": canvas.shown_arguments(*args), "kwargsrepr": "{}"},
        )
        return symbol_by_name(task.Request)(
            message,
            app=self.app,
            hostname=self.parent.hostname,
            eventer=consumer.event_dispatcher,
            task=task,
            connection_errors=consumer.connection_errors,
            body=(args, {}, {}),
            decoded=True,
        )


def _arguments(message: Any) -> list[Any]:
    arguments: list[Any] = json.loads(message["body"])[0]
    return arguments


def wall_clock(moment: float) -> float:
    """A moment of the clock `time.monotonic`, which all processes of a machine share, by the clock `time.time`."""
    return time.time() - (time.monotonic() - moment)
