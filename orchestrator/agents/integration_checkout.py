"""The work of a whole feature, brought together: a checkout of its integration branch, in which its gates run."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from orchestrator.agents import workplace
from orchestrator.config.settings import Settings
from orchestrator.model import errors
from orchestrator.specialists.context import Context
from orchestrator.workspaces import Repository, find, names, open_integration

log = logging.getLogger(__name__)

NAME = "~integration"
"""The folder of the checkout, beside the worktrees of the feature's tasks: no id becomes a name like this."""


@contextlib.contextmanager
def opened(context: Context, settings: Settings) -> Iterator[Path | None]:
    """Check out the integration branch of a feature in the block; None where the feature has none.

    It is on no branch, so that others can go on to integrate, and it is removed afterwards.

    Raises:
        FolderBusy: Gates of the feature run already, and do not end.
        OrchestratorError: git could not.
    """
    feature = context.feature.id
    found = _branch(feature, settings)
    if found is None:
        yield None
        return
    repository, commit = found
    folder = (workplace.feature_folder(feature, settings) / NAME).resolve()
    with workplace.held(folder, context):
        open_integration(repository, feature, base=commit, folder=folder)
        try:
            yield folder
        finally:
            _remove(repository, folder)


def _branch(feature: str, settings: Settings) -> tuple[Repository, str] | None:
    """The repository, and the newest commit of the integration branch; None: no agent works in worktrees here."""
    agents = [given.agent for given in settings.specialists.values() if given.agent]
    if not any(agent.workspace == "worktree" for agent in agents):
        return None
    try:
        repository = find(settings.project)
    except (errors.NotARepository, errors.NoGit):
        return None
    commit = repository.tip(names.integration(feature))
    return None if commit is None else (repository, commit)


def _remove(repository: Repository, folder: Path) -> None:
    """Remove the checkout, with whatever gates left in it: its commits are on the branch.

    Where that fails, such as for a process that a gate left and that writes there, the next gates take it as it is.
    """
    try:
        with repository.lock():
            repository.git("worktree", "remove", "--force", "--force", str(folder))
    except (errors.GitFailed, errors.RepositoryBusy) as error:
        log.warning("the checkout for the gates stays: %s", error)
