"""Locks of git's own (`index.lock`, `REF.lock`) that a killed git left behind, told apart from those in use.

git writes no process id into them. So a lock is taken for stale only if it has been there for a while, and no git runs
on this host in the repository that it belongs to. It is then moved aside, not deleted: what git had written into it
is still there.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from orchestrator.model import errors

OLD = 10.0
"""Seconds that a lock is there at least before it is stale. git holds one for milliseconds; libgit2, which editors
use, too."""

ASIDE = "stale-locks"
"""The folder in the git folder into which they are moved."""

PATIENCE = 60.0
"""Seconds to wait for a git that runs."""

PAUSE = 0.05


def settle(lock: Path) -> None:
    """Wait until a lock is gone; move it aside if it is stale.

    Args:
        lock: The file.

    Raises:
        RepositoryBusy: A git that runs holds it, and did so for `PATIENCE` seconds.
    """
    until = time.monotonic() + PATIENCE
    while (there := _status(lock)) is not None:
        age = time.time() - there.st_mtime
        holder = next(_gits(lock, there.st_uid), None) if age >= OLD else "another program"
        if holder is None:
            _move_aside(lock)
            return
        if time.monotonic() > until:
            raise errors.RepositoryBusy(lock=lock, holder=holder, patience=f"for more than {PATIENCE:g} s")
        time.sleep(PAUSE)


def _move_aside(lock: Path) -> None:
    """Move a lock into a folder for stale ones. Beside a ref, git would take it for a ref whatever it is called."""
    folder = _own(lock) / ASIDE
    folder.mkdir(exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        lock.rename(folder / f"{lock.name[-100:]}-{time.time_ns()}")


def processes_in(folder: Path) -> Iterator[str]:
    """The processes of this host whose working folder is this one, or lies in it."""
    for process in psutil.process_iter(["pid", "name", "cwd"]):
        where = process.info["cwd"]
        if where and Path(where).is_relative_to(folder):
            yield f"{process.info['name']} (process {process.pid})"


def _gits(lock: Path, user: int) -> Iterator[str]:
    """The git processes that may hold a lock: those of the user who made it, in the folders that it guards."""
    places = _places(lock)
    for process in psutil.process_iter(["pid", "name", "uids"]):
        told = process.info
        is_git = str(told["name"]).startswith("git")
        if is_git and told["uids"] and told["uids"].effective == user and _is_in(process, places):
            yield f"git (process {process.pid})"


def _is_in(process: psutil.Process, places: tuple[Path, ...]) -> bool:
    """It works in one of the folders, or may do so."""
    try:
        where = process.cwd()
    except psutil.NoSuchProcess:  # it has ended; its parent may not have asked yet
        return False
    except psutil.AccessDenied:
        return True
    return bool(where) and any(Path(where).is_relative_to(place) for place in places)


def _status(lock: Path) -> os.stat_result | None:
    try:
        return lock.stat()
    except FileNotFoundError:
        return None


def _own(lock: Path) -> Path:
    """The git folder that a lock lies in."""
    return next((place for place in lock.parents if (place / "HEAD").is_file()), lock.parent)


def _places(lock: Path) -> tuple[Path, ...]:
    """The folders in which a git may run that holds this lock: the git folder, and the worktrees that it serves."""
    own = _own(lock)
    with contextlib.suppress(OSError):
        return own, Path((own / "gitdir").read_text("utf-8").strip()).parent  # of one worktree alone
    linked = (Path(file.read_text("utf-8").strip()).parent for file in own.glob("worktrees/*/gitdir"))
    return (own, *([own.parent] if own.name == ".git" else []), *linked)
