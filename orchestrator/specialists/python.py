"""Runs a Python callable: what it returns becomes the outcome."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.config.schema.limits import Limits
from orchestrator.model.outcome import (
    Blocked,
    Cancelled,
    Completed,
    Failed,
    FailureCause,
    Outcome,
    RetryLater,
)
from orchestrator.specialists import interruption, values
from orchestrator.specialists.text import as_text, shorten, within

if TYPE_CHECKING:
    from orchestrator.specialists.context import Context


@dataclass(frozen=True)
class PythonRunner:
    """A specialist that is a Python callable.

    Args:
        function: Called with the context, in the worker's own process.
        limits: Sizes an outcome is held to.
        timeout: Seconds after which the function is interrupted (see `alarm`); None: never.

    Example:
        PythonRunner(lambda context: {"lines": 3}, Limits()).perform(context).result["lines"]
    """

    function: Callable[[Context], Any]
    limits: Limits
    timeout: float | None = None

    def perform(self, context: Context) -> Outcome:
        """Call the function, to its end where it is an `async def`. What it raises passes through.

        Raises:
            TimeoutError: It was interrupted at its time limit.
        """
        if wrong := values.promised(self.function):
            reason = f"the specialist was not called: it returns a {wrong}, which JSON cannot hold; {values.ADVICE}"
            return Failed(cause=FailureCause.CODE, reason=reason, retry=False)
        with alarm(self.timeout):
            value = self.function(context)
            if inspect.isawaitable(value):
                value = asyncio.run(_ended(value))
        return outcome_of(value, self.limits)


async def _ended(value: Awaitable[Any]) -> Any:
    return await value


@contextlib.contextmanager
def alarm(seconds: float | None) -> Iterator[None]:
    """Raise TimeoutError in Python code that runs longer.

    In a process's main thread, so in Celery's prefork and solo pools, an alarm of the kernel does it, which ends a wait
    too; elsewhere another thread (see `interruption`).
    """
    if seconds is None:
        yield
    elif interruption.green_library() or threading.current_thread() is not threading.main_thread():
        with _timer(seconds):
            yield
    else:
        with _kernels_alarm(seconds):
            yield


@contextlib.contextmanager
def _timer(seconds: float) -> Iterator[None]:
    with interruption.interruptible() as interrupt:
        timer = threading.Timer(seconds, interrupt, [TimeoutError])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


@contextlib.contextmanager
def _kernels_alarm(seconds: float) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise TimeoutError(f"still running after {seconds:g} s, its time limit")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def outcome_of(value: object, limits: Limits) -> Outcome:
    """The outcome that a returned value stands for.

    An outcome is taken as it is, a text is a summary, None is done without a word, and any other value that JSON can
    hold is the result (see `values`). What it cannot hold, or is over `limits.result`, is a failure that says so.

    Example:
        >>> outcome_of("42 tests pass", Limits()).summary
        '42 tests pass'
    """
    try:
        return within(_outcome(value), limits)
    except (TypeError, ValueError, RecursionError) as error:
        reason = f"the specialist returned a {type(value).__name__} that JSON cannot hold: {error}; {values.ADVICE}"
        return Failed(cause=FailureCause.CODE, reason=as_text(shorten(reason, 500)))


def _outcome(value: object) -> Outcome:
    match value:
        case Completed():
            return value.model_copy(update={"result": _json(value.result)})
        case Blocked() | Failed() | RetryLater() | Cancelled():
            return value
        case str():
            return Completed(summary=value)
        case _:
            return Completed(result=_json(value))


def _json(value: object) -> Any:
    """The value as JSON would give it back: tuples are lists, keys are texts.

    Raises:
        TypeError, ValueError, RecursionError: It is no JSON value (NaN, a cycle, a lone surrogate, an object).
    """
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, default=values.plain)
    text.encode()
    return json.loads(text)
