"""Feature files: YAML or JSON in, a Feature out, or every mistake at once with its line and what would be right."""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from orchestrator.config.yaml_loader import FOR_ANCHORS
from orchestrator.feature_file.checks import check_counts, find_oversizes, too_many
from orchestrator.feature_file.document import Mistake, SourceLocation, Unreadable, decode
from orchestrator.feature_file.json_reader import JsonDocument
from orchestrator.feature_file.messages import explain, explain_all, key_path, validate
from orchestrator.feature_file.refusal import refuse, written_path
from orchestrator.feature_file.yaml_reader import YamlDocument
from orchestrator.model import errors
from orchestrator.model.feature import Feature
from orchestrator.model.task import Task

if TYPE_CHECKING:
    from orchestrator.config.schema.limits import Limits


PIPE_SECONDS = 10.0
"""Somebody has to write into a pipe that is read by then."""


def read(path: Path, limits: Limits) -> Feature:
    """Read a feature file: JSON if the name ends in .json, else YAML.

    Raises:
        InvalidFeature: It cannot be read, or has mistakes; all of them are named.

    Example:
        feature = feature_file.read(Path("login.yaml"), Settings().limits)
    """
    try:
        data = _read(path, limits.file + 1)
    except (OSError, ValueError) as error:
        refuse(path, [Mistake((), _explain_open(error))])
    return parse(data, limits, source=str(path), json=path.suffix.lower() == ".json")


def _read(path: Path, most: int) -> bytes:
    """Read a file or a pipe, up to `most` bytes.

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
        check_counts(document.value, limits)
    except Unreadable as error:
        refuse(source, [error.mistake])
    value = {key: part for key, part in document.value.items() if not key.startswith(FOR_ANCHORS)}
    feature, found = validate(value)
    others = [*document.mistakes, *find_oversizes(document.value, limits)]
    mistakes = explain_all(found, others, document) if found or others else []
    if mistakes or feature is None:
        refuse(source, mistakes, document.value)
    return feature.as_of_file()


def check(feature: Feature, limits: Limits) -> None:
    """Check the sizes of a feature, also of one made in Python.

    Raises:
        InvalidFeature: Something is larger than `limits` allows, or is no JSON value.
    """
    mistakes = list(find_oversizes(feature, limits))
    if len(feature.tasks) > limits.tasks:
        mistakes.insert(0, Mistake(("tasks",), too_many("tasks", len(feature.tasks), limits.tasks)))
    if mistakes:
        refuse(f'The feature "{feature.title}"', mistakes, feature)


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
    paths = [key_path(("tasks", 0, *details["loc"])) for details in found]
    mistakes = [explain(details, path, SourceLocation()) for details, path in zip(found, paths, strict=True)]
    told = [": ".join(filter(None, [written_path(at.path[2:]), at.value, at.message])) for at in mistakes]
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
