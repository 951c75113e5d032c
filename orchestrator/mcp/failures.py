"""Errors as an agent reads them: data, with the calls that help."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from orchestrator.contract import compact, error_codes
from orchestrator.mcp import calls
from orchestrator.model import errors
from orchestrator.model.words import one_line

LONGEST = 1_500
"""Characters of a message: some hundred tokens, whatever a person would read."""

MOST_MISTAKES = 5
"""Mistakes in arguments that are named; those after them are counted."""

WORDS = {"missing": "is missing", "extra_forbidden": "is not known here"}
"""The two mistakes that agents make most, in fewer words than pydantic's."""


def as_data(error: errors.OrchestratorError) -> str:
    """An error as JSON: its code, what it says, and the calls that help.

    Example:
        >>> as_data(errors.NoSuchDraft(draft="1f"))
        '{"error":"no-such-draft","message":"There is no plan 1f: it is kept for a day.\\\\nPlan the feature again."}'
    """
    found = error_codes.of(error)
    # A program finds in the facts what the first line leaves out; an agent gets the whole text instead.
    told: dict[str, Any] = {"error": found.code, "message": _cut(str(error))}
    if helping := [call for action in found.actions if (call := calls.of(action, error.facts))]:
        told["calls"] = helping
    return compact.write(told)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def of_arguments(error: ValidationError) -> str:
    """Arguments that a tool does not take as JSON: each mistake with its place, without addresses and classes.

    Example:
        >>> from pydantic import TypeAdapter
        >>> try: TypeAdapter(dict[str, int]).validate_python({"seconds": "soon"})
        ... except ValidationError as error: print(of_arguments(error))
        {"error":"wrong-usage","message":"seconds: should be a valid integer, unable to parse string as an integer"}
    """
    found = error.errors(include_url=False, include_context=False, include_input=False)
    more = f"; and {len(found) - MOST_MISTAKES} more" if len(found) > MOST_MISTAKES else ""
    message = "; ".join(map(_mistake, found[:MOST_MISTAKES])) + more
    return compact.write({"error": error_codes.USAGE, "message": message})


def _mistake(line: ErrorDetails) -> str:
    place = ".".join(map(str, line["loc"]))
    said = line["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
    text = WORDS.get(line["type"], "")
    return one_line(f"{place} {text}" if text else f"{place}: {said}" if place else said, 300)
