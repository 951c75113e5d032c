"""pydantic's errors in plain words: for each, what would be right."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from orchestrator.feature_file.document import KeyPath, Mistake, SourceLocation, quoted
from orchestrator.feature_file.json_reader import JsonDocument
from orchestrator.feature_file.values import kind_of_value, plain, shown_value
from orchestrator.feature_file.yaml_reader import YamlDocument
from orchestrator.model import words
from orchestrator.model.feature import Feature, Strategy
from orchestrator.model.task import Priority, Retries, Task

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def validate(value: Any) -> tuple[Feature | None, list[ErrorDetails]]:
    """The feature that the value describes, or pydantic's errors."""
    try:
        return Feature.model_validate(value), []
    except ValidationError as error:
        return None, error.errors(include_url=False, include_context=False)


def explain_all(
    found: list[ErrorDetails], others: list[Mistake], document: YamlDocument | JsonDocument
) -> list[Mistake]:
    """All mistakes in plain words, each with its line."""
    paths = [key_path(details["loc"]) for details in found]
    locations = document.locations([*paths, *(mistake.path for mistake in others)])
    explained = [
        explain(details, path, locations.get(path, SourceLocation()))
        for details, path in zip(found, paths, strict=True)
    ]
    for mistake in others:
        explained.append(
            replace(mistake, line=mistake.line or locations.get(mistake.path, SourceLocation()).line)
        )
    return explained


def explain(details: ErrorDetails, path: KeyPath, location: SourceLocation) -> Mistake:
    """One of pydantic's errors in plain words."""
    kind, value = details["type"], details["input"]
    message = _correction(kind, details["msg"], path, value, location.written)
    is_about_key = kind in ("missing", "extra_forbidden")
    shown = None if is_about_key else shown_value(value, location.written)
    return Mistake(path, message, shown, location.line)


def key_path(loc: KeyPath) -> KeyPath:
    """The path without pydantic's own words: in params.names.list.0 each level has its type before its key."""
    loc = tuple(part for part in loc if part != "[key]")
    return loc[:4] + loc[5::2] if loc[2:3] == ("params",) else loc


MISSING = {
    "id": "is missing; give the task an id, such as T1",
    "title": "is missing; say in one line what the feature is",
    "tasks": "is missing; list the tasks, at least one",
}
LISTS = {
    "tags": "[backend, database]",
    "depends_on": "[T1, T2]",
    "run": '[pytest, "-q"]',
    "tasks": "[{id: T1}]",
}


def _correction(kind: str, message: str, path: KeyPath, value: Any, written: str | None) -> str:
    """The text to write instead, by pydantic's error type (docs.pydantic.dev/latest/errors/validation_errors)."""
    name = next((part for part in reversed(path) if isinstance(part, str)), "")
    field = _model(path).model_fields.get(name)
    choices = _CHOICES.get(name, ())
    limits = field.metadata if field else []
    match kind:
        case "extra_forbidden":
            key, known = str(path[-1]), _model(path).model_fields
            keys = f"; the keys are {', '.join(known)}"
            return f"unknown key {quoted(key)}{words.did_you_mean(key, known, keys)}"
        case "missing":
            return MISSING.get(name, "is missing")
        case "enum":
            return (
                f"choose one of {', '.join(choices)}{words.did_you_mean(str(value), choices, otherwise='')}"
            )
        case "string_pattern_mismatch":
            return "a name has at most 63 letters, digits and _ . -, and starts with a letter or digit"
        case "string_type" if value is None:
            return "is empty; write a text, or remove the key"
        case "string_type" if not isinstance(value, list | dict):
            return f"is {kind_of_value(value)}, not a text; write {_in_quotes(value, written)} with quotes"
        case "string_type":
            return f"is {kind_of_value(value)}; write one text"
        case "string_unicode":
            return "has half a surrogate pair (\\ud800 to \\udfff); write the character itself"
        case "string_too_long":
            return f"has {len(value):,} characters; at most {_digits(message)} are allowed"
        case "string_too_short":
            return "is empty; write a text, or remove it"
        case "too_long":
            return f"has {len(value):,} entries; at most {_digits(message)} are allowed"
        case "too_short":
            return "is empty; " + (
                "list at least one task" if name == "tasks" else "write a command, or remove the key"
            )
        case "tuple_type":
            single = (
                name in ("tags", "depends_on")
                and isinstance(value, str)
                and len(value) < 40
                and value.isprintable()
            )
            hint = f"[{value}]" if single else LISTS.get(name, "[…]")
            return f"write a list, such as {hint}" + (", or remove the key" if value is None else "")
        case "model_type" if name == "retries":
            return "write a number of retries, such as 3, or {max: 3, backoff: 10s}"
        case "model_type":
            return "a task is a mapping, such as {id: T1, title: …}"
        case "dict_type" | "mapping_type":
            return "write a mapping, such as {name: value}" + (", or remove the key" if value is None else "")
        case "invalid-json-value":
            text = _in_quotes(value, written)
            return f"is {kind_of_value(value)}, which JSON does not know; write {text} with quotes"
        case "bool_parsing" | "bool_type":
            return "write true or false"
        case _ if kind.startswith(("int_", "float_", "greater_", "less_", "finite")):
            number = "a number" if field is not None and field.annotation is float else "a whole number"
            least = next((limit.ge for limit in limits if hasattr(limit, "ge")), None)
            most = next((limit.le for limit in limits if hasattr(limit, "le")), None)
            return f"write {number} from {least:,} to {most:,}" if most is not None else f"write {number}"
        case _:
            return message.removeprefix("Value error, ")


_CHOICES: dict[str, tuple[str, ...]] = {"strategy": tuple(Strategy), "priority": tuple(Priority)}


def _model(path: KeyPath) -> type[BaseModel]:
    if path[:1] != ("tasks",) or len(path) < 3:
        return Feature
    return Retries if path[2] == "retries" and len(path) > 3 else Task


def _digits(message: str) -> str:
    return next(iter(re.findall(r"\d+", message)), "fewer")


def _in_quotes(value: Any, written: str | None) -> str:
    return quoted(written or plain(value))
