"""Whatever happens in any order: each task is integrated once, and neither a commit nor a change is lost."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.model import errors
from orchestrator.workspaces import Conflict, Integrated, Workspace, bring_conflict, integrate, remove
from tests.workspaces.conftest import FEATURE, Project, git, make_project

TASKS = ("T1", "T2", "T3")
EXAMPLES = int(os.environ.get("WORKSPACE_EXAMPLES", "12"))
"""How many runs are drawn; more by hand: WORKSPACE_EXAMPLES=300."""

LINES = 4


class World:
    """A project with tasks that are worked on, and what has to be true of it."""

    def __init__(self, folder: Path) -> None:
        self.project: Project = make_project(folder)
        self.words = count()
        self.ours: set[str] = set()
        self.merged: dict[str, set[str]] = {task: set() for task in TASKS}

    def do(self, act: str, task: str, line: int) -> None:
        acts: dict[str, Callable[[Workspace, int], None]] = {
            "edit": self.edit,
            "append": self.append,
            "own": self.own,
            "unlink": self.unlink,
            "leftovers": self.leftovers,
            "integrate": self.integrate,
            "bring": self.bring,
            "resolve": self.resolve,
            "commit all": self.commit_all,
            "detach": self.detach,
            "lose folder": self.lose_folder,
            "lose integration": self.lose_integration,
            "remove": self.remove,
        }
        acts[act](self.project.open(task), line)

    def word(self, workspace: Workspace) -> str:
        return f"{workspace.task}-{next(self.words)}"

    def edit(self, workspace: Workspace, line: int) -> None:
        """Replace a line of the file that all tasks edit."""
        file = workspace.folder / "notes.txt"
        lines = file.read_text().splitlines() if file.exists() else []
        at = min(line, len(lines))
        file.write_text(
            "".join(f"{text}\n" for text in [*lines[:at], self.word(workspace), *lines[at + 1 :]])
        )

    def append(self, workspace: Workspace, line: int) -> None:
        file = workspace.folder / f"shared{line}.txt"
        file.write_text((file.read_text() if file.exists() else "") + f"{self.word(workspace)}\n")

    def own(self, workspace: Workspace, line: int) -> None:
        (workspace.folder / f"{workspace.task}-{line}.txt").write_text(f"{self.word(workspace)}\n")

    def unlink(self, workspace: Workspace, line: int) -> None:
        (workspace.folder / ("notes.txt" if line else "shared0.txt")).unlink(missing_ok=True)

    def leftovers(self, workspace: Workspace, _: int = 0) -> None:
        made = workspace.commit_leftovers({"Attempt": "1"})
        if isinstance(made, str):
            self.ours.add(made)
            assert workspace.uncommitted() == ()
        if isinstance(made, Conflict):
            assert made.files

    def integrate(self, workspace: Workspace, _: int) -> None:
        self.leftovers(workspace)
        repository, branch = workspace.repository, f"to/{FEATURE}/integration"
        old, tip = repository.resolve(branch), workspace.tip()
        base = git(self.project.folder, "merge-base", old, tip)
        done = integrate(workspace, workspace.task)
        assert integrate(workspace, workspace.task) == done, "twice is once"
        new = repository.resolve(branch)
        if isinstance(done, Integrated):
            self.ours.add(done.commit)
            self.merged[workspace.task].add(tip)
        if new == old:
            return
        assert isinstance(done, Integrated)
        before, mine, theirs = (self.texts(commit) for commit in (base, tip, old))
        # Each line is there once in the world: so a merge of files is a merge of sets.
        assert self.texts(new) == (mine & theirs) | (mine - before) | (theirs - before)

    def bring(self, workspace: Workspace, _: int) -> None:
        self.leftovers(workspace)
        bring_conflict(workspace)

    def resolve(self, workspace: Workspace, _: int) -> None:
        """Take the lines of both sides, as an owner does that looks."""
        for file in workspace.folder.glob("*.txt"):
            lines = file.read_text().splitlines()
            kept = [line for line in lines if not line.startswith(("<<<<<<<", "=======", ">>>>>>>"))]
            if kept != lines:
                file.write_text("".join(f"{line}\n" for line in kept))
        git(workspace.folder, "add", "--all")

    def commit_all(self, workspace: Workspace, _: int) -> None:
        """Commit without a look, as a careless agent does."""
        git(workspace.folder, "add", "--all")
        git(workspace.folder, "commit", "--quiet", "--allow-empty", "-m", "done")

    def detach(self, workspace: Workspace, _: int) -> None:
        if not git(workspace.folder, "ls-files", "--unmerged"):
            git(workspace.folder, "checkout", "--quiet", "--detach")

    def lose_folder(self, workspace: Workspace, _: int) -> None:
        self.leftovers(workspace)
        shutil.rmtree(workspace.folder)

    def lose_integration(self, workspace: Workspace, _: int) -> None:
        git(self.project.folder, "branch", "-D", f"to/{FEATURE}/integration")

    def remove(self, workspace: Workspace, _: int) -> None:
        try:
            remove(workspace.repository, FEATURE, workspace.task)
        except errors.CannotRemove:
            assert workspace.folder.exists()

    def texts(self, commit: str) -> set[str]:
        return {line for text in self.project.files(commit).values() for line in text.splitlines()}

    def check(self) -> None:
        """The laws."""
        for task in TASKS:
            self.project.open(task)
        reachable = set(git(self.project.folder, "rev-list", "--all").split())
        assert self.ours <= reachable, "a commit of ours is lost"
        branch = f"to/{FEATURE}/integration"
        history = git(self.project.folder, "rev-list", "--first-parent", "--parents", branch).splitlines()
        seconds = [parents[2] for parents in map(str.split, history) if len(parents) == 3]
        for tips in self.merged.values():
            assert all(seconds.count(tip) == 1 for tip in tips), "integrated, and not once"
        assert len(seconds) == sum(map(len, self.merged.values()))
        assert not any(text.startswith(("<<<<<<<", ">>>>>>>")) for text in self.texts(branch))


ACTS = st.sampled_from(
    [
        *[
            "edit",
            "edit",
            "append",
            "own",
            "leftovers",
            "integrate",
            "integrate",
            "integrate",
            "bring",
            "resolve",
        ],
        *["unlink", "commit all", "detach", "lose folder", "lose integration", "remove"],
    ]
)
STEPS = st.lists(st.tuples(ACTS, st.sampled_from(TASKS), st.integers(0, LINES - 1)), max_size=14)


@settings(max_examples=EXAMPLES)
@given(STEPS)
def test_whatever_happens(steps: list[tuple[str, str, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
        world = World(Path(folder) / "project")
        for step in steps:
            world.do(*step)
        world.check()
