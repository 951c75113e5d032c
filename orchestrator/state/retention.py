"""What is over is kept for a while and then forgotten: features in Redis, their logs and folders on each machine."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Iterator

import redis

from orchestrator.config.settings import Settings
from orchestrator.model import errors
from orchestrator.state import folders, forks, refusals
from orchestrator.state.store import Store
from orchestrator.state.threads import Thread

logger = logging.getLogger("orchestrator")

PORTION = 50
"""Features that one round forgets, so that no round is long."""

LONGEST_PAUSE = 600.0
"""Seconds between two looks for what is old enough."""


def forget_old(
    store: Store, older_than: float, portion: int | None = PORTION, *, dry_run: bool = False
) -> list[str]:
    """Forget features that have been over for so many seconds, oldest first.

    Args:
        store: Knows the features.
        older_than: Seconds.
        portion: As many at most; None: all.
        dry_run: Only say which would be forgotten.

    Returns:
        Their ids.

    Example:
        gone = forget_old(store, older_than=30 * 86_400, portion=None)
    """
    return list(itertools.islice(_forgotten(store, older_than, dry_run), portion))


def _forgotten(store: Store, older_than: float, dry_run: bool) -> Iterator[str]:
    staying = 0
    while old := store.finished(older_than, PORTION, staying):
        for feature_id in old:
            is_forgotten = _forget(store, feature_id, older_than, dry_run)
            staying += dry_run or not is_forgotten
            if is_forgotten:
                yield feature_id


def _forget(store: Store, feature_id: str, older_than: float, dry_run: bool) -> bool:
    try:
        code, _ = store.delete_feature(feature_id, older_than, dry_run=dry_run)
    except errors.UnreadableFeature:  # a newer version forgets it
        return False
    except redis.ResponseError as error:
        if not str(error).startswith("WRONGTYPE"):
            raise
        # One feature whose keys somebody has overwritten must not keep the others.
        logger.debug("[%s] cannot be forgotten: %s", feature_id, refusals.said(error))
        return False
    return code in ("deleted", "missing")


class Cleaner:
    """Removes, on the machine of a worker, the folders of features that are stored no more. A thread of its own.

    Args:
        settings: `retention.finished` says how long folders stay; null keeps them for ever.
        store: Knows the features.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        self.store = store
        self.stopped = threading.Event()
        self.thread = Thread(self._run, "cleaner", self.stopped)

    def start(self) -> None:
        """Begin, where there is anything to do."""
        if self.settings.retention.finished is not None:
            self.thread.start()

    def _run(self) -> None:
        age = self.settings.retention.finished or 0.0
        while not self.stopped.wait(min(LONGEST_PAUSE, age / 2)):
            try:
                with forks.held_off():
                    old = folders.orphans(self.settings, self.store, age, PORTION)
                folders.remove(self.settings, self.store, old)
            except Exception as error:  # Redis is away, or a folder is not ours; the next look may succeed
                with forks.held_off():
                    logger.warning(
                        "Old folders stay for now: %s: %s", type(error).__name__, refusals.said(error)
                    )
