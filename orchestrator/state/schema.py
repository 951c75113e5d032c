"""The schema: the form of features in Redis, and how one version reads a feature that another one wrote.

A feature stores the number of its schema. An addition that older versions can ignore (a field, a status, a cause) does
not change the number. A change that they would misread raises it, and they leave such a feature alone. A field of a
task's state survives the scripts of older versions, unless it is an empty list, which Redis' cjson writes back as an
empty object.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from orchestrator.model import identifiers
from orchestrator.model.outcome import BlockKind, FailureCause
from orchestrator.model.task import Priority

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

VERSION = 4
"""The schema that this version writes, and the newest that it reads. A feature without a number has schema 1.

Schema 4 renames two keys of a feature (`keys.BEFORE_SCHEMA_4`), and stores its flow in another form.
"""

ANY_IDS = 3
"""From this schema on, ids may use any alphabet. An older feature that gets such an id is raised to it."""

OLDEST_BESIDE = 1
"""The oldest schema whose workers may work beside this version under one prefix. Each worker stores it there."""

_WORDS: Mapping[str, type[StrEnum]] = {
    "cause": FailureCause,
    "on": FailureCause,
    "kind": BlockKind,
    "priority": Priority,
}
"""Fields whose value is a word of an enum."""


def needed(ids: Iterable[str]) -> int:
    """The oldest schema that allows these ids.

    Example:
        >>> needed(["T1", "T2"]), needed(["T1", "@babel/core"])
        (1, 3)
    """
    return 1 if all(map(identifiers.is_of_old, ids)) else ANY_IDS


def number(stored: str | bytes | None, nothing: int = 1) -> int:
    """The number of a schema as it is stored; `nothing` if there is none.

    Example:
        >>> number("3"), number(None)
        (3, 1)
    """
    return int(stored) if stored and stored.isdigit() else nothing


def word(kind: type[E], text: str) -> E:
    """Read a status, a strategy or another word. A word that this version does not know stays as it is.

    Example:
        >>> from orchestrator.model.task import TaskStatus
        >>> word(TaskStatus, "failed") is TaskStatus.FAILED, word(TaskStatus, "parked"), list(TaskStatus)[-1].value
        (True, <TaskStatus.parked: 'parked'>, 'deferred')
    """
    try:
        return kind(text)
    except ValueError:
        unknown = str.__new__(kind, text)
        unknown._name_ = unknown._value_ = text
        return unknown


def read(adapter: TypeAdapter[T], text: str | bytes) -> T:
    """Read a stored value. Ignores fields that this version does not know, and keeps unknown words as they are.

    Raises:
        ValueError: It cannot be read.

    Example:
        >>> from orchestrator.model.outcome import OUTCOME
        >>> read(OUTCOME, '{"status": "failed", "cause": "heat", "reason": "hot", "degrees": 95}').cause.value
        'heat'
    """
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        value = json.loads(text)
        for mistake in error.errors(include_url=False, include_context=False, include_input=False):
            if mistake["loc"]:
                _pass_over(value, mistake["type"], mistake["loc"])
        return adapter.validate_python(value)


def _pass_over(value: Any, mistake: str, place: Iterable[str | int]) -> None:
    parts = list(place)
    # A part that the value does not have is the name of a model in a union.
    for part in parts[:-1]:
        if _has(value, part):
            value = value[part]
    if not _has(value, parts[-1]):
        return
    if mistake == "extra_forbidden":
        del value[parts[-1]]
    elif mistake == "enum":
        field = next((part for part in reversed(parts) if isinstance(part, str)), "")
        if field in _WORDS and isinstance(value[parts[-1]], str):
            value[parts[-1]] = word(_WORDS[field], value[parts[-1]])


def _has(value: Any, part: str | int) -> bool:
    if isinstance(value, dict):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(value)
