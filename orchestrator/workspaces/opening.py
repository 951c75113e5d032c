"""Opens a workspace: makes what is missing of it, mends what was left half-made, and removes nothing."""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from pathlib import Path

from orchestrator.model import errors
from orchestrator.workspaces import file_lock
from orchestrator.workspaces.repository import MARK, Repository, Worktree
from orchestrator.workspaces.workspace import Workspace

log = logging.getLogger(__name__)

HALF_MADE = "initializing"
"""Why git locks a worktree while it adds it; one of a killed `worktree add` stays locked so."""


def open_workspace(repository: Repository, feature: str, task: str, *, base: str, folder: Path) -> Workspace:
    """The workspace of a task: cut from the feature's integration branch at first, then the same as it stands.

    Args:
        repository: The project's repository.
        feature: The id of the feature.
        task: The id of the task.
        base: The commit that the feature started from; the integration branch is made from it at first use.
        folder: Where the worktree lies, such as `.taskorchestrator/worktrees/FEATURE/TASK`. What lies there and is no
            worktree of this repository is moved aside.

    Raises:
        InvalidId: One of the ids is none.
        NoSuchCommit: The repository has no such base.
        BranchCheckedOut: Somebody has checked out the task's branch elsewhere.
        GitFailed: git could not, such as on a full disk.

    Example:
        base = repository.resolve("main")
        workspace = open_workspace(repository, "auth", "T1", base=base, folder=folder)
    """
    workspace = Workspace(repository, feature, task, folder.resolve(), repository.resolve(base))
    with repository.lock() as lock:
        ensure_integration(workspace)
        own = _register(workspace, lock)
    with file_lock.hold(own / f"{MARK}.lock") as lock:
        _complete(workspace, own, lock)
    return workspace


def ensure_integration(workspace: Workspace) -> str:
    """The newest commit of the feature's integration branch, which is made if it is not there.

    One that a person deleted comes back as it was: its commits are kept.
    """
    repository, ref = workspace.repository, workspace.integration
    if tip := repository.tip(ref):
        return tip
    start = next(iter(repository.kept(ref)), workspace.base)
    repository.move(ref, start, None)  # False: another host made it just now
    return repository.tip(ref) or start


def _register(workspace: Workspace, lock: int) -> Path:
    """Make branch and worktree, without its files; the caller has the lock of the repository.

    Returns:
        The folder in which git keeps HEAD and index of the worktree.
    """
    repository, folder = workspace.repository, workspace.folder
    own = _registered(workspace)
    _ensure_branch(workspace, own)
    there = next((tree for tree in repository.worktrees() if tree.folder == folder), None) if own else None
    if there and there.locked == HALF_MADE:
        repository.git("worktree", "unlock", str(folder))
    if own and (folder / ".git").is_file():
        return own
    if there:
        _forget_registration(workspace, there)
    if other := repository.worktree_of(workspace.ref):
        _release(workspace, other)
    _move_aside(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _hide(folder.parent)
    # git holds the lock too: it may go on when this process is killed.
    repository.git("worktree", "add", "--no-checkout", str(folder), workspace.branch, inherited=(lock,))
    made = repository.own_folder(folder)
    if made is None:
        raise errors.GitFailed(
            command="worktree add", folder=folder, cause="it does not know it afterwards.", code=0
        )
    return made


def _registered(workspace: Workspace) -> Path | None:
    """The folder in which git keeps HEAD and index of a worktree that is there already, and no half of one."""
    repository, folder = workspace.repository, workspace.folder
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
    """git got as far as to check out a branch there. A killed `worktree add` leaves no HEAD, or one of no commit."""
    if (own / MARK).exists():
        return True
    with contextlib.suppress(OSError):
        return bool((own / "commondir").stat() and (own / "HEAD").read_text("utf-8").strip().strip("0"))
    return False


def _ensure_branch(workspace: Workspace, own: Path | None) -> None:
    """Make the task's branch, or bring back one that a person deleted, with the newest commit that is known of it."""
    repository, ref = workspace.repository, workspace.ref
    if repository.tip(ref):
        return
    known = [_last_of_log(repository, own, ref)] if own else []
    known += repository.kept(ref)
    start = next((commit for commit in known if commit), None) or ensure_integration(workspace)
    repository.move(ref, start, None)


def _last_of_log(repository: Repository, own: Path, ref: str) -> str | None:
    """The commit that the worktree was on last, as its log says; None: it is on another branch."""
    with contextlib.suppress(OSError, IndexError, errors.NoSuchCommit):
        if (own / "HEAD").read_text("utf-8").strip() != f"ref: {ref}":
            return None
        last = (own / "logs" / "HEAD").read_text("utf-8", "replace").splitlines()[-1]
        old, new = last.split()[:2]
        return repository.resolve(new if new.strip("0") else old)
    return None


def _forget_registration(workspace: Workspace, there: Worktree) -> None:
    """Take a worktree off git's list whose folder is gone; commits that only its HEAD had are kept.

    Only this one: `git worktree prune` would take those of others too, whose disk may just not be there.
    """
    repository = workspace.repository
    if there.commit.strip("0"):
        repository.keep(workspace.ref, there.commit)
    if there.locked not in (None, HALF_MADE):
        repository.git("worktree", "unlock", str(there.folder))
    _move_aside(workspace.folder)
    repository.git("worktree", "remove", str(there.folder))


def _release(workspace: Workspace, other: Worktree) -> None:
    """Take the branch from a worktree elsewhere whose folder is gone, such as where the project lay before.

    Raises:
        BranchCheckedOut: The folder is there: somebody works on the branch.
    """
    if other.folder.exists():
        raise errors.BranchCheckedOut(branch=workspace.branch, folder=other.folder)
    _forget_registration(workspace, other)


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


def _complete(workspace: Workspace, own: Path, lock: int) -> None:
    """Write the files of a new worktree, and those of one whose first attempt was killed before they were all there.

    It is done without the lock of the repository, so that eight large worktrees are written at once. git writes the
    index last: where there is none, and the worktree never was complete, no attempt can have worked there.
    """
    if not (own / "index").is_file():
        mode = "--mixed" if (own / MARK).exists() else "--hard"
        arguments = ["reset", "--quiet", mode]
        workspace.repository.git(*arguments, folder=workspace.folder, inherited=(lock,))
    if not (own / MARK).exists():
        (own / MARK).write_text(f"{workspace.ref}\n", "utf-8")
