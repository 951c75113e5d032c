"""What protects, delivers and removes."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from orchestrator.model import errors
from orchestrator.workspaces import (
    Delivered,
    Integrated,
    Workspace,
    clean_up,
    deliver,
    integrate,
    leftovers,
    protected_changes,
    remove,
)
from orchestrator.workspaces.git import check_version
from tests.workspaces.conftest import FEATURE, Project, git

WEEK = 7 * 86_400.0


def done(project: Project, task: str = "T1") -> Workspace:
    """A task that is integrated."""
    workspace = project.open(task)
    (workspace.folder / f"{task}.txt").write_text(task)
    workspace.commit_leftovers({})
    assert isinstance(integrate(workspace, task), Integrated)
    return workspace


def branches(project: Project) -> set[str]:
    return set(git(project.folder, "for-each-ref", "--format=%(refname:short)", "refs/heads/to/").split())


def test_protected_files_are_found_when_added_changed_renamed_and_removed(project: Project) -> None:
    first = project.open("T0")
    for name in ("ci/run.sh", "ci/move.sh", "ci/gone.sh", "free.txt"):
        (first.folder / name).parent.mkdir(exist_ok=True)
        (first.folder / name).write_text(f"a longer text, that git sees as renamed: {name}\n" * 5)
    first.commit_leftovers({})
    assert protected_changes(first, ["ci/**"]) == ("ci/gone.sh", "ci/move.sh", "ci/run.sh")
    integrate(first, "T0")
    workspace = project.open("T1")
    (workspace.folder / "ci/run.sh").chmod(0o755)
    (workspace.folder / "ci/move.sh").rename(workspace.folder / "moved.sh")
    (workspace.folder / "ci/gone.sh").unlink()
    (workspace.folder / "free.txt").write_text("free")
    workspace.commit_leftovers({})
    for _ in range(2):  # before and after it is integrated
        assert protected_changes(workspace, ["ci/**"]) == ("ci/gone.sh", "ci/move.sh", "ci/run.sh")
        assert protected_changes(workspace, ["moved.sh"]) == ("moved.sh",)
        assert protected_changes(workspace, ["src/**"]) == ()
        integrate(workspace, "T1")


def test_a_folder_that_a_link_replaces_is_protected(project: Project) -> None:
    workspace = project.open("T1")
    (workspace.folder / "ci").symlink_to("elsewhere")
    workspace.commit_leftovers({})
    assert protected_changes(workspace, ["ci/**"]) == ("ci",)


def test_a_diff_is_cut_and_says_so(project: Project) -> None:
    workspace = done(project)
    assert "+T1" in workspace.diff()
    assert workspace.diff(10).startswith(workspace.diff()[:10])
    assert workspace.diff(10).endswith(f"{len(workspace.diff()) - 10} characters more\n")


def test_commands_of_the_configuration_do_not_run(project: Project) -> None:
    marks = project.folder.parent / "ran"
    for name in (
        "core.fsmonitor",
        "diff.external",
        "diff.x.textconv",
        "gpg.program",
        "core.editor",
        "core.pager",
    ):
        git(project.folder, "config", name, f"sh -c 'touch {marks}; exit 1'")
    git(project.folder, "config", "commit.gpgSign", "true")
    git(project.folder, "config", "core.safecrlf", "true")
    workspace = project.open("T1")
    (workspace.folder / ".gitattributes").write_text("*.txt diff=x\n")
    (workspace.folder / "crlf.txt").write_bytes(b"a\r\nb\n")
    workspace.commit_leftovers({})
    assert workspace.diff()
    assert isinstance(integrate(workspace, "T1"), Integrated)
    assert not marks.exists()


def test_a_branch_is_delivered_by_its_name(project: Project) -> None:
    done(project)
    tip = project.repository.resolve("to/auth/integration")
    assert deliver(project.repository, FEATURE, "branch") == Delivered(
        branch="to/auth/integration", commit=tip
    )


def test_the_base_moves_forward(project: Project) -> None:
    done(project)
    git(project.folder, "switch", "--quiet", "--detach")
    tip = project.repository.resolve("to/auth/integration")
    for _ in range(2):
        assert deliver(project.repository, FEATURE, "fast-forward") == Delivered(branch="main", commit=tip)
        assert project.repository.resolve("main") == tip


@pytest.mark.parametrize("case", ["checked out", "other commits", "no branch"])
def test_the_base_is_left_where_it_cannot_move_forward(project: Project, case: str) -> None:
    done(project)
    base = "main"
    if case != "checked out":
        git(project.folder, "switch", "--quiet", "--detach")
    if case == "other commits":
        git(project.folder, "commit", "--quiet", "--allow-empty", "-m", "other")
        git(project.folder, "branch", "--force", "main")
    if case == "no branch":
        base = "trunk"
    before = git(project.folder, "for-each-ref")
    with pytest.raises(errors.CannotDeliver, match=case.replace("other commits", "has commits that")):
        deliver(project.repository, FEATURE, "fast-forward", base=base)
    assert git(project.folder, "for-each-ref") == before


def test_a_command_delivers(project: Project) -> None:
    done(project)
    code = 'echo "$ORCHESTRATOR_FEATURE $ORCHESTRATOR_BRANCH $ORCHESTRATOR_BASE" > told'
    deliver(project.repository, FEATURE, ["sh", "-c", code])
    assert (project.folder / "told").read_text() == "auth to/auth/integration main\n"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["sh", "-c", "echo no rights; exit 3"], "ended with 3: no rights"),
        (["no-such-command"], "cannot be run"),
        (["sleep", "60"], "was not done after 0.1 s"),
    ],
)
def test_a_command_that_does_not_deliver_is_an_error(
    project: Project, command: list[str], reason: str
) -> None:
    done(project)
    with pytest.raises(errors.CannotDeliver, match=reason):
        deliver(project.repository, FEATURE, command, patience=0.1 if command[0] == "sleep" else 60)


def test_a_feature_without_a_branch_cannot_be_delivered(project: Project) -> None:
    with pytest.raises(errors.NoSuchCommit):
        deliver(project.repository, "other", "branch")


def test_what_is_integrated_and_clean_is_removed(project: Project) -> None:
    workspace = done(project)
    for _ in range(2):
        remove(project.repository, FEATURE, "T1")
        assert not workspace.folder.exists()
        assert branches(project) == {"to/auth/integration"}
    assert set(project.files()) == {"notes.txt", "T1.txt"}
    assert git(project.folder, "for-each-ref", "refs/task-orchestrator/auth/t/") == ""


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("commits", "has commits that are not integrated"),
        ("changed", "T1.txt is not committed"),
        ("new", "new.txt is not committed"),
        ("detached", "only its HEAD has the commit"),
        ("locked", "it is locked: mine"),
        ("in use", r"sleep \(process \d+\) works there"),
        ("submodule", "submodule lib has commits that no remote has"),
        ("no .git", "does not lead to the repository"),
    ],
)
def test_what_is_the_only_copy_stays(project: Project, tmp_path: Path, case: str, reason: str) -> None:
    workspace = project.open("T1")
    if case == "submodule":
        _add_submodule(workspace, tmp_path / "lib")
    (workspace.folder / "T1.txt").write_text("T1")
    workspace.commit_leftovers({})
    integrate(workspace, "T1")
    folder = workspace.folder
    running = None
    match case:
        case "commits":
            (folder / "more.txt").write_text("more")
            workspace.commit_leftovers({})
        case "changed":
            (folder / "T1.txt").write_text("changed")
        case "new":
            (folder / "new.txt").write_text("new")
        case "detached":
            git(folder, "switch", "--quiet", "--detach")
            git(folder, "commit", "--quiet", "--allow-empty", "-m", "only here")
        case "locked":
            git(folder, "worktree", "lock", "--reason", "mine", str(folder))
        case "in use":
            running = subprocess.Popen(["sleep", "60"], cwd=folder)
        case "submodule":
            git(folder / "lib", "commit", "--quiet", "--allow-empty", "-m", "only here")
            git(folder, "commit", "--quiet", "--all", "-m", "newer lib")
            integrate(workspace, "T1")
        case "no .git":
            (folder / ".git").unlink()
    before = git(project.folder, "for-each-ref")
    try:
        with pytest.raises(errors.CannotRemove, match=reason):
            remove(project.repository, FEATURE, "T1")
        assert clean_up(project.repository, 0, lambda *_: True, now=time.time() + WEEK) == ()
    finally:
        if running:
            running.kill()
            running.wait()
    assert folder.exists()
    assert git(project.folder, "for-each-ref") == before


def _add_submodule(workspace: Workspace, source: Path) -> None:
    source.mkdir()
    git(source, "init", "--quiet")
    git(source, "commit", "--quiet", "--allow-empty", "-m", "lib")
    git(
        workspace.folder,
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        str(source),
        "lib",
    )


def test_a_workspace_with_a_submodule_is_removed(project: Project, tmp_path: Path) -> None:
    workspace = project.open("T1")
    _add_submodule(workspace, tmp_path / "lib")
    workspace.commit_leftovers({})
    integrate(workspace, "T1")
    remove(project.repository, FEATURE, "T1")
    assert not workspace.folder.exists()


def test_a_workspace_on_a_branch_of_the_agent_is_removed_and_the_branch_stays(project: Project) -> None:
    workspace = done(project)
    git(workspace.folder, "switch", "--quiet", "-c", "fix/login")
    git(workspace.folder, "commit", "--quiet", "--allow-empty", "-m", "an idea")
    remove(project.repository, FEATURE, "T1")
    assert not workspace.folder.exists()
    assert git(project.folder, "log", "-1", "--format=%s", "fix/login") == "an idea"


def test_a_deleted_folder_is_removed_from_the_list(project: Project) -> None:
    import shutil

    workspace = done(project)
    shutil.rmtree(workspace.folder)
    remove(project.repository, FEATURE, "T1")
    assert branches(project) == {"to/auth/integration"}
    assert len(project.repository.worktrees()) == 1


def test_cleaning_up_takes_only_what_is_old_over_and_delivered(project: Project) -> None:
    done(project, "T1")
    done(project, "T2")
    project.open("T3")
    now = time.time()
    assert clean_up(project.repository, WEEK, lambda *_: True, now=now + WEEK - 60) == ()
    removed = clean_up(project.repository, WEEK, lambda _, task: task == "T1", now=now + 2 * WEEK)
    assert [one.branch for one in removed] == ["to/auth/t/T1"]
    removed = clean_up(project.repository, WEEK, lambda *_: True, now=now + 2 * WEEK)
    assert {one.branch for one in removed} == {"to/auth/t/T2", "to/auth/t/T3"}
    assert branches(project) == {"to/auth/integration"}, "nothing else has its commits"
    git(project.folder, "merge", "--quiet", "to/auth/integration")
    clean_up(project.repository, WEEK, lambda *_: True, now=now + 2 * WEEK)
    assert branches(project) == set()
    assert git(project.folder, "for-each-ref", "refs/task-orchestrator") == ""


def test_leftovers_say_what_is_there(project: Project) -> None:
    assert leftovers(project.repository) == ()
    first, second = done(project, "T1"), project.open("größe")
    (second.folder / "big.bin").write_bytes(b"x" * 1_000_000)
    second.commit_leftovers({})
    found = {one.task: one for one in leftovers(project.repository)}
    assert set(found) == {"", "T1", "größe"}
    assert {one.feature for one in found.values()} == {"auth"}
    assert found["T1"].integrated
    assert not found["größe"].integrated
    assert not found[""].integrated
    assert found["T1"].folder == str(first.folder)
    assert 1_000_000 <= found["größe"].size < 1_100_000
    assert found["größe"].is_size_whole
    assert not leftovers(project.repository, entries=1)[-1].is_size_whole


def test_an_old_git_is_refused() -> None:
    with pytest.raises(errors.OldGit, match=r"git here is 2\.34\.1, and workspaces need 2\.38"):
        check_version("git version 2.34.1")
    check_version("git version 3.0.0-rc1")


def test_no_git_is_an_error_that_says_so(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(errors.NoGit, match="no `git` on the PATH"):
        project.open("T1")
