"""Feature files: YAML or JSON in, a Feature out, or every mistake at once with its line and what would be right."""

from __future__ import annotations

import difflib
import json as json_format
import os
import re
import select
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pydantic import BaseModel, ValidationError

from orchestrator.config.yaml_reader import (
    DEEPEST,
    FOR_ANCHORS,
    JsonDocument,
    Mistake,
    Place,
    Spot,
    Unreadable,
    YamlDocument,
    decode,
    quoted,
)
from orchestrator.model import errors, identifiers, words
from orchestrator.model.feature import MOST_MISTAKES, Feature, Strategy
from orchestrator.model.task import Priority, Retries, Task

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from orchestrator.config.schema.limits import Limits

MOST_SHOWN = 100
"""So many mistakes stand in the text of an error; its fact `lines` has more of them."""


FEW_ALIKE = 3
"""So many mistakes that say the same each have a line of the text; of more, one line stands for all."""

PIPE_SECONDS = 10.0
"""Somebody has to write into a pipe that is read by then."""


def read(path: Path, limits: Limits) -> Feature:
    """Read a feature file: JSON where the name ends in .json, else YAML.

    Raises:
        InvalidFeature: It cannot be read, or has mistakes; all of them are named.

    Example:
        feature = feature_file.read(Path("login.yaml"), Settings().limits)
    """
    try:
        data = _read(path, limits.file + 1)
    except (OSError, ValueError) as error:
        _refuse(path, [Mistake((), _explain_open(error))])
    return parse(data, limits, source=str(path), json=path.suffix.lower() == ".json")


def _read(path: Path, most: int) -> bytes:
    """At most so many bytes of a file or of a pipe.

    Raises:
        OSError: It cannot be read, or is a pipe into which nobody writes.
    """
    # A pipe is opened without waiting for somebody to write into it: that may never happen.
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(number, "rb") as file:
        if stat.S_ISFIFO(os.fstat(number).st_mode):
            if not select.select([number], [], [], PIPE_SECONDS)[0]:
                raise OSError("it is a pipe, and nobody writes into it")
            os.set_blocking(number, True)
        return file.read(most)


def parse(text: str | bytes, limits: Limits, source: str = "The text", json: bool = False) -> Feature:
    """Read a feature from YAML, or from JSON with `json`.

    Raises:
        InvalidFeature: It has mistakes; all of them are named. `source` says where the text came from.

    Example:
        >>> from orchestrator.config.schema.limits import Limits
        >>> parse("title: Login\\ntasks: [{id: T1}, {id: T2, depends_on: [T1]}]", Limits()).tasks[1].depends_on
        ('T1',)
    """
    try:
        text = decode(text, limits)
        document = JsonDocument(text, limits) if json else YamlDocument(text, limits)
        _check_counts(document.value, limits)
    except Unreadable as error:
        _refuse(source, [error.mistake])
    value = {key: part for key, part in document.value.items() if not key.startswith(FOR_ANCHORS)}
    feature, found = _validate(value)
    others = [*document.mistakes, *_oversizes(document.value, limits)]
    mistakes = _explain_all(found, others, document) if found or others else []
    if mistakes or feature is None:
        _refuse(source, mistakes, document.value)
    return feature


def check(feature: Feature, limits: Limits) -> None:
    """Check the sizes of a feature, also of one made in Python.

    Raises:
        InvalidFeature: Something is larger than `limits` allows, or is no JSON value.
    """
    mistakes = list(_oversizes(feature, limits))
    if len(feature.tasks) > limits.tasks:
        mistakes.insert(0, Mistake(("tasks",), _too_many("tasks", len(feature.tasks), limits.tasks)))
    if mistakes:
        _refuse(f'The feature "{feature.title}"', mistakes, feature)


def make_task(fields: Mapping[str, Any], source: str) -> Task:
    """A task of fields that are named as in a feature file.

    Raises:
        BadTask: It has mistakes; all of them are named. `source` says where the fields came from.

    Example:
        >>> make_task({"id": "T1", "estimate": "25m"}, "The task").estimate
        1500.0
    """
    try:
        return Task.model_validate(fields)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
    places = [_real_place(("tasks", 0, *details["loc"])) for details in found]
    mistakes = [_explain(details, place, Spot()) for details, place in zip(found, places, strict=True)]
    told = [": ".join(filter(None, [_path(at.place[2:]), at.value, at.message])) for at in mistakes]
    raise errors.BadTask(source=source, cause="; ".join(told))


def _explain_open(error: OSError | ValueError) -> str:
    match error:
        case FileNotFoundError():
            return "there is no such file; check the path"
        case IsADirectoryError():
            return "this is a folder; name a .yaml or .json file in it"
        case PermissionError():
            return "you have no permission to read this file"
        case _:
            return f"the file cannot be read: {getattr(error, 'strerror', None) or error}"


# Sizes


def _check_counts(value: Any, limits: Limits) -> None:
    """Refuse far too many tasks before each of them is checked."""
    if value is None:
        raise Unreadable("it is empty; write a title and tasks")
    if not isinstance(value, dict):
        raise Unreadable(f"it is {_kind(value)}; a feature is a mapping with a title and tasks", 1)
    tasks = value.get("tasks")
    if isinstance(tasks, list) and len(tasks) > limits.tasks:
        raise Unreadable(_too_many("tasks", len(tasks), limits.tasks), place=("tasks",))


def _oversizes(feature: Any, limits: Limits) -> Iterator[Mistake]:
    """What is larger than allowed, in a Feature or in raw data."""
    yield from _long_description(feature, (), limits)
    tasks = _get(feature, "tasks")
    dependencies = 0
    for at, task in enumerate(tasks if isinstance(tasks, list | tuple) else ()):
        yield from _long_description(task, ("tasks", at), limits)
        yield from _large_params(task, ("tasks", at), limits)
        depends_on = _get(task, "depends_on")
        dependencies += len(depends_on) if isinstance(depends_on, list | tuple) else 0
    if dependencies > limits.dependencies:
        yield Mistake(("tasks",), _too_many("dependencies", dependencies, limits.dependencies))


def _long_description(thing: Any, place: Place, limits: Limits) -> Iterator[Mistake]:
    text = _get(thing, "description")
    if isinstance(text, str) and len(text) > limits.text:
        message = f"has {len(text):,} characters; at most {limits.text:,} are allowed (limits.text)"
        yield Mistake((*place, "description"), message)


def _large_params(task: Any, place: Place, limits: Limits) -> Iterator[Mistake]:
    params, run = _get(task, "params"), _get(task, "run")
    if not params and not run:
        return
    if _is_deep(params):
        yield Mistake((*place, "params"), f"lists and mappings are nested deeper than {DEEPEST}")
        return
    try:
        size = len(json_format.dumps([params, run], ensure_ascii=False, allow_nan=False, default=str))
    except (ValueError, TypeError) as error:
        reason = "NaN and Infinity are" if "float" in str(error) else "a key or a number is"
        yield Mistake((*place, "params"), f"{reason} no JSON value; put the value in quotes")
    else:
        if size > limits.params:
            message = f"params and run have {size:,} characters; at most {limits.params:,} (limits.params)"
            yield Mistake((*place, "params" if params else "run"), f"{message}; put the data in a file")


def _is_deep(value: Any, levels: int = DEEPEST) -> bool:
    """Whether lists and mappings are nested deeper: pydantic writes some 250 levels, and what reads them recurses."""
    if not isinstance(value, dict | list | tuple):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deep(part, levels - 1) for part in inner)


def _too_many(what: str, count: int, most: int) -> str:
    return (
        f"has {count:,} {what}; at most {most:,} are allowed (limits.{what}); split it into several features"
    )


def _get(thing: Any, name: str) -> Any:
    return thing.get(name) if isinstance(thing, dict) else getattr(thing, name, None)


# What pydantic found, in plain words


def _validate(value: Any) -> tuple[Feature | None, list[ErrorDetails]]:
    try:
        return Feature.model_validate(value), []
    except ValidationError as error:
        return None, error.errors(include_url=False, include_context=False)


def _explain_all(
    found: list[ErrorDetails], others: list[Mistake], document: YamlDocument | JsonDocument
) -> list[Mistake]:
    """All mistakes in plain words, each with its line."""
    places = [_real_place(details["loc"]) for details in found]
    spots = document.spots([*places, *(mistake.place for mistake in others)])
    explained = [
        _explain(details, place, spots.get(place, Spot()))
        for details, place in zip(found, places, strict=True)
    ]
    for mistake in others:
        explained.append(replace(mistake, line=mistake.line or spots.get(mistake.place, Spot()).line))
    return explained


def _explain(details: ErrorDetails, place: Place, spot: Spot) -> Mistake:
    kind, value = details["type"], details["input"]
    message = _right(kind, details["msg"], place, value, spot.written)
    shown = None if kind in ("missing", "extra_forbidden") else _shown(value, spot.written)
    return Mistake(place, message, shown, spot.line)


def _real_place(loc: Place) -> Place:
    """The place without pydantic's own words: in params.names.list.0 each level has its type before its key."""
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


def _right(kind: str, message: str, place: Place, value: Any, written: str | None) -> str:
    """What would be right, for one of pydantic's error types (docs.pydantic.dev/latest/errors/validation_errors)."""
    name = next((part for part in reversed(place) if isinstance(part, str)), "")
    field = _model(place).model_fields.get(name)
    choices = _CHOICES.get(name, ())
    limits = field.metadata if field else []
    match kind:
        case "extra_forbidden":
            return _unknown_key(str(place[-1]), _model(place))
        case "missing":
            return MISSING.get(name, "is missing")
        case "enum":
            return f"choose one of {', '.join(choices)}{_did_you_mean(value, choices)}"
        case "string_pattern_mismatch":
            return "a name has at most 63 letters, digits and _ . -, and starts with a letter or digit"
        case "string_type" if value is None:
            return "is empty; write a text, or remove the key"
        case "string_type" if not isinstance(value, list | dict):
            return f"is {_kind(value)}, not a text; write {quoted(written or _plain(value))} with quotes"
        case "string_type":
            return f"is {_kind(value)}; write one text"
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
            return f"is {_kind(value)}, which JSON does not know; write {quoted(written or _plain(value))} with quotes"
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


def _model(place: Place) -> type[BaseModel]:
    if place[:1] != ("tasks",) or len(place) < 3:
        return Feature
    return Retries if place[2] == "retries" and len(place) > 3 else Task


def _unknown_key(key: str, model: type[BaseModel]) -> str:
    near = difflib.get_close_matches(key[:100].lower(), model.model_fields, n=1)
    if near:
        return f'unknown key {quoted(key)}; did you mean "{near[0]}"?'
    return f"unknown key {quoted(key)}; the keys are {', '.join(model.model_fields)}"


def _did_you_mean(value: Any, choices: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(value)[:100].lower(), list(choices), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _digits(message: str) -> str:
    return next(iter(re.findall(r"\d+", message)), "fewer")


def _kind(value: Any) -> str:
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


# Mistakes as text


def _refuse(source: str | Path, mistakes: list[Mistake], value: Any = None) -> NoReturn:
    ordered = sorted(mistakes, key=lambda mistake: mistake.line or 0)
    lines = [
        {
            "line": at.line,
            "column": at.column,
            "path": _path(at.place, value),
            "value": at.value,
            "message": at.message,
        }
        for at in ordered
    ]
    groups = _alike(lines)
    shown = [_sentence(group) for group in groups[:MOST_SHOWN]]
    more = sum(len(group) for group in groups[MOST_SHOWN:])
    if more:
        shown.append(f"  … and {more:,} more")
    raise errors.InvalidFeature(
        source=source,
        count=("at least " if len(lines) >= MOST_MISTAKES else "") + words.count(len(lines), "mistake"),
        mistakes="\n".join(shown),
        them="it" if len(lines) == 1 else "them",
        lines=lines,
    ) from None


def _alike(lines: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The mistakes, with those together that say the same of the same value, such as a name that no task has.

    A few that are alike stay apart, for each has its line.
    """
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for place, line in enumerate(lines):
        key = (line["value"], _kind_of(line["message"])) if line["value"] else (str(place),)
        groups.setdefault(key, []).append(line)
    return [
        part
        for group in groups.values()
        for part in ([group] if len(group) > FEW_ALIKE else [[line] for line in group])
    ]


def _kind_of(message: str) -> str:
    """A message without what is suggested: only the first mistakes of a kind have a suggestion."""
    return message.split(";")[0]


def _sentence(alike: Sequence[Mapping[str, Any]]) -> str:
    """Mistakes that are alike, in a line: the first, and how many more there are."""
    line = alike[0]
    parts = [f"{name} {line[name]}" for name in ("line", "column") if line[name]] + [line["path"]]
    where = ", ".join(filter(None, parts))
    more = f" ({len(alike):,} times)" if len(alike) > 1 else ""
    return "  " + ": ".join(filter(None, [where, line["value"], line["message"]])) + more


def _path(place: Place, feature: Any = None) -> str:
    """The place as people write it: T2.estimate, or tasks[2].estimate where the task has no usable id."""
    text = ""
    if len(place) > 2 and place[0] == "tasks" and place[2] != "id":
        task_id = _get(_task(feature, place[1]), "id")
        if identifiers.is_id(task_id):
            text, place = task_id, place[2:]
    for part in place:
        name = part if isinstance(part, int) or re.fullmatch(r"[^\W\d][\w\-]{0,63}", part) else quoted(part)
        text += f"[{name}]" if name is not part or isinstance(part, int) else f".{part}" if text else part
    return text


def _task(feature: Any, at: str | int) -> Any:
    tasks = _get(feature, "tasks")
    return tasks[at] if isinstance(tasks, list | tuple) and isinstance(at, int) and at < len(tasks) else None


def _shown(value: Any, written: str | None) -> str | None:
    """The value on one line, at most 60 characters; nothing for lists and mappings, which are in the file anyway."""
    if value is None or isinstance(value, list | tuple | dict):
        return None
    return quoted(value) if isinstance(value, str) else _short(written or _plain(value))


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
