"""The Flask example, as its user runs it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.acceptance.example_projects import (
    Site,
    attempts,
    open_example,
    start_worker,
    wait_for_attempt,
    write_when_read,
)
from tests.waiting import wait_until

pytest.importorskip("flask", reason="Flask is not installed")
pytestmark = pytest.mark.real


def test_a_killed_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker is killed while it reads an image; another one goes on."""
    monkeypatch.setenv("FOLDER", str(folder := tmp_path / "images"))
    folder.mkdir()
    os.mkfifo(folder / "a.png")  # who reads it waits until it is written
    with open_example("flask", tmp_path, monkeypatch) as project:
        first = start_worker(project, "images", "first")
        site = Site(project, "-m", "flask", "--app", "images", "run", "--port", "PORT")
        number = site.ask("/images/a.png", {"steps": [2]})["id"]
        handle = project.client().feature(number)
        wait_for_attempt(handle, "by-2", 1)
        os.killpg(first.pid, signal.SIGKILL)
        start_worker(project, "images", "second")
        wait_for_attempt(handle, "by-2", 2)
        write_when_read(folder / "a.png", "x" * 10)
        wait_until(lambda: site.ask(f"/orders/{number}")["status"] == "completed")
        assert site.ask(f"/orders/{number}")["copies"] == {"2-a.png": 5}
        assert attempts(handle) == {"by-2": 2, "list": 1}
