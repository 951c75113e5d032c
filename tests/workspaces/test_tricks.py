"""What an agent may do to a worktree and its repository so that we see, run or merge something else."""

from __future__ import annotations

import pytest

from orchestrator.model import errors
from orchestrator.workspaces import Conflict, bring_conflict, integrate, protected_changes
from tests.workspaces.conftest import NOTES, Project, git


@pytest.mark.parametrize("mark", ["--skip-worktree", "--assume-unchanged"])
def test_a_change_that_git_was_told_not_to_see_is_seen(project: Project, mark: str) -> None:
    """A change in a file that `agent.protect` names goes to a person, also one that git was told not to see."""
    workspace = project.open("T1")
    git(workspace.folder, "update-index", mark, "notes.txt")
    (workspace.folder / "notes.txt").write_text("changed\n")
    assert workspace.commit_leftovers({})
    assert protected_changes(workspace, ["notes.txt"]) == ("notes.txt",)


def test_what_a_sparse_checkout_leaves_out_is_not_removed(project: Project) -> None:
    workspace = project.open("T1")
    git(workspace.folder, "sparse-checkout", "set", "--no-cone", "/new.txt")
    assert not (workspace.folder / "notes.txt").exists()
    (workspace.folder / "new.txt").write_text("new")
    workspace.commit_leftovers({})
    assert project.files(workspace.branch) == {"new.txt": "new", "notes.txt": NOTES.rstrip()}


def test_a_filter_of_the_repository_gets_no_key_of_the_worker(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Filters that its configuration names (git-lfs) it runs, without the keys of the worker."""
    found = project.folder.parent / "environment"
    monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", "redis://:secret@localhost")
    monkeypatch.setenv("GIT_TRACE_SETUP", "0")
    workspace = project.open("T1")
    git(workspace.folder, "config", "filter.mine.clean", f"env > {found}; cat")
    (workspace.folder / ".gitattributes").write_text("*.txt filter=mine\n")
    (workspace.folder / "a.txt").write_text("a")
    workspace.commit_leftovers({})
    assert "GIT_TRACE_SETUP=0" in found.read_text()
    assert "secret" not in found.read_text()


def test_work_on_a_branch_without_a_commit_is_refused_and_stays(project: Project) -> None:
    workspace = project.open("T1")
    git(workspace.folder, "checkout", "--quiet", "--orphan", "empty")
    (workspace.folder / "a.txt").write_text("a")
    with pytest.raises(errors.StrayedWorkspace, match="empty, which has no commit"):
        workspace.commit_leftovers({})
    assert (workspace.folder / "a.txt").read_text() == "a"


def test_a_link_above_protected_files_is_protected(project: Project) -> None:
    """A change in a protected file goes to a person, and a link in the place of its folder."""
    workspace = project.open("T1")
    (workspace.folder / "tests").symlink_to("mine")
    workspace.commit_leftovers({})
    assert protected_changes(workspace, ["tests/acceptance/**"]) == ("tests",)
    assert protected_changes(workspace, ["tests/*/a.py", "Tests/b.py"]) == ("tests",)
    assert protected_changes(workspace, ["conftest.py", "**/conf.py", "testsuite/**"]) == ()


def test_a_commit_that_was_put_in_the_place_of_another_changes_nothing(project: Project) -> None:
    workspace = project.open("T1")
    (workspace.folder / "notes.txt").write_text("judge\n")
    workspace.commit_leftovers({})
    git(project.folder, "replace", workspace.tip(), project.base)
    assert protected_changes(workspace, ["notes.txt"]) == ("notes.txt",)


def test_a_tag_called_as_the_integration_branch_is_not_merged(project: Project) -> None:
    workspace, other = project.open("T1"), project.open("T2")
    git(project.folder, "tag", "to/auth/integration", project.base)
    for each, text in ((other, "theirs\n"), (workspace, "ours\n")):
        (each.folder / "notes.txt").write_text(text)
        each.commit_leftovers({})
    integrate(other, "T2")
    assert bring_conflict(workspace) == Conflict(files=("notes.txt",))
