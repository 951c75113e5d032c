"""Sends the notifications of the settings. Reads the events of every feature, and never delays the work.

Each notification has its own thread in the worker that leads the sweep, and stores in Redis how far it has sent each
feature's events. So a slow or dead target delays only itself, and if a worker dies, the next one goes on where it
stopped. An event is sent at least once; its feature and its id together identify repetitions.
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
from orchestrator.state import forks, refusals
from orchestrator.state.cursors import Cursors, Reading
from orchestrator.state.store import Store
from orchestrator.state.threads import Thread

logger = logging.getLogger("orchestrator")

TURN = 50
"""How many events of one feature are sent before the next feature has its turn."""


def open_notifiers(
    store: Store, notifications: Iterable[Notification], worker: str, *, pause: float
) -> list[Notifier]:
    """A notifier for each notification of the settings.

    Args:
        store: The store of the events.
        notifications: The notifications, in the order of the settings.
        worker: The worker that runs the notifiers.
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
class Wait:
    """An event that could not be sent yet: the number of tries, and when it is due again."""

    event: str
    tries: int
    due: float


class Notifier:
    """Sends the events of one notification.

    Args:
        store: The store of the events.
        cursors: How far they have been sent.
        target: The receiver.
        events: Names of the events and groups (`notification.EVENT_NAMES`).
        worker: The worker that runs the notifier, which works only while that worker leads the sweep.
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
        """Start the notifier's thread."""
        self.thread.start()

    def stop(self) -> None:
        """Stop sending."""
        self.stopped.set()
        self.asked.set()

    def flush(self, seconds: float) -> None:
        """Send all pending notifications now, and return when each was tried, or after `seconds`."""
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
            except Exception as error:  # no error may end the rounds: the next one may succeed
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
        """Send the events of a feature up to the first one that cannot be sent yet; False if that is the first."""
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
        for event in self.store.events.read(feature_id, after):
            if not rules.matches(self.events, event):
                yield event, None
                continue
            title = self._title(feature_id) if title is None else title
            if event.task not in tasks:
                tasks[event.task] = self._task_title(feature_id, event.task)
            yield event, rules.message(feature_id, title, event, tasks[event.task])

    def _title(self, feature_id: str) -> str:
        try:
            return str(self.store.features.head(feature_id)["title"])
        except errors.NoSuchFeature:
            return ""

    def _task_title(self, feature_id: str, task_id: str) -> str:
        if not task_id or identifiers.is_gates(task_id):  # the gates of a feature are no task of it
            return ""
        try:
            return self.store.tasks.find(feature_id, task_id).name
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
                target=self.target.name,
                event=event.event,
                id=event.id,
                feature=feature_id,
                tries=words.count(tries, "try", "tries"),
                cause=cause,
            ),
        )
        return True
