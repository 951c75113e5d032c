"""Decides what Celery's signals, log and events show of an attempt, and so Flower and tracing libraries.

Signals and the log of the process that did the work get the real exception, with its traceback. Events leave that
process, so they carry our own short text about the end of the attempt (`conceal`). The exception itself does not leave
it: the main process could not load a class of the project's, and ends on some exceptions (MemoryError;
celery/worker/request.py, `on_failure`).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, cast

from billiard import einfo
from celery import Task as CeleryTask
from celery import current_task, exceptions, states
from celery.worker import request

from orchestrator.model.outcome import Completed, Failed, Outcome, RetryLater
from orchestrator.model.task import Task

if TYPE_CHECKING:
    from orchestrator.config.settings import Settings

    PlainTask = CeleryTask[Any, Any]
else:
    PlainTask = CeleryTask  # Celery 5.6 knows no type arguments when it runs

_einfo: Any = einfo  # billiard's stubs leave out the names used here


class TaskFailed(Exception):
    """An attempt failed without an exception: a command, a gate, or a `Failed` that the specialist returned."""


class _Stopped:
    """An end that is neither success nor failure, with the status that Flower shows."""

    args: tuple[Any, ...]

    @property
    def status(self) -> str:
        return str(self.args[1])

    def __str__(self) -> str:
        return str(self.args[0])


class TaskStopped(_Stopped, exceptions.Ignore):
    """An attempt was blocked, cancelled, handed back or not started. The store knows why.

    Example:
        >>> TaskStopped("T1: no key", "blocked").status
        'blocked'
    """


class CanvasStopped(_Stopped, Exception):
    """The same for a task of a canvas. As nobody can unblock one, a caller that waits for it gets an error."""


def end_celery_task(
    outcome: Outcome,
    name: str,
    stopped: type[CanvasStopped] | type[TaskStopped] = TaskStopped,
    *,
    is_told: bool = False,
) -> str:
    """End the running Celery task in the way that its attempt ended.

    Args:
        outcome: The outcome of the attempt.
        name: The name of the task for monitors (see `name_for_monitors`).
        stopped: The exception for an attempt that neither completed nor failed.
        is_told: Signals and the log know already how the work ended: a task of the project's own did it (see `calls`).

    Returns:
        If it completed, a line for Celery's log and Flower.

    Raises:
        Exception: It failed: the exception of the specialist, else TaskFailed. Or it was stopped, or is to be retried.
    """
    match outcome:
        case Completed():
            return f"{name}: completed"
        case Failed(cause=cause, error=error) if is_told and error:
            raise stopped(f"{name}: failed: {cause}", "failed") from error
        case RetryLater() if is_told:
            raise stopped(f"{name}: {outcome.status}", "retried")
        case Failed(cause=cause, reason=reason, error=error):
            _set_event_text(f"{name}: failed: {cause}")
            # Celery would obey its own predicates (Retry, Ignore, …), and not see a failure.
            if isinstance(error, Exception) and not isinstance(error, exceptions.TaskPredicate):
                raise as_raised(error)
            raise TaskFailed(f"{name}: failed: {reason}") from error
        case RetryLater(after=after, reason=reason):
            _set_event_text(f"{name}: {outcome.status}")
            raise exceptions.Retry(reason, when=cast("Any", after))
        case _:
            raise stopped(f"{name}: {outcome.status}: {outcome.reason}", outcome.status)


def name_for_monitors(task: Task, settings: Settings) -> str:
    """The name of a task in monitors: its id, with its title if the operator wants that (`broker.show`).

    Example:
        >>> from orchestrator.config.settings import Settings
        >>> task = Task(id="T1", title="Write the login form")
        >>> name_for_monitors(task, Settings()), name_for_monitors(task, Settings(broker={"show": "titles"}))
        ('T1', 'T1 Write the login form')
    """
    return task.label if settings.broker.show == "titles" else task.id


def as_raised(error: Exception) -> Exception:
    """Let Celery give an exception to its signals and its log as it was raised.

    Celery replaces one that cannot be pickled, such as one whose `__init__` takes other arguments than its `args`, to
    send it to the main process (celery/utils/serialization.py, `get_pickleable_exception`). We send none there.
    """
    with contextlib.suppress(Exception):  # some exceptions take no attributes
        cast("Any", error).__reduce_ex__ = lambda _: (TaskFailed, ())
    return error


def _set_event_text(text: str) -> None:
    """Set the text that events show instead of the exception."""
    if current_task:
        cast("Any", current_task).request.shown = text


class SpecialistTask(PlainTask):
    """A Celery task by which a specialist works."""

    request: Any  # with our own attributes: shown, exception_info
    Request = "orchestrator.engine.request:Request"
    shows_result = True
    """False: no event shows the result; it is for the result backend alone."""

    def on_failure(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Called by Celery before its signals and its log. It sends `einfo` to the main process at the end."""
        self.request.exception_info = einfo
        if isinstance(exc, TaskFailed):  # its traceback is ours, and says nothing about the failure
            einfo.tb, einfo.traceback = None, ""

    def on_retry(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Called by Celery before a retry. The signal gets its reason separately, and `after_return` is not called."""
        conceal(einfo, self.request.get("shown"))

    def after_return(
        self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        """Called by Celery after the signals and the log of this process."""
        if status == states.SUCCESS:
            return
        exception_info = self.request.get("exception_info")
        if exception_info:
            conceal(exception_info, self.request.get("shown"))


def conceal(exception_info: Any, shown: str | None) -> None:
    """Remove everything from an exception that events must not show.

    Args:
        exception_info: The `ExceptionInfo` that Celery sends to the main process of the worker.
        shown: The text to show instead; None: the name of its class.
    """
    original = _unwrapped(exception_info.exception)
    text = shown or type(original).__name__
    error: Exception
    if isinstance(original, _Stopped):
        error = cast("type[CanvasStopped]", type(original))(text, original.status)
    elif isinstance(original, exceptions.Retry):
        error = exceptions.Retry(text, TaskFailed(text), original.when)
    else:
        error = TaskFailed(text)
    exception_info.type, exception_info.exception = type(error), error
    exception_info.tb, exception_info.traceback = None, ""


def _unwrapped(exception: Any) -> Any:
    return exception.exc if isinstance(exception, _einfo.ExceptionWithTraceback) else exception


class Request(request.Request):
    """A message that a worker has taken, in its main process."""

    task: Any  # Celery's stubs leave this out

    moment: float | None = None
    """The moment of the event that is being sent; None: now."""

    def send_event(self, type: str, **fields: Any) -> None:
        """Send an event to Flower and other monitors."""
        if self.moment is not None:
            fields["timestamp"] = self.moment
        if type == "task-succeeded" and not self.task.shows_result:
            fields["result"] = "completed"
        super().send_event(type, **fields)

    def info(self, safe: bool = False) -> Any:
        """The task for `celery inspect active` and Flower's page of a worker, without its arguments."""
        return super().info(safe=True)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """Called if the task did not return. An end that is no failure has an event of its own.

        Flower makes a state of a kind of event that Celery does not know: task-blocked, BLOCKED.
        """
        error = _unwrapped(exc_info.exception)
        if isinstance(error, _Stopped):
            self.send_event(f"task-{error.status}")
            send_failed_event = False
        return super().on_failure(exc_info, send_failed_event, return_ok)
