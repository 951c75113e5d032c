"""Values as people read them in a message."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from orchestrator.feature_file.document import quoted


def field(thing: Any, name: str) -> Any:
    """A field of a model, or of the mapping that a model is made from; None if it has none."""
    return thing.get(name) if isinstance(thing, dict) else getattr(thing, name, None)


def kind_of_value(value: Any) -> str:
    """The kind of a value in plain words, such as "a list"."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str() | StrEnum():
            return "a text"
        case list() | tuple():
            return "a list"
        case dict():
            return "a mapping"
        case bytes():
            return "binary data"
        case _:
            return "a date" if type(value).__module__ == "datetime" else f"a {type(value).__name__}"


def shown_value(value: Any, written: str | None) -> str | None:
    """The value on one line, at most 60 characters; nothing for lists and mappings, which are in the file anyway."""
    if value is None or isinstance(value, list | tuple | dict):
        return None
    return quoted(value) if isinstance(value, str) else _short(written or plain(value))


def plain(value: Any) -> str:
    """The value as YAML writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
