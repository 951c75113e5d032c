"""A few cases of tests/fuzz.py; `make fuzz` runs it for as long as you like."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable

import pytest

from orchestrator.config.folder import ENV_PREFIX
from tests import fuzz

CASES = 15


@pytest.mark.parametrize("reader", sorted(fuzz.READERS))
def test_what_comes_of_junk_is_an_answer_of_ours(reader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes of messages, stored state, remote control and configurations that are junk is an answer of ours."""
    for name in [name for name in os.environ if name.startswith(ENV_PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(logging.getLogger("orchestrator"), "disabled", True)
    found = {case: text for case in range(CASES) if (text := fuzz.tried(reader, f"test:{case}"))}
    assert found == {}


def test_stored_junk_that_was_found_once_is_told() -> None:
    # Given cases of seed 1 that ended in a traceback: a batch of no number, an event of no name, a task of no text
    assert [fuzz.tried("stored-state", f"1:{case}") for case in (4, 5, 253)] == [None] * 3


def test_a_reader_that_breaks_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(random_: random.Random) -> Callable[[], object]:
        return lambda: dict[str, str]()["missing"]

    monkeypatch.setattr(fuzz, "READERS", {"broken": breaks})
    assert "KeyError: 'missing'" in str(fuzz.tried("broken", "1:1"))


def test_a_seed_makes_the_same_case_again() -> None:
    def made(reader: str) -> list[str]:
        value = {"a": [1, {"b": 2}], "c": "text"}
        random_ = random.Random(f"{reader}:1:1")
        return [fuzz.garble(str(fuzz.spoil(value, random_)), random_) for _ in range(20)]

    assert made("messages") == made("messages")
    assert made("messages") != made("configuration")
