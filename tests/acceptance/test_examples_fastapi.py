"""The FastAPI example, as its user runs it: uvicorn, its own workers, and its own tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import Project
from tests.acceptance.example_projects import (
    Site,
    attempts,
    open_example,
    run_own_tests,
    start_worker,
    wait_for_attempt,
    write_when_read,
)
from tests.waiting import wait_until

pytest.importorskip("fastapi", reason="FastAPI is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")
pytestmark = pytest.mark.real

WORDS = {"one": 1, "two": 3, "three": 1}


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """The project. Its inbox has a file, and a named pipe whose reader waits."""
    monkeypatch.setenv("INBOX", str(inbox := tmp_path / "inbox"))
    inbox.mkdir()
    (inbox / "a.txt").write_text("one two two")
    os.mkfifo(inbox / "b.txt")
    with open_example("fastapi", tmp_path, monkeypatch) as project:
        yield project


def serve(project: Project) -> Site:
    return Site(project, "-m", "uvicorn", "digests.main:app", "--port", "PORT")


def test_a_killed_worker(service: Project) -> None:
    """A worker is killed in the midst of a digest; another one completes it, and the events tell all of it."""
    first = start_worker(service, "digests", "first")
    site = serve(service)
    number = site.ask("/digests", {"files": ["a.txt", "b.txt"]})["id"]
    handle = service.client().feature(number)
    with site.open(f"/digests/{number}/events") as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        told = (line.decode().strip() for line in stream)
        # The stream tells what happens while nothing is over yet.
        assert "event: work_started" in told
        wait_for_attempt(handle, "count-2", 1)
        wait_until(lambda: site.ask(f"/digests/{number}")["done"] == 1)
        os.killpg(first.pid, signal.SIGKILL)
        start_worker(service, "digests", "second")
        wait_for_attempt(handle, "count-2", 2)
        write_when_read(service.folder.parent / "inbox" / "b.txt", "two three")
        names = [line for line in told if line.startswith("event: ")]
    assert names.count("event: worker_lost") == 1
    assert names[-1] == "event: all_tasks_complete"
    answer = site.ask(f"/digests/{number}")
    assert answer == {"status": "completed", "done": 3, "of": 3, "words": WORDS}
    assert attempts(handle) == {"count-1": 1, "count-2": 2, "digest": 1}


def test_a_stream_that_is_left(service: Project) -> None:
    """A reader that leaves a stream of events holds nobody up; a digest can be cancelled."""
    site = serve(service)
    number = site.ask("/digests", {"files": ["a.txt"]})["id"]
    for _ in range(3):
        with site.open(f"/digests/{number}/events") as stream:
            assert stream.readline().startswith(b"id: ")
    assert site.ask(f"/digests/{number}")["status"] == "planning"
    site.open(f"/digests/{number}", method="DELETE").close()
    assert site.ask(f"/digests/{number}")["status"] == "cancelled"


def test_its_own_tests(tmp_path: Path) -> None:
    """They pass, without a Redis."""
    pytest.importorskip("httpx2", reason="httpx2 is not installed")
    run_own_tests("fastapi", tmp_path)
