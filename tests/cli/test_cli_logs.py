"""How output is printed while it comes: into a pipe as it is, on a terminal line by line."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.cli.logs import Shown
from orchestrator.config.settings import Settings
from orchestrator.model.outcome import Completed
from orchestrator.model.progress import Tail, TaskState
from orchestrator.model.task import TaskStatus

ENDED = TaskState(
    id="T1", title="", specialist="", batch=1, attempt=1, status=TaskStatus.COMPLETED, resolved=True
)


class Elsewhere:
    """What Redis has of an attempt that runs on another machine."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.kept: Tail | None = None
        self.store = SimpleNamespace(tasks=self, events=self)

    def tail(self, *_: str) -> Tail | None:
        return self.kept

    def state(self, *_: str) -> TaskState:
        return ENDED

    def outcomes(self, *_: object) -> dict[str, Completed]:
        return {"T1": Completed(tail="two\nthree\nfour\n")}


@pytest.fixture
def elsewhere(tmp_path: Path) -> Elsewhere:
    return Elsewhere(Settings(logs=tmp_path))


def shown(elsewhere: Any) -> Shown:
    return Shown(elsewhere, "auth", "T1", 1)


def test_what_comes_from_another_machine_is_shown_once(
    elsewhere: Elsewhere, capsys: pytest.CaptureFixture[str]
) -> None:
    one = shown(elsewhere)
    assert one.news() == b""
    looks = [
        (Tail(1, 4, b"one\n"), b"one\n"),
        (Tail(1, 4, b"one\n"), b""),
        (Tail(1, 9, b"e\ntwo\nt"), b"two\nt"),
        (Tail(2, 99, b"another attempt"), b""),
    ]
    for kept, fresh in looks:
        elsewhere.kept = kept
        assert one.news() == fresh
        one.write(fresh)
    # The end comes with the outcome
    assert one.rest() == "hree\nfour\n"
    # And where too much came at once, it is said how much is missing
    elsewhere.kept = Tail(1, 50, b"the end")
    assert one.news() == b"the end"
    assert "34 bytes are not shown" in capsys.readouterr().err


def test_who_comes_later_sees_what_there_is(elsewhere: Elsewhere, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere.kept = Tail(1, 5_000, b"the end")
    assert shown(elsewhere).news() == b"the end"
    assert capsys.readouterr().err == ""


def test_the_file_is_read_where_it_is(elsewhere: Elsewhere) -> None:
    one = shown(elsewhere)
    one.file.parent.mkdir()
    one.file.write_bytes(b"one\n")
    assert one.news() == b"one\n"
    one.file.write_bytes(b"one\ntwo\n")
    assert (one.news(), one.news(), one.rest()) == (b"two\n", b"", "")


def test_a_terminal_gets_whole_lines(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    one = shown(elsewhere)
    for found, so_far in ((b"on", ""), (b"e\r\n\x1b[2Jt", "one\n"), (b"wo", "one\n")):
        one.write(found)
        assert terminal.getvalue() == so_far
    one.write(b"", is_all=True)
    assert terminal.getvalue() == "one\ntwo\n"
