"""Durations are read and written the way people do."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as some

from orchestrator.model import durations


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("45s", 45),
        ("25m", 1500),
        ("1h30m", 5400),
        (" 1h 30m ", 5400),
        ("2d", 172_800),
        ("250ms", 0.25),
        ("1.5h", 5400),
        ("366d", durations.LONGEST),
        (45, 45),
        ("45", 45),
        (0.5, 0.5),
    ],
)
def test_a_duration_is_read(written: object, seconds: float) -> None:
    assert durations.parse(written) == seconds


@pytest.mark.parametrize(
    "written",
    [
        *["", " ", "9x", "m", "-5m", "1h30", "5 minutes", "٣m", "1e3s", "0s", "367d", "9" * 400 + "d"],
        *[0, -1, math.inf, math.nan, True, None, [], {}, 10**400],
    ],
)
def test_what_is_no_duration_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="a duration is"):
        durations.parse(written)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "0ms"),
        (0.25, "250ms"),
        (0.9999, "1s"),
        (2, "2s"),
        (2.34, "2.3s"),
        (9.99, "10s"),
        (41.3, "41s"),
        (59.6, "1m"),
        (90, "1m 30s"),
        (3600, "1h"),
        (5400, "1h 30m"),
        (90_000, "1d 1h"),
    ],
)
def test_a_duration_is_written(seconds: float, written: str) -> None:
    assert durations.write(seconds) == written


@given(some.floats(0.001, durations.LONGEST))
def test_what_is_written_is_read_back_nearly(seconds: float) -> None:
    assert durations.parse(durations.write(seconds)) == pytest.approx(seconds, rel=0.5)
