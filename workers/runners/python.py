"""Runs a Python callable: what it returns becomes the outcome."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.config import Limits
from orchestrator.models import Blocked, Cancelled, Completed, Failed, FailureCause, Outcome, RetryLater
from workers.runners import as_text, shorten, within

if TYPE_CHECKING:
    from workers.base import Context


@dataclass(frozen=True)
class PythonRunner:
    """A specialist that is a Python callable.

    Args:
        function: Called with the context. It runs in the worker's own process, so its time limit is the shell's.
        limits: Sizes an outcome is held to.

    Example:
        PythonRunner(lambda context: {"lines": 3}, Limits()).perform(context).result["lines"]
    """

    function: Callable[[Context], Any]
    limits: Limits

    def perform(self, context: Context) -> Outcome:
        """Call the function. What it raises passes through."""
        return outcome_of(self.function(context), self.limits)


def outcome_of(value: object, limits: Limits) -> Outcome:
    """The outcome that a returned value stands for.

    An outcome is taken as it is, a text is a summary, None is done without a word, and any other JSON value is
    the result. What is no JSON, or is over `limits.result`, is a failure that says so.

    Example:
        >>> outcome_of("42 tests pass", Limits()).summary
        '42 tests pass'
    """
    try:
        return within(_outcome(value), limits)
    except (TypeError, ValueError, RecursionError) as error:
        reason = f"the specialist returned a {type(value).__name__} that JSON cannot hold: {error}"
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
    text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    text.encode()
    return json.loads(text)
