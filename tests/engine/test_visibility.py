"""How a Celery task ends, and what leaves the process of it."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from billiard.einfo import ExceptionInfo
from celery import exceptions
from celery.utils.serialization import get_pickleable_exception

from orchestrator.engine.visibility import CanvasStopped, TaskFailed, TaskStopped, conceal, end_celery_task
from orchestrator.model.outcome import Blocked, Cancelled, Completed, Failed, FailureCause, RetryLater


class Particular(Exception):
    """Cannot be made from its arguments."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


class Odd(Particular):
    """Takes no attributes either."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)


def test_what_completed_returns_a_line() -> None:
    assert end_celery_task(Completed(summary="all about it"), "T1") == "T1: completed"


def test_what_failed_raises_what_the_specialist_raised() -> None:
    error = Particular("a", "b")
    with pytest.raises(Particular) as raised:
        end_celery_task(Failed(reason="ab").because_of(error), "T1")
    assert raised.value is error
    assert get_pickleable_exception(error) is error, "Celery gives it to its signals as it is"
    with pytest.raises(Odd):
        end_celery_task(Failed(reason="ab").because_of(Odd("a", "b")), "T1")


def test_a_predicate_of_celerys_is_a_failure_like_others() -> None:
    for predicate in (exceptions.Ignore(), exceptions.Reject("x"), exceptions.Retry("x")):
        with pytest.raises(TaskFailed, match="T1: failed: said so"):
            end_celery_task(Failed(reason="said so").because_of(predicate), "T1")


def test_an_error_is_in_no_written_outcome() -> None:
    failed = Failed(reason="ab").because_of(ValueError("ab"))
    assert "error" not in failed.model_dump_json()
    assert Failed.model_validate_json(failed.model_dump_json()).error is None
    assert failed.model_copy(update={"tail": "x"}).error is failed.error


@pytest.mark.parametrize(
    ("outcome", "status"), [(Blocked(reason="no key"), "blocked"), (Cancelled(), "cancelled")]
)
def test_what_stopped_is_no_failure(outcome: Blocked | Cancelled, status: str) -> None:
    with pytest.raises(exceptions.Ignore) as raised:
        end_celery_task(outcome, "T1")
    assert isinstance(raised.value, TaskStopped)
    assert raised.value.status == status
    assert str(raised.value) == f"T1: {status}: {outcome.reason}"
    assert pickle.loads(pickle.dumps(raised.value)).status == status
    # But nobody can go on with a task of a canvas, and somebody may wait for it
    with pytest.raises(CanvasStopped):
        end_celery_task(outcome, "T1", CanvasStopped)


def test_what_is_to_be_done_later_is_a_retry() -> None:
    with pytest.raises(exceptions.Retry) as raised:
        end_celery_task(RetryLater(after=5, reason="busy"), "T1")
    assert raised.value.when == 5


@pytest.mark.parametrize(
    "error", [Particular("sec", "ret"), MemoryError("secret"), exceptions.Retry("secret")]
)
def test_nothing_of_an_exception_leaves_the_process(error: Exception) -> None:
    told: Any = None
    try:
        raise error
    except Exception as raised:
        told = ExceptionInfo((type(raised), raised, raised.__traceback__))

    conceal(told, f"T1: failed: {FailureCause.CODE}")

    sent = pickle.dumps(told)
    assert b"secret" not in sent
    assert b"Particular" not in sent
    arrived = pickle.loads(sent)
    assert isinstance(
        arrived.exception, exceptions.Retry if isinstance(error, exceptions.Retry) else TaskFailed
    )
    assert arrived.traceback == ""
