"""How often Celery would run the tasks of a canvas, beside the feature that it means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from orchestrator.model import words
from orchestrator.model.celery_counts import CeleryCounts
from orchestrator.model.feature import Feature

MOST_NAMED = 8
"""So many tasks are named."""

OF_OURS = ("celery.accumulate",)
"""Calls of tasks that stand between wide groups."""


def celery_lines(feature: Feature, counts: CeleryCounts) -> Iterator[str]:
    """Say what Celery would do with the canvas that a feature was.

    Example:
        >>> from orchestrator.model.task import Task
        >>> feature = Feature(title="two", tasks=[Task(id="a", call="a"), Task(id="b", call="b")])
        >>> print(*celery_lines(feature, CeleryCounts("5.7.0", {"a": 1, "b": 2})), sep="\\n")
        Celery 5.7.0 would send 3 messages: b runs twice, and once here
    """
    here = Counter(task.call for task in feature.tasks if task.call and task.call not in OF_OURS)
    more = "" if counts.is_whole else "more than "
    other = [name for name in {**counts.messages, **here} if counts.messages.get(name, 0) != here[name]]
    sent = f"Celery {counts.version} would send {more}{words.count(counts.total, 'message')}"
    if counts.fault:
        yield f"Celery {counts.version} would fail: {words.one_line(counts.fault)}"
    elif not other:
        yield f"{sent}, and run each task as often as here"
    else:
        told = [
            f"{name} runs {_times(counts.messages.get(name, 0))}, and {_times(here[name])} here"
            for name in other
        ]
        yield f"{sent}: {words.some(told, MOST_NAMED)}"


def _times(number: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(number, f"{number:,} times")
