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


def unlisted(verdicts: Mapping[str, str], expected: list[Difference]) -> list[str]:
    """The tests that did not pass and are not listed, each with its verdict.

    Example:
        >>> unlisted({"a": "passed", "b": "failed: 3"}, [])
        ['b: failed: 3']
    """
    listed = {test for one in expected for test in one.tests}
    return [
        f"{test}: {verdict}"
        for test, verdict in verdicts.items()
        if verdict != "passed" and test not in listed
    ]


def needless(verdicts: Mapping[str, str], expected: list[Difference], *, whole: bool = True) -> list[str]:
    """The listed tests that passed or, after a run of the whole suite, have no verdict; each with what it did.

    Args:
        verdicts: How each test ended.
        expected: The list.
        whole: Whether all tests were run.

    Example:
        >>> needless({"a": "passed"}, [Difference("too early", ("a", "b"))])
        ['a: passed', 'b: no verdict']
    """
    ended = {test: verdicts.get(test, "no verdict") for one in expected for test in one.tests}
    wrong = ("passed", "no verdict") if whole else ("passed",)
    return [f"{test}: {verdict}" for test, verdict in ended.items() if verdict in wrong]
