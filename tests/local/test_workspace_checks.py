"""The doctor's line about the workspaces of tasks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from orchestrator import workspaces
from orchestrator.config.folder import FOLDER
from orchestrator.config.settings import Settings
from orchestrator.local import workspace_checks
from orchestrator.local.workspace_checks import check_workspaces
from orchestrator.model.finding import Level


def git(*arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments], check=True)


@pytest.fixture(autouse=True)
def _in_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    (tmp_path / FOLDER).mkdir()
    git("init", "--quiet", "--template=")
    git("commit", "--quiet", "--allow-empty", "-m", "base")


def two_tasks(tmp_path: Path) -> None:
    repository = workspaces.find(tmp_path)
    base = repository.resolve("HEAD")
    for task in ("T1", "T2"):
        opened = workspaces.open_workspace(
            repository, "auth", task, base=base, folder=tmp_path / FOLDER / "worktrees" / task
        )
        (opened.folder / f"{task}.txt").write_bytes(b"x" * 1_000_000)
        opened.commit_leftovers({})
        if task == "T1":
            workspaces.integrate(opened, task)


def test_a_repository_without_branches_of_ours_says_nothing() -> None:
    assert list(check_workspaces(Settings())) == []


def test_a_folder_without_a_repository_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "bare").mkdir()
    monkeypatch.chdir(tmp_path / "bare")
    (tmp_path / "bare" / FOLDER).mkdir()
    assert list(check_workspaces(Settings())) == []


def test_no_git_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert list(check_workspaces(Settings())) == []


def test_workspaces_are_told_with_their_size_and_what_is_not_integrated(tmp_path: Path) -> None:
    two_tasks(tmp_path)
    (finding,) = check_workspaces(Settings())
    assert finding.level is Level.OK
    assert finding.text == "2 worktrees of 1 feature (auth) take 3.0 MB; not integrated: to/auth/t/T2"


def test_much_is_a_warning_that_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two_tasks(tmp_path)
    monkeypatch.setattr(workspace_checks, "MUCH", 1_000_000)
    (finding,) = check_workspaces(Settings())
    assert finding.level is Level.WARNING
    assert f"git worktree remove {tmp_path / FOLDER / 'worktrees'}" in finding.remedy
