"""Deletes features that have been over for long: their keys in Redis, and their folders on each machine."""

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
"""The most features that one round deletes, so that it stays short."""

LONGEST_PAUSE = 600.0
"""The most seconds between two rounds."""


def forget_old(
    store: Store, older_than: float, portion: int | None = PORTION, *, dry_run: bool = False
) -> list[str]:
    """Delete features that have been over for `older_than` seconds, oldest first.

    Args:
        store: The store of the features.
        older_than: Seconds.
        portion: The most features to delete; None: all.
        dry_run: Delete none, and only return their ids.

    Returns:
        The ids of the deleted features.

    Example:
        gone = forget_old(store, older_than=30 * 86_400, portion=None)
    """
    return list(itertools.islice(_forgotten(store, older_than, dry_run), portion))


def _forgotten(store: Store, older_than: float, dry_run: bool) -> Iterator[str]:
    staying = 0
    while old := store.features.finished(older_than, PORTION, staying):
        for feature_id in old:
            is_forgotten = _forget(store, feature_id, older_than, dry_run)
            staying += dry_run or not is_forgotten
            if is_forgotten:
                yield feature_id


def _forget(store: Store, feature_id: str, older_than: float, dry_run: bool) -> bool:
    try:
        code, _ = store.delete_feature(feature_id, older_than, dry_run=dry_run)
    except errors.UnreadableFeature:  # a worker of a newer version deletes it
        return False
    except redis.ResponseError as error:
        if refusals.code(error) != "WRONGTYPE":
            raise
        # A feature with overwritten keys must not keep the others from being deleted.
        logger.debug("[%s] cannot be forgotten: %s", feature_id, refusals.describe(error))
        return False
    return code in ("deleted", "missing")


class Cleaner:
    """A thread that removes, on the machine of a worker, the folders of features that are no longer stored.

    Args:
        settings: `retention.finished` says how long folders stay; null: for ever.
        store: The store of the features.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        self.store = store
        self.stopped = threading.Event()
        self.thread = Thread(self._run, "cleaner", self.stopped)

    def start(self) -> None:
        """Start the thread, unless folders stay for ever."""
        if self.settings.retention.finished is not None:
            self.thread.start()

    def _run(self) -> None:
        age = self.settings.retention.finished or 0.0
        while not self.stopped.wait(min(LONGEST_PAUSE, age / 2)):
            try:
                with forks.held_off():
                    old = folders.orphans(self.settings, self.store, age, PORTION)
                folders.remove(self.settings, self.store, old)
            except Exception as error:  # Redis is away, or a folder is not ours; the next round may succeed
                with forks.held_off():
                    logger.warning(
                        "Old folders stay for now: %s: %s", type(error).__name__, refusals.describe(error)
                    )
