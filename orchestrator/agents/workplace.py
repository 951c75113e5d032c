"""Where an agent works: a git worktree of its task, a folder of the attempt, or the project itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.agents import folder_lock
from orchestrator.config import private
from orchestrator.config.settings import Settings
from orchestrator.model import identifiers
from orchestrator.specialists.cancellation import ask_whether_cancelled
from orchestrator.specialists.context import Context
from orchestrator.workspaces import Workspace, find, open_workspace


@dataclass(frozen=True)
class Workplace:
    """Where an attempt works."""

    folder: Path
    workspace: Workspace | None = None
    """The git worktree; None: it is none."""

    held: folder_lock.Held | None = None
    """The lock of the folder, for the processes that work in it."""


def has_worktree(context: Context, settings: Settings) -> bool:
    """The attempt is that of an agent that works in a git worktree of its task."""
    return _works_in(context, settings) == "worktree"


def has_own_folder(context: Context, settings: Settings) -> bool:
    """The attempt is that of an agent that works in an empty folder."""
    return _works_in(context, settings) == "folder"


def _works_in(context: Context, settings: Settings) -> str:
    agent, task = settings.agent(context.specialist), context.task
    # A task may bring a command of its own; then no agent works on it.
    if agent is None or identifiers.is_gates(task.id) or task.run or task.call:
        return "none"
    return agent.works_in


def worktree_folder(feature: str, task: str, settings: Settings) -> Path:
    """Where the worktree of a task lies."""
    return feature_folder(feature, settings) / identifiers.file_name(task)


def feature_folder(feature: str, settings: Settings) -> Path:
    """Where the worktrees of a feature lie."""
    named = settings.workspaces.folder
    top = settings.project / named if named else settings.folder / "worktrees"
    return top / identifiers.file_name(feature)


def own_folder(context: Context) -> Path:
    """The folder of an attempt that has one to itself, beside the files of the attempt."""
    return context.workdir / "work"


def lock_of(folder: Path) -> Path:
    """The lock of a worktree, beside it: no id becomes a name like this."""
    return folder.with_name(f"{folder.name}~lock")


@contextlib.contextmanager
def opened(context: Context, settings: Settings) -> Iterator[Workplace]:
    """Open the place where an attempt works, and keep others out of it meanwhile.

    Raises:
        FolderBusy: Another attempt works there, and does not end.
        OrchestratorError: git could not (see `workspaces.open_workspace`).
        OSError: A folder cannot be made.
    """
    if has_worktree(context, settings):
        folder = worktree_folder(context.feature.id, context.task.id, settings)
        with held(folder, context) as lock:
            yield Workplace(folder, _open_worktree(context, settings), lock)
    elif has_own_folder(context, settings):
        folder = own_folder(context)
        private.make_folder(folder)
        yield Workplace(folder)
    else:
        yield Workplace(settings.project)


def held(folder: Path, context: Context) -> contextlib.AbstractContextManager[folder_lock.Held]:
    """The lock of a worktree, for an attempt.

    Raises:
        FolderBusy: Another attempt works there, and does not end.
    """

    def is_cancelled() -> bool:
        return bool(ask_whether_cancelled(context, False))

    return folder_lock.hold(lock_of(folder), context.attempt, is_cancelled=is_cancelled)


def _open_worktree(context: Context, settings: Settings) -> Workspace:
    feature, task = context.feature.id, context.task.id
    repository = find(settings.project)
    base = repository.resolve(context.feature.base or settings.workspaces.base)
    folder = worktree_folder(feature, task, settings)
    return open_workspace(repository, feature, task, base=base, folder=folder)
