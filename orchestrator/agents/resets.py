"""When a limit is reset, from what a program says of it; and how long to wait where it says nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

LONGEST = 8 * 86_400.0
"""Seconds. The longest limits are those of a week."""

FIRST, LARGEST = 30.0, 900.0
"""Seconds of the first wait, and of the longest, where nothing says when a limit is reset."""

LAST = 10**15
"""A moment after this one is nonsense."""

MILLISECONDS = 10**11
"""A moment that is larger counts milliseconds since 1970."""

_EPOCH = re.compile(r"(?:\||resets?\D{0,12}|reset_at\D{0,4})(\d{10}(?:\d{3})?)(?!\d)", re.I)
_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?")
_AFTER = re.compile(r"retry[-_ ]?after\W{0,5}(\d{1,7}(?:\.\d+)?)(?!\d|\s*(?:ms|[mhd]\b|min|hour|day))", re.I)
_UNIT = r"(?:milliseconds?|ms|days?|d|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s)(?![a-z])"
_WITHIN = re.compile(
    rf"(?:\bin|\bafter|retrydelay\W+)\s*((?:\d{{1,7}}(?:\.\d+)?\s*{_UNIT}[\s,]*(?:and\s+)?)+)", re.I
)
_PART = re.compile(rf"(\d{{1,7}}(?:\.\d+)?)\s*({_UNIT})", re.I)
_CLOCK = re.compile(
    r"(?:resets?|try again|available again|until)\b(?:\s+(?:at|on|by))*\s*"
    r"(?:(?P<month>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?\s+(?P<day>\d{1,2})(?:st|nd|rd|th)?,?\s*"
    r"(?:(?P<year>\d{4}),?\s*)?(?:at\s+)?)?"
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d\d))?\s*(?P<half>[ap]\.?m\b)?\s*(?:\(?(?P<zone>UTC|GMT|[A-Z][A-Za-z]+/[A-Za-z_/]+))?",
    re.I,
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_SECONDS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}


def wait(said: float | str | None, texts: Iterable[str], now: float) -> float | None:
    """Seconds until a limit is reset; None: nothing says it, or the moment is over.

    Args:
        said: What stood in the event for it: seconds since 1970, or a text.
        texts: The texts of errors, the newest last.
        now: The moment, in seconds since 1970.

    Example:
        >>> wait(None, ["usage limit reached|1767225700"], now=1767225600.0)
        100.0
        >>> wait(None, ["Rate limit reached. Please try again in 1m30s."], now=0.0)
        90.0
    """
    found = _moment(said, now) if isinstance(said, int | float) else None
    told = [said] if isinstance(said, str) else []
    for text in (*told, *reversed(list(texts))):
        found = found if found is not None else _of_text(text[:2_000], now)
    if found is None or not math.isfinite(found) or found <= 0:
        return None
    return min(found, LONGEST)


def growing(waits: int, chance: float = 0.5) -> float:
    """Seconds to wait where nothing says how long: each wait is twice the one before, up to 15 minutes.

    Args:
        waits: The waits before this one, without a success between them.
        chance: A random number in [0, 1): a share of the wait, so that tasks do not return together.

    Example:
        >>> growing(0, chance=1.0), growing(2, chance=1.0), growing(50, chance=1.0)
        (30.0, 120.0, 900.0)
    """
    return min(LARGEST, FIRST * 2.0 ** min(waits, 30)) * (0.5 + chance / 2)


def _moment(epoch: float, now: float) -> float | None:
    if not 0 <= epoch <= LAST:  # an integer may be larger than a float can be
        return None
    return float(epoch / 1000 if epoch > MILLISECONDS else epoch) - now


def _of_text(text: str, now: float) -> float | None:
    """Seconds until the moment that a text names."""
    if found := _EPOCH.search(text):
        return _moment(float(found[1]), now)
    if found := _ISO.search(text):
        return _iso(found[0], now)
    if found := _AFTER.search(text):
        return float(found[1])
    if found := _WITHIN.search(text):
        return sum(_seconds(number, unit) for number, unit in _PART.findall(found[1]))
    if found := _CLOCK.search(text):
        return _clock(found, now)
    return None


def _seconds(number: str, unit: str) -> float:
    unit = unit.lower()
    return float(number) * (0.001 if unit.startswith(("ms", "milli")) else _SECONDS[unit[0]])


def _iso(text: str, now: float) -> float | None:
    try:
        read = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp() - now


def _clock(found: re.Match[str], now: float) -> float | None:
    """Seconds until a time of day, today or tomorrow; with a date, that day. Without a zone it is this machine's."""
    if not (found["half"] or found["minute"]):
        return None
    here = datetime.fromtimestamp(now, _zone(found["zone"])).astimezone(_zone(found["zone"]))
    hour = int(found["hour"])
    if found["half"]:
        hour = hour % 12 + (12 if found["half"][0] in "pP" else 0)
    try:
        moment = here.replace(hour=hour, minute=int(found["minute"] or 0), second=0, microsecond=0)
        if found["month"]:
            month = _MONTHS.index(found["month"].lower()) + 1
            moment = moment.replace(year=int(found["year"] or here.year), month=month, day=int(found["day"]))
            if not found["year"] and moment < here - timedelta(days=180):
                moment = moment.replace(year=moment.year + 1)
        elif moment <= here:
            moment += timedelta(days=1)
    except (ValueError, OverflowError):
        return None
    return moment.timestamp() - now


def _zone(name: str | None) -> tzinfo | None:
    if not name:
        return None
    if name.upper() in ("UTC", "GMT"):
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError):
        return None
