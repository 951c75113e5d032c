"""What becomes of a feature's work in the project's git repository: it is delivered, and its workspaces are removed."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Literal

from orchestrator import workspaces
from orchestrator.model import errors

if TYPE_CHECKING:
    from orchestrator.client.client import Client
    from orchestrator.workspaces import Delivered, Leftover


def deliver(
    client: Client, feature_id: str, how: Literal["branch", "fast-forward"] | None = None
) -> Delivered:
    """Deliver the work of agents at a completed feature (see `workspaces.deliver`).

    Args:
        client: Of the project that the repository is of.
        feature_id: The feature.
        how: None: as the setting `workspaces.deliver` says.

    Raises:
        NotDeliverable: The feature is not completed.
        NothingToDeliver: No agent has worked at it in a worktree of this repository.
        CannotDeliver: The base branch has other commits, or is checked out; or the command failed.
    """
    settings, progress = client.settings.workspaces, client.feature(feature_id).progress()
    if not progress.status.is_success:
        raise errors.NotDeliverable(feature=progress.id, status=progress.status)
    repository = workspaces.find(client.settings.project)
    try:
        return workspaces.deliver(repository, progress.id, how or settings.deliver, base=settings.base)
    except errors.NoSuchCommit:
        raise errors.NothingToDeliver(feature=progress.id, repository=repository.folder) from None


def diff(client: Client, feature_id: str, task_id: str, limit: int) -> str:
    """What agents have changed at a task, committed by now, as a patch; "" if none has a branch for it here.

    Args:
        client: Of the project that the repository is of.
        feature_id, task_id: The task.
        limit: Characters; then it says how much is left.

    Raises:
        NoSuchTask: The feature has no such task.
        GitFailed: git could not.
    """
    client.store.tasks.find(feature_id, task_id)
    with contextlib.suppress(errors.NoGit, errors.OldGit, errors.NotARepository):
        repository = workspaces.find(client.settings.project)
        if tip := repository.tip(workspaces.names.task(feature_id, task_id)):
            return workspaces.Workspace(repository, feature_id, task_id, repository.folder, tip).diff(limit)
    return ""


def clean_up(client: Client, *, dry_run: bool = False) -> tuple[Leftover, ...]:
    """Remove the worktrees and branches that are integrated, clean, and of features that have long been over.

    Args:
        client: Of the project that the repository is of.
        dry_run: Only answer what would be removed.

    Returns:
        What was removed; nothing where the project is in no git repository.
    """
    try:
        repository = workspaces.find(client.settings.project)
    except (errors.NoGit, errors.OldGit, errors.NotARepository):
        return ()

    def is_over(feature: str, task: str) -> bool:
        try:
            return client.feature(feature).progress().status.is_over
        except errors.NoSuchFeature:
            return True  # it was forgotten

    return workspaces.clean_up(repository, client.settings.workspaces.keep, is_over, dry_run=dry_run)
