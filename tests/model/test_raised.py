"""The exception of a called task comes back as it was, if the program knows its class."""

from __future__ import annotations

import datetime
import json
import sys
from typing import Any

import pytest

from orchestrator.model.raised import MOST, Raised


class Refused(Exception):
    """As a project has its own."""


class Picky(Exception):
    """It cannot be made of the arguments that it keeps."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)


def again(error: BaseException) -> Exception | None:
    return Raised.model_validate_json(Raised.of(error).model_dump_json()).exception(sys.modules)


@pytest.mark.parametrize(
    "error",
    [
        Refused("too late", 3, {"of": [1, None]}),
        KeyError("T1", 2),
        ValueError(),
        Refused(datetime.date(2026, 11, 27)),
    ],
    ids=repr,
)
def test_it_comes_back_with_its_arguments(error: Exception) -> None:
    found = again(error)
    assert (type(found), found.args if found else None) == (type(error), error.args)


def test_an_argument_that_json_does_not_hold_comes_back_as_a_text() -> None:
    found = again(Refused(object, "\ud800", float("nan")))
    assert found is not None
    assert found.args == ("<class 'object'>", "?", "nan")


def test_of_long_arguments_a_cut_text_comes_back() -> None:
    stored = Raised.of(Refused("x" * MOST, "y"))
    assert len(json.dumps(stored.args)) < MOST
    assert isinstance(stored.exception(sys.modules), Refused)


@pytest.mark.parametrize(
    "stored",
    [
        {"module": "not_imported_here", "name": "Error"},
        {"module": "os", "name": "system", "args": ["true"]},
        {"module": "builtins", "name": "SystemExit"},
        {"module": "builtins", "name": "dict"},
        {"module": "tests.model.test_raised", "name": "Missing"},
        {"module": "tests.model.test_raised", "name": "Picky", "args": ["one"]},
    ],
    ids=lambda stored: stored["name"],
)
def test_nothing_else_is_imported_called_or_raised(stored: dict[str, Any]) -> None:
    assert Raised.model_validate(stored).exception(sys.modules) is None
    assert again(Picky("one", "two")) is None
