"""Redis is away for a while: a restart, a failover, a network that is cut. What a worker has to say to it can wait."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import OutOfMemoryError, ReadOnlyError
from redis.retry import Retry

from orchestrator import durations

logger = logging.getLogger("orchestrator")

T = TypeVar("T")

AWAY = (redis.ConnectionError, redis.TimeoutError, redis.InvalidResponse, ReadOnlyError, OutOfMemoryError)
"""No answer, one of a proxy, or one that says "not now": of a server that reads its data in, is a replica, or full."""

NOT_NOW = ("MISCONF", "NOREPLICAS", "MASTERDOWN", "BUSY", "TRYAGAIN", "CLUSTERDOWN")
"""How other answers begin that will be different later (https://redis.io/docs/latest/develop/reference/protocol-spec/)."""

_RETRY = Retry(
    ExponentialWithJitterBackoff(base=0.1, cap=5.0), retries=-1, supported_errors=(redis.RedisError,)
)


def is_away(error: Exception) -> bool:
    """The error is one of an outage: the same will be answered when Redis is back.

    Example:
        >>> is_away(redis.ConnectionError("refused")), is_away(redis.ResponseError("WRONGTYPE …"))
        (True, False)
    """
    return isinstance(error, AWAY) or str(error).startswith(NOT_NOW)


def outlast(ask: Callable[[], T], what: str, *, longest: float) -> T:
    """Ask Redis, and while it is away ask again, at growing intervals with jitter.

    What is asked must bear to be asked twice: the answer to the first time may have been lost on its way.

    Args:
        ask: A call of the store.
        what: What waits for it, for the log.
        longest: Seconds after which it is given up.

    Raises:
        RedisError: Redis was away for longer than that, or said something else.

    Example:
        outlast(lambda: store.finish(…), "the outcome of T1", longest=300)
    """
    began = time.monotonic()
    outages = 0

    def note(error: Exception, failures: int) -> None:
        nonlocal outages
        outages = failures
        if time.monotonic() - began > longest:
            logger.error(
                "Redis was away for %s, so %s is given up: %s", durations.write(longest), what, error
            )
            raise error
        if failures == 1:
            logger.warning(
                "Redis is away (%s); %s waits for it, for up to %s", error, what, durations.write(longest)
            )

    answer = _RETRY.call_with_retry(ask, note, is_retryable=is_away, with_failure_count=True)
    if outages:
        logger.warning(
            "Redis is back after %s; %s has reached it", durations.write(time.monotonic() - began), what
        )
    return answer
