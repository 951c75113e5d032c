"""How far a reader has read the events of each feature: a notification, or the count of metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import redis

from orchestrator.state import scripts
from orchestrator.state.scripts import Call, Scope
from orchestrator.state.store import Store

BEGINNING = "0-0"
SEEN = "@seen"
KEPT_SECONDS = 30 * 86_400
"""The cursors of a reader are deleted when no worker has used them for this long."""

STREAMS = 500
"""How many features one command reads events of."""


@dataclass(frozen=True)
class Reading:
    """The features that a reader follows: the last event read of each, and which of them go on."""

    told: Mapping[str, str]
    active: frozenset[str]
    seen: int


class Cursors:
    """How far one reader has read the events of each feature.

    A feature is in the hash from the first look after its enqueue until it is over and its last event is read. The
    very first look adds the features that are active; features that are over by then are ignored.

    Args:
        store: The state.
        name: The reader: a notification by a digest of its target, or another by its name.
    """

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self.key = store.keys.notified(name)

    def look(self) -> Reading:
        """Add new features, and return the cursor of each feature."""
        client, keys = self.store.client, self.store.keys
        known = client.pipeline(transaction=True)
        known.time()
        known.hgetall(self.key)
        known.smembers(keys.active)
        (seconds, micros), told, active = known.execute()
        # Another feature of this millisecond may still come, so the next look reads this millisecond again.
        until = seconds * 1000 + micros // 1000 - 1
        before = told.pop(SEEN, None)
        since = until if before is None else int(before)
        # Read from the index too: a feature may begin and end between two looks.
        begun: Any = client.zrangebyscore(keys.features, f"({since}", until)
        new = {feature for feature in (*active, *begun) if feature not in told}
        seen = max(since, until)
        pipeline = client.pipeline(transaction=True)
        for feature in new:
            pipeline.hsetnx(self.key, feature, BEGINNING)
        pipeline.hset(self.key, SEEN, seen)
        pipeline.expire(self.key, KEPT_SECONDS)
        pipeline.execute()
        return Reading({**told, **dict.fromkeys(new, BEGINNING)}, frozenset(active), seen)

    def with_news(self, reading: Reading) -> set[str]:
        """The features that have events after the last one read."""
        found: set[str] = set()
        features = sorted(reading.told)
        for start in range(0, len(features), STREAMS):
            streams = {
                self.store.keys.feature(feature).events: feature
                for feature in features[start : start + STREAMS]
            }
            asked: Any = {key: reading.told[feature] for key, feature in streams.items()}
            try:
                # redis-py answers with a mapping (RESP 3) or with pairs.
                answer: Any = dict(self.store.client.xread(asked, count=1) or ())
            except redis.ResponseError:  # something is wrong with one of them; reading it says what
                answer = streams
            found.update(streams[key] for key in answer)
        return found

    def advance(self, feature_id: str, before: str, told: str) -> bool:
        """Store the last event read; False if another worker did meanwhile (see advance_cursor.lua)."""
        call = Call("advance_cursor", {"before": before, "after": told}, {"notified": self.key})
        (code,) = scripts.run(self.store.client, Scope(self.store.keys, feature_id), call)
        return bool(code == "advanced")

    def leave(self, reading: Reading, features: Iterable[str]) -> None:
        """Forget the given features that are over. All their events have been read."""
        for feature in features:
            # One that is newer than the index was read would be found there once more.
            created = self.store.client.zscore(self.store.keys.features, feature)
            if feature not in reading.active and (created is None or created <= reading.seen):
                self.advance(feature, reading.told[feature], "")
