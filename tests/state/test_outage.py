"""While Redis is away, what has to be said to it is said again and again, for a time."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import redis
from redis.backoff import NoBackoff
from redis.exceptions import ReadOnlyError
from redis.retry import Retry

from orchestrator.state import outage


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        outage, "_RETRY", Retry(NoBackoff(), retries=-1, supported_errors=(redis.RedisError,))
    )


def answering(*answers: Exception | str) -> Callable[[], str]:
    left = iter(answers)

    def ask() -> str:
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ask


def test_what_is_said_reaches_redis_when_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "orchestrator")
    ask = answering(
        redis.ConnectionError("refused"),
        redis.BusyLoadingError("reads its data in"),
        ReadOnlyError("You can't write against a read only replica."),
        redis.ResponseError("MISCONF the disk is full"),
        redis.TimeoutError("silence"),
        "finished",
    )
    assert outage.outlast(ask, "the outcome of T1", longest=600) == "finished"
    away, back = caplog.messages
    assert away == "Redis is away (refused); the outcome of T1 waits for it, for up to 10m"
    assert back.startswith("Redis is back after ")


def test_it_is_given_up_in_the_end(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(redis.ConnectionError, match="refused"):
        outage.outlast(answering(redis.ConnectionError("refused")), "the outcome of T1", longest=-1)
    assert any("the outcome of T1 is given up" in message for message in caplog.messages)


def test_what_is_no_outage_is_raised_at_once() -> None:
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        outage.outlast(answering(redis.ResponseError("WRONGTYPE of key")), "the outcome of T1", longest=600)
