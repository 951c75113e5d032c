"""Opens the workspace of a task: its branch, cut from the feature's integration branch, and its worktree."""

from __future__ import annotations

import contextlib
from pathlib import Path

from orchestrator.model import errors
from orchestrator.workspaces import names
from orchestrator.workspaces.placing import place
from orchestrator.workspaces.repository import Repository
from orchestrator.workspaces.workspace import Workspace


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

    def prepare(own: Path | None) -> str:
        ensure_integration(repository, feature, workspace.base)
        return _ensure_branch(workspace, own)

    place(repository, workspace.ref, workspace.folder, prepare, detached=False)
    return workspace


def open_integration(repository: Repository, feature: str, *, base: str, folder: Path) -> Path:
    """A worktree of all that is integrated, for the gates of the feature. Nobody works there, and no branch is on it.

    Repeated, it has the newest files; what gates left there is removed, but for what git ignores.

    Args:
        repository: The project's repository.
        feature: The id of the feature.
        base: The commit that the feature started from.
        folder: Where the worktree lies.

    Raises:
        NoSuchCommit: The repository has no such base.
        GitFailed: git could not.

    Example:
        folder = open_integration(repository, "auth", base=base, folder=folder)
    """
    where, start = folder.resolve(), repository.resolve(base)
    tip = ensure_integration(repository, feature, start)
    place(repository, names.integration(feature), where, lambda _: tip, detached=True)
    repository.git("checkout", "--quiet", "--force", "--detach", tip, folder=where)
    repository.git("clean", "--quiet", "--force", "-d", folder=where)
    return where


def ensure_integration(repository: Repository, feature: str, base: str) -> str:
    """The newest commit of a feature's integration branch, which is made if it is not there.

    One that a person deleted comes back as it was: its commits are kept.
    """
    ref = names.integration(feature)
    if tip := repository.tip(ref):
        return tip
    start = next(iter(repository.kept(ref)), base)
    repository.move(ref, start, None)  # False: another host made it just now
    return repository.tip(ref) or start


def _ensure_branch(workspace: Workspace, own: Path | None) -> str:
    """The newest commit of the task's branch, which is made if it is not there.

    One that a person deleted comes back, with the newest commit that is known of it.
    """
    repository, ref = workspace.repository, workspace.ref
    if tip := repository.tip(ref):
        return tip
    known = [_last_of_log(repository, own, ref)] if own else []
    known += [*repository.kept(ref), repository.tip(workspace.integration)]
    start = next(commit for commit in [*known, workspace.base] if commit)
    repository.move(ref, start, None)
    return start


def _last_of_log(repository: Repository, own: Path, ref: str) -> str | None:
    """The commit that the worktree was on last, as its log says; None: it is on another branch."""
    with contextlib.suppress(OSError, IndexError, errors.NoSuchCommit):
        if (own / "HEAD").read_text("utf-8").strip() != f"ref: {ref}":
            return None
        last = (own / "logs" / "HEAD").read_text("utf-8", "replace").splitlines()[-1]
        old, new = last.split()[:2]
        return repository.resolve(new if new.strip("0") else old)
    return None
