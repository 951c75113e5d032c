"""Durations, as people write them ("25m", "1h30m") and as the program counts them (seconds)."""

from __future__ import annotations

import re

UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
LONGEST = 366 * UNITS["d"]

_PART = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*(ms|d|h|m|s)", re.ASCII)
_NUMBER = re.compile(r"\d{1,12}(?:\.\d{1,6})?", re.ASCII)
_WHOLE = re.compile(rf"(?:{_PART.pattern}\s*)+", re.ASCII)


def parse(value: object) -> float:
    """Read a duration: seconds as a number, or a text of numbers with the units d, h, m, s and ms.

    Returns:
        Seconds, greater than 0 and at most a year (366 days).

    Raises:
        ValueError: The value is not a duration; the message shows one.

    Example:
        >>> parse("1h30m"), parse("250ms"), parse(45), parse("45")
        (5400.0, 0.25, 45.0, 45.0)
    """
    seconds = _seconds(value)
    if not 0 < seconds <= LONGEST:
        raise ValueError("a duration is longer than nothing and at most 366d")
    return seconds


def parse_estimate(value: object) -> float:
    """Read an expected duration, which may be 0: recorded work often took less than its clock could tell.

    Returns:
        Seconds, from 0 to a year (366 days).

    Raises:
        ValueError: The value is not a duration; the message shows one.

    Example:
        >>> parse_estimate(0), parse_estimate("25m")
        (0.0, 1500.0)
    """
    seconds = _seconds(value)
    if not 0 <= seconds <= LONGEST:
        raise ValueError("an estimate is a duration from 0 to 366d")
    return seconds


def _seconds(value: object) -> float:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)  # a variable of the environment is always a text
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return sum(float(number) * UNITS[unit] for number, unit in _PART.findall(value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(max(-1, min(value, 2 * LONGEST)))  # no float is as large as an int can be
    raise ValueError("a duration is a number of seconds or a text such as 45s, 25m, 1h30m, 2d")


def write(seconds: float) -> str:
    """Write seconds the way a person would: two units at most.

    Example:
        >>> write(5400), write(0.25), write(41.3), write(2.34)
        ('1h 30m', '250ms', '41s', '2.3s')
    """
    if seconds < 0.9995:
        return f"{round(seconds * 1000)}ms"
    if seconds < 10:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    sizes = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)]
    first = next(place for place, (_, size) in enumerate(sizes) if whole >= size)
    (big, big_size), (small, small_size) = sizes[first : first + 2] if first < 3 else (sizes[3], ("", 1))
    rest = whole % big_size // small_size if small else 0
    return f"{whole // big_size}{big}" + (f" {rest}{small}" if rest else "")
