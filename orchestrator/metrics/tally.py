"""Counts what the events of features say: attempts, their waits and run times, and how they end."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from orchestrator.metrics.catalogue import BUCKETS
from orchestrator.model.event import Event
from orchestrator.model.feature import OVER
from orchestrator.model.flows import WORKING, TaskEvent
from orchestrator.model.outcome import FailureCause
from orchestrator.model.task import TaskStatus

Attempt = tuple[str, int]
"""A task and the number of its attempt."""

STOPPED = "stopped"
"""A person took the attempt away."""

ENDS: Mapping[str, str] = {
    TaskEvent.WORKER_LOST: "lost",
    TaskEvent.WORK_HANDED_BACK: "handed-back",
    TaskEvent.RETRY_SCHEDULED: "retried",
    "attempt_ended": STOPPED,
}
"""The events that end an attempt whatever the status of its task, and the outcome."""

OUTCOMES: Mapping[str, str] = {
    TaskStatus.COMPLETED: "completed",
    TaskStatus.IN_REVIEW: "completed",
    TaskStatus.FAILED: "failed",
    TaskStatus.BLOCKED: "blocked",
}
"""The outcome of an attempt by the status to which its end leads; any other: a person has stopped it."""

ALL_OUTCOMES = (*dict.fromkeys((*OUTCOMES.values(), *ENDS.values())),)

RECOVERIES: Mapping[str, str] = {
    TaskEvent.WORKER_LOST: "attempt",
    TaskEvent.WORK_HANDED_BACK: "hand-back",
    "message_lost": "message",
}

BEGINS = (TaskEvent.WORK_STARTED, TaskEvent.GATES_STARTED)


class Begun(NamedTuple):
    """The start of an attempt, in seconds since the epoch (None: no longer known), and its specialist."""

    time: float | None
    specialist: str


class Tally:
    """Counts the events of one feature, read in their order.

    Args:
        name: The name under which metrics show a specialist.
        look_up: Finds when an attempt began whose begin another tally has read.

    Example:
        >>> tally = Tally(str, lambda attempt: Begun(None, "writer"))
        >>> tally.add(Event(id="1-0", time=1.0, event="task_launched", task="T1", attempt=1))
        >>> tally.add(Event(id="2-0", time=1.2, event="work_started", task="T1", attempt=1, specialist="writer"))
        >>> tally.take()[field("attempts_started", "writer")]
        1
    """

    def __init__(self, name: Callable[[str], str], look_up: Callable[[Attempt], Begun]) -> None:
        self._name = name
        self._look_up = look_up
        self._launched: dict[Attempt, float] = {}
        self._begun: dict[Attempt, Begun] = {}
        self._counts: Counter[str] = Counter()

    def add(self, event: Event) -> None:
        """Count one event."""
        if not event.task:
            self._add_of_feature(event)
            return
        attempt = (event.task, event.attempt or 0)
        if event.event == "task_launched":
            self._launched[attempt] = event.time
        elif event.event in BEGINS:
            self._begin(attempt, event)
        elif event.event in ENDS or (event.source in WORKING and event.target not in WORKING):
            self._end(attempt, event)
        if kind := RECOVERIES.get(event.event):
            self._counts[field("recoveries", kind)] += 1

    def take(self) -> Counter[str]:
        """The counts since the last call: how much to add to each field (see `field`)."""
        counts, self._counts = self._counts, Counter()
        return counts

    def _add_of_feature(self, event: Event) -> None:
        if event.event == "feature_enqueued":
            self._counts[field("features_enqueued")] += 1
        elif event.target in OVER:
            self._counts[field("features_ended", event.target)] += 1

    def _begin(self, attempt: Attempt, event: Event) -> None:
        specialist = self._name(event.specialist)
        self._begun[attempt] = Begun(event.time, specialist)
        self._counts[field("attempts_started", specialist)] += 1
        launched = self._launched.pop(attempt, None)
        if launched is not None:
            self._observe("attempt_wait_seconds", specialist, event.time - launched)

    def _end(self, attempt: Attempt, event: Event) -> None:
        begun = self._begun.pop(attempt, None)
        if begun is None:
            if event.event == "attempt_ended":  # it was counted when a person took it away
                return
            time, specialist = self._look_up(attempt)
            begun = Begun(time, self._name(specialist))
        outcome = ENDS.get(event.event) or OUTCOMES.get(event.target, STOPPED)
        if event.cause == FailureCause.WORKER_LOST:
            outcome = "lost"
        self._counts[field("attempts_ended", begun.specialist, outcome)] += 1
        if begun.time is not None:
            self._observe("attempt_run_seconds", begun.specialist, event.time - begun.time)

    def _observe(self, histogram: str, specialist: str, seconds: float) -> None:
        seconds = max(0.0, seconds)
        self._counts[field(histogram, specialist, str(bisect_left(BUCKETS, seconds)))] += 1
        self._counts[field(histogram, specialist, "ms")] += round(seconds * 1000)


def field(name: str, *labels: str) -> str:
    """The field of a count in Redis: its metric and labels; a histogram has one for each bucket and one for its sum.

    Example:
        >>> field("attempts_ended", "writer", "failed").split(SEPARATOR)
        ['attempts_ended', 'writer', 'failed']
    """
    return SEPARATOR.join((name, *labels))


SEPARATOR = "\t"
