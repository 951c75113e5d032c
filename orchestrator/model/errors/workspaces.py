"""Errors about workspaces: the git repository of a project, its worktrees, and how work is brought together."""

from __future__ import annotations

from orchestrator.model.errors.base import OrchestratorError, UsageError


class NoGit(OrchestratorError):
    """There is no `git` on the PATH of this process, and workspaces need it.
    Install git 2.38 or newer, or set `workspace: folder` for the specialist."""


class OldGit(OrchestratorError):
    """git here is {found}, and workspaces need {needed} or newer (merge-tree --write-tree).
    Install a newer git, or set `workspace: folder` for the specialist."""


class NotARepository(UsageError):
    """{path} is not in a git repository: {cause}
    Run `git init` there and commit something, name another folder, or set `workspace: folder` for the specialist."""


class NoSuchCommit(UsageError):
    """{repository} has no commit {revision}.
    Name a branch, a tag or a commit that it has (`git branch -a` lists the branches), or fetch it. A new repository has
    none before its first commit (`git commit`)."""


class GitFailed(OrchestratorError):
    """git {command} failed in {folder}: {cause}
    The work is kept as it stands there. Mend what git says, then retry the task."""


class RepositoryBusy(OrchestratorError):
    """{lock} is held by {holder}, {patience}.
    Wait until that has ended, or end it; then retry the task."""


class BranchCheckedOut(OrchestratorError):
    """{branch} is checked out in {folder}, so it is not changed from outside: the files there would no longer match it.
    Leave it there (`git -C {folder} switch --detach`), then retry the task."""


class StrayedWorkspace(OrchestratorError):
    """{folder} is no longer on its branch {branch}: {reason}. The work is kept under {kept}.
    Bring what is wanted onto {branch} there (`git -C {folder} switch {branch}`, `git merge`), then retry the task."""


class CannotDeliver(OrchestratorError):
    """{branch} was not delivered to {base}: {reason}
    The work is on {branch}; merge it by hand, or mend this and deliver again."""


class NotDeliverable(OrchestratorError):
    """{feature} is {status}, and only a completed feature is delivered.
    See what is open with `orchestrator status {feature}`. Its work so far is on its integration branch."""


class NothingToDeliver(UsageError):
    """No agent has worked at {feature} in a worktree of {repository}, so there is nothing to deliver.
    If its agents worked in another clone, type `orchestrator deliver {feature}` there."""


class CannotRemove(OrchestratorError):
    """{folder} was not removed: {reason}.
    Save or discard what is there, or remove it by hand: `git worktree remove --force {folder}`."""
