"""When a limit is reset, as programs say it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.agents.resets import LONGEST, growing, wait

NOW = 1_795_798_800.0
"""27 November 2026, 17:00 UTC."""

LIKE_A_MOMENT = (
    r"(resets|try again|retry after) (at|in|on)? ?(Jan|Feb|Nov)? ?[0-9]{1,12}(st|th)?,? ?[0-9]{0,4} ?:?[0-9]{0,2} ?"
    r"(am|pm|s|m|h|days)? ?\(?(UTC|Europe/Paris|Nowhere/Here)?"
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Claude AI usage limit reached|1795800000", 1_200),
        ('{"reset_at": 1795798860000}', 60),
        ("Limit resets at 2026-11-28T00:00:00Z.", 25_200),
        ("it ends 2026-11-27T19:00:00+01:00", 3_600),
        ("429, retry-after: 30", 30),
        ("Retry after 30 seconds", 30),
        ("retry after 2 minutes", 120),
        ("Rate limit reached. Please try again in 1.898s.", 1.898),
        ("try again in 5 days 3 hours 22 minutes.", 444_120),
        ("Your quota will reset after 3h13m20s.", 11_600),
        ("try again in 20ms", 0.02),
        ('"retryDelay": "34s"', 34),
        ("You've hit your limit · resets 11:30pm (UTC)", 23_400),
        ("You've hit your limit · resets 3pm (America/New_York)", 10_800),
        ("resets 4pm (UTC)", 82_800),
        ("try again at Nov 28th, 2026 3:05 PM UTC.", 79_500),
        ("session limit · resets Nov 30, 3pm (UTC)", 252_000),
        ("resets Jan 2, 5pm (UTC)", 8 * 86_400),
    ],
)
def test_a_moment_in_a_text(text: str, seconds: float) -> None:
    assert wait(None, [text], NOW) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        *("", "resets soon", "resets at 8", "usage limit reached|1000000000", "in 3 files"),
        *("resets Feb 30, 3pm (UTC)", "version 2026-13-45T99:99"),
    ],
)
def test_a_text_without_a_moment_to_come(text: str) -> None:
    assert wait(None, [text], NOW) is None


def test_the_newest_text_goes_first() -> None:
    assert wait(None, ["retry-after: 5", "retry-after: 7", "no"], NOW) == 7


@given(st.none() | st.floats() | st.text(), st.lists(st.text()), st.floats(0, 4e9))
def test_any_text_is_read_to_a_wait_or_to_none(
    said: float | str | None, texts: list[str], now: float
) -> None:
    found = wait(said, texts, now)

    assert found is None or 0 < found <= LONGEST


@given(st.from_regex(LIKE_A_MOMENT, fullmatch=True), st.floats(0, 4e9))
def test_what_looks_like_a_moment_never_breaks_it(text: str, now: float) -> None:
    found = wait(None, [text], now)

    assert found is None or 0 < found <= LONGEST


@given(st.integers(0, 10**6), st.floats(0, 1, exclude_max=True))
def test_a_growing_wait_has_an_end(waits: int, chance: float) -> None:
    assert 15 <= growing(waits, chance) <= 900


@pytest.mark.parametrize(
    "said", [10**400, -(10**400), -1.0, 1e308, float("nan")], ids=["huge", "low", "past", "far", "nan"]
)
def test_a_number_that_is_no_moment_says_nothing(said: float) -> None:
    assert wait(said, [], now=1_767_225_600.0) is None
