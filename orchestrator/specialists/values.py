"""Turns the Python values that a specialist returns into values that JSON has."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import functools
import inspect
import pathlib
import types
import typing
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

ADVICE = "return a text, a number, a list, a dict, a dataclass or a pydantic model"

TEXTS = (decimal.Decimal, uuid.UUID, pathlib.PurePath)
"""Written by str()."""

MOMENTS = (datetime.date, datetime.time)
"""Written in ISO 8601; a datetime is a date too."""

ENCODABLE = (str, int, float, bool, types.NoneType, dict, list, tuple, BaseModel, enum.Enum, *TEXTS, *MOMENTS)


def to_json_value(value: object) -> Any:
    """The `default` function for `json.dumps`: writes a value as Celery's own JSON does, but without its type.

    Raises:
        TypeError: The value has no JSON form.

    Example:
        >>> [to_json_value(value) for value in (decimal.Decimal("1.50"), datetime.date(2026, 11, 26))]
        ['1.50', '2026-11-26']
    """
    if isinstance(value, TEXTS):
        return str(value)
    if isinstance(value, MOMENTS):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "__json__"):  # kombu's own word for it
        return value.__json__()
    raise TypeError(f"a {type(value).__name__} is not a JSON value")


def unencodable_return(function: Callable[..., Any]) -> str | None:
    """The name of a function's annotated return type, if JSON cannot hold it; None if it can, or the type is unknown.

    Example:
        >>> def names(context) -> set[str]: ...
        >>> unencodable_return(names)
        'set'
    """
    return _unencodable_hint(function if inspect.isroutine(function) else type(function).__call__)


@functools.lru_cache(maxsize=256)  # every attempt asks
def _unencodable_hint(called: Any) -> str | None:
    try:
        hint = typing.get_type_hints(called).get("return", Any)
    except Exception:  # it names a type that only type checkers import
        return None
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) or _is_union(hint) else (hint,)
    wrong = [kind for kind in map(_class_of, kinds) if kind is not None and not _may_be_held(kind)]
    return wrong[0].__name__ if wrong and len(wrong) == len(kinds) else None


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) is typing.Union


def _class_of(hint: Any) -> type | None:
    kind = typing.get_origin(hint) or hint
    return kind if isinstance(kind, type) and kind is not Any else None  # Any is a class from Python 3.11 on


def _may_be_held(kind: type) -> bool:
    is_open = kind is object or inspect.isabstract(kind) or getattr(kind, "_is_protocol", False)
    encodable = (*ENCODABLE, datetime.timedelta, Mapping)
    return (
        is_open
        or any(base in encodable for base in kind.__mro__)
        or issubclass(kind, Mapping)
        or dataclasses.is_dataclass(kind)
        or hasattr(kind, "__json__")
    )
