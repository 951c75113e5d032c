"""The return value of a Python specialist becomes an outcome."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import enum
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator.config.schema.limits import Limits
from orchestrator.specialists import (
    Blocked,
    Cancelled,
    Completed,
    Context,
    Failed,
    FailureCause,
    RetryLater,
    values,
)
from orchestrator.specialists.python import PythonRunner, outcome_of
from tests.specialists.contexts import a_context


@dataclass
class Point:
    x: int
    y: decimal.Decimal


class Page(BaseModel):
    day: datetime.date


class Colour(enum.Enum):
    RED = 1


SMALL = Limits(result=200, tail=100)


@pytest.mark.parametrize(
    ("returned", "outcome"),
    [
        (None, Completed()),
        ("42 tests pass", Completed(summary="42 tests pass")),
        ({"lines": 3}, Completed(result={"lines": 3})),
        ([1, "two", None], Completed(result=[1, "two", None])),
        ((1, 2), Completed(result=[1, 2])),
        (True, Completed(result=True)),
        (datetime.date(2000, 1, 1), Completed(result="2000-01-01")),
        ({"at": datetime.datetime(2000, 1, 1, 2, 3)}, Completed(result={"at": "2000-01-01T02:03:00"})),
        (decimal.Decimal("1.50"), Completed(result="1.50")),
        ([uuid.UUID(int=1)], Completed(result=["00000000-0000-0000-0000-000000000001"])),
        ({"file": Path("a/b")}, Completed(result={"file": "a/b"})),
        (Point(1, decimal.Decimal(2)), Completed(result={"x": 1, "y": "2"})),
        (Page(day=datetime.date(2000, 1, 1)), Completed(result={"day": "2000-01-01"})),
        (Colour.RED, Completed(result=1)),
        (0, Completed(result=0)),
        ({1: "one"}, Completed(result={"1": "one"})),
        (Completed(summary="done", result=[1]), Completed(summary="done", result=[1])),
        (Blocked(reason="no key"), Blocked(reason="no key")),
        (Failed(reason="two tests fail"), Failed(reason="two tests fail")),
        (RetryLater(after=5), RetryLater(after=5)),
        (Cancelled(), Cancelled()),
    ],
)
def test_a_returned_value_is_an_outcome(returned: object, outcome: object) -> None:
    # When a specialist returns a value, then the outcome says what it stands for
    assert outcome_of(returned, Limits()) == outcome


def a_cycle() -> list[Any]:
    cycle: list[Any] = []
    cycle.append(cycle)
    return cycle


def a_tower(height: int) -> list[Any]:
    tower: list[Any] = []
    for _ in range(height):
        tower = [tower]
    return tower


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ({1, 2}, "returned a set that JSON cannot hold"),
        ({"at": object()}, "returned a dict that JSON cannot hold"),
        (float("nan"), "returned a float that JSON cannot hold"),
        (Completed(result=[float("inf")]), "returned a Completed that JSON cannot hold"),
        (a_cycle(), "returned a list that JSON cannot hold: Circular reference"),
        (a_tower(100_000), "returned a list that JSON cannot hold"),
        (["\ud800"], "returned a list that JSON cannot hold"),
        (a_tower(220), "returned a list that JSON cannot hold: recursion limit"),
    ],
)
def test_what_is_no_json_is_a_failure_that_says_so(returned: object, said: str) -> None:
    # When a specialist returns what JSON cannot hold
    outcome = outcome_of(returned, Limits())
    # Then the attempt failed, and the reason names what was returned
    assert isinstance(outcome, Failed)
    assert outcome.cause is FailureCause.CODE
    assert said in outcome.reason


@pytest.mark.parametrize("returned", ["x" * 300, ["x" * 300], Blocked(reason="x" * 300)])
def test_what_is_too_large_is_a_failure_that_says_so(returned: object) -> None:
    # Given a limit of 200 characters, when a specialist returns more than that
    outcome = outcome_of(returned, SMALL)
    # Then the attempt failed, and the reason names the limit
    assert isinstance(outcome, Failed)
    assert "over limits.result (200)" in outcome.reason
    # And the same within the limit is kept
    assert not isinstance(outcome_of("x" * 100, SMALL), Failed)


def test_texts_are_kept_plain_and_tails_short() -> None:
    # When an outcome has colours in its text and more output than is kept
    outcome = outcome_of(Failed(reason="\x1b[31mred\x1b[0m\x07", tail="a" * 200 + "end"), SMALL)
    # Then the text is plain, and the end of the output is there
    assert isinstance(outcome, Failed)
    assert outcome.reason == "red"
    assert outcome.tail == "a" * 97 + "end"
    # And half a character, which UTF-8 cannot write, is left out
    assert outcome_of("done\ud800", SMALL) == Completed(summary="done")


def test_the_function_is_given_the_context(tmp_path: Path) -> None:
    # Given a function that looks at its context
    def review(context: Context) -> dict[str, object]:
        context.progress(50, "half way")
        return {"task": context.task.name, "cancelled": context.is_cancelled()}

    notes: list[tuple[float | None, str]] = []
    context = a_context(tmp_path, progress=lambda percent=None, note="": notes.append((percent, note)))
    # When it is run
    outcome = PythonRunner(review, Limits()).perform(context)
    # Then it has seen the task, and its progress was told
    assert outcome == Completed(result={"task": "Review", "cancelled": False})
    assert notes == [(50, "half way")]


def test_log_lines_say_which_attempt_they_are_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # When a specialist logs a line
    a_context(tmp_path, attempt=2).logger.warning("%s is slow", "the disk")
    # Then the line names the feature, the task and the attempt, in text and as attributes
    record = caplog.records[0]
    assert record.getMessage() == "[auth/T1 attempt 2] the disk is slow"
    assert (record.__dict__["feature"], record.__dict__["task"], record.__dict__["attempt"]) == (
        "auth",
        "T1",
        2,
    )


def test_an_async_specialist_runs_to_its_end(tmp_path: Path) -> None:
    async def work(context: Context) -> dict[str, str]:
        await asyncio.sleep(0)
        return {"task": context.task.id}

    outcome = PythonRunner(work, Limits()).perform(a_context(tmp_path))

    assert outcome == Completed(result={"task": "T1"})


def test_an_async_specialist_is_interrupted_at_its_time_limit(tmp_path: Path) -> None:
    async def work(context: Context) -> None:
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError, match="its time limit"):
        PythonRunner(work, Limits(), timeout=0.1).perform(a_context(tmp_path))


@pytest.mark.parametrize(
    "promised", [set[str], bytes, "bytes | complex", Limits | None, object, Any, Iterator[int]]
)
def test_what_promises_something_that_json_cannot_hold_is_not_called(tmp_path: Path, promised: Any) -> None:
    # Given a specialist with a return annotation
    called: list[Context] = []
    work = called.append
    function = lambda context: work(context)  # noqa: E731
    function.__annotations__["return"] = promised
    # When it is to work
    outcome = PythonRunner(function, Limits()).perform(a_context(tmp_path))
    # Then it is refused before it does anything, where nothing that it promises can be held
    is_refused = promised in (set[str], bytes, "bytes | complex")
    assert bool(called) is not is_refused
    if is_refused:
        assert isinstance(outcome, Failed)
        assert "was not called" in outcome.reason
        assert outcome.retry is False


@pytest.mark.parametrize(
    "promised", [Completed | Failed, Page, Point, Colour, Mapping[str, int], datetime.date, None, str]
)
def test_what_promises_something_that_json_can_hold_is_called(promised: Any) -> None:
    def work(context: Context) -> Any: ...

    work.__annotations__["return"] = promised
    assert values.unencodable_return(work) is None
