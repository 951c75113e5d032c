"""How a page names the type of a field, and its default."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python

from orchestrator.model import durations
from reference.markdown import code

LONGEST = 60
"""Characters of a default that a table shows; a longer one stands below it."""

WORDS: Mapping[Any, str] = {
    str: "text",
    bool: "true or false",
    int: "whole number",
    float: "number",
    Path: "path",
    SecretStr: "secret text",
    Any: "any JSON",
}


def of(field: FieldInfo) -> str:
    """The type of a field, in words that a reader of YAML or JSON knows."""
    if any(_reads_durations(one) for one in field.metadata):
        return "duration"
    return name(field.annotation)


def name(kind: Any) -> str:
    """A type in words.

    Example:
        >>> name(tuple[str, ...]), name(int | None), name(Literal["a", "b"])
        ('list of text', 'whole number or null', '`a` or `b`')
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return "duration" if any(_reads_durations(one) for one in inner[1:]) else name(inner[0])
    if origin is Literal:
        return _either([f"`{value}`" for value in inner])
    if origin in (Union, types.UnionType):
        return _either(["null" if one is type(None) else name(one) for one in inner])
    if origin in (tuple, list) or (isinstance(origin, type) and issubclass(origin, tuple | list)):
        return f"list of {name(inner[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"mapping of {name(inner[0])} to {name(inner[1])}"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _either([f"`{member.value}`" for member in kind])
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind.__name__
    return WORDS.get(kind, "any JSON")


def models(kind: Any) -> Iterator[type[BaseModel]]:
    """The models that a type is made of, at any depth."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for inner in get_args(kind):
        yield from models(inner)


def default(field: FieldInfo) -> str:
    """The default of a field as YAML on one line; "required" where there is none."""
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_defaults=True)
    if of(field).startswith("duration") and isinstance(value, float):
        return code(_duration(value))
    plain = to_jsonable_python(value, fallback=str)
    text = yaml.safe_dump(plain, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000)
    return code(text.removesuffix("...\n").strip())


def bounds(field: FieldInfo) -> str:
    """The least and the largest value, where the field has them."""
    least = next((one.ge for one in field.metadata if getattr(one, "ge", None) is not None), None)
    most = next((one.le for one in field.metadata if getattr(one, "le", None) is not None), None)
    match least, most:
        case None, None:
            return ""
        case _, None:
            return f", at least {least:,}"
        case None, _:
            return f", at most {most:,}"
    return f", {least:,} to {most:,}"


def _duration(seconds: float) -> str:
    """A duration in its largest whole unit."""
    unit = next(unit for unit, length in durations.UNITS.items() if seconds % length == 0)
    return f"{seconds / durations.UNITS[unit]:g}{unit}"


def _reads_durations(metadata: Any) -> bool:
    reads = metadata.func if isinstance(metadata, BeforeValidator) else None
    return reads in (durations.parse, durations.parse_estimate)


def _either(words: Sequence[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
