"""What is over is kept for a while and then forgotten: features in Redis, their logs and folders on each machine.

A folder may hold the logs of several projects, or of one on several Redises, and other things beside them. So each
folder of a feature carries a mark with the identity of the state that it belongs to, and no other is ever removed.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import redis

from orchestrator import errors, forks, identifiers, refusals
from orchestrator.config import Settings
from orchestrator.store import Store

logger = logging.getLogger("orchestrator")

MARK = ".state"
"""The file in a feature's folder that says which state it belongs to."""

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
    return [one for one in store.finished(older_than, portion) if _forget(store, one, older_than)]


def _forget(store: Store, feature_id: str, older_than: float) -> bool:
    try:
        code, _ = store.forget(feature_id, older_than)
    except errors.UnreadableFeature:  # a newer version forgets it
        return False
    return code in ("forgotten", "missing")


def folders_of(settings: Settings, feature_id: str) -> tuple[Path, Path]:
    """Where this machine keeps what the attempts of a feature wrote: logs, and work folders."""
    return _folders(settings.log_folder, settings.folder, feature_id)


@functools.lru_cache(
    maxsize=256
)  # asked for with each attempt; to join paths takes a sixth of its Python time
def _folders(logs: Path, folder: Path, feature_id: str) -> tuple[Path, Path]:
    name = identifiers.file_name(feature_id)
    return logs / name, folder / "work" / name


def mark(settings: Settings, store: Store, feature_id: str) -> None:
    """Mark the folders of a feature as those of this state, where an attempt has made them."""
    for folder in folders_of(settings, feature_id):
        # Most attempts make none, or are not the first: then no question to Redis.
        if folder.is_dir() and not os.path.lexists(folder / MARK):
            # Where Redis or the disk is away, the next attempt marks it; unmarked, it stays.
            with contextlib.suppress(OSError, redis.RedisError):
                identity = store.identity
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
                with os.fdopen(os.open(folder / MARK, flags, 0o600), "w", encoding="utf-8") as file:
                    file.write(identity)


def removable(settings: Settings, store: Store, feature_id: str) -> list[Path]:
    """The folders of a feature on this machine that are marked as those of this state."""
    return [folder for folder in folders_of(settings, feature_id) if _is_ours(folder, store)]


def _is_ours(folder: Path, store: Store) -> bool:
    if folder.is_symlink() or not folder.is_dir():
        return False
    try:
        with os.fdopen(os.open(folder / MARK, os.O_RDONLY | os.O_NOFOLLOW), encoding="utf-8") as file:
            return file.read(100) == store.identity
    except (OSError, ValueError):
        return False


def orphans(settings: Settings, store: Store, older_than: float, most: int | None = None) -> list[Path]:
    """Folders of this state's features that are stored no more, in which nothing was begun for so many seconds.

    Args:
        settings: Say where the folders are.
        store: Knows the features.
        older_than: Seconds.
        most: As many at most.
    """
    before = time.time() - older_than
    found: list[Path] = []
    for folder in _feature_folders(settings):
        if len(found) == most:
            break
        forks.let_one_through()
        if _touched(folder) <= before and _is_ours(folder, store) and not _is_stored(store, folder.name):
            found.append(folder)
    return found


def _is_stored(store: Store, name: str) -> bool:
    """Some feature is stored whose folder has this name."""
    try:
        return store.exists(identifiers.decode(name))
    except ValueError:  # the name of a long id is cut, and 0 stands for all
        return any(identifiers.file_name(feature_id) == name for feature_id in store.features(newest=0))


def _feature_folders(settings: Settings) -> Iterator[Path]:
    for parent in (settings.log_folder, settings.folder / "work"):
        if parent.is_dir():
            for folder in parent.iterdir():
                if not folder.name.startswith(".") and folder.is_dir() and not folder.is_symlink():
                    yield folder


def _touched(folder: Path) -> float:
    try:
        return folder.stat().st_mtime  # each attempt makes an entry of its own in it
    except OSError:  # another worker of this machine was first
        return float("inf")


def remove(folders: Sequence[Path]) -> None:
    """Remove folders with all that is in them; what cannot be removed stays, and is tried again at the next look."""
    for folder in folders:
        logger.info("%s is removed: its feature is forgotten", folder)
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
                    logger.warning(
                        "Old folders stay for now: %s: %s", type(error).__name__, refusals.said(error)
                    )
