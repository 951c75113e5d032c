"""What is over is kept for a while and then forgotten: features in Redis, their logs and folders on each machine."""

from __future__ import annotations

import functools
import logging
import re
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestrator import forks
from orchestrator.config import Settings
from orchestrator.models import ID_PATTERN
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


def folders_of(settings: Settings, feature_id: str) -> tuple[Path, Path]:
    """Where this machine keeps what the attempts of a feature wrote: logs, and work folders."""
    return _folders(settings.log_folder, settings.folder, feature_id)


@functools.lru_cache(
    maxsize=256
)  # asked for with each attempt; to join paths takes a sixth of its Python time
def _folders(logs: Path, folder: Path, feature_id: str) -> tuple[Path, Path]:
    return logs / feature_id, folder / "work" / feature_id


def orphans(settings: Settings, store: Store, older_than: float, most: int | None = None) -> list[Path]:
    """Folders of features that are stored no more, and in which nothing was begun for so many seconds.

    Args:
        settings: Say where the folders are.
        store: Knows the features.
        older_than: Seconds. Another Redis may know a feature that this one does not; what is old is of no use to it.
        most: As many at most.
    """
    before = time.time() - older_than
    found: list[Path] = []
    for folder in _feature_folders(settings):
        if len(found) == most:
            break
        forks.let_one_through()
        if _touched(folder) <= before and not store.exists(folder.name):
            found.append(folder)
    return found


def _feature_folders(settings: Settings) -> Iterator[Path]:
    for parent in (settings.log_folder, settings.folder / "work"):
        if parent.is_dir():
            for folder in parent.iterdir():
                if re.fullmatch(ID_PATTERN, folder.name) and folder.is_dir() and not folder.is_symlink():
                    yield folder


def _touched(folder: Path) -> float:
    try:
        return folder.stat().st_mtime  # each attempt makes an entry of its own in it
    except OSError:  # another worker of this machine was first
        return float("inf")


def remove(folders: Sequence[Path]) -> None:
    """Remove folders with all that is in them; what cannot be removed stays, and is tried again at the next look."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


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
                with forks.held_off():
                    old = orphans(self.settings, self.store, age, PORTION)
                remove(old)
            except Exception as error:  # Redis is away, or a folder is not ours; the next look may succeed
                with forks.held_off():
                    logger.warning("Old folders stay for now: %s: %s", type(error).__name__, error)
