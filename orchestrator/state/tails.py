"""Keeps the end of the log of each running attempt in Redis, so that other machines can follow it.

In each round, the worker's maintenance reads the end of each log that has grown, hides the secrets in it, and writes it
to Redis: at most once a second, at most a fixed size, and nothing for a silent attempt. It reads files, not streams, so
it works for commands and Python alike, in every pool.
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
"""Bytes of each log that are kept."""


Attempt = tuple[str, str, int]
"""The feature, the task, and the number of the attempt."""


class Tails:
    """The ends of the logs of the attempts that run here.

    Args:
        settings: Say where the logs are, and which texts are secret.
        store: The store that keeps their ends.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        self.store = store
        self.sizes: dict[Attempt, int] = {}
        self.secrets = masking.all_secret_texts(settings)

    def look(self, running: Iterable[Attempt]) -> None:
        """Keep the new ends of the logs of these attempts, and drop those of attempts that have ended."""
        sizes: dict[Attempt, int] = {}
        for attempt in running:
            with contextlib.suppress(errors.InvalidId):  # they come with messages
                sizes[attempt] = _size(log_file(self.settings, *attempt))
        news: dict[Attempt, Tail | None] = dict.fromkeys(self.sizes.keys() - sizes.keys())
        for attempt, size in sizes.items():
            if size != self.sizes.get(attempt, 0):
                with contextlib.suppress(OSError):
                    news[attempt] = read(log_file(self.settings, *attempt), attempt[2], self.secrets)
        self.store.attempts.save_log_tails(news)
        self.sizes = {attempt: size for attempt, size in sizes.items() if size}


def log_file(settings: Settings, feature_id: str, task_id: str, attempt: int | str) -> Path:
    """The log of an attempt on this machine.

    Raises:
        InvalidId: One of them is not an id, and must not become part of a path.
    """
    logs, _ = folders.of(settings, feature_id)
    if not identifiers.is_gates(task_id):  # the gates are not a task of the feature
        folders.check_id(task_id)
    return logs / f"{identifiers.file_name(task_id)}.{attempt}.log"


def read(path: Path, attempt: int, secrets: tuple[str, ...], most: int = KEPT) -> Tail:
    """The end of a log that may still grow, with its secrets hidden, even half-written ones.

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
