"""Runs commands for a worker process, and ends each with all that it started. A program of its own, see `processes`.

A process of a worker starts one guard when it first runs a command. For each command the guard forks a reaper. The
reaper is the parent of the command and, on Linux, its subreaper (PR_SET_CHILD_SUBREAPER): each process that the
command started becomes a child of the reaper when its own parent ends, whatever session, group or environment it has.
So none can get away. Elsewhere the reaper looks for the session of the command, and for a mark in the environment
that it gave to it.

Worker and reaper hold the two ends of a socket. The worker writes one line of JSON, the order, and later the seconds
of grace in which everything is to end. When the socket closes, the worker was killed or is in a hurry, and the reaper
kills everything at once. The reaper answers in lines of JSON: `pid` or `error`, `code` when the command has ended,
`left` when all that it started has.

The guard imports next to nothing. So a reaper costs a fork of a small process, not the start of an interpreter.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from typing import Any

MARK = "ORCHESTRATOR_TREE"
"""The environment variable by which what a command started is found where there is no subreaper."""

PATIENCE = 10.0
"""Seconds that killed processes have to be gone: one that waits for a disk is not gone before it has been served."""

PAUSE = 0.05

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


def serve(control: socket.socket) -> None:
    """Fork a reaper for each command that is handed over, until the worker's end of the socket closes."""
    adopts = become_subreaper()  # of what a reaper leaves that is killed
    wake = _wake_on_children()
    reapers: dict[int, socket.socket] = {}
    is_open = True
    while is_open or reapers:
        ready = _await([wake, control] if is_open else [wake])
        if control in ready:
            word, given, _, _ = socket.recv_fds(control, 1, 4)
            is_open = bool(word)
            if given:
                client = socket.socket(fileno=given[0])
                client.setblocking(True)  # gevent and eventlet make sockets that do not wait
                pid = os.fork()
                if not pid:
                    for other in (control, *reapers.values()):
                        other.close()
                    _be_reaper(client, given[1:])
                # Kept open until nothing is left: so its end tells the worker that the command is gone in any case.
                reapers[pid] = client
                for number in given[1:]:
                    os.close(number)
        if wake in ready:
            _drain(wake)
            _bury(reapers, adopts)


def _bury(reapers: dict[int, socket.socket], adopts: bool) -> None:
    """Wait for what has ended, and kill what a reaper left that did not end by itself."""
    for pid, status in _ended():
        client = reapers.pop(pid, None)
        if client:
            if status and adopts:
                _kill_strays(set(reapers))
            client.close()


def _kill_strays(reapers: set[int]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        strays = [child for child in _children() if child.pid not in reapers]
        if not strays:
            return
        for stray in strays:
            _signal(stray, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(stray.pid, os.WNOHANG)
        time.sleep(PAUSE)


def _be_reaper(client: socket.socket, given: list[int]) -> None:
    """Run one command to the end of the last process that it started; never returns."""
    code = 1
    try:
        reap(client, given)
        code = 0
    finally:
        os._exit(code)


def reap(client: socket.socket, given: list[int]) -> None:
    """Run the command that the client orders.

    Args:
        client: The socket that leads to it.
        given: The command's input, output and errors.
    """
    order, wake, mark = json.loads(_line(client)), _wake_on_children(), secrets.token_hex(8)
    adopts = become_subreaper()
    try:
        process = subprocess.Popen(
            order["command"],
            cwd=order["cwd"],
            env={**order["env"], MARK: mark},
            stdin=given[0],
            stdout=given[1],
            stderr=given[2],
            start_new_session=True,
            **order.get("as", {}),
        )
    except (OSError, ValueError) as error:
        _say(client, error=[getattr(error, "errno", None), getattr(error, "strerror", None) or str(error)])
        return
    for number in given:
        os.close(number)
    _say(client, pid=process.pid)
    tree = Tree(process.pid, "" if adopts else mark)
    grace = _until_told(client, wake, tree)
    left = _end(tree, grace, client, wake)
    _say(client, code=tree.code)
    _say(client, left=left)


def _until_told(client: socket.socket, wake: int, tree: Tree) -> float:
    """Look after the tree until it is to end; the seconds of grace: none where the client is gone."""
    while True:
        ready = _await([client, wake])
        if wake in ready:
            _drain(wake)
            tree.reap()
            _say(client, code=tree.code)
        if client in ready:
            return float(client.recv(64) or 0)


def _end(tree: Tree, grace: float, client: socket.socket, wake: int) -> list[str]:
    """End the tree: SIGTERM, then SIGKILL after the grace or when the client is gone.

    Returns:
        The processes that cannot be ended, for people.
    """
    deadline = time.monotonic() + grace
    if grace > 0 and not tree.is_gone():
        tree.signal(signal.SIGTERM)
        tree.signal(signal.SIGCONT)  # what is stopped learns of it only so
    while not tree.is_gone() and time.monotonic() < deadline:
        ready = _await([client, wake], PAUSE)
        if wake in ready:
            _drain(wake)
        if client in ready and not client.recv(64):
            break
    deadline = time.monotonic() + PATIENCE
    while not tree.is_gone() and time.monotonic() < deadline:
        tree.signal(signal.SIGKILL)
        if _await([wake], PAUSE):
            _drain(wake)
    return tree.names()


class Tree:
    """A command and everything that it started.

    Args:
        leader: The command's process.
        mark: What its processes have in their environment; "": this process is their subreaper.
    """

    def __init__(self, leader: int, mark: str) -> None:
        self.leader = leader
        self.mark = mark
        self.code: int | None = None
        """The exit code of the command, once it has ended."""

    def reap(self) -> None:
        """Wait for those that have ended."""
        for pid, status in _ended():
            if pid == self.leader:
                self.code = os.waitstatus_to_exitcode(status)

    def is_gone(self) -> bool:
        """Nothing of it lives."""
        self.reap()
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # all descendants of a subreaper are its children in the end
            return not self.mark or not self._marked()
        return False

    def signal(self, number: int) -> None:
        """Signal each process of it."""
        for process in self._members():
            _signal(process, number)

    def names(self) -> list[str]:
        """Each process of it that lives, for people."""
        return [] if self.is_gone() else [f"{process.pid} ({_name(process)})" for process in self._members()]

    def _members(self) -> list[Any]:
        found = {process.pid: process for process in _children(recursive=True)}
        if self.mark:
            found.update((process.pid, process) for process in self._marked())
        return list(found.values())

    def _marked(self) -> list[Any]:
        import psutil

        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                is_marked = process.environ().get(MARK) == self.mark or os.getsid(process.pid) == self.leader
                if is_marked and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found


def become_subreaper() -> bool:
    """Adopt what descendants of this process leave behind; False where the system has no such thing."""
    if not sys.platform.startswith("linux"):
        return False
    return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def _children(recursive: bool = False) -> list[Any]:
    import psutil

    try:
        return list(psutil.Process().children(recursive=recursive))
    except psutil.Error:
        return []


def _signal(process: Any, number: int) -> None:
    import psutil

    with contextlib.suppress(psutil.Error):  # it has ended, or belongs to another user
        process.send_signal(number)


def _name(process: Any) -> str:
    import psutil

    try:
        return str(process.name())
    except psutil.Error:
        return "?"


def _ended() -> list[tuple[int, int]]:
    """The children that have ended, each with its status, waited for."""
    ended = []
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended.append(found)
    return ended


def _wake_on_children() -> int:
    """A file descriptor that can be read when a child has ended. Signals that end a program are passed over."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    # With functions, not SIG_IGN: a command inherits what is ignored, not what is handled.
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return read


def _await(sources: list[Any], seconds: float | None = None) -> list[Any]:
    """Those of the sockets and pipes that have something to read, as soon as one has."""
    return select.select(sources, [], [], seconds)[0]


def _drain(pipe: int) -> None:
    with contextlib.suppress(BlockingIOError):
        while os.read(pipe, 4_096):
            pass


def _line(client: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        more = client.recv(1 << 20)
        if not more:
            raise SystemExit
        line += more
    return line


def _say(client: socket.socket, **what: object) -> None:
    with contextlib.suppress(OSError):  # the client is gone
        client.sendall(json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    sys.path.append(sys.argv[2])

    import psutil  # noqa: F401  before a reaper is forked, for all of them

    serve(socket.socket(fileno=int(sys.argv[1])))
