"""What is over is kept for a while and then forgotten: features in Redis, their logs and folders on each machine."""

from __future__ import annotations

import logging
import threading

from orchestrator import folders, refusals
from orchestrator.config import Settings
from orchestrator.store import Store

logger = logging.getLogger("orchestrator")

PORTION = 50
"""Features that one round forgets, so that no round is long."""

LONGEST_PAUSE = 600.0
"""Seconds between two looks for what is old enough."""


def forget_old(store: Store, older_than: float, portion: int = PORTION) -> list[str]:
    """Forget features that have been over for so many seconds; the ids of a portion of them, oldest first.

    Example:
        while forget_old(store, older_than=30 * 86_400):
            pass
    """
    old = store.finished(older_than, portion)
    return [feature for feature in old if store.forget(feature, older_than)[0] in ("forgotten", "missing")]


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
        self.thread = threading.Thread(target=self._run, name="orchestrator-cleaner", daemon=True)

    def start(self) -> None:
        """Begin, where there is anything to do."""
        if self.settings.retention.finished is not None:
            self.thread.start()

    def _run(self) -> None:
        age = self.settings.retention.finished or 0.0
        while not self.stopped.wait(min(LONGEST_PAUSE, age / 2)):
            try:
                old = folders.orphans(self.settings, self.store, age, PORTION)
                folders.remove(self.settings, self.store, old)
            except Exception as error:  # Redis is away, or a folder is not ours; the next look may succeed
                logger.warning("Old folders stay for now: %s: %s", type(error).__name__, refusals.said(error))
