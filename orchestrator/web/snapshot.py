"""A feature as the pages draw it: where all of its tasks stand, and what has changed since a moment."""

from __future__ import annotations

import gzip
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.client import answers
from orchestrator.contract import compact
from orchestrator.model.feature import Feature
from orchestrator.planning import planner
from orchestrator.report import json_features, json_tasks

if TYPE_CHECKING:
    from orchestrator.client.client import Client
    from orchestrator.client.handle import Handle
    from orchestrator.contract.task_answers import EventLine
    from orchestrator.model.event import Event
    from orchestrator.model.progress import Progress, TaskState

KEPT = 8
"""How many features are kept as they were drawn last."""

MOST_EVENTS = 1_000
"""After more events than this, a page reads the whole feature again."""

MOST_OPENED = 500
"""If a batch of more tasks opens, a page reads the whole feature again."""

GROWTH = ("tasks_added", "dependencies_changed")
"""Events after which tasks may stand elsewhere."""


class Drawn(NamedTuple):
    """A feature as JSON, and gzipped."""

    cursor: str
    lines: Mapping[str, dict[str, Any]]
    """The line of each of its tasks."""
    plain: bytes
    gzipped: bytes


class Snapshots:
    """Takes snapshots of features, and keeps the last ones for the next who asks.

    Args:
        client: Reads the state.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._kept: OrderedDict[str, Drawn] = OrderedDict()
        self._paths: OrderedDict[tuple[str, str], list[str]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, feature_id: str) -> Drawn:
        """A feature with all of its tasks, its critical path, and the last event that it includes.

        Raises:
            NoSuchFeature: There is none of this id.
        """
        handle = self._client.feature(feature_id)
        cursor = self._client.store.events.last(feature_id)
        with self._lock:
            kept = self._kept.get(feature_id)
        if kept is not None and kept.cursor == cursor:
            return kept
        progress = handle.progress()
        changed = _changed_since(handle, kept.cursor) if kept is not None else None
        states = handle.states() if changed is None else handle.states_of(changed)
        before = kept.lines if kept is not None and changed is not None else {}
        found = {**before, **{line["task"]: line for line in lines(self._client, progress, states)}}
        value = {
            **of_feature(progress),
            "tasks": list(found.values()),
            "critical_path": self._critical_path(handle, progress),
            "cursor": cursor,
        }
        plain = compact.write(value).encode()
        drawn = Drawn(cursor, found, plain, gzip.compress(plain, 1))
        with self._lock:
            self._kept[feature_id] = drawn
            self._kept.move_to_end(feature_id)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return drawn

    def _critical_path(self, handle: Handle, progress: Progress) -> list[str]:
        """The longest chain of tasks by what they were expected to take; it changes only when the feature grows."""
        key = (handle.id, f"{progress.total} {progress.batches}")
        with self._lock:
            if key in self._paths:
                return self._paths[key]
        feature = Feature.model_construct(
            **self._client.store.features.head(handle.id),
            strategy=progress.strategy,
            max_parallel_tasks=progress.cap,
            tasks=tuple(handle.tasks()),
        )
        found = planner.critical_path(feature)
        with self._lock:
            self._paths[key] = found
            while len(self._paths) > KEPT:
                self._paths.popitem(last=False)
        return found


def _changed_since(handle: Handle, cursor: str) -> list[str] | None:
    """The tasks that events since a moment are about; None: any task may have changed."""
    events = handle.events(cursor)
    if len(events) >= MOST_EVENTS or any(event.event in (*GROWTH, "batch_opened") for event in events):
        return None
    return list(dict.fromkeys(event.task for event in events if event.task))


def of_feature(progress: Progress) -> dict[str, Any]:
    """A feature without its tasks, with every field."""
    return compact.select(json_features.feature(progress, time.time()), compact.EVERYTHING)


def lines(client: Client, progress: Progress, states: Sequence[TaskState]) -> list[dict[str, Any]]:
    """A line for each task, with the fields that differ from their defaults."""
    titles, now = answers.titles(client), time.time()
    found = (json_features.task_line(state, progress.batch, now, titles=titles) for state in states)
    # Ten times as fast as compact.select, which writes the same; a feature may have ten thousand of them.
    return [line.model_dump(exclude_defaults=True) for line in found]


def event_line(event: Event) -> EventLine:
    """An event with its worker, whose attempts the timeline draws."""
    return json_tasks.event_line(event).model_copy(update={"worker": event.worker})


class Change(NamedTuple):
    """The changes of a feature since a moment."""

    cursor: str
    progress: Progress
    message: Mapping[str, Any]
    """The message to a page; empty: the page has to read the whole feature again."""


def change(client: Client, handle: Handle, after: str) -> Change | None:
    """The changes of a feature since an event; None: nothing changed.

    Args:
        client: Reads the state.
        handle: The feature.
        after: The last event that is known; "-": none.

    Raises:
        BadCursor: `after` is not the id of an event.
    """
    events = handle.events(after)
    if not events:
        return None
    progress = handle.progress()
    names = {event.event for event in events}
    is_too_much = len(events) >= MOST_EVENTS or not names.isdisjoint(GROWTH)
    touched = _touched(client, handle, events)
    if is_too_much or touched is None:
        return Change(client.store.events.last(handle.id), progress, {})
    states = handle.states_of(touched)
    message = {
        "cursor": events[-1].id,
        "feature": of_feature(progress),
        "tasks": lines(client, progress, states),
        "events": [compact.select(event_line(event), compact.EVERYTHING) for event in events],
    }
    return Change(events[-1].id, progress, message)


def _touched(client: Client, handle: Handle, events: Sequence[Event]) -> list[str] | None:
    """The tasks that events are about, with those of a batch that opened; None: too many."""
    found = dict.fromkeys(event.task for event in events if event.task)
    for event in events:
        if event.event == "batch_opened" and event.batch:
            if (event.total or 0) > MOST_OPENED:
                return None
            found |= dict.fromkeys(client.store.features.batch(handle.id, event.batch))
    return list(found)
