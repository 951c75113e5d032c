"""The lock of a folder in which one agent works: two live processes never work in the same one.

The lock is a file that is locked (flock(2)) by the process that runs the agent, and by the guard of its processes: so
it is free only when none of them is left, even if the process that took it was killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from orchestrator.config import private

PAUSE = 0.05

GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL for the agent of an earlier attempt."""

PATIENCE = 60.0
"""Seconds in which it has to be gone."""


class FolderBusy(Exception):
    """Another attempt works in the folder, and does not end."""


@dataclass(frozen=True)
class Held:
    """The lock while it is held."""

    file: IO[bytes]
    """Give it to the processes that work in the folder, as what they hold (see `processes.Tree`)."""

    attempt: int

    def note(self, pid: int) -> None:
        """Write down who works in the folder: the next attempt ends it, if it has to."""
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended already
            found = {"pid": pid, "since": psutil.Process(pid).create_time(), "attempt": self.attempt}
            self.file.seek(0)
            self.file.truncate()
            self.file.write(json.dumps(found).encode())
            self.file.flush()


@contextlib.contextmanager
def hold(
    path: Path,
    attempt: int,
    *,
    is_cancelled: Callable[[], bool] = lambda: False,
    patience: float | None = None,
    grace: float = GRACE,
) -> Iterator[Held]:
    """Hold the lock in the block. The agent of an earlier attempt that still works there is ended first.

    Args:
        path: The file of the lock; it is made if it is not there, and stays.
        attempt: The number of the attempt. Agents of earlier ones are ended, those of later ones are not.
        is_cancelled: Stops the wait.
        patience: Seconds to wait; None: PATIENCE.
        grace: Seconds that an earlier agent has between SIGTERM and SIGKILL.

    Raises:
        FolderBusy: Another attempt works there, and did not end; or the wait was stopped.
        OSError: The file cannot be made.
    """
    private.make_folder(path.parent)
    with os.fdopen(private.open_file(path, os.O_RDWR | os.O_CREAT), "r+b") as file:
        try:
            _take(file, attempt, is_cancelled, PATIENCE if patience is None else patience, grace)
        except FolderBusy:
            raise FolderBusy(f"another attempt still works in the folder (its lock is {path})") from None
        try:
            yield Held(file, attempt)
        finally:
            # The guard has the same open file, for a moment longer: so it is unlocked, and not just closed.
            fcntl.flock(file, fcntl.LOCK_UN)


def _take(
    file: IO[bytes], attempt: int, is_cancelled: Callable[[], bool], patience: float, grace: float
) -> None:
    began = time.monotonic()
    while True:
        waited = time.monotonic() - began
        how = signal.SIGKILL if waited > grace else signal.SIGTERM
        if _is_locked(file):
            # Nobody answers for it any more: its guard was killed too.
            if not _end(file, how):
                return
        else:
            _end(file, how, before=attempt)
        if waited > patience or is_cancelled():
            raise FolderBusy
        time.sleep(PAUSE)


def _is_locked(file: IO[bytes]) -> bool:
    """Lock it, if that is possible now."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _end(file: IO[bytes], how: signal.Signals, before: int | None = None) -> bool:
    """End the agent that is noted: its process group, and by that what waits for it.

    Args:
        file: The lock, with the note.
        how: The signal.
        before: End only that of an attempt before this one; None: of any.

    Returns:
        Whether there is one.
    """
    file.seek(0)
    try:
        found = json.loads(file.read() or b"{}")
        pid, since, attempt = int(found["pid"]), float(found["since"]), int(found["attempt"])
    except (ValueError, OverflowError, KeyError, TypeError):  # nobody is noted, or just now
        return False
    try:
        process = psutil.Process(pid)
        # The number may belong to another process by now.
        if process.create_time() != since or process.status() == psutil.STATUS_ZOMBIE:
            return False
        if before is None or attempt < before:
            os.killpg(pid, how)
    except (psutil.Error, OSError, ValueError, OverflowError):
        return False  # it is gone, another user's, or no process at all
    return True
