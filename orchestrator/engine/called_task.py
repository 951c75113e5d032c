"""A Celery task of the project's own, as one of our attempts runs it.

Celery's tracer runs it, with its hooks and signals. Where the task would send or store something (a retry, a
replacement, its state), the attempt decides instead. Runs that are not ours are not touched.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, NoReturn, Protocol

from celery.app.autoretry import add_autoretry_behaviour
from celery.app.trace import build_tracer

from orchestrator.specialists import event_loop

ATTRIBUTE = "orchestrator"
"""The attribute of a Celery request that holds our call, and of a function of a task that we have put in its place."""


class Call(Protocol):
    """Decides in Celery's place, in one run of a task."""

    args: Any
    kwargs: Any

    @property
    def id(self) -> str:
        """The id that the task sees."""

    def request(self, task: Any) -> dict[str, Any]:
        """The request that the task sees."""

    @property
    def is_cancelled(self) -> Callable[[], bool]:
        """Whether a person has cancelled the attempt."""

    def retried(self, signature: Any) -> Any:
        """The signature of a retry, which sends no message."""

    def replaced(self, signature: Any) -> NoReturn:
        """End the run, for another task goes on in its place."""

    def report(self, state: Any, meta: Any) -> None:
        """Report the progress that the task tells by `update_state`."""


def run(task: Any, call: Call) -> Any:
    """Run a Celery task.

    Args:
        task: The task.
        call: Decides in Celery's place.

    Returns:
        The answer of Celery's tracer.
    """
    tracer = _tracer(task) if not _is_async(task) else _trace(_view(task))
    return tracer(call.id, call.args, call.kwargs, call.request(task))


@functools.cache
def _tracer(task: Any) -> Callable[..., Any]:
    """Celery's tracer of a task. A forked process inherits it."""
    return _trace(task)


def _trace(task: Any) -> Callable[..., Any]:
    _adapt(task)
    tracer: Callable[..., Any] = build_tracer(task.name, task, app=task.app)
    return tracer


@functools.cache
def _is_async(task: Any) -> bool:
    return inspect.iscoroutinefunction(inspect.unwrap(task.run))


def _adapt(task: Any) -> None:
    """Let the call decide what the task would send or store."""
    if getattr(task.signature_from_request, ATTRIBUTE, False):
        return
    sign, tell, replace = task.signature_from_request, task.update_state, task.replace
    add = task.add_to_chord

    def signature_from_request(request: Any = None, *args: Any, **kwargs: Any) -> Any:
        call = _call_of(task)
        signature = sign(request, *args, **kwargs)
        return call.retried(signature) if call else signature

    def update_state(task_id: Any = None, state: Any = None, meta: Any = None, **more: Any) -> None:
        call = _call_of(task)
        if call and task_id in (None, call.id):
            call.report(state, meta)
        else:
            tell(task_id, state, meta, **more)

    def add_to_chord(signature: Any, lazy: bool = False) -> Any:
        if _call_of(task):
            raise NotImplementedError(
                "self.add_to_chord is not carried over into a feature; replace the task by a group that holds what is "
                "to be added (self.replace)"
            )
        return add(signature, lazy)

    def replaced(signature: Any) -> Any:
        call = _call_of(task)
        return call.replaced(signature) if call else replace(signature)

    if hasattr(task, "is_aborted"):  # celery.contrib.abortable
        is_aborted = task.is_aborted
        task.is_aborted = lambda **given: (
            call.is_cancelled() if (call := _call_of(task)) else is_aborted(**given)
        )
    setattr(signature_from_request, ATTRIBUTE, True)
    task.signature_from_request = signature_from_request
    task.update_state, task.replace, task.add_to_chord = update_state, replaced, add_to_chord


def _call_of(task: Any) -> Call | None:
    return getattr(task.request, ATTRIBUTE, None)


class _View:
    """The part of a view that differs from the task: its request is that of one run, on whatever thread it is asked.

    Celery keeps requests by the thread. The coroutines of all runs share the thread of the event loop.
    """

    seen: Any = None
    request_stack: Any

    @property
    def request(self) -> Any:
        """The request of the run."""
        return self.seen or self.request_stack.top


@functools.cache
def _kind_of_view(kind: Any) -> Any:
    return type(kind.__name__, (_View, kind), {"__module__": kind.__module__})


def _view(task: Any) -> Any:
    """An `async def` task as one run sees it: it waits for its coroutine, on the event loop of the process."""
    kind: Any = type(task)
    view: Any = object.__new__(_kind_of_view(kind))
    view.__dict__.update(
        {name: value for name, value in vars(task).items() if name not in ("run", "_orig_run", "__trace__")}
    )
    begin = view.run

    @functools.wraps(begin)
    def run_and_wait(*args: Any, **kwargs: Any) -> Any:
        view.seen = view.request_stack.top
        return event_loop.run(begin(*args, **kwargs), _call_of(view).is_cancelled)  # type: ignore[union-attr]

    view.run = run_and_wait
    add_autoretry_behaviour(view)
    return view
