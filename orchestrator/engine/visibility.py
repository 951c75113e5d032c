"""How Celery sees an attempt: its signals, its log, its events, and so Flower and whatever instruments Celery.

Signals and the log of the process that did the work get the real exception, with the frames of whoever wrote the
specialist. Events leave that process: they say how the attempt ended and its cause, in words of ours (`conceal`). The
exception itself does not leave it either: the main process could not load a class of the project's, and dies of some
(MemoryError; celery/worker/request.py, `on_failure`).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, cast

from billiard import einfo
from celery import Task as CeleryTask
from celery import current_task, exceptions
from celery.worker import request

from orchestrator.model.outcome import Completed, Failed, Outcome, RetryLater
from orchestrator.model.task import Task

if TYPE_CHECKING:
    from orchestrator.config.settings import Settings

    PlainTask = CeleryTask[Any, Any]
else:
    PlainTask = CeleryTask  # Celery 5.6 knows no type arguments when it runs

_einfo: Any = einfo  # what it keeps to itself is in no stubs


class TaskFailed(Exception):
    """An attempt failed, and there is no exception of somebody else's to say it: a command, a gate, a `Failed`."""


class _Stopped:
    """An end that is no failure, with the status that Flower shows."""

    args: tuple[Any, ...]

    @property
    def status(self) -> str:
        return str(self.args[1])

    def __str__(self) -> str:
        return str(self.args[0])


class TaskStopped(_Stopped, exceptions.Ignore):
    """An attempt ended, and neither well nor in failure: blocked, cancelled, handed back. Our own state knows why.

    Example:
        >>> TaskStopped("T1: no key", "blocked").status
        'blocked'
    """


class CanvasStopped(_Stopped, Exception):
    """The same of a task of a canvas. Nobody can unblock one, so for whoever waits for its result it is an error."""


def end(outcome: Outcome, name: str, stopped: type[CanvasStopped] | type[TaskStopped] = TaskStopped) -> str:
    """End the Celery task that runs as its attempt ended.

    Args:
        outcome: How the attempt ended.
        name: The id of the task, to say it with.
        stopped: What is raised where it neither completed nor failed.

    Returns:
        A line for Celery's log and Flower, where it completed.

    Raises:
        Exception: It failed: what the specialist raised, else TaskFailed. Or it was stopped, or asks for a retry.
    """
    match outcome:
        case Completed():
            return f"{name}: completed"
        case Failed(cause=cause, reason=reason, error=error):
            _show(f"{name}: failed: {cause}")
            # Celery takes its own predicates for a wish of the task's, and not for a failure of it.
            if isinstance(error, Exception) and not isinstance(error, exceptions.TaskPredicate):
                raise kept_whole(error)
            raise TaskFailed(f"{name}: failed: {reason}") from error
        case RetryLater(after=after, reason=reason):
            _show(f"{name}: {outcome.status}")
            raise exceptions.Retry(reason, when=cast("Any", after))
        case _:
            raise stopped(f"{name}: {outcome.status}: {outcome.reason}", outcome.status)


def shown_as(task: Task, settings: Settings) -> str:
    """How monitors name a task: by its id alone, unless the operator wants its title there too (`broker.show`).

    Example:
        >>> from orchestrator.config.settings import Settings
        >>> task = Task(id="T1", title="Write the login form")
        >>> shown_as(task, Settings()), shown_as(task, Settings(broker={"show": "titles"}))
        ('T1', 'T1 Write the login form')
    """
    return task.label if settings.broker.show == "titles" else task.id


def kept_whole(error: Exception) -> Exception:
    """An exception that Celery gives to its signals and its log as it is.

    What cannot be pickled and read again (a class whose `__init__` takes other arguments than its `args`) Celery
    replaces, to send it to the main process (celery/utils/serialization.py, `get_pickleable_exception`). We send none.
    """
    with contextlib.suppress(Exception):  # one that can have no attributes
        cast("Any", error).__reduce_ex__ = lambda _: (TaskFailed, ())
    return error


def _show(text: str) -> None:
    """What events are to say of the exception that comes."""
    if current_task:
        cast("Any", current_task).request.shown = text


class SpecialistTask(PlainTask):
    """A Celery task by which a specialist works."""

    request: Any  # that of the message, with what is noted in it here
    Request = "orchestrator.engine.request:Request"
    shows_result = True
    """False: what it returns is for whoever asks the result backend, and for nobody else."""

    def on_failure(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Called by Celery before its signals and its log, with what it gives to the main process in the end."""
        self.request.told = einfo
        if isinstance(exc, TaskFailed):  # its frames are ours, and say nothing of the failure
            einfo.tb, einfo.traceback = None, ""

    def on_retry(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """As `on_failure`; the signal tells its reason beside this, and nothing is called after it."""
        conceal(einfo, self.request.get("shown"))

    def after_return(
        self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        """Called by Celery when all in this process have been told."""
        told = self.request.get("told")
        if told:
            conceal(told, self.request.get("shown"))


def conceal(told: Any, shown: str | None) -> None:
    """Leave nothing of an exception but what events may say.

    Args:
        told: The `ExceptionInfo` that Celery gives to the main process of the worker.
        shown: What to say in its stead; its class, if left out.
    """
    found = _inner(told.exception)
    text = shown or type(found).__name__
    said: Exception
    if isinstance(found, CanvasStopped):
        said = CanvasStopped(text, found.status)
    elif isinstance(found, exceptions.Retry):
        said = exceptions.Retry(text, TaskFailed(text), found.when)
    else:
        said = TaskFailed(text)
    told.type, told.exception, told.tb, told.traceback = type(said), said, None, ""


def _inner(exception: Any) -> Any:
    return exception.exc if isinstance(exception, _einfo.ExceptionWithTraceback) else exception


class Request(request.Request):
    """A message that a worker has taken up, as its main process sees it."""

    task: Any  # what Celery keeps to itself is in no stubs

    def send_event(self, type: str, **fields: Any) -> None:
        """Tell Flower and other monitors."""
        if type == "task-succeeded" and not self.task.shows_result:
            fields["result"] = "completed"
        super().send_event(type, **fields)

    def info(self, safe: bool = False) -> Any:
        """What `celery inspect active` and Flower's page of a worker say: which task it is, never what it is given."""
        return super().info(safe=True)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """Called where the task did not return. An end that is no failure is shown as what it is.

        An event of a kind that Celery does not know makes a state of its own there: task-blocked, BLOCKED.
        """
        found = _inner(exc_info.exception)
        if isinstance(found, _Stopped):
            self.send_event(f"task-{found.status}")
            send_failed_event = False
        return super().on_failure(exc_info, send_failed_event, return_ok)
