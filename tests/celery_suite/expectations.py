"""The tests that end otherwise here than in Celery's own repository, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).with_name("expected.yaml")


@dataclass(frozen=True)
class Difference:
    """Tests that end otherwise for one reason.

    Args:
        why: The reason, in plain English.
        tests: The tests, as pytest names them, without the file.
    """

    why: str
    tests: tuple[str, ...]


def load() -> list[Difference]:
    """The expected result."""
    found: list[dict[str, Any]] = yaml.safe_load(FILE.read_text("utf-8"))
    return [Difference(" ".join(one["why"].split()), tuple(one["tests"])) for one in found]


def surprises(verdicts: Mapping[str, str], expected: list[Difference]) -> list[str]:
    """The differences from what is expected, a line each: a test that fails and is not listed, or is listed and passes.

    Example:
        >>> surprises({"a": "passed", "b": "failed: 3"}, [Difference("too early", ("a",))])
        ['a passes, and is listed: too early', 'b is not listed, and failed: 3']
    """
    listed = {test: one.why for one in expected for test in one.tests}
    found = []
    for test, verdict in verdicts.items():
        if test in listed and verdict == "passed":
            found.append(f"{test} passes, and is listed: {listed[test]}")
        elif test not in listed and verdict != "passed":
            found.append(f"{test} is not listed, and {verdict}")
    return found


def unknown(verdicts: Mapping[str, str], expected: list[Difference]) -> list[str]:
    """The listed tests that the suite does not have."""
    return [test for one in expected for test in one.tests if test not in verdicts]
