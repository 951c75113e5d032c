"""Runs a Python callable, and turns its return value into an outcome."""

from __future__ import annotations

import contextlib
import inspect
import json
import signal
import threading
from collections.abc import Callable, Iterator
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
from orchestrator.specialists import event_loop, interruption, values
from orchestrator.specialists.text import as_text, fit_to_limits, shorten

if TYPE_CHECKING:
    from orchestrator.specialists.context import Context


DONE = Completed()
"""The outcome of a function that returns nothing."""


@dataclass(frozen=True)
class PythonRunner:
    """A specialist that is a Python callable.

    Args:
        function: Called with the context, in the worker's own process.
        limits: The largest sizes of an outcome.
        timeout: Seconds after which the function is interrupted (see `alarm`); None: never.

    Example:
        PythonRunner(lambda context: {"lines": 3}, Limits()).perform(context).result["lines"]
    """

    function: Callable[[Context], Any]
    limits: Limits
    timeout: float | None = None

    def perform(self, context: Context) -> Outcome:
        """Call the function; an `async def` runs on the event loop of the process. Its exceptions pass through.

        Raises:
            TimeoutError: It was interrupted at its time limit.
        """
        if wrong := values.unencodable_return(self.function):
            reason = f"the specialist was not called: it returns a {wrong}, which JSON cannot hold; {values.ADVICE}"
            return Failed(cause=FailureCause.CODE, reason=reason, retry=False)
        with alarm(self.timeout):
            value = self.function(context)
            if inspect.isawaitable(value):
                try:
                    value = event_loop.run(value, context.is_cancelled)
                except event_loop.CancelledByPerson:
                    return Cancelled()
        return outcome_of(value, self.limits)


def alarm(
    seconds: float | None, error: type[Exception] = TimeoutError
) -> contextlib.AbstractContextManager[None]:
    """Raise an error in the block if it runs longer.

    In the main thread of a process (Celery's pools prefork and solo) an alarm of the kernel does it, which also ends
    a blocking call. Elsewhere another thread does it (see `interruption`).
    """
    if seconds is None:
        return contextlib.nullcontext()
    if interruption.green_library() or threading.current_thread() is not threading.main_thread():
        return _timer(seconds, error)
    return _kernels_alarm(seconds, error)


@contextlib.contextmanager
def _timer(seconds: float, error: type[Exception]) -> Iterator[None]:
    with interruption.interruptible() as interrupt:
        timer = threading.Timer(seconds, interrupt, [error])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


@contextlib.contextmanager
def _kernels_alarm(seconds: float, error: type[Exception]) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise error(f"still running after {seconds:g} s, its time limit")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def outcome_of(value: object, limits: Limits, encode: Callable[[Any], Any] = values.to_json_value) -> Outcome:
    """Turn a returned value into an outcome.

    An outcome stays as it is; a text becomes the summary; None completes without a summary; any other value becomes
    the result (see `values`). A value that JSON cannot hold, or that is over `limits.result`, is a failure.

    Example:
        >>> outcome_of("42 tests pass", Limits()).summary
        '42 tests pass'
    """
    if value is None:
        return DONE
    try:
        return fit_to_limits(_outcome(value, encode), limits)
    except (TypeError, ValueError, RecursionError) as error:
        reason = f"the specialist returned a {type(value).__name__} that JSON cannot hold: {error}; {values.ADVICE}"
        return Failed(cause=FailureCause.CODE, reason=as_text(shorten(reason, 500)))


def outcome_of_result(value: object, limits: Limits, encode: Callable[[Any], Any]) -> Outcome:
    """Turn the value that a called task returned into an outcome: as `outcome_of`, but a text is the result too.

    Args:
        value: The value.
        limits: The largest sizes of an outcome.
        encode: Writes a value that JSON does not have; it raises a TypeError if it has no way to.

    Example:
        >>> outcome_of_result("a.png", Limits(), str).result
        'a.png'
    """
    if isinstance(value, str):
        return outcome_of(Completed(summary=shorten(value, 200), result=value), limits)
    return outcome_of(value, limits, encode)


def _outcome(value: object, encode: Callable[[Any], Any]) -> Outcome:
    match value:
        case Completed():
            return value.model_copy(update={"result": _json(value.result, encode)})
        case Blocked() | Failed() | RetryLater() | Cancelled():
            return value
        case str():
            return Completed(summary=value)
        case _:
            return Completed(result=_json(value, encode))


def _json(value: object, encode: Callable[[Any], Any]) -> Any:
    """The value as JSON returns it: tuples become lists, keys become texts.

    Raises:
        TypeError, ValueError, RecursionError: JSON cannot hold it (NaN, a cycle, a lone surrogate, an object).
    """
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, default=encode)
    text.encode()
    return json.loads(text)
