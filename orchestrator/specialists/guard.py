"""A separate program that runs commands for a worker process and ends each with all its descendants (see `processes`).

A worker process starts one guard when it first runs a command. The guard forks a reaper for each command. The reaper is
the parent of the command and, on Linux, its subreaper (PR_SET_CHILD_SUBREAPER): when a parent among the command's
descendants ends, the reaper adopts its children, in any session, group or environment. No descendant can escape.
On other systems the reaper finds them by the session of the command and by a mark in their environment.

Worker and reaper hold the two ends of a socket. The worker sends an order, one line of JSON, and later the seconds of
grace in which all processes have to end. If the socket closes instead, the worker was killed or is in a hurry, and the
reaper kills them all at once. The reaper answers in lines of JSON: `pid` or `error`; `code` when the command has ended;
`left` when its descendants have.

The guard imports next to nothing, so a reaper costs the fork of a small process, not the start of an interpreter.
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
"""The environment variable that marks a command's descendants, for systems without subreapers."""

PATIENCE = 10.0
"""Seconds to wait for killed processes to disappear: one that waits for a disk stays until the disk answers."""

PAUSE = 0.05

MOST_FILES = 4
"""Files that a worker hands over for a command: its stdin, stdout and stderr, and one that stays open to the end."""

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


def serve(control: socket.socket) -> None:
    """Fork a reaper for each command that the worker hands over, until the worker's end of the socket closes."""
    adopts = become_subreaper()  # for the descendants of a reaper that is killed
    wake = _wake_on_children()
    reapers: dict[int, tuple[socket.socket, list[int]]] = {}
    is_open = True
    while is_open or reapers:
        ready = _await([wake, control] if is_open else [wake])
        if control in ready:
            word, given, _, _ = socket.recv_fds(control, 1, 1 + MOST_FILES)
            is_open = bool(word)
            if given:
                client = socket.socket(fileno=given[0])
                client.setblocking(True)  # gevent and eventlet make sockets that do not wait
                pid = os.fork()
                if not pid:
                    for other in (control, *(client for client, _ in reapers.values())):
                        other.close()
                    for number in (number for _, held in reapers.values() for number in held):
                        os.close(number)
                    _run_reaper(client, given[1:])
                # Kept open until the reaper has ended: the worker learns from its end that the command is gone.
                reapers[pid] = client, given[4:]
                for number in given[1:4]:
                    os.close(number)
        if wake in ready:
            _drain(wake)
            _collect_reapers(reapers, adopts)


def _collect_reapers(reapers: dict[int, tuple[socket.socket, list[int]]], adopts: bool) -> None:
    """Wait for the reapers that have ended, and kill what a killed one left."""
    for pid, status in _ended():
        client, held = reapers.pop(pid, (None, []))
        if client:
            if status and adopts:
                _kill_strays(set(reapers))
            for number in held:
                os.close(number)
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


def _run_reaper(client: socket.socket, given: list[int]) -> None:
    """Run one command until its last descendant has ended; never returns."""
    code = 1
    try:
        reap(client, given)
        code = 0
    finally:
        os._exit(code)


def reap(client: socket.socket, given: list[int]) -> None:
    """Run the command that the client orders.

    Args:
        client: The socket to the worker.
        given: File descriptors for the command's stdin, stdout and stderr, and of a file that stays open to the end.
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
        _send(client, error=[getattr(error, "errno", None), getattr(error, "strerror", None) or str(error)])
        return
    for number in given[:3]:
        os.close(number)
    _send(client, pid=process.pid)
    tree = Tree(process.pid, "" if adopts else mark)
    grace = _wait_for_end_order(client, wake, tree)
    left = _end(tree, grace, client, wake)
    _send(client, code=tree.code)
    _send(client, left=left)


def _wait_for_end_order(client: socket.socket, wake: int, tree: Tree) -> float:
    """Watch the tree until the client wants it ended. Returns the seconds of grace, 0 if the client is gone."""
    while True:
        ready = _await([client, wake])
        if wake in ready:
            _drain(wake)
            tree.reap()
            _send(client, code=tree.code)
        if client in ready:
            return float(client.recv(64) or 0)


def _end(tree: Tree, grace: float, client: socket.socket, wake: int) -> list[str]:
    """End the tree: SIGTERM, then SIGKILL after the grace or when the client is gone.

    Returns:
        Descriptions of the processes that cannot be ended.
    """
    deadline = time.monotonic() + grace
    if grace > 0 and not tree.is_gone():
        tree.signal(signal.SIGTERM)
        tree.signal(signal.SIGCONT)  # a stopped process receives SIGTERM only once it continues
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
    """A command and all its descendants.

    Args:
        leader: The command's process id.
        mark: The mark in the environment of its processes; "": this process is their subreaper.
    """

    def __init__(self, leader: int, mark: str) -> None:
        self.leader = leader
        self.mark = mark
        self.code: int | None = None
        """The exit code of the command, once it has ended."""

    def reap(self) -> None:
        """Collect the children that have ended, and the exit code of the command."""
        for pid, status in _ended():
            if pid == self.leader:
                self.code = os.waitstatus_to_exitcode(status)

    def is_gone(self) -> bool:
        """Whether all its processes have ended."""
        self.reap()
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # a subreaper has no children only when no descendant is left
            return not self.mark or not self._marked()
        return False

    def signal(self, number: int) -> None:
        """Send a signal to each process."""
        for process in self._members():
            _signal(process, number)

    def names(self) -> list[str]:
        """Descriptions of the processes that still run."""
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
    """Make this process adopt its orphaned descendants; False if the system cannot do that."""
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
    """Wait for the children that have ended; their process ids and statuses."""
    ended = []
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended.append(found)
    return ended


def _wake_on_children() -> int:
    """A file descriptor that becomes readable when a child has ended. Ignores signals that would end this program."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    # Handlers, not SIG_IGN: a command would inherit an ignored signal, but not a handler.
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return read


def _await(sources: list[Any], seconds: float | None = None) -> list[Any]:
    """Wait until one of the sockets and pipes can be read; all that can."""
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


def _send(client: socket.socket, **message: object) -> None:
    with contextlib.suppress(OSError):  # the client is gone
        client.sendall(json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    sys.path.append(sys.argv[2])

    import psutil  # noqa: F401  once, before any reaper is forked

    serve(socket.socket(fileno=int(sys.argv[1])))
