"""A lock on a file (flock), for all threads and processes of a host.

A file lock is enough: it only keeps the workers of one host, who share its worktrees, out of each other's way. The
kernel releases it when its holders die. Between hosts git itself is the guard: each change of a branch names the value
that it replaces (`update-ref` with the old value), and is refused if the branch has moved.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from orchestrator.model import errors

PATIENCE = 600.0
"""Seconds to wait for a lock: its holder adds a worktree or merges, which takes seconds in a large repository."""

PAUSE = 0.02


@contextlib.contextmanager
def hold(file: Path, patience: float = PATIENCE) -> Iterator[int]:
    """Hold the lock of a file; the file is made if it is not there, and stays.

    It asks again and again instead of waiting in the kernel: a worker of gevent would stop all its greenlets there, the
    holder too.

    Args:
        file: The file.
        patience: Seconds to wait.

    Yields:
        The open file. A child that inherits it holds the lock too: a git that outlives its killed worker.

    Raises:
        RepositoryBusy: Others held it all the time.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take(lock, file, patience)
        yield lock
    finally:
        os.close(lock)


def _take(lock: int, file: Path, patience: float) -> None:
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                raise errors.RepositoryBusy(
                    lock=file, holder="another worker of this host", patience=f"for more than {patience:g} s"
                ) from None
        time.sleep(PAUSE)
