"""No conflict is dropped silently, whatever kind it is and whoever commits it."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.workspaces import Conflict, Integrated, Workspace, bring_conflict, integrate
from tests.workspaces.conftest import NOTES, Project, git

LETTER = b"\x00\x01 not text"


def write(workspace: Workspace, name: str, content: bytes | None) -> None:
    """Write a file, or remove it, and commit that."""
    path = workspace.folder / name
    path.unlink(missing_ok=True) if content is None else path.write_bytes(content)
    workspace.commit_leftovers({})


def collide(project: Project, name: str, ours: bytes | None, theirs: bytes | None) -> Workspace:
    """Two tasks change one file; the first is integrated, the second has the conflict in its worktree."""
    second, first = project.open("T2"), project.open("T1")
    write(first, name, theirs)
    assert isinstance(integrate(first, "T1"), Integrated)
    write(second, name, ours)
    assert integrate(second, "T2") == Conflict(files=(name,))
    assert bring_conflict(second) == Conflict(files=(name,))
    return second


def settle(workspace: Workspace) -> None:
    assert isinstance(workspace.commit_leftovers({}), str)
    assert isinstance(integrate(workspace, "T2"), Integrated)


BINARY = (b"\x00ours", b"\x00theirs")


@pytest.fixture
def with_binary(project: Project) -> Project:
    first = project.open("T0")
    write(first, "logo.bin", LETTER)
    write(first, "fixed.lock", b"one\n")
    write(first, ".gitattributes", b"*.lock -merge\n")
    assert isinstance(integrate(first, "T0"), Integrated)
    return project


@pytest.mark.parametrize(
    ("name", "ours", "theirs"),
    [
        ("logo.bin", *BINARY),
        ("fixed.lock", b"ours\n", b"theirs\n"),
        ("notes.txt", None, b"changed\n"),
        ("notes.txt", b"changed\n", None),
        ("new.bin", *BINARY),
    ],
    ids=["binary", "attribute", "removed here", "removed there", "added twice"],
)
@pytest.mark.parametrize("decision", ["add", "change", "remove"])
def test_a_conflict_without_markers_needs_a_decision(
    with_binary: Project, name: str, ours: bytes | None, theirs: bytes | None, decision: str
) -> None:
    workspace = collide(with_binary, name, ours, theirs)
    assert workspace.commit_leftovers({}) == Conflict(files=(name,))
    path = workspace.folder / name
    if decision == "add":
        git(workspace.folder, "add", name)
    elif decision == "change":
        path.write_bytes(b"\x00both")
    else:
        path.unlink()
    before = path.read_bytes() if path.exists() else None
    settle(workspace)
    assert (path.read_bytes() if path.exists() else None) == before


def test_one_side_of_a_text_is_a_decision_too(project: Project) -> None:
    workspace = collide(project, "notes.txt", b"ours\n", b"theirs\n")
    (workspace.folder / "notes.txt").write_bytes(b"ours\n")
    settle(workspace)
    assert project.files()["notes.txt"] == "ours"


def test_markers_that_were_added_are_a_conflict_still(project: Project) -> None:
    workspace = collide(project, "notes.txt", b"ours\n", b"theirs\n")
    git(workspace.folder, "add", "--all")
    assert workspace.commit_leftovers({}) == Conflict(files=("notes.txt",))


def test_markers_that_the_agent_committed_are_a_conflict_still(project: Project) -> None:
    workspace = collide(project, "notes.txt", b"ours\n", b"theirs\n")
    git(workspace.folder, "add", "--all")
    git(workspace.folder, "commit", "--quiet", "-m", "done!")
    assert workspace.commit_leftovers({}) is None
    assert integrate(workspace, "T2") == Conflict(files=("notes.txt",))
    assert bring_conflict(workspace) == Conflict(files=("notes.txt",))
    (workspace.folder / "notes.txt").write_text("both\n")
    settle(workspace)


def test_a_text_about_conflicts_is_none(project: Project) -> None:
    text = "<<<<<<< HEAD\none\n=======\ntwo\n>>>>>>> theirs\n"
    first, second = project.open("T1"), project.open("T2")
    write(first, "about.md", (text + NOTES).encode())
    assert isinstance(integrate(first, "T1"), Integrated)
    write(second, "about.md", (text + "other\n").encode())
    assert integrate(second, "T2") == Conflict(files=("about.md",))
    bring_conflict(second)
    (second.folder / "about.md").write_text(text + NOTES + "other\n")
    settle(second)


def test_a_folder_that_was_divided_is_a_conflict_though_no_file_is(project: Project) -> None:
    start = project.open("T0")
    for name in "abcd":
        (start.folder / "all").mkdir(exist_ok=True)
        (start.folder / "all" / name).write_text("".join(f"{name}{line}\n" for line in range(20)))
    start.commit_leftovers({})
    integrate(start, "T0")
    first, second = project.open("T1"), project.open("T2")
    for folder, moved in (("one", "ab"), ("two", "cd")):
        (first.folder / folder).mkdir()
        for name in moved:
            (first.folder / "all" / name).rename(first.folder / folder / name)
    first.commit_leftovers({})
    assert isinstance(integrate(first, "T1"), Integrated)
    write(second, "all/new", b"new\n")
    assert integrate(second, "T2") == Conflict(files=("all",))
    assert bring_conflict(second) == Conflict(files=("all",))
    (second.folder / "all" / "new").rename(second.folder / "one" / "new")
    settle(second)


def test_a_merge_that_is_given_up_is_a_conflict_still(project: Project) -> None:
    workspace = collide(project, "notes.txt", b"ours\n", b"theirs\n")
    git(workspace.folder, "merge", "--abort")
    assert integrate(workspace, "T2") == Conflict(files=("notes.txt",))


def test_a_second_attempt_finds_the_merge_as_it_stands(project: Project) -> None:
    workspace = collide(project, "notes.txt", b"ours\n", b"theirs\n")
    again = project.open("T2")
    assert "<<<<<<<" in (again.folder / "notes.txt").read_text()
    assert bring_conflict(again) == bring_conflict(workspace) == Conflict(files=("notes.txt",))


def test_nothing_to_bring_is_merged(project: Project) -> None:
    second, first = project.open("T2"), project.open("T1")
    write(first, "a.txt", b"a")
    integrate(first, "T1")
    write(second, "b.txt", b"b")
    assert bring_conflict(second) is None
    assert (second.folder / "a.txt").exists()
    assert second.changed_files() == ("b.txt",), "the other task's file is no change of this one"
    assert bring_conflict(second) is None
    assert isinstance(integrate(second, "T2"), Integrated)


@pytest.mark.parametrize("name", ["a b.txt", "größe.txt", 'quo"te', "new\nline", "-dash", ":(top)x"])
def test_names_of_files_are_told_as_they_are(project: Project, name: str) -> None:
    workspace = collide(project, name, b"ours\n", b"theirs\n")
    (workspace.folder / name).write_text("both\n")
    settle(workspace)
    assert workspace.changed_files() == (name,)


def test_a_name_that_is_no_text_is_shown_as_text(project: Project) -> None:
    workspace = project.open("T1")
    name = b"caf\xe9.txt"
    (Path(__import__("os").fsdecode(bytes(workspace.folder) + b"/" + name))).write_text("x")
    workspace.commit_leftovers({})
    assert workspace.changed_files() == ("caf\\xe9.txt",)


def test_another_error_is_no_conflict(project: Project, tmp_path: Path) -> None:
    from orchestrator.model import errors

    workspace = project.open("T1")
    git(workspace.folder, "checkout", "--quiet", "--orphan", "other")
    git(workspace.folder, "commit", "--quiet", "-m", "unrelated")
    unrelated = git(workspace.folder, "rev-parse", "HEAD")
    git(workspace.folder, "switch", "--quiet", "-C", "to/auth/t/T1", unrelated)
    with pytest.raises(errors.GitFailed, match="unrelated histories"):
        integrate(workspace, "T1")
