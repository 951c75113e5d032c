"""A workspace: the branch of a task, the worktree where its attempts work on it, and what they left there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.model import errors, sanitizer
from orchestrator.model.fields import Model
from orchestrator.workspaces import conflicts, git, names
from orchestrator.workspaces.repository import Repository, message


class Conflict(Model):
    """Two branches changed the same place; a person or an agent says what is right."""

    files: tuple[str, ...]


@dataclass(frozen=True)
class Workspace:
    """A task's own folder and branch. All its attempts get the same.

    Example:
        workspace = open_workspace(repository, "auth", "T1", base=base, folder=folder)
        workspace.commit_leftovers({"Attempt": "1", "Model": "sonnet"})
    """

    repository: Repository
    feature: str
    task: str
    folder: Path
    base: str
    """The commit that the feature started from."""

    @property
    def project(self) -> Path:
        """Where the project's folder lies in the worktree: below its top, if the repository has other projects too."""
        return self.folder / self.repository.prefix

    @property
    def ref(self) -> str:
        """The task's branch, in full."""
        return names.task(self.feature, self.task)

    @property
    def branch(self) -> str:
        """The task's branch, as people write it."""
        return names.short(self.ref)

    @property
    def integration(self) -> str:
        """The feature's integration branch, in full."""
        return names.integration(self.feature)

    def tip(self) -> str:
        """The newest commit of the branch.

        Raises:
            NoSuchCommit: The branch is not there.
        """
        return self.repository.tip(self.ref) or self.repository.resolve(self.ref)

    def cut(self) -> str:
        """The commit that the task's own changes start from: where it was cut from integration, or last merged it."""
        tip, onto = self.tip(), self.repository.tip(self.integration) or self.base
        merge = merge_of(self.repository, tip, onto)
        return self.repository.git("merge-base", f"{merge}^1" if merge else onto, tip).line

    def commit_leftovers(self, trailers: Mapping[str, str], subject: str = "") -> str | Conflict | None:
        """Commit what an attempt left uncommitted; conclude a merge if one is under way.

        Call it when no process of the attempt is left. A folder within it that is a repository of its own is left out.

        Args:
            trailers: Facts for the end of the message, such as {"Attempt": "2", "Model": "sonnet"}.
            subject: The first line of the message.

        Returns:
            The hash of the commit; None: nothing was left; a Conflict: files of a merge are not resolved yet, and
            nothing was committed.

        Raises:
            StrayedWorkspace: The worktree is on a branch that does not continue its own.
            GitFailed: git could not.
        """
        self.check()
        self._return_to_branch()
        if files := conflicts.unresolved(self.repository, self.folder):
            return Conflict(files=files)
        self._add_all()
        is_merge = self._git("rev-parse", "--verify", "--quiet", "MERGE_HEAD", ok=(0, 1)).code == 0
        is_changed = self._git("diff", "--cached", "--quiet", "--no-ext-diff", ok=(0, 1)).code == 1
        made = None
        if is_merge or is_changed:
            text = message(subject or f"Leftovers of {self.task}", self.trailers(trailers))
            words = ["commit", "--no-verify", "--quiet", "--cleanup=verbatim", "--allow-empty", "-F", "-"]
            self.repository.git(*words, given=text, folder=self.folder, commits=True)
            made = self.tip()
        self.repository.keep(self.ref, self.tip())
        return made

    def check(self) -> None:
        """Refuse a folder that is no worktree of the repository any more, such as after an agent's `git init` in it.

        Raises:
            StrayedWorkspace: It is none.
        """
        answer = self._git("rev-parse", "--path-format=absolute", "--git-common-dir", ok=(0, 128))
        if answer.code or Path(answer.line).resolve() != self.repository.common:
            reason = "its .git does not lead to the repository"
            raise errors.StrayedWorkspace(
                folder=self.folder, branch=self.branch, reason=reason, kept=self.folder
            )

    def has_changes(self) -> bool:
        """There is work that is not integrated: commits of its own, or changes that are not committed."""
        tip, onto = self.tip(), self.repository.tip(self.integration) or self.base
        return not self.repository.is_ancestor(tip, onto) or bool(self.uncommitted())

    def uncommitted(self) -> tuple[str, ...]:
        """The files that are changed or new, and not committed. Ignored ones do not count."""
        return changed_here(self.repository, self.folder)

    def changed_files(self) -> tuple[str, ...]:
        """The files that the commits of the task change; of a renamed one both names."""
        answer = self.repository.git(
            "diff", *_PLAIN, "--no-renames", "--name-only", "-z", self.cut(), self.tip()
        )
        return tuple(map(git.shown, answer.names))

    def changed_links(self) -> tuple[str, ...]:
        """The links and submodules that the commits of the task add or change."""
        answer = self.repository.git("diff", *_PLAIN, "--no-renames", "--raw", "-z", self.cut(), self.tip())
        fields = iter(answer.names)
        kinds = ((facts.split()[1], name) for facts, name in zip(fields, fields, strict=True))
        return tuple(git.shown(name) for kind, name in kinds if kind in ("120000", "160000"))

    def diff(self, limit: int = 20_000) -> str:
        """What the commits of the task change, as a patch; after `limit` characters it says how much is left."""
        text = self.repository.git("diff", *_PLAIN, self.cut(), self.tip()).output
        text = sanitizer.as_text(git.shown(text))
        return (
            text if len(text) <= limit else f"{text[:limit]}\n… and {len(text) - limit:,} characters more\n"
        )

    def trailers(self, more: Mapping[str, str]) -> dict[str, str]:
        """The trailers of each commit of ours: feature and task, and these."""
        return {"Feature": self.feature, "Task": self.task, **more}

    def _git(self, *arguments: str, ok: tuple[int, ...] = (0,)) -> git.Answer:
        return self.repository.git(*arguments, ok=ok, folder=self.folder)

    def _return_to_branch(self) -> None:
        """Lead HEAD back to the task's branch, if the agent switched to another; no file changes.

        Commits that continue the branch are taken over. The other branch stays where it is.
        """
        head = self._git("symbolic-ref", "--quiet", "HEAD", ok=(0, 1)).line
        if head == self.ref:
            return
        born = self._git("rev-parse", "--verify", "--quiet", "HEAD", ok=(0, 1))
        here, tip = born.line, self.tip()
        if born.code:
            reason = f"it is on {names.short(head)}, which has no commit"
            raise errors.StrayedWorkspace(
                folder=self.folder, branch=self.branch, reason=reason, kept=self.folder
            )
        on = (
            f"it is on {names.short(head)}"
            if head
            else "its HEAD is on no branch (a rebase may be under way)"
        )
        if not self.repository.is_ancestor(tip, here):
            kept = self._keep_strayed(here)
            reason = f"{on}, and that does not have all commits of the task"
            raise errors.StrayedWorkspace(folder=self.folder, branch=self.branch, reason=reason, kept=kept)
        if not self.repository.move(self.ref, here, tip):
            raise errors.StrayedWorkspace(
                folder=self.folder, branch=self.branch, reason=f"{on}, and the branch moves", kept=self.ref
            )
        self._git("symbolic-ref", "-m", "back to the task's branch", "HEAD", self.ref)

    def _keep_strayed(self, here: str) -> str:
        """Keep what is there, with what is not committed, and move no branch: it may be a person's.

        Returns:
            The ref that holds it.
        """
        unmerged = self._git("ls-files", "-u", "-z").names
        if unmerged:  # no tree can be made of it; the files stay as they are
            return self.repository.keep(self.ref, here)
        self._add_all()
        tree = self._git("write-tree").line
        if tree == self._git("rev-parse", "HEAD^{tree}").line:
            return self.repository.keep(self.ref, here)
        text = message(f"Leftovers of {self.task}, elsewhere", self.trailers({}))
        return self.repository.keep(self.ref, self.repository.commit_tree(tree, [here], text))

    def _add_all(self) -> None:
        self._look_at_all()
        own = [
            f":(exclude,literal){name.rstrip('/')}" for name in _repositories_in(self.repository, self.folder)
        ]
        self._git("add", "--all", "--sparse", "--", ".", *own)

    def _look_at_all(self) -> None:
        """Let git look again at files that it was told to take for unchanged: an agent could hide changes so.

        A file that is left out (`sparse-checkout`) has the same mark, and is not there.
        """
        listed = [entry.partition(" ") for entry in self._git("ls-files", "-v", "-z").names]
        assumed = [name for flag, _, name in listed if flag.islower()]
        skipped = [name for flag, _, name in listed if flag in "Ss" and os.path.lexists(self.folder / name)]
        for option, found in (("--no-assume-unchanged", assumed), ("--no-skip-worktree", skipped)):
            if found:
                given = "".join(f"{name}\0" for name in found)
                self.repository.git("update-index", option, "-z", "--stdin", given=given, folder=self.folder)


_PLAIN = ("--no-ext-diff", "--no-textconv", "--no-color")
"""How a diff is made without the commands that a configuration may name."""


def merge_of(repository: Repository, tip: str, onto: str) -> str | None:
    """The commit by which a task's commit was integrated; None: it was not."""
    if not repository.is_ancestor(tip, onto):
        return None
    listed = repository.git(
        "rev-list", "--first-parent", "--merges", "--parents", "--ancestry-path", f"{tip}..{onto}"
    )
    lines = (line.split() for line in listed.output.splitlines())
    return next((merge for merge, *parents in lines if tip in parents[1:]), None)


def changed_here(repository: Repository, folder: Path) -> tuple[str, ...]:
    """The files of a worktree that are changed or new, and not committed."""
    choices = ["--no-renames", "--untracked-files=all", "--ignore-submodules=none"]
    answer = repository.git("status", "--porcelain", "-z", *choices, folder=folder)
    return tuple(git.shown(entry[3:]) for entry in answer.names)


def _repositories_in(repository: Repository, folder: Path) -> list[str]:
    """New folders that are repositories of their own: git would record a commit that only they have, or refuse."""
    found = repository.git("ls-files", "--others", "--exclude-standard", "-z", folder=folder).names
    return [name for name in found if name.endswith("/")]
