"""Finds conflicts: before a merge, in the files of one that is under way, and in merges that were committed."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.workspaces import git
from orchestrator.workspaces.repository import Repository

_MARKER = re.compile(rb"^(?:<{7,}|>{7,}) .*$", re.MULTILINE)


@dataclass(frozen=True)
class Trial:
    """What a merge would give: the tree, and the files in conflict."""

    tree: str
    files: tuple[str, ...]


def attempt_merge(repository: Repository, ours: str, theirs: str) -> Trial:
    """Merge two commits without a worktree, and without a branch that moves.

    Raises:
        GitFailed: git could not merge them, for another reason than a conflict.
    """
    choices = ["--write-tree", "-z", "--name-only", "--messages"]
    answer = repository.git("merge-tree", *choices, ours, theirs, ok=(0, 1))
    told, _, messages = answer.output.partition("\0\0")
    tree, *files = told.rstrip("\0").split("\0")
    # A folder that one side divided among others is a conflict in which no file is.
    return Trial(tree, (tuple(files) or _named_in(messages)) if answer.code else ())


def _named_in(messages: str) -> tuple[str, ...]:
    """The paths that the messages of a merge are about. Each is a number, so many paths, a kind and a text."""
    fields = messages.split("\0")
    found: dict[str, None] = {}
    while len(fields) > 1:
        number = int(fields[0])
        paths, kind = fields[1 : number + 1], fields[number + 1]
        if kind.startswith("CONFLICT"):
            found |= dict.fromkeys(paths)
        fields = fields[number + 3 :]
    return tuple(found) or (".",)


def unresolved(repository: Repository, folder: Path) -> tuple[str, ...]:
    """The files of a worktree in which a conflict is not resolved yet.

    A file is resolved if it has no new conflict markers. One without markers (one side removed it, or it is no text)
    is resolved when it was added (`git add`), removed or changed.
    """
    stages = _stages(repository, folder)
    merged = repository.git("rev-parse", "--verify", "--quiet", "MERGE_HEAD", ok=(0, 1), folder=folder)
    head = repository.git("rev-parse", "HEAD", folder=folder).line
    files = dict.fromkeys(stages)
    parents = [head]
    if not merged.code:
        parents.append(merged.line)
        files |= dict.fromkeys(attempt_merge(repository, head, merged.line).files)
    found = [
        name
        for name in files
        if _is_untouched(repository, folder, name, stages.get(name, {}))
        or _has_new_markers(repository, name, _content(folder / name), parents)
    ]
    return tuple(map(git.shown, found))


def committed(repository: Repository, since: str, tip: str) -> tuple[str, ...]:
    """The files with conflict markers that merges between two commits brought in: they were committed unresolved."""
    merges = repository.git("rev-list", "--merges", "--parents", f"{since}..{tip}").output.splitlines()
    found: dict[str, None] = {}
    for _, *parents in map(str.split, merges):
        if len(parents) == 2:
            for name in attempt_merge(repository, *parents).files:
                if _has_new_markers(repository, name, _blob(repository, tip, name), parents):
                    found[name] = None
    return tuple(map(git.shown, found))


@dataclass(frozen=True)
class _Side:
    """A file as one side of a merge has it."""

    mode: str
    blob: str


def _stages(repository: Repository, folder: Path) -> dict[str, dict[str, _Side]]:
    """The unmerged files of the index, by stage: 1 the base, 2 ours, 3 theirs."""
    found: dict[str, dict[str, _Side]] = {}
    for entry in repository.git("ls-files", "--unmerged", "-z", "--full-name", folder=folder).names:
        facts, _, name = entry.partition("\t")
        mode, blob, stage = facts.split()
        found.setdefault(name, {})[stage] = _Side(mode, blob)
    return found


def _is_untouched(repository: Repository, folder: Path, name: str, stages: Mapping[str, _Side]) -> bool:
    """An unmerged file that still is as the merge left it, where it writes no markers: as one of the two sides."""
    sides = [stages[stage] for stage in ("2", "3") if stage in stages]
    if not sides or not os.path.lexists(folder / name) or _gets_markers(repository, folder, name, sides):
        return False
    if any(not side.mode.startswith("100") for side in sides):  # a link or a submodule
        return True
    now = repository.git("hash-object", "--", name, folder=folder).line
    return now in {side.blob for side in sides}


def _gets_markers(repository: Repository, folder: Path, name: str, sides: Sequence[_Side]) -> bool:
    """Both sides have the file, it is text, and no attribute says that git may not merge it."""
    if len(sides) < 2 or any(not side.mode.startswith("100") for side in sides):
        return False
    if any(b"\0" in _content_of(repository, side.blob) for side in sides):
        return False
    rule = repository.git("check-attr", "-z", "merge", "--", name, folder=folder).names[-1]
    return rule in ("unspecified", "set", "text")


def _has_new_markers(repository: Repository, name: str, content: bytes, parents: list[str]) -> bool:
    """It has markers that no parent has: a text about conflicts may have some of its own."""
    found = set(_MARKER.findall(content))
    return bool(found) and not found <= {
        line for parent in parents for line in _MARKER.findall(_blob(repository, parent, name))
    }


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() and not path.is_symlink() else b""


def _blob(repository: Repository, commit: str, name: str) -> bytes:
    return _content_of(repository, f"{commit}:{name}")


def _content_of(repository: Repository, blob: str) -> bytes:
    answer = repository.git("cat-file", "blob", blob, ok=(0, 1, 128))
    return b"" if answer.code else answer.output.encode("utf-8", "surrogateescape")
