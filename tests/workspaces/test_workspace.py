"""A workspace is cut, worked in, and committed."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from threading import Thread

import pytest

from orchestrator.model import errors
from orchestrator.workspaces import (
    Conflict,
    Integrated,
    NothingToDo,
    Repository,
    bring_conflict,
    find,
    integrate,
    open_integration,
    open_workspace,
)
from tests.workspaces.conftest import NOTES, Project, git, make_project


def test_a_workspace_is_cut_from_integration_when_it_starts(project: Project) -> None:
    first = project.open("T1")
    assert (first.folder / "notes.txt").read_text() == NOTES
    (first.folder / "new.txt").write_text("made by T1\n")
    assert first.commit_leftovers({"Attempt": "1", "Model": "sonnet"})
    assert isinstance(integrate(first, "Add new.txt", {"Attempt": "1"}), Integrated)
    second = project.open("T2")
    assert (second.folder / "new.txt").read_text() == "made by T1\n"
    assert second.branch == "to/auth/t/T2"


def test_nothing_is_checked_out_and_the_project_looks_clean(project: Project) -> None:
    project.open("T1")
    assert git(project.folder, "status", "--porcelain") == ""
    assert git(project.folder, "branch", "--show-current") == "main"


def test_a_second_attempt_gets_the_same_as_it_stands(project: Project) -> None:
    first = project.open("T1")
    (first.folder / "half.txt").write_text("half")
    again = project.open("T1")
    assert again == first
    assert (again.folder / "half.txt").read_text() == "half"
    assert again.uncommitted() == ("half.txt",)


def test_leftovers_have_trailers_and_a_name(project: Project) -> None:
    workspace = project.open("T1")
    (workspace.folder / "a.txt").write_text("a")
    commit = workspace.commit_leftovers({"Attempt": "2", "Model": "haiku\nTask: T9"}, "Half of it")
    assert isinstance(commit, str)
    told = git(
        workspace.folder, "log", "-1", "--format=%s|%an|%ae|%(trailers:only,unfold,separator=%x2C)", commit
    )
    trailers = "Feature: auth,Task: T1,Attempt: 2,Model: haiku Task: T9"
    assert told == f"Half of it|Task Orchestrator|task-orchestrator@localhost|{trailers}"
    assert workspace.commit_leftovers({}) is None


def test_the_operator_is_the_author_where_git_knows_a_name(project: Project) -> None:
    git(project.folder, "config", "user.name", "Grace")
    git(project.folder, "config", "user.email", "grace@example.org")
    workspace = project.open("T1")
    (workspace.folder / "a.txt").write_text("a")
    workspace.commit_leftovers({})
    assert git(workspace.folder, "log", "-1", "--format=%an <%ae>") == "Grace <grace@example.org>"


def test_hooks_do_not_run(project: Project) -> None:
    hooks = project.folder / ".git" / "hooks"
    hooks.mkdir()
    for name in (
        "pre-commit",
        "commit-msg",
        "post-checkout",
        "reference-transaction",
        "post-commit",
        "pre-merge-commit",
    ):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {project.folder}/ran-{name}\nexit 1\n")
        (hooks / name).chmod(0o755)
    workspace = project.open("T1")
    (workspace.folder / "a.txt").write_text("a")
    workspace.commit_leftovers({})
    assert isinstance(integrate(workspace, "T1"), Integrated)
    assert list(project.folder.glob("ran-*")) == []


def test_a_git_folder_of_another_repository_in_the_environment_changes_nothing(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_project(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other.folder / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.folder / ".git" / "index"))
    workspace = project.open("T1")
    monkeypatch.delenv("GIT_DIR")
    monkeypatch.delenv("GIT_INDEX_FILE")
    assert git(project.folder, "rev-parse", workspace.branch) == project.base
    assert git(other.folder, "branch", "--list", "to/*") == ""


@pytest.mark.parametrize(
    "task", ["@babel/core", "a..b", "yarn.lock", "größe", "a:b", "x" * 200, "日" * 200, "a~b"]
)
def test_every_id_is_a_branch(project: Project, task: str) -> None:
    workspace = project.open(task)
    (workspace.folder / "a.txt").write_text(task)
    workspace.commit_leftovers({})
    assert isinstance(integrate(workspace, task), Integrated)


@pytest.mark.parametrize("task", ["../x", "", "-x", "a b", "%41", ".", "x\n"])
def test_what_is_no_id_changes_nothing(project: Project, task: str) -> None:
    with pytest.raises(errors.InvalidId):
        project.open(task)
    assert not (project.folder / ".taskorchestrator").exists()


def test_eight_are_opened_at_once(project: Project) -> None:
    failed: list[BaseException] = []

    def work(task: str) -> None:
        try:
            workspace = project.open(task)
            (workspace.folder / f"{task}.txt").write_text(task)
            workspace.commit_leftovers({})
            assert isinstance(integrate(workspace, task), Integrated)
        except BaseException as error:
            failed.append(error)

    threads = [Thread(target=work, args=(f"T{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert project.files() == {
        "notes.txt": NOTES.strip(),
        **{f"T{number}.txt": f"T{number}" for number in range(8)},
    }


def test_no_commits_are_nothing_to_do(project: Project) -> None:
    assert integrate(project.open("T1"), "T1") == NothingToDo()


def test_integrated_twice_is_integrated_once(project: Project) -> None:
    workspace = project.open("T1")
    (workspace.folder / "a.txt").write_text("a")
    workspace.commit_leftovers({})
    first = integrate(workspace, "T1", {"Attempt": "1"})
    assert integrate(workspace, "T1", {"Attempt": "1"}) == first
    assert git(project.folder, "rev-list", "--count", "--merges", "to/auth/integration") == "1"


def test_a_conflict_is_named_brought_and_resolved(project: Project) -> None:
    first, second = project.open("T1"), project.open("T2")
    for workspace, word in ((first, "ONE"), (second, "EINS")):
        (workspace.folder / "notes.txt").write_text(NOTES.replace("one", word))
        workspace.commit_leftovers({})
    assert isinstance(integrate(first, "T1"), Integrated)
    before = project.files()
    assert integrate(second, "T2") == Conflict(files=("notes.txt",))
    assert project.files() == before
    assert bring_conflict(second) == Conflict(files=("notes.txt",))
    assert "<<<<<<<" in (second.folder / "notes.txt").read_text()
    assert second.commit_leftovers({}) == Conflict(files=("notes.txt",))
    assert bring_conflict(second) == Conflict(files=("notes.txt",))
    (second.folder / "notes.txt").write_text(NOTES.replace("one", "ONE, EINS"))
    assert isinstance(second.commit_leftovers({"Attempt": "2"}), str)
    assert isinstance(integrate(second, "T2"), Integrated)
    assert project.files()["notes.txt"] == "ONE, EINS\ntwo\nthree"
    assert second.changed_files() == ("notes.txt",)


def test_find_refuses_a_folder_that_is_in_no_repository(tmp_path: Path) -> None:
    with pytest.raises(errors.NotARepository, match="git init"):
        find(tmp_path)
    with pytest.raises(errors.NotARepository, match="no such folder"):
        find(tmp_path / "gone")


def test_a_project_below_the_top_finds_its_folder(project: Project) -> None:
    inner = project.folder / "services" / "api"
    inner.mkdir(parents=True)
    (inner / "app.py").write_text("app")
    git(project.folder, "add", "--all")
    git(project.folder, "commit", "--quiet", "-m", "app")
    repository = find(inner)
    place = inner / "worktrees" / "T1"
    workspace = open_workspace(repository, "auth", "T1", base="HEAD", folder=place)
    assert workspace.project == place / "services" / "api"
    assert (workspace.project / "app.py").read_text() == "app"


def test_gates_of_a_feature_see_all_that_is_integrated(project: Project) -> None:
    place = project.place("@testing")
    for number in (1, 2):
        workspace = project.open(f"T{number}")
        (workspace.folder / f"{number}.txt").write_text("x")
        workspace.commit_leftovers({})
        integrate(workspace, "T")
        folder = open_integration(project.repository, "auth", base=project.base, folder=place)
        assert len(list(folder.glob("?.txt"))) == number
        (folder / "notes.txt").write_text("a gate changed it")
        (folder / "dropped.txt").write_text("by a gate")
    folder = open_integration(project.repository, "auth", base=project.base, folder=place)
    assert (folder / "notes.txt").read_text() == NOTES
    assert not (folder / "dropped.txt").exists()


def test_another_host_that_is_first_costs_a_second_merge(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the lock of this host: as if each thread were on another one."""
    monkeypatch.setattr(Repository, "lock_feature", lambda *_: nullcontext(0))
    workspaces = [project.open(f"T{number}") for number in range(6)]
    for workspace in workspaces:
        (workspace.folder / f"{workspace.task}.txt").write_text("x")
        workspace.commit_leftovers({})
    done: list[object] = []
    threads = [Thread(target=lambda one=one: done.append(integrate(one, one.task))) for one in workspaces]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [type(one) for one in done] == [Integrated] * 6
    assert len(project.files()) == 7


def test_a_merge_is_made_anew_if_another_was_first(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = project.open("T1"), project.open("T2")
    for workspace in (first, second):
        (workspace.folder / f"{workspace.task}.txt").write_text("x")
        workspace.commit_leftovers({})
    move, waiting = Repository.move, [first]

    def beaten(self: Repository, ref: str, to: str, old: str | None) -> bool:
        if waiting:
            integrate_before_us = waiting.pop()
            monkeypatch.setattr(Repository, "lock_feature", lambda *_: nullcontext(0))
            assert isinstance(integrate(integrate_before_us, "T1"), Integrated)
        return move(self, ref, to, old)

    monkeypatch.setattr(Repository, "move", beaten)
    assert isinstance(integrate(second, "T2"), Integrated)
    assert set(project.files()) == {"notes.txt", "T1.txt", "T2.txt"}
