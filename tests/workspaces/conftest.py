"""A repository of one commit, and workspaces in it; git reads no configuration of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.model import identifiers
from orchestrator.workspaces import Repository, Workspace, find, open_workspace

FEATURE = "auth"
NOTES = "one\ntwo\nthree\n"


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    monkeypatch.setenv("HOME", str(tmp_path))


def git(folder: Path, *arguments: str) -> str:
    """Run git as a person or an agent does."""
    command = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done.stdout.rstrip("\n")


@dataclass(frozen=True)
class Project:
    """A project's folder with its repository."""

    repository: Repository
    base: str

    @property
    def folder(self) -> Path:
        return self.repository.folder

    def place(self, task: str) -> Path:
        return self.folder / ".taskorchestrator" / "worktrees" / FEATURE / identifiers.file_name(task)

    def open(self, task: str) -> Workspace:
        return open_workspace(self.repository, FEATURE, task, base=self.base, folder=self.place(task))

    def files(self, branch: str = f"to/{FEATURE}/integration") -> dict[str, str]:
        """The files of a branch, with what is in them."""
        listed = git(self.folder, "ls-tree", "-r", "--name-only", "-z", branch).split("\0")
        return {name: git(self.folder, "show", f"{branch}:{name}") for name in listed if name}


def make_project(folder: Path) -> Project:
    folder.mkdir()
    git(folder, "init", "--quiet", "--template=", "--initial-branch=main")
    (folder / "notes.txt").write_text(NOTES)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "base")
    repository = find(folder)
    return Project(repository, repository.resolve("main"))


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "project"
    make_project(folder)
    return folder


@pytest.fixture
def project(tmp_path: Path, _template: Path) -> Project:
    shutil.copytree(_template, tmp_path / "project")
    repository = find(tmp_path / "project")
    return Project(repository, repository.resolve("main"))
