"""Workspaces: a git worktree and a branch for each task, and how the branches are brought together.

It knows git, and neither Redis nor Celery. See docs/explanation/workspaces.md.
"""

from __future__ import annotations

from orchestrator.workspaces.delivery import Delivered, deliver
from orchestrator.workspaces.globs import overlap
from orchestrator.workspaces.integration import Integrated, NothingToDo, bring_conflict, integrate
from orchestrator.workspaces.leftovers import Leftover, leftovers
from orchestrator.workspaces.opening import open_integration, open_workspace
from orchestrator.workspaces.protection import protected_changes
from orchestrator.workspaces.removal import clean_up, remove
from orchestrator.workspaces.repository import Repository, find
from orchestrator.workspaces.workspace import Conflict, Workspace

__all__ = [
    "Conflict",
    "Delivered",
    "Integrated",
    "Leftover",
    "NothingToDo",
    "Repository",
    "Workspace",
    "bring_conflict",
    "clean_up",
    "deliver",
    "find",
    "integrate",
    "leftovers",
    "open_integration",
    "open_workspace",
    "overlap",
    "protected_changes",
    "remove",
]
