"""Lets what runs on this machine be followed from every other one: the end of each attempt's log, kept in Redis.

The worker's maintenance looks at the logs of running attempts in each round. One that has grown is read at its end,
what is secret in it is hidden, and that goes to Redis: a write a second at most, of a bounded size, and none for an
attempt that says nothing. The files are read, and not the streams, so it is the same for commands and for Python, and
in every pool.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from orchestrator.config import private
from orchestrator.config.settings import Settings
from orchestrator.model import errors, identifiers
from orchestrator.model.progress import Tail
from orchestrator.specialists import masking
from orchestrator.state import folders
from orchestrator.state.store import Store

KEPT = 8_192
"""Bytes of a log that are kept."""


Attempt = tuple[str, str, int]
"""Its feature, its task, its number."""


class Tails:
    """The ends of the logs of what runs here.

    Args:
        settings: Say where the logs are, and what is secret.
        store: Keeps them.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        self.store = store
        self.sizes: dict[Attempt, int] = {}
        self.secrets = masking.texts_of_all(settings)

    def look(self, running: Iterable[Attempt]) -> None:
        """Keep what is new of the logs of these attempts, and drop what is kept of those that run no more."""
        sizes: dict[Attempt, int] = {}
        for attempt in running:
            with contextlib.suppress(errors.InvalidId):  # they come with messages
                sizes[attempt] = _size(log_file(self.settings, *attempt))
        news: dict[Attempt, Tail | None] = dict.fromkeys(self.sizes.keys() - sizes.keys())
        for attempt, size in sizes.items():
            if size != self.sizes.get(attempt, 0):
                with contextlib.suppress(OSError):
                    news[attempt] = read(log_file(self.settings, *attempt), attempt[2], self.secrets)
        self.store.keep_tails(news)
        self.sizes = {attempt: size for attempt, size in sizes.items() if size}


def log_file(settings: Settings, feature_id: str, task_id: str, attempt: int | str) -> Path:
    """Where this machine keeps what an attempt puts out.

    Raises:
        InvalidId: One of the ids is none, so it does not become a part of a path.
    """
    logs, _ = folders.of(settings, feature_id)
    if not identifiers.is_gates(task_id):  # they are no task of the feature
        folders.check_id(task_id)
    return logs / f"{identifiers.file_name(task_id)}.{attempt}.log"


def read(path: Path, attempt: int, secrets: tuple[str, ...], most: int = KEPT) -> Tail:
    """The end of a log that may still grow, without its secrets, also those that are only half there.

    Raises:
        OSError: It cannot be read.
    """
    longest = max((len(secret.encode()) for secret in secrets), default=0)
    with private.opened(path.parent) as within:
        number = private.open_to_read(path, within)
    with os.fdopen(number, "rb") as log:
        end = log.seek(0, os.SEEK_END)
        start = log.seek(max(0, end - most - longest))
        found = masking.overwrite(log.read(end - start), secrets)
    known = len(found) - masking.unfinished(found, secrets)
    return Tail(attempt=attempt, end=start + known, data=found[:known][-most:])


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
