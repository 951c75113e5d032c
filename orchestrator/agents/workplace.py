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


def has_worktree(specialist: str, settings: Settings) -> bool:
    """The specialist is an agent that works in a git worktree of the task."""
    agent = settings.agent(specialist)
    return agent is not None and agent.workspace == "worktree" and agent.runtime not in ("api", "pull")


def worktree_folder(feature: str, task: str, settings: Settings) -> Path:
    """Where the worktree of a task lies."""
    named = settings.workspaces.folder
    top = settings.project / named if named else settings.folder / "worktrees"
    return top / identifiers.file_name(feature) / identifiers.file_name(task)


def own_folder(context: Context) -> Path:
    """The folder of an attempt that has one to itself, beside the files of the attempt."""
    return context.workdir / "work"


def folder_of(context: Context, settings: Settings) -> Path | None:
    """The folder in which an attempt works; None: the project's. Nothing is made."""
    agent = settings.agent(context.specialist)
    if agent is None or agent.workspace == "none":
        return None
    if has_worktree(context.specialist, settings):
        return worktree_folder(context.feature.id, context.task.id, settings)
    return own_folder(context)


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
    folder = folder_of(context, settings)
    if folder is None:
        yield Workplace(settings.project)
    elif not has_worktree(context.specialist, settings):
        private.make_folder(folder)
        yield Workplace(folder)
    else:
        lock = lock_of(folder)
        with folder_lock.hold(lock, context.attempt, is_cancelled=context.is_cancelled) as held:
            yield Workplace(folder, open_worktree(context, settings), held)


def open_worktree(context: Context, settings: Settings) -> Workspace:
    """The worktree of an attempt's task; the caller holds its lock.

    Raises:
        OrchestratorError: git could not.
    """
    feature, task = context.feature.id, context.task.id
    repository = find(settings.project)
    base = repository.resolve(settings.workspaces.base)
    folder = worktree_folder(feature, task, settings)
    return open_workspace(repository, feature, task, base=base, folder=folder)
