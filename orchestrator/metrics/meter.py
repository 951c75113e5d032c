"""Counts the events of all features for metrics, in the worker that leads, while somebody reads the metrics.

An attempt costs nothing for it: its events are written in any case. A worker that becomes the leader goes on where the
last one stopped, and each event is counted once (count_events.lua).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import redis

from orchestrator.metrics import figures
from orchestrator.metrics.tally import BEGINS, Attempt, Begun, Tally
from orchestrator.model import errors
from orchestrator.model.calls import called_by
from orchestrator.state import forks, refusals
from orchestrator.state.cursors import Cursors, Reading
from orchestrator.state.store import Store
from orchestrator.state.threads import Thread

logger = logging.getLogger("orchestrator")

READER = "metrics"
"""The name of the cursors."""

REFRESH_SECONDS = 60.0
"""The figures of a feature without news are read again after this long."""

MOST_NAMES = 200
"""Specialists, and called Celery tasks, that the metrics name. All others are `other`, so that no one can fill a
Prometheus with names.
"""

OTHER = "other"

LOOKED_BACK = 1_000
"""So many events are searched for the begin of an attempt that an earlier leader has counted."""


class Meter:
    """Counts while its worker leads and somebody reads the metrics.

    Args:
        store: The store of the events.
        leads: Whether this worker leads.
        specialists: Those of the settings, which always have their names in the metrics.
        pause: Seconds between two looks.
    """

    def __init__(
        self, store: Store, leads: Callable[[], bool], specialists: Iterable[str], *, pause: float = 5.0
    ) -> None:
        self.store = store
        self.cursors = Cursors(store, READER)
        self.pause = pause
        self.stopped = threading.Event()
        self.thread = Thread(self._run, "meter", self.stopped)
        self._leads = leads
        self._names = set(specialists)
        self._most = len(self._names) + MOST_NAMES
        self._tallies: dict[str, tuple[str, Tally]] = {}
        """The tally of each feature, with the last event that it has counted."""
        self._figures: dict[str, dict[str, Any]] = {}
        self._changed: set[str] = set()
        """The features that had events since the figures were stored."""
        self._refreshes_at = 0.0
        self._failure = ""

    def start(self) -> None:
        """Start the meter's thread."""
        self.thread.start()

    def stop(self) -> None:
        """Stop counting."""
        self.stopped.set()

    def _run(self) -> None:
        while not self.stopped.wait(self.pause):
            try:
                with forks.held_off():
                    while self.look() and not self.stopped.is_set():
                        forks.let_one_through()
                self._failure = ""
            except Exception as error:  # no error may end the rounds: the next one may succeed
                self._warn_once(f"{type(error).__name__}: {refusals.describe(error)}")

    def _warn_once(self, cause: str) -> None:
        if cause != self._failure:
            self._failure = cause
            with forks.held_off():
                logger.warning("Metrics are not counted: %s. Each round tries it again", cause)

    def look(self) -> bool:
        """Count what is new of every feature, and store the figures. True if there may be more to count."""
        if not (self._leads() and self.store.figures.is_asked()):
            self._figures.clear()  # another worker may lead meanwhile; a tally knows by its last event whether one did
            if time.monotonic() >= self._refreshes_at:
                self._tallies.clear()
            return False
        reading = self.cursors.look()
        news = self.cursors.with_news(reading)
        has_more = False
        self._changed |= news
        for feature_id in sorted(news):
            forks.let_one_through()
            has_more |= self._count(feature_id, reading.told[feature_id])
        gone = reading.told.keys() - news - reading.active
        self.cursors.leave(reading, gone)
        for feature_id in gone:
            self._tallies.pop(feature_id, None)
        if not has_more:
            self._sum_up(reading)
        return has_more

    def _count(self, feature_id: str, before: str) -> bool:
        """Count a portion of a feature's events. True if there may be more."""
        try:
            events = self.store.events.read(feature_id, before)
        except (errors.UnreadableFeature, redis.ResponseError):  # one feature must not hold up the others
            return False
        if not events:
            return False
        counted, tally = self._tallies.get(feature_id, ("", None))
        if tally is None or counted != before:
            tally = Tally(self.name, lambda attempt: self._begun(feature_id, attempt))
        for event in events:
            tally.add(event)
        if not self.store.figures.count(feature_id, self.cursors.key, before, events[-1].id, tally.take()):
            self._tallies.pop(feature_id, None)  # another worker leads
            return False
        self._tallies[feature_id] = (events[-1].id, tally)
        return True

    def _begun(self, feature_id: str, attempt: Attempt) -> Begun:
        begun = Begun(*self.store.figures.begun(feature_id, *attempt))
        if begun.time is not None:
            return begun
        found = self.store.events.latest(feature_id, LOOKED_BACK)
        begins = (one for one in found if one.event in BEGINS and (one.task, one.attempt) == attempt)
        return next((Begun(one.time, one.specialist) for one in begins), begun)

    def _sum_up(self, reading: Reading) -> None:
        now = time.monotonic()
        if now >= self._refreshes_at:
            self._refreshes_at = now + REFRESH_SECONDS
            self._figures.clear()
        asked = [name for name in reading.active if name in self._changed or name not in self._figures]
        found = {name: self._figures[name] for name in reading.active if name in self._figures}
        self._figures = {**found, **self.store.figures.of_features(asked)}
        for name in asked:  # those that cannot be read are asked again at the next refresh
            self._figures.setdefault(name, {})
        known = [one for one in self._figures.values() if one]
        summed = figures.total(known, reading.seen / 1000)
        for part in ("running", "launched"):
            summed[part] = self._by_name(summed[part])
        self.store.figures.store(summed)
        self._changed.clear()

    def _by_name(self, counts: Mapping[str, int]) -> Counter[str]:
        named: Counter[str] = Counter()
        for specialist, count in counts.items():
            named[self.name(specialist)] += count
        return named

    def name(self, specialist: str) -> str:
        """The name under which metrics show a specialist."""
        name = called_by(specialist) or specialist
        if name not in self._names and len(self._names) < self._most:
            self._names.add(name)
        return name if name in self._names else OTHER
