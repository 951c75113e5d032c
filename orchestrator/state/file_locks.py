"""Locks on files (flock), which the kernel releases when their holder ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from orchestrator.config import private


def open_file(file: Path) -> IO[bytes]:
    """Open a file to lock it; it is created for its user alone, and never through a link."""
    return os.fdopen(private.open_file(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait for the exclusive lock of a file, and hold it in the block."""
    with open_file(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            # Closing the file is not enough: a child that was forked meanwhile has it open too.
            fcntl.flock(file, fcntl.LOCK_UN)


def try_lock(file: IO[bytes]) -> bool:
    """Take the exclusive lock of an open file; False if another process holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
