"""The leftovers of a killed process, or of an attempt that was ended from outside."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from orchestrator.specialists import processes
from orchestrator.specialists.leftovers import Leftovers, end_children
from tests.waiting import wait_until

PARENT = """
import os, subprocess, sys
from pathlib import Path
from orchestrator.specialists.processes import Tree

folder = Path(sys.argv[1])
child = subprocess.Popen(["sh", "-c", "sleep 600; true"])
nothing = open(os.devnull, "r+b")
tell = f"echo $$ > {folder}/new; mv {folder}/new {folder}/daemon"
script = f"trap '' TERM; (setsid sh -c '{tell}; exec sleep 600' &); sleep 600"
tree = Tree(("sh", "-c", script), cwd=folder, env=dict(os.environ), stdin=nothing, stdout=nothing, stderr=nothing)
(folder / "child").write_text(str(child.pid))
tree.wait()
"""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process with a command of a reaper, which has a daemon, and with a child of its own, which has a child."""
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)]) as process:
        wait_until((tmp_path / "daemon").exists)
        wait_until((tmp_path / "child").exists)
        wait_until(lambda: len(psutil.Process(int((tmp_path / "child").read_text())).children()) == 1)
        yield process
        process.kill()


def test_nothing_is_left_of_a_process_that_is_killed(worker: subprocess.Popen[bytes], tmp_path: Path) -> None:
    child = psutil.Process(int((tmp_path / "child").read_text()))
    family = [child, *child.children(), psutil.Process(int((tmp_path / "daemon").read_text()))]
    leftovers = Leftovers(worker.pid)
    assert not leftovers.end()
    assert all(process.is_running() for process in family)  # nothing is killed while the process lives
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    wait_until(leftovers.end)
    assert [process for process in family if is_alive(process)] == []


def test_what_is_not_there_leaves_nothing() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert Leftovers(process.pid).end()
    assert Leftovers().end()


def test_an_attempt_ends_what_it_started_and_nothing_else() -> None:
    with subprocess.Popen(["sleep", "600"]) as helper:
        begun = processes.moment() + 0.1
        wait_until(lambda: processes.moment() > begun)
        with subprocess.Popen(["sh", "-c", "sleep 600; true"]) as child:
            wait_until(lambda: len(psutil.Process(child.pid).children()) == 1)
            (grandchild,) = psutil.Process(child.pid).children()
            end_children(begun)
            assert (child.wait(60), is_alive(grandchild)) == (-signal.SIGKILL, False)
        assert helper.poll() is None
        helper.kill()


def is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
