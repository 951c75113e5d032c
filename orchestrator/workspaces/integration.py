"""Merges the branch of a task into the integration branch of its feature, with no files checked out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from orchestrator.model import errors
from orchestrator.model.fields import Model
from orchestrator.workspaces import conflicts, git, names
from orchestrator.workspaces.opening import ensure_integration
from orchestrator.workspaces.repository import message
from orchestrator.workspaces.workspace import Conflict, Workspace, merge_of

TRIES = 20
"""How often a merge is made anew because the branch moved: another host integrated meanwhile."""


class Integrated(Model):
    """The task's work is on the integration branch, since this commit."""

    commit: str


class NothingToDo(Model):
    """The task has no commit that the integration branch lacks, and never had one."""

    kind: Literal["nothing-to-do"] = "nothing-to-do"


def integrate(
    workspace: Workspace, subject: str, trailers: Mapping[str, str] | None = None
) -> Integrated | Conflict | NothingToDo:
    """Merge the task's branch into the feature's integration branch. Repeated, it answers the same.

    It is a merge commit always, also where the branch could just move forward: so each task is one step of
    `git log --first-parent`, which has its trailers, and by which it is found again.

    Args:
        workspace: The workspace. What is uncommitted in it does not count: call `commit_leftovers` before.
        subject: The first line of the message.
        trailers: Facts for its end; feature and task are always there.

    Returns:
        The commit; or the files in conflict, with nothing changed; or nothing to do.

    Raises:
        BranchCheckedOut: Somebody has checked out the integration branch.
        RepositoryBusy: Other tasks of the feature held the lock for ten minutes.
        GitFailed: git could not.

    Example:
        match integrate(workspace, "Add login", {"Attempt": "1"}):
            case Conflict(files=files):
                bring_conflict(workspace)
    """
    repository, ref = workspace.repository, workspace.integration
    text = message(subject or f"Task {workspace.task}", workspace.trailers(trailers or {}))
    with repository.lock_feature(workspace.feature):
        for _ in range(TRIES):
            old, tip = _integration(workspace), workspace.tip()
            if repository.is_ancestor(tip, old):
                merge = merge_of(repository, tip, old)
                return Integrated(commit=merge) if merge else NothingToDo()
            trial = conflicts.attempt_merge(repository, old, tip)
            files = tuple(map(git.shown, trial.files))
            if files := files or conflicts.committed(repository, workspace.cut(), tip):
                return Conflict(files=files)
            if other := repository.worktree_of(ref):
                raise errors.BranchCheckedOut(branch=names.short(ref), folder=other.folder)
            merge = repository.commit_tree(trial.tree, [old, tip], text)
            if repository.move(ref, merge, old):
                return Integrated(commit=merge)
    patience = f"and was first {TRIES} times"
    raise errors.RepositoryBusy(
        lock=names.short(ref), holder="another host, which moves it", patience=patience
    )


def bring_conflict(workspace: Workspace) -> Conflict | None:
    """Merge the integration branch into the task's worktree, so that its owner can resolve the conflict there.

    The files get conflict markers (`<<<<<<<`). The owner edits them; a file without markers (removed on one side, or
    not text) needs `git add` or `git rm` from it. `commit_leftovers` then concludes the merge.

    Returns:
        The files in conflict, also of a merge that is under way already; None: there was none, and the merge is made.

    Raises:
        GitFailed: git could not, such as for files that are not committed: call `commit_leftovers` before.

    Example:
        conflict = bring_conflict(workspace)
    """
    repository, folder = workspace.repository, workspace.folder
    workspace.check()
    if _is_merging(workspace):
        files = conflicts.unresolved(repository, folder)
        return Conflict(files=files) if files else None
    onto = _integration(workspace)
    branch = names.short(workspace.integration)
    text = message(f"Merge {branch} into {workspace.branch}", workspace.trailers({}))
    arguments = ["merge", "--no-ff", "--no-verify", "--no-stat", "--quiet", "-m", text, workspace.integration]
    answer = repository.git(*arguments, ok=(0, 1), folder=folder, commits=True)
    if not answer.code:
        repository.keep(workspace.ref, workspace.tip())
        files = conflicts.committed(repository, workspace.base, workspace.tip())
        return Conflict(files=files) if files else None
    if not _is_merging(workspace):
        raise errors.GitFailed(command=f"merge {branch}", folder=folder, cause=answer.words.strip(), code=1)
    files = (
        conflicts.unresolved(repository, folder)
        or conflicts.attempt_merge(repository, workspace.tip(), onto).files
    )
    return Conflict(files=files)


def _integration(workspace: Workspace) -> str:
    return ensure_integration(workspace.repository, workspace.feature, workspace.base)


def _is_merging(workspace: Workspace) -> bool:
    repository, folder = workspace.repository, workspace.folder
    return not repository.git("rev-parse", "--verify", "--quiet", "MERGE_HEAD", ok=(0, 1), folder=folder).code
