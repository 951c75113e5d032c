"""Finds changes that an agent may not make by itself: in files that say how its work is judged."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.workspaces import globs as patterns
from orchestrator.workspaces.workspace import Workspace


def protected_changes(workspace: Workspace, globs: Iterable[str]) -> tuple[str, ...]:
    """The protected files that the commits of a task add, change, rename or remove, and the links that lead to others.

    Args:
        workspace: The workspace. What is uncommitted in it does not count: call `commit_leftovers` before.
        globs: Which files are protected (see `orchestrator.workspaces.globs`).

    Raises:
        GitFailed: git could not.

    Example:
        files = protected_changes(workspace, [".github/**", "tests/acceptance/**"])
    """
    globs = tuple(globs)
    links = patterns.leading_to(workspace.changed_links(), globs)
    return tuple(dict.fromkeys((*patterns.matching(workspace.changed_files(), globs), *links)))
