"""Removes workspaces whose work is elsewhere: integrated, with nothing uncommitted, and nobody in it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from orchestrator.model import errors
from orchestrator.workspaces import names, stale_locks
from orchestrator.workspaces.leftovers import Leftover, is_delivered, leftovers
from orchestrator.workspaces.repository import Repository, Worktree
from orchestrator.workspaces.workspace import changed_here


def remove(repository: Repository, feature: str, task: str) -> None:
    """Remove the worktree and the branch of a task. Ignored files in it go too. Repeated, it does nothing.

    Raises:
        CannotRemove: It has commits that the integration branch lacks, or changes that are not committed; or a process
            works there. Nothing was removed.

    Example:
        remove(workspace.repository, workspace.feature, workspace.task)
    """
    ref, onto = names.task(feature, task), names.integration(feature)
    with repository.lock():
        tree = _checked(repository, ref, onto)
        if tree:
            force = ["--force"] if _submodules(repository, tree.folder) else []
            repository.git("worktree", "remove", *force, str(tree.folder))
        _drop(repository, ref, onto)


def _checked(repository: Repository, ref: str, onto: str) -> Worktree | None:
    """The worktree of a branch, if there is one.

    Raises:
        CannotRemove: It may not be removed.
    """
    tree = _tree_of(repository, ref)
    if reason := _unsafe_branch(repository, ref, onto) or (_unsafe_tree(repository, tree) if tree else ""):
        raise errors.CannotRemove(folder=tree.folder if tree else names.short(ref), reason=reason)
    return tree


def clean_up(
    repository: Repository,
    keep: float,
    is_over: Callable[[str, str], bool],
    *,
    now: float | None = None,
    dry_run: bool = False,
) -> tuple[Leftover, ...]:
    """Remove all that is integrated, clean, over, and older than so many seconds. All else stays.

    An integration branch goes when another branch has its commits, and none of its tasks is left.

    Args:
        repository: The project's repository.
        keep: Seconds since the last commit of the workspace, or since it was cut.
        is_over: Of a feature and a task: no attempt of it will run again. Of a feature and "": it is over.
        now: The time, in seconds since 1970; None: this moment.
        dry_run: Only answer what would be removed.

    Returns:
        What was removed.
    """
    moment = time.time() if now is None else now
    there = leftovers(repository, entries=0)
    old = [
        one
        for one in there
        if one.integrated and moment - one.changed >= keep and is_over(one.feature, one.task)
    ]
    removed = [one for one in old if one.task and _is_removed(repository, one, dry_run)]
    gone = {(one.feature, one.task) for one in removed}
    busy = {one.feature for one in there if one.task and (one.feature, one.task) not in gone}
    for one in old:
        if not one.task and one.feature not in busy and _is_removed(repository, one, dry_run):
            removed.append(one)
    return tuple(removed)


def _is_removed(repository: Repository, one: Leftover, dry_run: bool) -> bool:
    if not one.task:
        return _remove_integration(repository, one, dry_run)
    try:
        if dry_run:
            _checked(repository, names.task(one.feature, one.task), names.integration(one.feature))
        else:
            remove(repository, one.feature, one.task)
    except (errors.CannotRemove, errors.GitFailed):
        return False
    return True


def _remove_integration(repository: Repository, one: Leftover, dry_run: bool) -> bool:
    ref = names.integration(one.feature)
    with repository.lock_feature(one.feature):
        tip = repository.tip(ref)
        if not tip or repository.worktree_of(ref) or not is_delivered(repository, tip):
            return False
        if dry_run:
            return True
        if tree := _tree_of(repository, ref):
            repository.git("worktree", "remove", "--force", str(tree.folder))
        _drop(repository, ref, tip)
    return True


def _drop(repository: Repository, ref: str, onto: str) -> None:
    """Delete a branch, and the refs that keep its commits; of these only what another branch has too."""
    onto_tip = repository.tip(onto)
    if tip := repository.tip(ref):
        repository.git("update-ref", "-d", ref, tip)
    if onto_tip:
        repository.forget(ref, [one for one in repository.kept(ref) if repository.is_ancestor(one, onto_tip)])


def _tree_of(repository: Repository, ref: str) -> Worktree | None:
    """The worktree that was made for a branch, whatever is checked out there now; else the one that has it."""
    own = repository.workspaces().get(ref)
    with contextlib.suppress(OSError):
        if own:
            folder = Path((own / "gitdir").read_text("utf-8").strip()).parent
            return next((tree for tree in repository.worktrees() if tree.folder == folder), None)
    return repository.worktree_of(ref)


def _unsafe_branch(repository: Repository, ref: str, onto: str) -> str:
    tip, integration = repository.tip(ref), repository.tip(onto)
    if tip and not (integration and repository.is_ancestor(tip, integration)):
        return f"{names.short(ref)} has commits that are not integrated"
    return ""


def _unsafe_tree(repository: Repository, tree: Worktree) -> str:
    """Why a worktree must stay; "": all in it is elsewhere too."""
    if not tree.folder.exists():
        return ""
    if not (tree.folder / ".git").is_file():
        return "its .git does not lead to the repository"
    if tree.locked is not None:
        return f"it is locked: {tree.locked or 'no reason is given'}"
    if changed := changed_here(repository, tree.folder):
        return f"{changed[0]} is not committed" + (f", and {len(changed) - 1} more" if changed[1:] else "")
    refs = repository.git("for-each-ref", "--count=1", "--contains", tree.commit, "--format=%(refname)")
    if not tree.branch and not refs.line:
        return f"only its HEAD has the commit {tree.commit[:12]}"
    for inner in _submodules(repository, tree.folder):
        if _has_own_commits(repository, inner):
            return f"its submodule {inner.relative_to(tree.folder)} has commits that no remote has"
    return next((f"{who} works there" for who in stale_locks.processes_in(tree.folder)), "")


def _submodules(repository: Repository, folder: Path) -> list[Path]:
    """The submodules that are checked out in a worktree, and theirs."""
    found = []
    for entry in repository.git("ls-files", "--stage", "-z", folder=folder).names if folder.is_dir() else ():
        facts, _, name = entry.partition("\t")
        if facts.startswith("160000") and (folder / name / ".git").exists():
            found += [folder / name, *_submodules(repository, folder / name)]
    return found


def _has_own_commits(repository: Repository, folder: Path) -> bool:
    arguments = ["rev-list", "--max-count=1", "HEAD", "--branches", "--tags", "--not", "--remotes"]
    return bool(repository.git(*arguments, folder=folder).line)
