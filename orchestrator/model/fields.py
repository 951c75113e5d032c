"""The fields that models share: texts, names, durations."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
)
from pydantic_core import PydanticCustomError, PydanticKnownError

from orchestrator.model import durations, identifiers, sanitizer

if TYPE_CHECKING:
    pass


def _one_line(text: str) -> str:
    if unwanted := sanitizer.unwanted(text, breaks=False):
        raise ValueError(
            f"has a line break or another control character ({unwanted}); write plain text on one line"
        )
    return text


def _printable(text: str) -> str:
    if unwanted := sanitizer.unwanted(text, breaks=True):
        raise ValueError(
            f"has a control character ({unwanted}); only line breaks and tabs may stand between the letters"
        )
    return text


def _no_null(text: str) -> str:
    if "\0" in text:
        raise ValueError("has a null character, which no command can be given")
    return text


def _whole(value: object) -> object:
    """Refuse values that are no whole number to people: pydantic reads true as 1, and 1_0 as 10."""
    if isinstance(value, bool) or (isinstance(value, str) and not re.fullmatch(r"[-+]?\d+", value.strip())):
        raise PydanticKnownError("int_type")
    return value


def _number(value: object) -> object:
    if isinstance(value, bool) or (isinstance(value, str) and "_" in value):
        raise PydanticKnownError("float_type")
    return value


def _task_id(text: str) -> str:
    if identifiers.is_plain(text):
        return text
    if wrong := identifiers.trouble(text := identifiers.normal(text)):
        raise PydanticCustomError("id", "{text}", {"text": wrong})
    return text


def _feature_id(text: str) -> str:
    if wrong := identifiers.trouble_of_feature(text := identifiers.normal(text)):
        raise PydanticCustomError("id", "{text}", {"text": wrong})
    return text


def _celery_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][\w.\-:/]{0,199}", text, re.ASCII):
        raise ValueError("is not the name of a Celery task; it is written as in proj.tasks.resize")
    return text


Id = Annotated[str, AfterValidator(_task_id)]


CeleryName = Annotated[str, AfterValidator(_celery_name)]


FeatureId = Annotated[str, AfterValidator(_feature_id)]


Tag = Annotated[
    str,
    StringConstraints(strip_whitespace=True, to_lower=True, min_length=1, max_length=64),
    AfterValidator(_one_line),
]


Glob = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]
Resource = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,62}$")]


Line = Annotated[str, AfterValidator(_one_line)]


Text = Annotated[str, AfterValidator(_printable)]


Argument = Annotated[str, AfterValidator(_no_null)]


Seconds = Annotated[float, BeforeValidator(durations.parse)]


Estimate = Annotated[float, BeforeValidator(durations.parse_estimate)]


Whole = Annotated[int, BeforeValidator(_whole)]


Number = Annotated[float, BeforeValidator(_number)]


class Model(BaseModel):
    """A value: immutable, and nothing but its declared fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")
