"""Checks of a feature's sizes: tasks, dependencies, texts, data."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from orchestrator.feature_file.document import DEEPEST, KeyPath, Mistake, Unreadable
from orchestrator.feature_file.values import field, kind_of_value
from orchestrator.model.task import Task

if TYPE_CHECKING:
    from orchestrator.config.schema.limits import Limits


DATA = ("params", "run", "args", "kwargs")
"""The fields of a task that have data of any form."""

LARGE = ("description", *DATA)

PARTS = ("description", "depends_on", *DATA)

_of_task = operator.attrgetter(*PARTS)

# Sizes


def check_counts(value: Any, limits: Limits) -> None:
    """Refuse far too many tasks before each of them is checked."""
    if value is None:
        raise Unreadable("it is empty; write a title and tasks")
    if not isinstance(value, dict):
        raise Unreadable(f"it is {kind_of_value(value)}; a feature is a mapping with a title and tasks", 1)
    tasks = value.get("tasks")
    if isinstance(tasks, list) and len(tasks) > limits.tasks:
        raise Unreadable(too_many("tasks", len(tasks), limits.tasks), path=("tasks",))


def find_oversizes(feature: Any, limits: Limits) -> Iterator[Mistake]:
    """Everything that is larger than allowed, in a Feature or in raw data."""
    yield from _long_description(feature, (), limits)
    tasks = field(feature, "tasks")
    dependencies = 0
    for at, task in enumerate(tasks if isinstance(tasks, list | tuple) else ()):
        if isinstance(task, Task) and task.model_fields_set.isdisjoint(LARGE):
            dependencies += len(task.depends_on)  # as most are
            continue
        description, depends_on, *data = _parts(task)
        if description:
            yield from _long_description(task, ("tasks", at), limits)
        if any(data):
            yield from _large_params(task, ("tasks", at), limits)
        dependencies += len(depends_on) if isinstance(depends_on, list | tuple) else 0
    if dependencies > limits.dependencies:
        yield Mistake(("tasks",), too_many("dependencies", dependencies, limits.dependencies))


def _parts(task: Any) -> tuple[Any, ...]:
    """The description, the dependencies and the data of a task, or of the mapping that it is made from."""
    return _of_task(task) if isinstance(task, Task) else tuple(field(task, name) for name in PARTS)


def _long_description(thing: Any, path: KeyPath, limits: Limits) -> Iterator[Mistake]:
    text = field(thing, "description")
    if isinstance(text, str) and len(text) > limits.text:
        message = f"has {len(text):,} characters; at most {limits.text:,} are allowed (limits.text)"
        yield Mistake((*path, "description"), message)


def _large_params(task: Any, path: KeyPath, limits: Limits) -> Iterator[Mistake]:
    given = {name: value for name in DATA if (value := field(task, name))}
    first = next(iter(given))
    for name in [name for name, value in given.items() if _is_deep(value)]:
        yield Mistake((*path, name), f"lists and mappings are nested deeper than {DEEPEST}")
        return
    try:
        size = len(json.dumps(list(given.values()), ensure_ascii=False, allow_nan=False, default=str))
    except (ValueError, TypeError) as error:
        reason = "NaN and Infinity are" if "float" in str(error) else "a key or a number is"
        yield Mistake((*path, first), f"{reason} no JSON value; put the value in quotes")
    else:
        if size > limits.params:
            message = f"its data has {size:,} characters; at most {limits.params:,} (limits.params)"
            yield Mistake((*path, first), f"{message}; put the data in a file")


def _is_deep(value: Any, levels: int = DEEPEST) -> bool:
    """Whether lists and mappings are nested deeper: pydantic writes some 250 levels, and what reads them recurses."""
    if not isinstance(value, dict | list | tuple):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deep(part, levels - 1) for part in inner)


def too_many(what: str, count: int, most: int) -> str:
    """Say that a feature has more tasks or dependencies than the limits allow."""
    return (
        f"has {count:,} {what}; at most {most:,} are allowed (limits.{what}); split it into several features"
    )
