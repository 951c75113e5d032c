"""Calls: tasks of a feature that are done by a task of a Celery app, as it is.

Each such Celery task counts as a specialist of its own, with limits, a queue and a record of how long it takes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from orchestrator.model import references
from orchestrator.model.references import Reference
from orchestrator.model.typed_values import plain

if TYPE_CHECKING:
    from orchestrator.model.task import Task

CALL = "call:"
"""The name of such a specialist begins so. No other specialist's name has a colon."""


def specialist_of(call: str) -> str:
    """The specialist that calls a Celery task.

    Example:
        >>> specialist_of("proj.tasks.resize")
        'call:proj.tasks.resize'
    """
    return CALL + call


def called_by(specialist: str) -> str | None:
    """The Celery task that a specialist calls; None if it does its work in another way.

    Example:
        >>> called_by("call:proj.tasks.resize"), called_by("reviewer")
        ('proj.tasks.resize', None)
    """
    return specialist.removeprefix(CALL) if specialist.startswith(CALL) else None


NAMESPACE = uuid5(NAMESPACE_URL, "task-orchestrator")


def request_id(feature_id: str, task_id: str = "") -> str:
    """The id that a called task sees (`self.request.id`): the same in each attempt, in the form of Celery's ids.

    Example:
        >>> request_id("auth", "T1") == request_id("auth", "T1") != request_id("auth", "T2")
        True
    """
    return str(uuid5(NAMESPACE, f"{feature_id}/{task_id}"))


def seen_id(feature_id: str, task: Task) -> str:
    """The id that a called task sees: the one that its canvas gave it, else one that is made for it."""
    given = task.options.task_id if task.options else None
    return given or request_id(feature_id, task.id)


def as_fields(task: object) -> object:
    """The fields of a task that names its call by a signature of Celery, or by a Celery task; any other value as it is.

    Raises:
        ValueError: The signature asks for something that a task of a feature does not have.

    Example:
        >>> resize = {"task": "resize", "args": ["a.png"], "kwargs": {}, "options": {}, "subtask_type": None}
        >>> as_fields({"id": "T1", "call": resize})["args"]
        ['a.png']
    """
    if type(task) is dict and "call" not in task and "task" not in task:
        return task  # most are so
    if is_signature(task):
        task = {"id": _last_part(task), "call": task}
    if not isinstance(task, Mapping) or task.get("call") is None:
        return task
    called = {**task, **_of_call(task), "retries": _retries(task.get("retries", {}))}
    return {**called, **_depends_on(called)}


def with_ids(tasks: object) -> object:
    """Tasks, with ids for those that are signatures: the last part of the name, and a number from the second on.

    Example:
        >>> parse = {"task": "proj.parse", "args": [], "kwargs": {}, "options": {}, "subtask_type": None}
        >>> [task["id"] for task in with_ids([parse, parse])]
        ['parse', 'parse-2']
    """
    if not isinstance(tasks, Iterable) or isinstance(tasks, str | bytes | Mapping):
        return tasks
    given = list(tasks)
    if not any(map(is_signature, given)):
        return given
    taken = {_id_of(task) for task in given if not is_signature(task)}
    found = []
    for task in given:
        if is_signature(task):
            name = _last_part(task)
            names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
            free = next(each for each in names if each not in taken)
            taken.add(free)
            task = {"id": free, "call": task}
        found.append(task)
    return found


def is_signature(value: object) -> bool:
    """Whether a value is a signature of one Celery task: a mapping, as Celery makes it."""
    if type(value) is dict and "task" not in value:
        return False  # as most are
    return isinstance(value, Mapping) and {"task", "args", "kwargs", "options"} <= value.keys()


def _id_of(task: object) -> object:
    return task.get("id") if isinstance(task, Mapping) else getattr(task, "id", None)


def _last_part(signature: Any) -> str:
    return str(signature["task"]).rpartition(".")[2]


def _of_call(task: Mapping[str, Any]) -> dict[str, Any]:
    call, args, kwargs = task["call"], task.get("args", ()), task.get("kwargs", {})
    if not is_signature(call):
        name = call if isinstance(call, str) else getattr(call, "name", call)
        return {"call": name, "args": plain(args), "kwargs": plain(kwargs)}
    if call.get("subtask_type"):
        raise ValueError(f"is a {call['subtask_type']} of several tasks; each is a task of its own here")
    options = task.get("options") or _options(call["options"])
    return {
        "call": call["task"],
        **({"options": options} if options else {}),
        "args": [*map(_given, call["args"]), *plain(list(args))],
        "kwargs": {**{name: _given(value) for name, value in call["kwargs"].items()}, **plain(dict(kwargs))},
    }


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a signature that a task of a feature can have.

    Raises:
        ValueError: It has another one.
    """
    found: dict[str, Any] = {}
    for name, value in given.items():
        if value is None:
            continue
        if name == "queue":
            found[name] = str(getattr(value, "name", value))
        elif name in ("eta", "expires") and hasattr(value, "timestamp") and value.tzinfo:
            found[name] = value.timestamp()
        elif name in ("priority", "countdown", "headers", "task_id"):
            found[name] = plain(value)
        else:
            raise ValueError(
                f"has the option {name} of Celery, which a single task does not have here; adopt() reads a whole canvas"
            )
    return found


def _given(value: Any) -> Any:
    """An argument of a signature: only a reference that a program made is one."""
    return plain(value) if isinstance(value, Reference) else references.literal(plain(value))


def _depends_on(task: Mapping[str, Any]) -> dict[str, Any]:
    """The dependencies of a task, with those whose results its arguments are."""
    given = task.get("depends_on", ())
    found = [one.task for one in references.find([task["args"], task["kwargs"]])]
    return {"depends_on": [*given, *found]} if found and isinstance(given, list | tuple) else {}


def _retries(given: Any) -> Any:
    """How often it may be tried again. A Celery task limits its own retries (`max_retries`), so nothing else does."""
    if isinstance(given, int) and not isinstance(given, bool):
        given = {"max": given}
    if isinstance(given, Mapping):
        return {"later": None, **given}
    is_set = "later" in getattr(given, "model_fields_set", ("later",))
    return given if is_set else given.model_copy(update={"later": None})
