"""The list of what ends otherwise in Celery's own suite, and the page that shows it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.celery_suite import expectations
from tests.celery_suite.expectations import Difference

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "canvases.md"


def test_no_test_is_listed_twice() -> None:
    listed = Counter(test for one in expectations.load() for test in one.tests)
    assert [test for test, times in listed.items() if times > 1] == []


def test_the_page_has_each_reason_with_the_number_of_its_tests() -> None:
    page = PAGE.read_text("utf-8")
    for one in expectations.load():
        (line,) = [line for line in page.splitlines() if line.endswith(f"| {one.why} |")]
        assert line.startswith(f"| {len(one.tests)} |"), "run `make celery-suite`"


def test_a_failure_that_is_not_listed_is_told() -> None:
    expected = [Difference("too early", ("a",))]
    verdicts = {"a": "failed: 3", "b": "failed: 4", "c": "passed", "d": "skipped: no"}
    assert expectations.unlisted(verdicts, expected) == ["b: failed: 4", "d: skipped: no"]


def test_a_listed_test_that_passes_or_that_the_suite_does_not_have_is_told() -> None:
    expected = [Difference("too early", ("a", "b", "c"))]
    verdicts = {"a": "failed: 3", "b": "passed"}
    assert expectations.needless(verdicts, expected) == ["b: passed", "c: no verdict"]
    assert expectations.needless(verdicts, expected, whole=False) == ["b: passed"]


def test_no_line_is_told_when_all_is_as_listed() -> None:
    expected = [Difference("too early", ("a",))]
    verdicts = {"a": "failed: 3", "b": "passed"}
    assert expectations.unlisted(verdicts, expected) == expectations.needless(verdicts, expected) == []
