"""Checks of the project's git repository: what the workspaces of tasks left in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrator import workspaces
from orchestrator.config.settings import Settings
from orchestrator.model import errors, words
from orchestrator.model.finding import Finding, ok, warning

MUCH = 10 * 10**9
"""Bytes of worktrees from which on the doctor advises to clean up."""


def check_workspaces(settings: Settings) -> Iterator[Finding]:
    """Say how many branches and worktrees of tasks there are, and their size; nothing, if there are none."""
    name = "workspaces"
    try:
        found = workspaces.leftovers(workspaces.find(settings.project))
    except (errors.NoGit, errors.OldGit, errors.NotARepository):
        return  # a task that needs one says so when it starts
    except errors.GitFailed as error:
        yield warning(name, f"could not look: {error.cause}", f"Run `git status` in {settings.project}.")
        return
    if not found:
        return
    size = sum(one.size for one in found)
    if size < MUCH:
        yield ok(name, _text(found, size))
        return
    largest = max(found, key=lambda one: one.size)
    remedy = f"Run `orchestrator prune`, or remove the largest by hand: git worktree remove {largest.folder}"
    yield warning(name, _text(found, size), remedy)


def _text(found: Sequence[workspaces.Leftover], size: int) -> str:
    features = dict.fromkeys(one.feature for one in found)
    trees = [one for one in found if one.folder]
    open_ = [one.branch for one in found if one.task and not one.integrated]
    more = "" if all(one.is_size_whole for one in trees) else "more than "
    told = [
        f"{words.count(len(trees), 'worktree')} of {words.count(len(features), 'feature')}",
        f"({words.some(list(features), most=3)})",
        f"{'takes' if len(trees) == 1 else 'take'} {more}{_shown(size)}",
    ]
    return " ".join(told) + (f"; not integrated: {words.some(open_, most=3)}" if open_ else "")


def _shown(size: int) -> str:
    """A size as people read it.

    Example:
        >>> _shown(1_250_000_000), _shown(4_096)
        ('1.2 GB', '0.0 MB')
    """
    return f"{size / 10**9:.1f} GB" if size >= 10**9 else f"{size / 10**6:.1f} MB"
