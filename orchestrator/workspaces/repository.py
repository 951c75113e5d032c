"""A git repository: its branches, its worktrees, and the locks of the workers that share it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.model import errors, sanitizer
from orchestrator.workspaces import file_lock, git, names

AUTHOR = {
    "GIT_AUTHOR_NAME": "Task Orchestrator",
    "GIT_AUTHOR_EMAIL": "task-orchestrator@localhost",
    "GIT_COMMITTER_NAME": "Task Orchestrator",
    "GIT_COMMITTER_EMAIL": "task-orchestrator@localhost",
}
"""The author of our commits where git knows no name of the operator, as variables of git's."""

MARK = "task-orchestrator"
"""A file beside the HEAD of a worktree of ours, with the task's branch. It is written when the files are complete, so
that attempts may have worked there since."""

LOOKS, PAUSE = 50, 0.02
"""How often the list of worktrees is asked for, and the seconds between."""

NO_COMMIT = "0" * 40


@dataclass(frozen=True)
class Worktree:
    """A worktree as git knows it."""

    folder: Path
    commit: str
    branch: str
    """The ref that is checked out; "": none (a detached HEAD)."""

    locked: str | None
    """Why it is locked; None: it is not."""


@dataclass(frozen=True)
class Repository:
    """A git repository.

    Example:
        repository = find(Path("."))
        base = repository.resolve("main")
    """

    folder: Path
    """A folder of it, in which git commands run."""

    common: Path
    """Its git folder, which all its worktrees share."""

    prefix: str = ""
    """Where the folder lies in the repository: "" at its top, else such as "services/api/"."""

    def git(
        self,
        *arguments: str,
        ok: tuple[int, ...] = (0,),
        given: str = "",
        folder: Path | None = None,
        commits: bool = False,
        inherited: tuple[int, ...] = (),
    ) -> git.Answer:
        """Run a git command here, or in one of the worktrees (see `git.run`).

        Args:
            arguments: The command, after `git`.
            ok: The exit codes that are no error.
            given: Its standard input.
            folder: The worktree; None: the git folder.
            commits: It makes a commit, and so needs an author.
            inherited: Open files that it gets too.

        Raises:
            GitFailed: It ended with an exit code that is not in `ok`.
        """
        environment = dict(self._author()) if commits else {}
        if folder:  # else a worktree without its .git would be taken for a folder of the project around it
            environment["GIT_CEILING_DIRECTORIES"] = str(folder.parent)
        where = folder or self.common
        return git.run(where, *arguments, ok=ok, given=given, environment=environment, inherited=inherited)

    def resolve(self, revision: str) -> str:
        """The hash of the commit that a branch, a tag, a hash or HEAD means now, in this folder.

        Raises:
            NoSuchCommit: There is none.
        """
        arguments = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"]
        found = git.run(self.folder, *arguments, ok=(0, 1, 128))
        if found.code:
            raise errors.NoSuchCommit(repository=self.folder, revision=revision)
        return found.line

    def tip(self, ref: str) -> str | None:
        """The commit of a full ref; None: there is no such ref."""
        found = self.git(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}", ok=(0, 1, 128)
        )
        return found.line if not found.code else None

    def is_ancestor(self, older: str, newer: str) -> bool:
        """All of `older` is in `newer`."""
        return not self.git("merge-base", "--is-ancestor", older, newer, ok=(0, 1)).code

    def worktrees(self) -> tuple[Worktree, ...]:
        """Every worktree that git knows, those too whose folder is gone."""
        listed = self._list_worktrees().split("\0\0")
        return tuple(_worktree(entry.split("\0")) for entry in listed if entry)

    def _list_worktrees(self) -> str:
        """The list of git's, asked for again where it fails: somebody adds a worktree, and half of it is there."""
        for _ in range(LOOKS - 1):
            with contextlib.suppress(errors.GitFailed):
                return self.git("worktree", "list", "--porcelain", "-z").output
            time.sleep(PAUSE)
        return self.git("worktree", "list", "--porcelain", "-z").output

    def workspaces(self) -> dict[str, Path]:
        """The folder of git's beside each worktree that was made for a task, by the task's branch.

        It says so whichever branch is checked out there now.
        """
        found: dict[str, Path] = {}
        for mark in self.common.glob(f"worktrees/*/{MARK}"):
            with contextlib.suppress(OSError):
                found[mark.read_text("utf-8").strip()] = mark.parent
        return found

    def own_folder(self, folder: Path) -> Path | None:
        """The folder in which git keeps HEAD and index of the worktree at this place; None: it knows of none there."""
        for file in self.common.glob("worktrees/*/gitdir"):
            with contextlib.suppress(OSError):
                if Path(file.read_text("utf-8").strip()) == folder / ".git":
                    return file.parent
        return None

    def worktree_of(self, ref: str) -> Worktree | None:
        """The worktree in which a branch is checked out."""
        return next((tree for tree in self.worktrees() if tree.branch == ref), None)

    def move(self, ref: str, to: str, old: str | None) -> bool:
        """Set a branch of ours to a commit, and keep that commit.

        Args:
            ref: The branch.
            to: The commit.
            old: The commit that it has now; None: the branch is not there yet.

        Returns:
            False: the branch has moved meanwhile, and nothing was changed.

        Raises:
            GitFailed: git could not, for another reason.
        """
        try:
            self._change([f"update {ref} {to} {old or NO_COMMIT}", *self._keeping(ref, to)])
        except errors.GitFailed:
            if self.tip(ref) == old:
                raise
            return False
        return True

    def keep(self, ref: str, commit: str) -> str:
        """Keep a commit of a branch of ours, whatever becomes of the branch: another ref holds it.

        Returns:
            That ref.
        """
        self._change(self._keeping(ref, commit))
        return f"{names.kept(ref)}/{commit}"

    def kept(self, ref: str) -> tuple[str, ...]:
        """The commits that are kept of a branch, the newest first."""
        listed = self.git(
            "for-each-ref", "--sort=-committerdate", "--format=%(objectname)", f"{names.kept(ref)}/"
        )
        return tuple(listed.line.split())

    def forget(self, ref: str, commits: Iterable[str]) -> None:
        """Keep these commits of a branch no longer."""
        self._change([f"delete {names.kept(ref)}/{commit} {commit}" for commit in commits])

    def commit_tree(self, tree: str, parents: Iterable[str], message: str) -> str:
        """Make a commit of a tree; no branch moves."""
        given = [word for parent in parents for word in ("-p", parent)]
        return self.git("commit-tree", tree, *given, "-F", "-", given=message, commits=True).line

    def lock(self) -> AbstractContextManager[int]:
        """The lock under which worktrees come and go."""
        return file_lock.hold(self.common / "task-orchestrator" / "worktrees.lock")

    def lock_feature(self, feature: str) -> AbstractContextManager[int]:
        """The lock under which the tasks of a feature are integrated, one after the other."""
        return file_lock.hold(self.common / "task-orchestrator" / f"{names.encode(feature)}.integration.lock")

    def _author(self) -> Mapping[str, str]:
        """The author of our commits, as variables of git's: none, if git knows name and address of the operator."""
        known = git.run(self.common, "config", "--get-regexp", r"^user\.(name|email)$", ok=(0, 1)).line
        configured = {line.partition(" ")[0] for line in known.splitlines()}
        if configured == {"user.name", "user.email"} or os.environ.keys() >= AUTHOR.keys():
            return {}
        return AUTHOR

    def _keeping(self, ref: str, commit: str) -> list[str]:
        """The changes of refs that keep a commit; what is in it needs no ref of its own any more."""
        there = self.kept(ref)
        within = [old for old in there if old != commit and self.is_ancestor(old, commit)]
        place = names.kept(ref)
        new = [] if commit in there else [f"update {place}/{commit} {commit}"]
        return [*new, *(f"delete {place}/{old}" for old in within)]

    def _change(self, changes: list[str]) -> None:
        """Change refs, all or none."""
        if changes:
            self.git("update-ref", "--stdin", given="\n".join(["start", *changes, "prepare", "commit", ""]))


def find(path: Path) -> Repository:
    """The repository that a folder lies in.

    Raises:
        NotARepository: It lies in none, or git does not open it (its owner is another user).
        NoGit: There is no git.
        OldGit: It is too old.

    Example:
        repository = find(settings.project)
    """
    if not path.is_dir():
        raise errors.NotARepository(path=path, cause="there is no such folder.")
    try:
        told = git.run(
            path, "rev-parse", "--path-format=absolute", "--git-common-dir", "--show-prefix"
        ).output
    except errors.GitFailed as error:
        raise errors.NotARepository(path=path, cause=error.cause) from error
    common, prefix = told.split("\n")[:2]
    return Repository(path.resolve(), Path(common).resolve(), prefix)


def message(subject: str, trailers: Mapping[str, str]) -> str:
    """The message of a commit, with its trailers.

    Example:
        >>> message("Add login", {"Task": "T1"})
        'Add login\\n\\nTask: T1\\n'
    """
    text = sanitizer.as_text(subject).strip() or "Work"
    lines = [f"{name}: {sanitizer.as_line(value)}" for name, value in trailers.items() if value]
    return "\n".join([text, "", *lines, ""])


def _worktree(lines: list[str]) -> Worktree:
    told = {name: rest for name, _, rest in (line.partition(" ") for line in lines)}
    return Worktree(
        folder=Path(told["worktree"]),
        commit=told.get("HEAD", ""),
        branch=told.get("branch", ""),
        locked=told.get("locked"),
    )
