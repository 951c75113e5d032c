"""Outlast an outage of Redis (a restart, a failover, a cut network): ask again until it answers."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from orchestrator.model import durations, errors
from orchestrator.state import refusals
from orchestrator.state.events import EventReader
from orchestrator.state.features import FeatureReader
from orchestrator.state.limits import LimitScripts
from orchestrator.state.tasks import TaskReader

logger = logging.getLogger("orchestrator")

T = TypeVar("T")

ERRORS = (redis.RedisError, errors.RedisUnreachable, errors.RedisRefuses, errors.NotReplicated)

_RETRY = Retry(ExponentialWithJitterBackoff(base=0.1, cap=5.0), retries=-1, supported_errors=ERRORS)

WATCHING = Retry(ExponentialWithJitterBackoff(base=0.1, cap=0.5), retries=-1, supported_errors=ERRORS)
"""Shorter intervals for people who watch: they are few, and want to know soon."""


def outlast(
    ask: Callable[[], T],
    what: str,
    *,
    longest: float,
    retry: Retry | None = None,
    tell: Callable[[str], object] | None = None,
) -> T:
    """Ask Redis, and while it is away ask again, at growing intervals with jitter.

    The question must be safe to repeat, because the first answer may have been lost on its way.

    Args:
        ask: A call of the store, or of a handle.
        what: The name of the waiting part, for the log.
        longest: Seconds after which it gives up.
        retry: The intervals.
        tell: Called once when Redis is away, once when it is back, once when it gives up; the log, if left out.

    Raises:
        RedisError, RedisUnreachable, RedisRefuses, NotReplicated: Redis was away for longer, or it answered with an
            error that does not pass.

    Example:
        outlast(lambda: store.attempts.finish(…), "the outcome of T1", longest=300)
    """
    began = time.monotonic()
    outages = 0

    def note(error: Exception, failures: int) -> None:
        nonlocal outages
        outages = failures
        cause = _cause(error)
        if time.monotonic() - began > longest:
            (tell or logger.error)(
                f"Redis was away for {durations.write(longest)}, so {what} is given up: {cause}"
            )
            raise error
        if failures == 1:
            (tell or logger.warning)(
                f"Redis is away ({cause}); {what} waits for it, for up to {durations.write(longest)}"
            )

    answer = (retry or _RETRY).call_with_retry(
        ask, note, is_retryable=refusals.passes, with_failure_count=True
    )
    if outages:
        took = durations.write(time.monotonic() - began)
        (tell or logger.warning)(f"Redis is back after {took}; {what} has reached it")
    return answer


def _cause(error: Exception) -> str:
    if isinstance(error, errors.NotReplicated):
        return f"{error.there} of {error.wanted} replicas have it"
    return refusals.describe(error)


def patient(store: T, what: str, *, longest: float, tell: Callable[[str], object]) -> T:
    """The same store, each read of which outlasts an outage. Arguments as of `outlast`."""
    return cast("T", _Patient(store, what=what, longest=longest, tell=tell))


PARTS = (FeatureReader, TaskReader, EventReader, LimitScripts)
"""The parts of a store that are patient with it."""


class _Patient:
    def __init__(self, store: object, **patience: Any) -> None:
        self._store = store
        self._patience = patience

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if isinstance(found, PARTS):
            return _Patient(found, **self._patience)
        if not callable(found):
            return found
        return lambda *args, **named: outlast(
            functools.partial(found, *args, **named), retry=WATCHING, **self._patience
        )
