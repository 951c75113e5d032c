"""Reads the events of features."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.model import errors
from orchestrator.state import encoding
from orchestrator.state.script_runner import ScriptRunner, reads_feature

if TYPE_CHECKING:
    from orchestrator.model.event import Event
    from orchestrator.model.progress import Tail

EVENT_ID = re.compile(r"-|[0-9]{1,18}(-[0-9]{1,18})?")
"""A position in a feature's events: "-" for the oldest, or the id of an event."""

FROM_NOW_ON = "$"
"""The position after the newest event, for a reader that waits for the next."""


class EventReader:
    """Reads the events of features, and the end of what their tasks put out.

    Args:
        runner: Runs the scripts.
    """

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner

    @reads_feature
    def read(
        self, feature_id: str, after: str = "-", block: float | None = None, most: int = 1_000
    ) -> list[Event]:
        """The events after a stream id ("-": from the oldest).

        Args:
            feature_id: The feature.
            after: The id of the last known event; "$" for the newest, to wait for the next (`block`).
            block: If there is no event, wait up to this many seconds for one.
            most: At most so many events.

        Raises:
            BadCursor: `after` is not the id of an event.
        """
        waits_for_new = after == FROM_NOW_ON and block is not None
        if not (waits_for_new or EVENT_ID.fullmatch(after)):
            raise errors.BadCursor(cursor=after)
        stream = self._runner.keys.feature(feature_id).events
        if block is None:
            start = after if after == "-" else f"({after}"
            entries: Any = self._runner.client.xrange(stream, min=start, count=most)
        else:
            start = "0" if after == "-" else after
            answer = self._runner.client.xread({stream: start}, count=most, block=max(1, round(block * 1000)))
            entries = _entries(answer)
        return [encoding.parse_event(entry, fields) for entry, fields in entries]

    @reads_feature
    def latest(self, feature_id: str, most: int) -> list[Event]:
        """The last events of a feature, newest first."""
        found: Any = self._runner.client.xrevrange(self._runner.keys.feature(feature_id).events, count=most)
        return [encoding.parse_event(entry, fields) for entry, fields in found]

    def news(self, after: Mapping[str, str], block: float) -> dict[str, str]:
        """Wait until one of several features has a new event.

        Args:
            after: The last known event of each feature ("-": none).
            block: Seconds to wait at most.

        Returns:
            The features that have new ones, each with the newest that was read.
        """
        streams = {self._runner.keys.feature(feature).events: feature for feature in after}
        starts: Any = {key: "0" if after[one] == "-" else after[one] for key, one in streams.items()}
        answer: Any = self._runner.client.xread(starts, count=1_000, block=max(1, round(block * 1000)))
        return {streams[key]: newest for key, newest in _newest(answer)}

    @reads_feature
    def tail(self, feature_id: str, task_id: str) -> Tail | None:
        """The end of the output of a task's running attempt; None if there is none."""
        kept: Any = self._runner.client.hget(self._runner.keys.feature(feature_id).tails, task_id)
        return encoding.parse_tail(kept) if kept else None

    @reads_feature
    def gone(self, feature_id: str) -> int:
        """How many of a feature's oldest events were trimmed, because it had more than are kept."""
        return int(self._runner.client.get(self._runner.keys.feature(feature_id).gone) or 0)

    @reads_feature
    def last(self, feature_id: str) -> str:
        """The id of the newest event, for `events(after=…)`; "-" if there is none."""
        newest: Any = self._runner.client.xrevrange(self._runner.keys.feature(feature_id).events, count=1)
        return str(newest[0][0]) if newest else "-"


def _newest(answer: Any) -> Iterator[tuple[str, str]]:
    """The newest entry of each stream of an XREAD answer, whose shape depends on the protocol (RESP 2 or 3)."""
    for key, entries in answer.items() if isinstance(answer, dict) else answer or ():
        last = entries[-1]
        yield str(key), str(last[-1][0] if isinstance(last, list) else last[0])


def _entries(answer: Any) -> list[tuple[str, dict[str, str]]]:
    """The entries of one stream from an XREAD answer, whose shape depends on the protocol (RESP 2 or 3)."""
    if not answer:
        return []
    if isinstance(answer, dict):
        (entries,) = answer.values()
        return (
            [entry for part in entries for entry in part]
            if entries and isinstance(entries[0], list)
            else entries
        )
    return list(answer[0][1])
