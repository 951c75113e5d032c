"""Tells everybody who watches a feature that it has news. One thread waits for all features that are watched."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import redis

if TYPE_CHECKING:
    from orchestrator.state.store import Store

logger = logging.getLogger("orchestrator")

WAIT_SECONDS = 0.25
"""How long one wait for news lasts: so long may a feature wait until it is watched with the others."""

AWAY_SECONDS = 1.0
"""Between two tries while Redis is away."""


class Streams:
    """The features that somebody watches.

    Args:
        store: Where they are stored.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._watchers: dict[str, set[_Watcher]] = {}
        self._seen: dict[str, str] = {}
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def watching(self, feature_id: str, after: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever a feature has news. Called on an event loop.

        Args:
            feature_id: The feature.
            after: The last event of the feature that is known.
        """
        watcher = _Watcher(asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            self._watchers.setdefault(feature_id, set()).add(watcher)
            self._seen.setdefault(feature_id, after)
            if self._thread is None:
                self._thread = threading.Thread(target=self._read, name="feature-news", daemon=True)
                self._thread.start()
        try:
            yield watcher.event
        finally:
            with self._lock:
                self._watchers[feature_id].discard(watcher)
                if not self._watchers[feature_id]:
                    del self._watchers[feature_id], self._seen[feature_id]

    def _read(self) -> None:
        while True:
            with self._lock:
                if not self._seen:
                    self._thread = None
                    return
                seen = dict(self._seen)
            try:
                news = self._store.events.news(seen, WAIT_SECONDS)
            except (redis.RedisError, OSError) as error:
                logger.warning("The pages of features get no news for now: %s", type(error).__name__)
                time.sleep(AWAY_SECONDS)
                continue
            with self._lock:
                for feature, newest in news.items():
                    if feature in self._seen:
                        self._seen[feature] = newest
                    for watcher in self._watchers.get(feature, ()):
                        watcher.tell()


class _Watcher:
    def __init__(self, loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
        self.loop = loop
        self.event = event

    def tell(self) -> None:
        with contextlib.suppress(RuntimeError):  # its event loop is closed
            self.loop.call_soon_threadsafe(self.event.set)
