"""How often Celery would run the tasks of a canvas, beside the feature that it means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from orchestrator.contract.plan_answers import CeleryRuns
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
    here = _differing(feature, counts)
    more = "" if counts.is_whole else "more than "
    sent = f"Celery {counts.version} would send {more}{words.count(counts.total, 'message')}"
    if counts.fault:
        yield f"Celery {counts.version} would fail: {words.one_line(counts.fault)}"
    elif not here:
        yield f"{sent}, and run each task as often as here"
    else:
        told = [
            f"{name} runs {_times(counts.messages.get(name, 0))}, and {_times(here[name])} here"
            for name in here
        ]
        yield f"{sent}: {words.some(told, MOST_NAMED)}"


def celery_runs(feature: Feature, counts: CeleryCounts) -> CeleryRuns:
    """The same as an answer.

    Example:
        >>> from orchestrator.model.task import Task
        >>> feature = Feature(title="two", tasks=[Task(id="a", call="a"), Task(id="b", call="b")])
        >>> celery_runs(feature, CeleryCounts("5.7.0", {"a": 1, "b": 2})).here
        {'b': 1}
    """
    return CeleryRuns(
        version=counts.version,
        total=counts.total,
        messages=counts.messages,
        here=_differing(feature, counts),
        more=not counts.is_whole,
        fault=words.one_line(counts.fault),
    )


def _differing(feature: Feature, counts: CeleryCounts) -> dict[str, int]:
    """The tasks that Celery runs more or less often, each with its runs as a feature."""
    here = Counter(task.call for task in feature.tasks if task.call and task.call not in OF_OURS)
    names = {**counts.messages, **here}
    return {name: here[name] for name in names if counts.messages.get(name, 0) != here[name]}


def _times(number: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(number, f"{number:,} times")
