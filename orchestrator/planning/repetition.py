"""Whether an enqueue under an idempotency key asks for the same as the one before it, and what differs if not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orchestrator.model import errors, words
from orchestrator.model.feature import Feature
from orchestrator.model.task import Task

LONGEST_KEY = 200
"""Characters of an idempotency key: it becomes a part of a Redis key, and stands in messages for people."""


def check_key(key: object) -> None:
    """Refuse what cannot be an idempotency key.

    Raises:
        BadKey: It is empty, too long, or has characters that cannot be shown.

    Example:
        >>> check_key("nightly 2026-11-24")
    """
    if not isinstance(key, str):
        raise errors.BadKey(most=LONGEST_KEY, found=f"is of the type {type(key).__name__}")
    if not key or len(key) > LONGEST_KEY:
        raise errors.BadKey(most=LONGEST_KEY, found=f"has {len(key):,}")
    for letter in key:
        if not letter.isprintable():
            raise errors.BadKey(most=LONGEST_KEY, found=f"has {letter!a}")


def content(
    feature: Feature,
    *,
    auto_launch: bool | None = None,
    stops: Sequence[int] = (),
    assign: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The content of an enqueue: a short digest of each part that is not the default.

    Example:
        >>> sorted(content(Feature(title="Login", tasks=[Task(id="T1")]), stops=[2]))
        ['stops', 'tasks', 'title']
    """
    parts = feature.model_dump(mode="json", exclude={"id"}, exclude_defaults=True)
    asked = {"auto_launch": auto_launch, "stops": sorted(stops), "assign": assign or {}}
    parts |= {name: value for name, value in asked.items() if value not in (None, [], {})}
    return {name: _digest(value) for name, value in parts.items()}


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def differences(
    asked: Mapping[str, str], earlier: Mapping[str, str], tasks: Iterable[Task], stored: Iterable[Task]
) -> list[str]:
    """The parts that differ between two enqueues; of the tasks, which.

    Args:
        asked: As `content` gives it.
        earlier: The same of the first enqueue.
        tasks: Those that are asked for.
        stored: Those of the feature as it is now.

    Example:
        >>> one, two = (Feature(title="Login", tasks=[Task(id=name)]) for name in ("T1", "T2"))
        >>> differences(content(two), content(one), two.tasks, one.tasks)
        ['tasks (T2 is new, T1 is gone)']
    """
    names = sorted(name for name in asked.keys() | earlier.keys() if asked.get(name) != earlier.get(name))
    return [f"tasks{_of_tasks(tasks, stored)}" if name == "tasks" else name for name in names]


def _of_tasks(tasks: Iterable[Task], stored: Iterable[Task]) -> str:
    new, old = ({task.id: task for task in some} for some in (tasks, stored))
    found = {
        "new": [task for task in new if task not in old],
        "gone": sorted(old.keys() - new.keys()),
        "changed": [task for task in new if task in old and new[task] != old[task]],
    }
    told = [
        f"{words.some(some)} {'are' if len(some) > 1 else 'is'} {how}" for how, some in found.items() if some
    ]
    return f" ({', '.join(told)})" if told else ""
