"""Limits: their names, rates as people write them, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orchestrator.config.settings import Settings
from orchestrator.model import errors
from orchestrator.model.rate import Rate, parse_rate
from orchestrator.model.task import Task
from orchestrator.planning import limits
from orchestrator.planning.limits import Limit
from tests.model.factories import task


@pytest.mark.parametrize(
    ("text", "interval", "burst"),
    [("30/m", 2_000, 1), ("1/h", 3_600_000, 1), ("10/s burst 20", 100, 20), (" 5/d ", 17_280_000, 1)],
)
def test_a_rate_is_an_interval_and_a_burst(text: str, interval: float, burst: int) -> None:
    rate = parse_rate(text)
    assert (rate.interval, rate.burst) == (interval, burst)


@pytest.mark.parametrize(
    "text", ["", "30", "0/m", "30/w", "30/m burst 0", "-1/m", "1.5/m", 30, None, "30/m burst"]
)
def test_what_is_no_rate_is_refused_with_what_one_looks_like(text: object) -> None:
    with pytest.raises(ValueError, match="30/m"):
        parse_rate(text)


@given(st.integers(1, 10_000), st.sampled_from("smhd"), st.integers(1, 1_000))
def test_a_rate_that_was_stored_is_written_as_the_same_rate(number: int, unit: str, burst: int) -> None:
    rate = Rate(number, unit, burst)
    written = limits.written(limits.stored(str(rate)))
    assert parse_rate(written).interval == pytest.approx(rate.interval, rel=1e-6)
    assert parse_rate(written).burst == burst


def test_all_limits_of_the_settings_are_configured() -> None:
    settings = Settings.model_validate(
        {
            "parallelism": {"max_parallel_total": 20},
            "resources": {"gpu": 2, "staging-db": 1},
            "specialists": {"writer": {"concurrency": 3, "rate": "60/m burst 2"}},
        }
    )
    assert limits.configured(settings) == {
        "total": "20",
        "resource:gpu": "2",
        "resource:staging-db": "1",
        "specialist:writer": "3",
        "rate:writer": "1000 2",
    }
    assert limits.configured(Settings()) == {}


@pytest.mark.parametrize(
    "given",
    [
        {"resources": {"gpu": -1}},
        {"resources": {"g p u": 1}},
        {"parallelism": {"max_parallel_total": 0}},
        {"specialists": {"writer": {"rate": "often"}}},
        {"specialists": {"writer": {"concurrency": 0}}},
    ],
)
def test_limits_that_cannot_be_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(given)


def test_a_task_names_its_resources_with_or_without_a_number() -> None:
    assert Task.model_validate({"id": "T", "resources": ["gpu", "db"]}).resources == {"gpu": 1, "db": 1}
    assert Task.model_validate({"id": "T", "resources": {"gpu": 2}}).resources == {"gpu": 2}
    for wrong in ({"gpu": 0}, {"g,u": 1}, ["a b"], [1], "gpu"):
        with pytest.raises(ValidationError):
            Task.model_validate({"id": "T", "resources": wrong})


def test_a_task_that_needs_what_there_is_not_is_refused() -> None:
    settings = Settings.model_validate({"resources": {"gpu": 2}})
    limits.check_resources([task("T1", resources={"gpu": 2})], settings)
    with pytest.raises(errors.NoSuchResource, match=r"T2 needs the resource gpus.*there are: gpu"):
        limits.check_resources([task("T2", resources=["gpus"])], settings)
    with pytest.raises(errors.NotEnough, match=r"T3 needs 3 of the resource gpu.*no more than 2"):
        limits.check_resources([task("T3", resources={"gpu": 3})], settings)


@pytest.mark.parametrize(
    ("name", "amount", "found"),
    [
        ("gpu", "3", ("resource:gpu", "3")),
        ("resource:gpu", "0", ("resource:gpu", "0")),
        ("old", "1", ("resource:old", "1")),
        ("total", "5", ("total", "5")),
        ("total", "none", ("total", "")),
        ("specialist:writer", "5", ("specialist:writer", "5")),
        ("rate:writer", "60/m", ("rate:writer", "1000 1")),
    ],
)
def test_an_operator_means_a_limit(name: str, amount: str, found: tuple[str, str]) -> None:
    settings = Settings.model_validate({"resources": {"gpu": 2}, "specialists": {"writer": {}}})
    assert limits.change(name, amount, settings, known=["resource:old"]) == found


@pytest.mark.parametrize(
    ("name", "amount", "error", "says"),
    [
        ("gpus", "1", errors.NoSuchLimit, "resource:gpu"),
        ("specialist:nobody", "1", errors.NoSuchLimit, "total"),
        ("gpu", "none", errors.BadLimit, "whole number"),
        ("gpu", "-1", errors.BadLimit, "whole number"),
        ("gpu", "²", errors.BadLimit, "whole number"),
        ("total", "0", errors.BadLimit, "from 1"),
        ("rate:writer", "5", errors.BadLimit, "30/m"),
    ],
)
def test_a_limit_that_cannot_be_is_refused(
    name: str, amount: str, error: type[errors.OrchestratorError], says: str
) -> None:
    settings = Settings.model_validate({"resources": {"gpu": 2}, "specialists": {"writer": {}}})
    with pytest.raises(error, match=says):
        limits.change(name, amount, settings)


def test_a_sentence_names_a_limit() -> None:
    names = ("total", "specialist:writer", "rate:writer", "resource:gpu")
    assert [Limit(name=name).title for name in names] == [
        "max_parallel_total",
        "the concurrency of writer",
        "the rate of writer",
        "resource gpu",
    ]
