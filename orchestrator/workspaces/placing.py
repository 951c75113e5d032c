"""Puts a worktree of ours at a place: makes it, finishes one that is half-made, and moves aside what is in the way."""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from orchestrator.model import errors
from orchestrator.workspaces import file_lock, names
from orchestrator.workspaces.repository import MARK, Repository, Worktree

log = logging.getLogger(__name__)

HALF_MADE = "initializing"
"""Why git locks a worktree while it adds it; one of a killed `worktree add` stays locked so."""


def place(
    repository: Repository, ref: str, folder: Path, prepare: Callable[[Path | None], str], *, detached: bool
) -> None:
    """Make the worktree of a branch of ours, if it is not there; one that is there stays as it stands.

    Args:
        repository: The repository.
        ref: The branch.
        folder: The place, with no link in its path.
        prepare: Called under the lock of the repository, with the folder of git's that the worktree has already, or
            None: makes the branch, and answers the commit to check out if `detached`.
        detached: It is on no branch.

    Raises:
        BranchCheckedOut: Somebody has checked out the branch elsewhere.
        GitFailed: git could not.
    """
    with repository.lock() as lock:
        own = _registered(repository, folder)
        commit = prepare(own)
        there = (
            next((tree for tree in repository.worktrees() if tree.folder == folder), None) if own else None
        )
        if there and there.locked == HALF_MADE:
            repository.git("worktree", "unlock", str(folder))
        if own is None or not (folder / ".git").is_file():
            if there:
                _forget(repository, ref, there)
            if not detached:
                _release(repository, ref)
            what = ["--detach", str(folder), commit] if detached else [str(folder), names.short(ref)]
            own = _add(repository, folder, what, lock)
    if (own / MARK).exists() and (own / "index").is_file():
        return  # without the lock: a program that a filter left running may still hold it
    with file_lock.hold(own / f"{MARK}.lock") as lock:
        _complete(repository, ref, folder, own, lock)


def _registered(repository: Repository, folder: Path) -> Path | None:
    """The folder in which git keeps HEAD and index of a worktree that is there already, and no half of one."""
    own = repository.own_folder(folder)
    if own is None and (folder / ".git").is_file():
        # The project was moved, so that its worktrees point to a git folder that is gone.
        repository.git("worktree", "repair", str(folder), ok=(0, 1, 128))
        own = repository.own_folder(folder)
    if own and not _has_head(own):
        shutil.rmtree(own)
        (folder / ".git").unlink(missing_ok=True)
        return None
    return own


def _has_head(own: Path) -> bool:
    """git got as far as to check out a commit there. A killed `worktree add` leaves no HEAD, or one of no commit."""
    if (own / MARK).exists():
        return True
    with contextlib.suppress(OSError):
        return bool(
            (own / "commondir").stat().st_size and (own / "HEAD").read_text("utf-8").strip().strip("0")
        )
    return False


def _add(repository: Repository, folder: Path, arguments: list[str], lock: int) -> Path:
    _move_aside(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _hide(folder.parent)
    # git holds the lock too: it may go on when this process is killed.
    repository.git("worktree", "add", "--no-checkout", *arguments, inherited=(lock,))
    own = repository.own_folder(folder)
    if own is None:
        cause = "it does not know it afterwards."
        raise errors.GitFailed(command="worktree add", folder=folder, cause=cause, code=0)
    return own


def _forget(repository: Repository, ref: str, there: Worktree) -> None:
    """Take a worktree off git's list whose folder is gone; a commit that only its HEAD had is kept.

    Only this one: `git worktree prune` would take those of others too, whose disk may just not be there.
    """
    if there.commit.strip("0"):
        repository.keep(ref, there.commit)
    _move_aside(there.folder)
    repository.git("worktree", "remove", str(there.folder))


def _release(repository: Repository, ref: str) -> None:
    """Take a branch from a worktree elsewhere whose folder is gone, such as where the project lay before.

    Raises:
        BranchCheckedOut: The folder is there: somebody works on the branch.
    """
    other = repository.worktree_of(ref)
    if other and other.folder.exists():
        raise errors.BranchCheckedOut(branch=names.short(ref), folder=other.folder)
    if other:
        _forget(repository, ref, other)


def _move_aside(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        aside = folder.with_name(f"{folder.name}.aside-{time.time_ns()}")
        folder.rename(aside)
        log.warning("%s was no worktree of this repository; what lay there is now %s", folder, aside)


def _hide(folder: Path) -> None:
    """Keep worktrees out of the status of the project that they lie in."""
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", "utf-8")


def _complete(repository: Repository, ref: str, folder: Path, own: Path, lock: int) -> None:
    """Write the files of a new worktree, and those of one whose first attempt was killed before they were all there.

    It is done without the lock of the repository, so that eight large worktrees are written at once. git writes the
    index last: where there is none, and the worktree never was complete, no attempt can have worked there.
    """
    if not (own / "index").is_file():
        mode = "--mixed" if (own / MARK).exists() else "--hard"
        repository.git("reset", "--quiet", mode, folder=folder, inherited=(lock,))
    if not (own / MARK).exists():
        (own / MARK).write_text(f"{ref}\n", "utf-8")
