"""Starts, awaits and ends a command together with all its descendants. `guard` explains how."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from orchestrator.specialists import environment, guard
from orchestrator.specialists.account import Account

logger = logging.getLogger("orchestrator")

TRIES = 2
"""A guard may have been killed since its last use; then another one is started, once."""
IS_SINCE_BOOT = hasattr(time, "CLOCK_BOOTTIME")


def moment() -> float:
    """Now, by the clock in which the kernel records when a process started: the time since boot, if there is one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if IS_SINCE_BOOT else time.time()


class Tree:
    """A running command with all its descendants.

    They are killed when this process ends in any way, or when the tree is garbage-collected.

    Args:
        command: The argument list.
        cwd: The folder that it runs in.
        env: Its environment.
        stdin, stdout, stderr: Open files.
        account: The user that it runs as; None: the user of this process.
        held: An open file, such as one that is locked, which stays open until the last process of the tree has ended,
            even if this process is killed. The command itself does not get it.

    Raises:
        OSError, ValueError: It cannot be started; the same errors as those of subprocess.Popen.

    Example:
        tree = Tree(("make", "test"), cwd=folder, env=dict(os.environ), stdin=empty, stdout=log, stderr=log)
        try:
            code = tree.wait(60)
        finally:
            tree.end(grace=5)
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdin: IO[bytes],
        stdout: IO[bytes],
        stderr: IO[bytes],
        account: Account | None = None,
        held: IO[bytes] | None = None,
    ) -> None:
        order: dict[str, Any] = {"command": list(command), "cwd": str(cwd.absolute()), "env": dict(env)}
        if account:
            order["as"] = {"user": account.uid, "group": account.gid, "extra_groups": account.groups}
        text = json.dumps(order).encode() + b"\n"
        self.command = tuple(command)
        self.pid = 0
        self.returncode: int | None = None
        self._left: list[str] | None = None
        self._read = b""
        files = (stdin, stdout, stderr) if held is None else (stdin, stdout, stderr, held)
        self._socket = _hand_over([file.fileno() for file in files])
        _open.add(self)
        try:
            with contextlib.suppress(BrokenPipeError):
                self._socket.sendall(text)
            while not self.pid:
                if not self._listen(None):
                    raise OSError(None, "the process that was to run it was killed")
        except (
            BaseException
        ):  # also an interrupt: the command may run already, and only this object can end it
            self._kill()
            raise

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the command to end; its exit code, as subprocess.Popen.wait returns it.

        Raises:
            subprocess.TimeoutExpired: It still runs.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                if not self._listen(left):
                    self.returncode = -9  # its reaper was killed, and the guard killed the rest
            except TimeoutError:
                raise subprocess.TimeoutExpired(self.command, timeout or 0.0) from None
        return self.returncode

    def end(self, grace: float) -> None:
        """End all processes that are left, and return when they are gone.

        They get SIGTERM, and SIGKILL after `grace` seconds, or at once if this wait is interrupted. A process that
        cannot be ended is logged.
        """
        if self._socket.fileno() < 0:
            return
        try:
            with contextlib.suppress(BrokenPipeError):
                self._socket.sendall(f"{grace}\n".encode())
            self._listen_to_end(grace + 2 * guard.PATIENCE)
        except BaseException:
            self._kill()
            raise
        finally:
            self.abandon()
        if self._left:
            logger.warning("These processes of %s do not end: %s", self.command[0], ", ".join(self._left))

    def _kill(self) -> None:
        """Kill all processes, and return when they are gone."""
        with contextlib.suppress(OSError, ValueError):  # ValueError: it was never started
            self._socket.shutdown(socket.SHUT_WR)
            self._listen_to_end(2 * guard.PATIENCE)
        self.abandon()

    def abandon(self) -> None:
        """Let go of the tree: the reaper kills it, unless another process holds the socket too."""
        self._socket.close()

    def _listen_to_end(self, patience: float) -> None:
        deadline = time.monotonic() + patience
        try:
            while self._left is None and self._listen(max(0.0, deadline - time.monotonic())):
                pass
        except TimeoutError:
            self._left = [f"{self.pid} and its descendants (their reaper does not answer)"]

    def _listen(self, timeout: float | None) -> bool:
        """Read what the reaper sends; False when it has closed the socket.

        Raises:
            TimeoutError: It sends nothing.
            OSError, ValueError: The command cannot be started.
        """
        # A timeout of 0 would make the socket non-blocking, which raises another error.
        self._socket.settimeout(None if timeout is None else max(timeout, 0.000_001))
        try:
            said = self._socket.recv(65_536)
        except ConnectionResetError:
            return False
        *lines, self._read = (self._read + said).split(b"\n")
        for line in lines:
            match json.loads(line):
                case {"pid": int(pid)}:
                    self.pid = pid
                case {"code": int(code)}:
                    self.returncode = code
                case {"left": list(left)}:
                    self._left = left
                case {"error": [None, str(text)]}:
                    raise ValueError(text)
                case {"error": [int(number), str(text)]}:
                    raise OSError(number, text)
        return bool(said)


class _Guard:
    """The guard of this process, started at first use."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.control: socket.socket | None = None
        self.process: subprocess.Popen[bytes] | None = None

    def hand_over(self, files: Sequence[int]) -> None:
        with self.lock:
            for left in reversed(range(TRIES)):
                if self.control is None:
                    self.control = self._start()
                try:
                    socket.send_fds(self.control, [b"."], files)
                    return
                except (BrokenPipeError, ConnectionResetError):
                    self.close()
                    if not left:
                        raise

    def close(self) -> None:
        if self.control is not None:
            self.control.close()
        self.control = None

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            import psutil  # here, so that programs that only enqueue do not load it

            packages = str(Path(psutil.__file__).parents[1])
            # subprocess collects an ended guard when it starts the next process.
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", guard.__file__, str(theirs.fileno()), packages],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                # The guard gets no secrets: a command can read the environment of its parent, a fork of the guard.
                env=environment.filter_environment(os.environ, ["LD_LIBRARY_PATH"]),
                pass_fds=[theirs.fileno()],
                # A session of its own: a signal to the worker's process group must not kill the guard.
                start_new_session=True,
            )
        return ours


def _hand_over(files: Sequence[int]) -> socket.socket:
    ours, theirs = socket.socketpair()
    with theirs:
        _guard.hand_over([theirs.fileno(), *files])
    return ours


_guard = _Guard()
_open: weakref.WeakSet[Tree] = weakref.WeakSet()


def _leave_to_the_parent() -> None:
    """In a forked child: start without a guard, and let go of the parent's commands."""
    global _guard
    _guard.close()
    for tree in list(_open):
        tree.abandon()
    _guard = _Guard()


os.register_at_fork(after_in_child=_leave_to_the_parent)
