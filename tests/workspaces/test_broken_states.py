"""Half-made, damaged and strayed workspaces: each is mended or refused, and nothing is lost."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from orchestrator.model import errors
from orchestrator.workspaces import Integrated, Workspace, bring_conflict, integrate, remove, stale_locks
from orchestrator.workspaces import git as runner
from orchestrator.workspaces import repository as repositories
from tests.waiting import wait_until
from tests.workspaces.conftest import NOTES, Project, git


def own_folder(workspace: Workspace) -> Path:
    return Path(git(workspace.folder, "rev-parse", "--absolute-git-dir"))


def age(file: Path) -> None:
    then = time.time() - 2 * stale_locks.OLD
    os.utime(file, (then, then))


def commit(workspace: Workspace, name: str, text: str = "x") -> str:
    """Commit a file as an agent does."""
    (workspace.folder / name).write_text(text)
    git(workspace.folder, "add", "--all")
    git(workspace.folder, "commit", "--quiet", "-m", name)
    return git(workspace.folder, "rev-parse", "HEAD")


def is_reachable(project: Project, sha: str) -> bool:
    return bool(git(project.folder, "for-each-ref", "--contains", sha))


def half_made(project: Project, *, locked: bool, with_dot_git: bool) -> Path:
    """What a killed `git worktree add` leaves."""
    folder = project.place("T1")
    git(project.folder, "branch", "to/auth/integration", project.base)
    git(project.folder, "branch", "to/auth/t/T1", project.base)
    git(project.folder, "worktree", "add", "--quiet", "--no-checkout", str(folder), "to/auth/t/T1")
    if locked:
        git(project.folder, "worktree", "lock", "--reason", "initializing", str(folder))
    if not with_dot_git:
        (folder / ".git").unlink()
    return folder


@pytest.mark.parametrize("locked", [True, False])
@pytest.mark.parametrize("with_dot_git", [True, False])
def test_killed_while_it_was_added(project: Project, locked: bool, with_dot_git: bool) -> None:
    folder = half_made(project, locked=locked, with_dot_git=with_dot_git)
    (folder / "notes.txt").write_text("on")  # half of a file
    workspace = project.open("T1")
    assert (folder / "notes.txt").read_text() == NOTES
    assert workspace.uncommitted() == ()
    assert "locked" not in git(project.folder, "worktree", "list", "--porcelain")


@pytest.mark.parametrize("left", ["HEAD of no commit", "no HEAD", "no commondir", "empty commondir"])
def test_killed_before_anything_was_checked_out(project: Project, left: str) -> None:
    folder = half_made(project, locked=True, with_dot_git=True)
    own = project.folder / ".git" / "worktrees" / "T1"
    if left == "HEAD of no commit":
        (own / "HEAD").write_text("0" * 40 + "\n")
    elif left == "empty commondir":
        (own / "commondir").write_text("")
    else:
        (own / left.removeprefix("no ")).unlink()
    assert (project.open("T1").folder / "notes.txt").read_text() == NOTES
    assert list(folder.parent.glob("*.aside-*")) == []


def test_killed_while_files_were_written_with_a_lock_left(project: Project) -> None:
    folder = half_made(project, locked=False, with_dot_git=True)
    lock = project.folder / ".git" / "worktrees" / "T1" / "index.lock"
    lock.write_bytes(b"")
    age(lock)
    assert (project.open("T1").folder / "notes.txt").read_text() == NOTES
    assert folder.is_dir()


def test_killed_after_the_branch_was_made(project: Project) -> None:
    git(project.folder, "branch", "to/auth/t/T1", project.base)
    assert project.open("T1").tip() == project.base


def test_a_stale_lock_is_moved_aside(project: Project) -> None:
    workspace = project.open("T1")
    (workspace.folder / "a.txt").write_text("a")
    lock = own_folder(workspace) / "index.lock"
    lock.write_bytes(b"what was in it")
    age(lock)
    assert workspace.commit_leftovers({})
    (aside,) = lock.parent.glob("stale-locks/index.lock-*")
    assert aside.read_bytes() == b"what was in it"


def test_a_stale_lock_of_a_branch_is_moved_aside(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = project.open("T1")
    commit(workspace, "a.txt")
    lock = project.folder / ".git" / "refs" / "heads" / "to" / "auth" / "integration.lock"
    lock.write_bytes(b"")
    age(lock)
    monkeypatch.setitem(runner.SETTINGS, "core.filesRefLockTimeout", "0")
    assert isinstance(integrate(workspace, "T1"), Integrated)
    assert git(project.folder, "fsck") == ""  # nothing that lies there now is taken for a ref
    git(project.folder, "rev-list", "--all")


def test_a_young_lock_is_waited_for(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = project.open("T1")
    (workspace.folder / "a.txt").write_text("a")
    lock = own_folder(workspace) / "index.lock"
    lock.write_bytes(b"")
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        lock.unlink()

    monkeypatch.setattr(time, "sleep", pause)
    assert workspace.commit_leftovers({})
    assert pauses
    assert not list(lock.parent.glob("stale-locks/*"))


def test_an_old_lock_of_a_git_that_runs_is_not_touched(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = project.open("T1")
    (workspace.folder / "a.txt").write_text("a")
    lock = own_folder(workspace) / "index.lock"
    lock.write_bytes(b"")
    age(lock)
    running = subprocess.Popen(["git", "hash-object", "--stdin"], cwd=workspace.folder, stdin=subprocess.PIPE)
    monkeypatch.setattr(stale_locks, "PATIENCE", 0.2)
    try:
        with pytest.raises(errors.RepositoryBusy, match=rf"git \(process {running.pid}\)"):
            workspace.commit_leftovers({})
    finally:
        running.kill()
        running.communicate()
    assert lock.exists()
    assert workspace.commit_leftovers({})


def test_a_git_that_has_ended_holds_no_lock(project: Project) -> None:
    workspace = project.open("T1")
    (workspace.folder / "a.txt").write_text("a")
    lock = own_folder(workspace) / "index.lock"
    lock.write_bytes(b"")
    age(lock)
    ended = subprocess.Popen(["git", "version"], cwd=workspace.folder, stdout=subprocess.PIPE)
    assert ended.stdout
    ended.stdout.read()
    wait_until(lambda: psutil.Process(ended.pid).status() == psutil.STATUS_ZOMBIE)
    assert workspace.commit_leftovers({})
    ended.communicate()


def test_a_folder_that_a_person_deleted_comes_back_with_its_commits(project: Project) -> None:
    workspace = project.open("T1")
    mine = commit(workspace, "mine.txt")
    shutil.rmtree(workspace.folder)
    again = project.open("T1")
    assert again.tip() == mine
    assert (again.folder / "mine.txt").exists()


def test_a_deleted_folder_with_a_detached_head_loses_no_commit(project: Project) -> None:
    workspace = project.open("T1")
    git(workspace.folder, "switch", "--quiet", "--detach")
    mine = commit(workspace, "mine.txt")
    shutil.rmtree(workspace.folder)
    project.open("T1")
    assert is_reachable(project, mine)


def test_only_the_own_registration_is_taken_off_the_list(project: Project, tmp_path: Path) -> None:
    theirs = tmp_path / "disk" / "theirs"
    git(project.folder, "worktree", "add", "--quiet", "-b", "theirs", str(theirs))
    theirs.parent.rename(tmp_path / "unplugged")
    workspace = project.open("T1")
    shutil.rmtree(workspace.folder)
    project.open("T1")
    (tmp_path / "unplugged").rename(theirs.parent)
    assert git(theirs, "status", "--porcelain") == ""


def test_what_lies_in_the_way_is_moved_aside(project: Project) -> None:
    folder = project.place("T1")
    folder.mkdir(parents=True)
    (folder / "precious.txt").write_text("precious")
    workspace = project.open("T1")
    assert (workspace.folder / "notes.txt").exists()
    (aside,) = folder.parent.glob("T1.aside-*")
    assert (aside / "precious.txt").read_text() == "precious"


def test_a_deleted_integration_branch_comes_back_as_it_was(project: Project) -> None:
    workspace = project.open("T1")
    commit(workspace, "a.txt")
    merged = integrate(workspace, "T1")
    assert isinstance(merged, Integrated)
    git(project.folder, "branch", "-D", "to/auth/integration")
    project.open("T2")
    assert git(project.folder, "rev-parse", "to/auth/integration") == merged.commit


@pytest.mark.parametrize("is_known", [True, False])
def test_a_deleted_branch_comes_back_as_it_was(project: Project, is_known: bool) -> None:
    workspace = project.open("T1")
    mine = commit(workspace, "a.txt")
    if is_known:
        workspace.commit_leftovers({})
    git(project.folder, "update-ref", "-d", "refs/heads/to/auth/t/T1")
    (workspace.folder / "b.txt").write_text("b")
    again = project.open("T1")
    assert again.tip() == mine
    assert again.uncommitted() == ("b.txt",)


def test_a_deleted_branch_and_folder_come_back_as_we_knew_them(project: Project) -> None:
    workspace = project.open("T1")
    mine = commit(workspace, "a.txt")
    workspace.commit_leftovers({})
    git(project.folder, "worktree", "remove", "--force", str(workspace.folder))
    git(project.folder, "branch", "-D", "to/auth/t/T1")
    assert project.open("T1").tip() == mine


@pytest.mark.parametrize("switch", [["--detach"], ["-c", "fix/login"]])
def test_work_on_another_branch_that_continues_ours_is_taken_over(
    project: Project, switch: list[str]
) -> None:
    workspace = project.open("T1")
    git(workspace.folder, "switch", "--quiet", *switch)
    theirs = commit(workspace, "a.txt")
    (workspace.folder / "b.txt").write_text("b")
    made = workspace.commit_leftovers({})
    assert git(workspace.folder, "symbolic-ref", "HEAD") == workspace.ref
    assert git(project.folder, "rev-parse", f"{made}^") == theirs
    assert isinstance(integrate(workspace, "T1"), Integrated)
    assert set(project.files()) == {"notes.txt", "a.txt", "b.txt"}


def test_work_on_a_branch_that_does_not_continue_ours_is_kept_and_refused(project: Project) -> None:
    git(project.folder, "branch", "theirs")
    workspace = project.open("T1")
    mine = commit(workspace, "a.txt")
    git(workspace.folder, "switch", "--quiet", "theirs")
    (workspace.folder / "b.txt").write_text("b")
    with pytest.raises(errors.StrayedWorkspace, match="it is on theirs") as caught:
        workspace.commit_leftovers({})
    assert git(project.folder, "rev-parse", "theirs") == project.base, "a person's branch does not move"
    assert git(project.folder, "show", f"{caught.value.kept}:b.txt") == "b"
    assert (workspace.folder / "b.txt").read_text() == "b"
    assert workspace.tip() == mine


def test_a_rebase_under_way_is_refused(project: Project) -> None:
    workspace = project.open("T1")
    commit(workspace, "notes.txt", "mine")
    other = project.open("T2")
    commit(other, "notes.txt", "theirs")
    integrate(other, "T2")
    with pytest.raises(AssertionError, match="conflict"):
        git(workspace.folder, "rebase", "to/auth/integration")
    tip = workspace.tip()
    with pytest.raises(errors.StrayedWorkspace, match="rebase"):
        workspace.commit_leftovers({})
    assert workspace.tip() == tip


def test_commits_of_ours_that_an_agent_rewrites_are_kept(project: Project) -> None:
    workspace = project.open("T1")
    (workspace.folder / "a.txt").write_text("a")
    made = workspace.commit_leftovers({})
    assert isinstance(made, str)
    git(workspace.folder, "reset", "--quiet", "--hard", project.base)
    commit(workspace, "b.txt")
    workspace.commit_leftovers({})
    integrate(workspace, "T1")
    remove(project.repository, workspace.feature, "T1")
    assert is_reachable(project, made)


def test_a_worktree_that_somebody_is_adding_is_waited_for(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = project.open("T1")
    commit(workspace, "a.txt")
    project.open("T2")
    half = project.folder / ".git" / "worktrees" / "T2" / "commondir"
    whole = half.read_text()
    half.write_text("")
    monkeypatch.setattr(time, "sleep", lambda _: half.write_text(whole))
    assert isinstance(integrate(workspace, "T1"), Integrated)


@pytest.mark.parametrize("act", ["commit", "bring"])
@pytest.mark.parametrize("damage", ["no .git", "git init"])
def test_a_folder_that_left_the_repository_does_not_harm_the_project(
    project: Project, act: str, damage: str
) -> None:
    workspace = project.open("T1")
    (workspace.folder / ".git").unlink()
    (workspace.folder / "a.txt").write_text("a")
    if damage == "git init":
        git(workspace.folder, "init", "--quiet")
    with pytest.raises(errors.StrayedWorkspace, match="does not lead to the repository"):
        workspace.commit_leftovers({}) if act == "commit" else bring_conflict(workspace)
    assert git(project.folder, "status", "--porcelain") == ""
    assert git(project.folder, "branch", "--show-current") == "main"
    again = project.open("T1")
    assert again.uncommitted() == ()
    (aside,) = workspace.folder.parent.glob("T1.aside-*")
    assert (aside / "a.txt").read_text() == "a"


def test_a_lost_index_costs_no_file(project: Project) -> None:
    workspace = project.open("T1")
    (workspace.folder / "notes.txt").write_text("changed")
    (own_folder(workspace) / "index").unlink()
    again = project.open("T1")
    assert (again.folder / "notes.txt").read_text() == "changed"
    assert again.uncommitted() == ("notes.txt",)


def test_a_project_that_moved_takes_its_workspaces_along(project: Project, tmp_path: Path) -> None:
    workspace = project.open("T1")
    (workspace.folder / "a.txt").write_text("a")
    project.folder.rename(tmp_path / "moved")
    moved = Project(repositories.find(tmp_path / "moved"), project.base)
    again = moved.open("T1")
    assert again.uncommitted() == ("a.txt",)
    assert again.commit_leftovers({})


def test_a_branch_that_is_checked_out_elsewhere_is_left_alone(project: Project, tmp_path: Path) -> None:
    git(project.folder, "worktree", "add", "--quiet", "-b", "to/auth/t/T1", str(tmp_path / "elsewhere"))
    with pytest.raises(errors.BranchCheckedOut, match=str(tmp_path / "elsewhere")):
        project.open("T1")


def test_an_integration_branch_that_is_checked_out_is_left_alone(project: Project, tmp_path: Path) -> None:
    workspace = project.open("T1")
    commit(workspace, "a.txt")
    git(project.folder, "worktree", "add", "--quiet", str(tmp_path / "elsewhere"), "to/auth/integration")
    with pytest.raises(errors.BranchCheckedOut, match="switch --detach"):
        integrate(workspace, "T1")
    git(tmp_path / "elsewhere", "switch", "--quiet", "--detach")
    assert isinstance(integrate(workspace, "T1"), Integrated)


def test_a_repository_in_the_folder_is_left_out(project: Project) -> None:
    workspace = project.open("T1")
    inner = workspace.folder / "lib [x]" / "cloned"
    inner.mkdir(parents=True)
    git(inner, "init", "--quiet")
    (inner / "a.txt").write_text("a")
    git(inner, "add", "--all")
    git(inner, "commit", "--quiet", "-m", "inner")
    (workspace.folder / "b.txt").write_text("b")
    assert workspace.commit_leftovers({})
    assert workspace.changed_files() == ("b.txt",)
    assert workspace.uncommitted() == ("lib [x]/cloned/",)


def test_a_worker_that_is_killed_while_it_opens(project: Project) -> None:
    """Killed at any moment: the next one gets a whole workspace."""
    for number in range(40):
        (project.folder / f"{number}.txt").write_text("x" * 50_000)
    git(project.folder, "add", "--all")
    git(project.folder, "commit", "--quiet", "-m", "files")
    whole = Project(project.repository, project.repository.resolve("main"))
    for number in range(10):
        task = f"T{number}"
        _kill_while_it_opens(whole, task, after=number * 0.005, with_its_gits=bool(number % 2))
        for lock in (project.folder / ".git").rglob("*.lock"):
            age(lock)
        workspace = whole.open(task)
        assert workspace.uncommitted() == ()
        assert len(list(workspace.folder.glob("*.txt"))) == 41


def _kill_while_it_opens(project: Project, task: str, *, after: float, with_its_gits: bool) -> None:
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        project.open(task)
        os._exit(0)
    time.sleep(after)  # any moment will do
    with contextlib.suppress(ProcessLookupError):  # it has no group of its own yet
        os.killpg(child, signal.SIGKILL) if with_its_gits else None
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
