"""Tells whom the settings name of what happens: reads every feature's events once, beside the work, not in its way.

Each notification of the settings has a thread of its own in the worker that leads the sweep, and remembers in Redis how
far it has told each feature's events. So a target that is slow or dead delays nobody but itself, and what one worker
has not told when it dies, the next one tells. An event is told at least once; with its feature its id tells repetitions
apart.
"""

from __future__ import annotations

import hashlib
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import redis

from orchestrator.config.schema.notifications import Notification
from orchestrator.model import errors, identifiers, words
from orchestrator.model.event import Event
from orchestrator.model.task import Retries
from orchestrator.notify import rules, targets
from orchestrator.notify.targets import Target
from orchestrator.state import forks, refusals, scripts
from orchestrator.state.scripts import Call, Scope
from orchestrator.state.store import Store
from orchestrator.state.threads import Thread

logger = logging.getLogger("orchestrator")

BEGINNING = "0-0"
SEEN = "@seen"
KEPT_SECONDS = 30 * 86_400
"""The memory of a notification is deleted when no worker has used it for this long."""

TURN = 50
"""Events of one feature that are told before it is another one's turn."""

STREAMS = 500
"""Features that one command asks for news."""


def open_notifiers(
    store: Store, notifications: Iterable[Notification], worker: str, *, pause: float
) -> list[Notifier]:
    """A notifier for each notification of the settings.

    Args:
        store: Where the events are.
        notifications: In the order of the settings.
        worker: The worker whose notifiers they are.
        pause: Seconds between two looks for events.
    """
    places: Counter[str] = Counter()
    found = []
    for told in notifications:
        target = targets.open_target(told)
        places[target.address] += 1  # the same target twice, for other events, is another notification
        address = f"{target.address}\0{places[target.address]}"
        cursors = Cursors(store, hashlib.sha256(address.encode()).hexdigest()[:16])
        found.append(Notifier(store, cursors, target, told.events, worker, tries=told.tries, pause=pause))
    return found


@dataclass(frozen=True)
class Reading:
    """The features that a notification follows: the last event sent of each, and which of them go on."""

    told: Mapping[str, str]
    active: frozenset[str]
    seen: int


class Cursors:
    """How far one notification has told the events of each feature.

    A feature is in the hash from the first look after its enqueue until it is over and its last event is told. The
    first look of all takes in the features that are active then; features that are over by then are not told.

    Args:
        store: The state.
        name: The notification, by a digest of its target.
    """

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self.key = store.keys.notified(name)

    def look(self) -> Reading:
        """Take in the features that are new, and say where each one stands."""
        client, keys = self.store.client, self.store.keys
        known = client.pipeline(transaction=True)
        known.time()
        known.hgetall(self.key)
        known.smembers(keys.active)
        (seconds, micros), told, active = known.execute()
        # A feature of this very millisecond may yet come: that one is left to the next look.
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
        """The features that have events after the last one told."""
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
        """Remember the last event told; False if another worker did meanwhile (see advance_cursor.lua)."""
        call = Call("advance_cursor", {"before": before, "after": told}, {"notified": self.key})
        (code,) = scripts.run(self.store.client, Scope(self.store.keys, feature_id), call)
        return bool(code == "advanced")

    def leave(self, reading: Reading, features: Iterable[str]) -> None:
        """Forget those of the features that are over. All their events are told."""
        for feature in features:
            # One that is newer than the index was read would be found there once more.
            created = self.store.client.zscore(self.store.keys.features, feature)
            if feature not in reading.active and (created is None or created <= reading.seen):
                self.advance(feature, reading.told[feature], "")


@dataclass(frozen=True)
class Wait:
    """An event that could not be told yet: how often it was tried, and when it is due again."""

    event: str
    tries: int
    due: float


class Notifier:
    """One notification at work.

    Args:
        store: Where the events are.
        cursors: How far they are told.
        target: Who is told.
        events: Names of the events and groups (`notification.EVENT_NAMES`).
        worker: The worker whose notifier it is; it works only while that one leads the sweep.
        tries: Tries of one event before it is given up.
        pause: Seconds between two looks for events.
        backoff: Seconds before the second try, doubled before each one after it, with jitter.
    """

    def __init__(
        self,
        store: Store,
        cursors: Cursors,
        target: Target,
        events: Iterable[str],
        worker: str,
        *,
        tries: int = 5,
        pause: float = 1.0,
        backoff: float = 1.0,
    ) -> None:
        self.store = store
        self.cursors = cursors
        self.target = target
        self.events = frozenset(events)
        self.worker = worker
        self.tries = tries
        self.pause = pause
        self.retries = Retries(backoff=backoff)
        self.waits: dict[str, Wait] = {}
        self.stopped = threading.Event()
        self.asked = threading.Event()
        self.looked = threading.Event()
        self.thread = Thread(self._run, "notifier", self.stopped)

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self.thread.start()

    def stop(self) -> None:
        """Tell nothing more."""
        self.stopped.set()
        self.asked.set()

    def flush(self, seconds: float) -> None:
        """Look at once, and return when all that there was has been tried, after so many seconds at most."""
        self.looked.clear()
        self.asked.set()
        self.looked.wait(seconds)

    def _run(self) -> None:
        while not self.stopped.is_set():
            was_asked = self.asked.is_set()
            self.asked.clear()
            try:
                with forks.held_off():
                    while self.tell() and not self.stopped.is_set():
                        forks.let_one_through()
            except Exception as error:  # whatever it is, the next round may succeed, and must come
                with forks.held_off():
                    logger.warning(
                        "Notifications to %s will be tried again: %s: %s",
                        self.target.name,
                        type(error).__name__,
                        refusals.describe(error),
                    )
            if was_asked:
                self.looked.set()
            self.asked.wait(self.pause)

    def tell(self) -> bool:
        """One round: tell what is new of every feature. True if something was, so that another round may pay."""
        if not self._leads():
            self.waits.clear()
            return False
        reading = self.cursors.look()
        news = self.cursors.with_news(reading)
        has_moved = False
        for feature in sorted(news):
            forks.let_one_through()
            try:
                has_moved |= self._is_due(feature) and self._tell(feature, reading)
            except (
                redis.ResponseError,
                ValueError,
                errors.UnreadableFeature,
            ) as error:  # one feature must not hold up the others
                is_of_redis = isinstance(error, redis.ResponseError)
                cause = refusals.describe(error) if is_of_redis else words.one_line(str(error))
                logger.warning("[%s] cannot be told to %s: %s", feature, self.target.name, cause)
        self.cursors.leave(reading, reading.told.keys() - news - reading.active)
        return has_moved

    def _leads(self) -> bool:
        return bool(self.store.client.get(self.store.keys.sweeper) == self.worker)

    def _is_due(self, feature_id: str) -> bool:
        wait = self.waits.get(feature_id)
        return wait is None or wait.due <= time.monotonic()

    def _tell(self, feature_id: str, reading: Reading) -> bool:
        """Tell the events of a feature up to the first one that cannot be told yet; False if that is the first."""
        told = read = reading.told[feature_id]
        turn = TURN
        for event, body in self._messages(feature_id, read):
            if body is not None:
                turn -= 1
                if turn < 0 or not self._may_go_on() or not self._settle(feature_id, event, body):
                    break
                if not self.cursors.advance(feature_id, told, event.id):
                    return False
                told = event.id
            read = event.id
        if read != told:
            self.cursors.advance(feature_id, told, read)
        return read != reading.told[feature_id]

    def _may_go_on(self) -> bool:
        return not self.stopped.is_set() and self._leads()

    def _messages(self, feature_id: str, after: str) -> Iterator[tuple[Event, dict[str, Any] | None]]:
        """The events of a feature, each with what is sent of it; None for one that nobody asked for."""
        title, tasks = None, dict[str, str]()
        for event in self.store.events(feature_id, after):
            if not rules.matches(self.events, event):
                yield event, None
                continue
            title = self._title(feature_id) if title is None else title
            if event.task not in tasks:
                tasks[event.task] = self._task_title(feature_id, event.task)
            yield event, rules.message(feature_id, title, event, tasks[event.task])

    def _title(self, feature_id: str) -> str:
        try:
            return str(self.store.head(feature_id)["title"])
        except errors.NoSuchFeature:
            return ""

    def _task_title(self, feature_id: str, task_id: str) -> str:
        if not task_id or identifiers.is_gates(task_id):  # the gates of a feature are no task of it
            return ""
        try:
            return self.store.task(feature_id, task_id).name
        except (errors.NoSuchFeature, errors.NoSuchTask, errors.UnreadableFeature):
            return ""

    def _settle(self, feature_id: str, event: Event, body: Mapping[str, Any]) -> bool:
        """Tell one event, or give it up; False if it is to be tried again later."""
        with forks.let_through():
            cause = self.target.send(body)
        wait = self.waits.pop(feature_id, None)
        if cause is None:
            return True
        tries = 1 + (wait.tries if wait and wait.event == event.id else 0)
        if tries < self.tries:
            chance = random.random()  # nosec B311  # it spreads retries
            due = time.monotonic() + self.retries.wait(tries, chance)
            self.waits[feature_id] = Wait(event.id, tries, due)
            return False
        logger.error(
            "%s",
            errors.NotDelivered(
                target=self.target.name[0].upper() + self.target.name[1:],
                event=event.event,
                id=event.id,
                feature=feature_id,
                tries=words.count(tries, "try", "tries"),
                cause=cause,
            ),
        )
        return True
