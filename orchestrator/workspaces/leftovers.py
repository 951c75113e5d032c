"""What workspaces leave in a repository: branches and worktrees of ours, their sizes, and whether the work is safe."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from orchestrator.model.fields import Model
from orchestrator.workspaces import names
from orchestrator.workspaces.repository import MARK, Repository

ENTRIES = 50_000
"""Files that are counted at most, over all worktrees: a second, on a slow disk."""


class Leftover(Model):
    """A branch of ours, and its worktree if it has one."""

    feature: str
    task: str
    """"" for an integration branch."""

    branch: str
    commit: str
    integrated: bool
    """Its work is elsewhere too: on the integration branch; of an integration branch: on one that is none of ours."""

    changed: float
    """When it last changed: its last commit, or when its worktree was cut; in seconds since 1970."""

    folder: str = ""
    """Its worktree; "": it has none."""

    size: int = 0
    """Bytes of the files in the worktree."""

    is_size_whole: bool = True
    """False: there are more files than were counted."""


def leftovers(repository: Repository, *, entries: int = ENTRIES) -> tuple[Leftover, ...]:
    """Each branch of ours with its worktree.

    Args:
        repository: The project's repository.
        entries: How many files are counted at most for the sizes; 0: no sizes.

    Example:
        big = [found for found in leftovers(repository) if found.size > 10**9]
    """
    listed = repository.git("for-each-ref", _FORM, f"{names.BRANCHES}/").output.splitlines()
    if not listed:
        return ()
    places = repository.workspaces()
    merged: dict[str, frozenset[str]] = {}
    counter = _Counter(entries)
    found = []
    for ref, commit, date in (line.split("\0") for line in listed):
        of = names.parts(ref)
        if of is None:
            continue
        feature, task = of
        if task and feature not in merged:
            merged[feature] = _merged(repository, feature)
        own = places.get(ref)
        folder = worktree_beside(own) if own else None
        found.append(
            Leftover(
                feature=feature,
                task=task,
                branch=names.short(ref),
                commit=commit,
                integrated=ref in merged[feature] if task else is_delivered(repository, commit),
                changed=max(float(date), _last_change(own)),
                folder=str(folder or ""),
                size=counter.size(folder) if folder else 0,
                is_size_whole=not counter.is_over,
            )
        )
    return tuple(found)


_FORM = "--format=%(refname)%00%(objectname)%00%(committerdate:unix)"


def is_delivered(repository: Repository, commit: str) -> bool:
    """A branch that is none of ours has this commit, here or as a remote had it."""
    listed = repository.git(
        "for-each-ref", "--contains", commit, "--format=%(refname)", "refs/heads", "refs/remotes"
    )
    return any(names.parts(ref) is None for ref in listed.output.splitlines())


def worktree_beside(own: Path) -> Path | None:
    """The worktree that a folder of git's belongs to; None: it is gone."""
    with contextlib.suppress(OSError):
        folder = Path((own / "gitdir").read_text("utf-8").strip()).parent
        return folder if folder.is_dir() else None
    return None


def _merged(repository: Repository, feature: str) -> frozenset[str]:
    """The branches of the tasks of a feature that its integration branch has all commits of."""
    ref = names.integration(feature)
    if not repository.tip(ref):
        return frozenset()
    tasks = f"{names.BRANCHES}/{names.encode(feature)}/t/"
    listed = repository.git("for-each-ref", f"--merged={ref}", "--format=%(refname)", tasks)
    return frozenset(listed.output.splitlines())


def _last_change(own: Path | None) -> float:
    times = [0.0]
    for name in (MARK, "logs/HEAD") if own else ():
        with contextlib.suppress(OSError):
            times.append((Path(str(own)) / name).stat().st_mtime)
    return max(times)


class _Counter:
    """Adds up the sizes of files, up to a number of them."""

    def __init__(self, entries: int) -> None:
        self.left = entries

    @property
    def is_over(self) -> bool:
        """There were more files than it counts."""
        return self.left <= 0

    def size(self, folder: Path) -> int:
        """The bytes of the files in a folder, or of the first of them."""
        total = 0
        for entry in _entries(folder):
            if self.is_over:
                break
            self.left -= 1
            with contextlib.suppress(OSError):
                total += entry.stat(follow_symlinks=False).st_size
        return total


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            yield entry
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(Path(entry.path))
