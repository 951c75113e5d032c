"""The commands of a worker process that is killed do not outlive it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from orchestrator.specialists import guard
from tests.waiting import wait_until

RUN = """
import sys
from pathlib import Path
from orchestrator.sections import Limits
from tests.shell.contexts import a_context
from orchestrator.specialists.command import CommandRunner

folder = Path(sys.argv[1])
script = f"sleep 600 & echo $! > {folder}/child; mv {folder}/child {folder}/is-there; wait"
for _ in range(3):  # ended ones are forgotten
    CommandRunner(("true",), Limits(), project=folder).perform(a_context(folder))
CommandRunner(("sh", "-c", script), Limits(), project=folder).perform(a_context(folder))
"""


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] not in "ZX"


def test_what_a_command_started_ends_when_its_worker_process_is_killed(tmp_path: Path) -> None:
    worker = subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path)], start_new_session=True)
    wait_until((tmp_path / "is-there").exists)
    grandchild = int((tmp_path / "is-there").read_text())
    assert is_running(grandchild)

    os.killpg(worker.pid, signal.SIGKILL)  # with its whole group, as a supervisor does
    worker.wait()

    wait_until(lambda: not is_running(grandchild))


def test_what_has_ended_is_left_alone() -> None:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as first:
        with guard.watched(first.pid):
            pass
        shell = guard._guard.shell
        assert shell is not None
        assert shell.stdin is not None
        shell.stdin.close()
        shell.wait(60)
        assert first.poll() is None
        first.kill()
    guard._guard.owner = 0


def test_without_its_guard_a_command_runs_all_the_same() -> None:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as command:
        with guard.watched(command.pid):
            shell = guard._guard.shell
            assert shell is not None
            shell.kill()
            shell.wait(60)
        with guard.watched(command.pid):
            pass
        assert command.poll() is None
        command.kill()
    guard._guard.owner = 0
