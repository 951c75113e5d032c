"""A command ends with all its descendants, even escaped ones, and does not outlive the process that runs it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from orchestrator.specialists import guard, processes
from orchestrator.specialists.processes import Tree
from tests.waiting import wait_until

PATIENCE = 60.0

ESCAPES = {
    "a child in the background": "sh -c '{}' & wait",
    "a group of its own": "timeout 900 sh -c '{}'; true",
    "job control": "set -m; sh -c '{}' & wait",
    "a session of its own": "setsid sh -c '{}' & wait",
    "a daemon": "(setsid sh -c '{}' >/dev/null 2>&1 </dev/null &); while :; do sleep 600; done",
    "a daemon without the environment": "(env -i PATH=\"$PATH\" setsid sh -c '{}' &); while :; do sleep 600; done",
    "one that listens to nothing": "(trap '' TERM HUP INT; setsid sh -c '{}' &); while :; do sleep 600; done",
    "one that is stopped": "(setsid sh -c '{} & kill -STOP $$' &); while :; do sleep 600; done",
}
"""How a shell starts something that goes its own way."""


class Daemon:
    """A script whose last command tells its process id, and never ends by itself."""

    def __init__(self, folder: Path, escape: str) -> None:
        self.file = folder / "pid"
        # The number is of the process that sleeps: sh is replaced by it.
        tell = f"echo $$ > {folder}/new; mv {folder}/new {self.file}; exec sleep 600"
        self.script = ("sh", "-c", escape.format(tell))

    def is_there(self) -> bool:
        return self.file.exists()

    @property
    def pid(self) -> int:
        return int(self.file.read_text())


def is_running(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


@pytest.fixture
def a_daemon(tmp_path: Path) -> Iterator[Callable[[str], Daemon]]:
    made: list[Daemon] = []

    def make(escape: str) -> Daemon:
        made.append(Daemon(tmp_path, escape))
        return made[-1]

    yield make
    for daemon in made:
        if daemon.is_there():
            with contextlib.suppress(ProcessLookupError):
                os.kill(daemon.pid, signal.SIGKILL)


@pytest.fixture(autouse=True)
def a_guard_of_our_own() -> Iterator[None]:
    yield
    processes._guard.close()


@contextlib.contextmanager
def a_tree(*command: str) -> Iterator[Tree]:
    with Path(os.devnull).open("r+b") as nothing:
        tree = Tree(
            command, cwd=Path("/"), env=dict(os.environ), stdin=nothing, stdout=nothing, stderr=nothing
        )
    try:
        yield tree
    finally:
        tree.end(0)


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has subreapers")


@linux
@pytest.mark.parametrize("escape", ESCAPES.values(), ids=ESCAPES)
def test_whatever_a_command_started_is_gone_when_it_is_ended(
    a_daemon: Callable[[str], Daemon], escape: str
) -> None:
    daemon = a_daemon(escape)
    with a_tree(*daemon.script) as tree:
        wait_until(daemon.is_there)
        assert is_running(daemon.pid)
        tree.end(0.2)
        assert not is_running(daemon.pid)


@linux
def test_a_command_whose_start_is_interrupted_is_gone_too(
    a_daemon: Callable[[str], Daemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(BaseException):
        pass

    def is_interrupted(*_: object) -> bool:
        wait_until(daemon.is_there)
        monkeypatch.undo()
        raise Interrupted

    daemon = a_daemon(ESCAPES["a daemon"])
    monkeypatch.setattr(Tree, "_listen", is_interrupted)
    with pytest.raises(Interrupted), a_tree(*daemon.script):
        pass
    assert not is_running(daemon.pid)


@linux
def test_what_a_command_left_behind_is_ended_too(a_daemon: Callable[[str], Daemon]) -> None:
    daemon = a_daemon("(setsid sh -c '{}' &); while [ ! -e " + "$0 ]; do sleep 0.01; done; exit 3")
    with a_tree(*daemon.script, str(daemon.file)) as tree:
        assert tree.wait(PATIENCE) == 3
        assert is_running(daemon.pid)
        tree.end(PATIENCE)
        assert not is_running(daemon.pid)


def test_what_has_no_subreaper_is_found_by_session_and_mark(
    a_daemon: Callable[[str], Daemon],
) -> None:
    # Given a reaper as on a system without subreapers
    ours, theirs = socket.socketpair()
    daemon = a_daemon(ESCAPES["a daemon"])
    order = {"command": daemon.script, "cwd": "/", "env": dict(os.environ)}
    script = (
        "import socket, sys; from orchestrator.specialists import guard; guard.become_subreaper = lambda: False; "
        "guard.reap(socket.socket(fileno=int(sys.argv[1])), [0, 1, 2])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as reaper:
        theirs.close()
        ours.sendall(json.dumps(order).encode() + b"\n")
        wait_until(daemon.is_there)
        # When it is told to end the command
        ours.sendall(b"60\n")
        # Then the daemon is gone as well
        assert reaper.wait(PATIENCE) == 0
        assert not is_running(daemon.pid)
    ours.close()


RUN = """
import os, sys
from pathlib import Path
from orchestrator.config.schema.limits import Limits
from tests.specialists.contexts import a_context
from orchestrator.specialists.command import CommandRunner

folder = Path(sys.argv[1])
for _ in range(3):
    CommandRunner(("true",), Limits(), project=folder).perform(a_context(folder))
CommandRunner(tuple(sys.argv[2:]), Limits(), project=folder).perform(a_context(folder))
"""


@linux
@pytest.mark.parametrize("escape", ["a child in the background", "a daemon without the environment"])
def test_what_a_command_started_ends_when_its_worker_process_is_killed(
    tmp_path: Path, a_daemon: Callable[[str], Daemon], escape: str
) -> None:
    daemon = a_daemon(ESCAPES[escape])
    worker = subprocess.Popen(
        [sys.executable, "-c", RUN, str(tmp_path), *daemon.script], start_new_session=True
    )
    wait_until(daemon.is_there)
    assert is_running(daemon.pid)

    os.killpg(worker.pid, signal.SIGKILL)  # with its whole group, as a supervisor does
    worker.wait()

    wait_until(lambda: not is_running(daemon.pid))


@linux
def test_a_reaper_that_is_killed_leaves_nothing(a_daemon: Callable[[str], Daemon]) -> None:
    daemon = a_daemon(ESCAPES["a daemon"])
    with a_tree(*daemon.script) as tree:
        wait_until(daemon.is_there)
        psutil.Process(psutil.Process(tree.pid).ppid()).kill()
        assert tree.wait(PATIENCE) == -signal.SIGKILL
        assert not is_running(daemon.pid)


def test_a_guard_that_is_killed_is_replaced_and_what_it_began_goes_on() -> None:
    with a_tree("sleep", "600") as first:
        assert processes._guard.process is not None
        killed = processes._guard.process
        killed.kill()
        killed.wait()
        with a_tree("true") as second:
            assert second.wait(PATIENCE) == 0
        assert is_running(first.pid)
        first.end(PATIENCE)
        assert first.returncode == -signal.SIGTERM


def test_one_command_is_ended_and_its_neighbours_go_on() -> None:
    with a_tree("sleep", "600") as first, a_tree("sleep", "600") as second:
        first.end(PATIENCE)
        assert (first.returncode, is_running(second.pid)) == (-signal.SIGTERM, True)


def test_a_forked_process_does_not_keep_the_commands_of_its_parent_alive() -> None:
    # Given a command of this process, and a child that Celery forks meanwhile
    with a_tree("sleep", "600") as tree:
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.close(write)
            os.read(read, 1)  # until the parent has seen enough
            os._exit(0)
        # When this process drops the command, then it ends, though the child lives
        tree.abandon()
        wait_until(lambda: not is_running(tree.pid))
        os.close(write)
        os.close(read)
        os.waitpid(child, 0)


def test_a_fork_while_a_guard_is_started_leaves_the_child_free_to_start_its_own() -> None:
    with processes._guard.lock:  # as a thread of ours may hold it
        child = os.fork()
        if not child:
            signal.alarm(int(PATIENCE))
            with a_tree("true") as tree:
                os._exit(tree.wait(PATIENCE))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_many_commands_at_once_do_not_mix() -> None:
    codes: list[int] = []

    def run(code: int) -> None:
        with a_tree("sh", "-c", f"exit {code}") as tree:
            codes.append(tree.wait(PATIENCE))

    threads = [threading.Thread(target=run, args=(code,)) for code in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == list(range(20))


def test_an_order_that_comes_late_over_a_socket_that_does_not_wait_is_waited_for() -> None:
    # Given a socket as eventlet makes it, handed over by a worker that is busy before it writes the order
    ours, theirs = socket.socketpair()
    with ours, theirs, Path(os.devnull).open("r+b") as nothing:
        theirs.setblocking(False)
        processes._guard.hand_over([theirs.fileno(), *[nothing.fileno()] * 3])
        theirs.close()
        guard_process = psutil.Process(processes._guard.process.pid)  # type: ignore[union-attr]

        def is_asleep() -> bool:
            return any(reaper.status() == psutil.STATUS_SLEEPING for reaper in guard_process.children())

        ours.settimeout(0.2)
        with contextlib.suppress(TimeoutError):  # until the reaper has looked for the order
            assert ours.recv(1), "the reaper ended"
        ours.settimeout(PATIENCE)
        wait_until(is_asleep)
        order = {"command": ["true"], "cwd": "/", "env": {}}
        ours.sendall(json.dumps(order).encode() + b"\n")
        assert "pid" in json.loads(ours.makefile().readline())


def test_a_command_may_end_by_what_its_worker_ignores() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as Celery has it in the processes of its pool
    try:
        with a_tree(shutil.which("sh") or "sh", "-c", "kill -INT $$; exit 0") as tree:
            assert tree.wait(PATIENCE) == -signal.SIGINT
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_guard_needs_nothing_but_what_it_is_given() -> None:
    # An import of ours would cost each process that runs commands a start of its own.
    imports = [line for line in Path(guard.__file__).read_text().splitlines() if "import " in line]
    assert not [line for line in imports if "orchestrator" in line]


def test_a_held_file_stays_open_until_the_last_process_has_ended(tmp_path: Path) -> None:
    """So a lock on it is free only then, whatever becomes of the process that took it."""
    lock = tmp_path / "lock"
    program = f"""
import fcntl, os, sys
from pathlib import Path
from orchestrator.specialists.processes import Tree
held = open({str(lock)!r}, "a+b")
fcntl.flock(held, fcntl.LOCK_EX)
nothing = open(os.devnull, "r+b")
tell = "echo $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid"
command = ("sh", "-c", f"trap '' TERM; {{tell}}; while :; do sleep 1; done")
tree = Tree(command, cwd=Path("/"), env=dict(os.environ), stdin=nothing, stdout=nothing, stderr=nothing, held=held)
tree.wait()
"""
    runner = subprocess.Popen([sys.executable, "-c", program])
    wait_until((tmp_path / "pid").exists)
    pid = int((tmp_path / "pid").read_text())
    with lock.open("a+b") as ours:
        with pytest.raises(BlockingIOError):
            fcntl.flock(ours, fcntl.LOCK_EX | fcntl.LOCK_NB)
        runner.kill()
        runner.wait()
        fcntl.flock(ours, fcntl.LOCK_EX)
        assert not is_running(pid)
