"""Runs the program of an agent: reads its output while it runs, and ends it with all that it has started."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from orchestrator.agents.classification import Stopped
from orchestrator.specialists.processes import Tree

CHUNK = 65_536

KILLED = -9
"""The code of a program that does not end, or whose guard was killed."""

MOST_AFTER = 16 * CHUNK
"""Bytes that are read of what a program wrote while it was ended: more than a pipe holds."""


class Watcher(Protocol):
    """Reads what a program writes, and decides when it is ended."""

    def hear(self, data: bytes) -> None:
        """Take a piece of its output."""

    def hear_error(self, data: bytes) -> None:
        """Take a piece of its error output."""

    def reason_to_stop(self) -> Stopped | None:
        """Why the program is to be ended now; None: it goes on. Asked some times a second."""


class Ended(NamedTuple):
    """How a program ended."""

    code: int
    stopped: Stopped | None = None
    """Why we ended it; None: it ended by itself."""


@dataclass(frozen=True)
class Program:
    """A program that is to run once.

    Args:
        command: The argument list.
        folder: The folder in which it runs.
        environment: Its environment.
        stdin: An open file with what it reads.
        held: An open file that stays open to its last process.
        grace: Seconds between SIGTERM and SIGKILL when it is ended.
        poll: Seconds between two questions whether it is to be ended.
        started: Called with its process id.
    """

    command: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str]
    stdin: IO[bytes]
    held: IO[bytes] | None = None
    grace: float = 5.0
    poll: float = 0.2
    started: Callable[[int], None] = lambda pid: None

    def run(self, watcher: Watcher) -> Ended:
        """Run it to its end. No process that it started is left, also if this is interrupted.

        Raises:
            OSError, ValueError: It cannot be started.
        """
        with contextlib.ExitStack() as stack:
            output, errors = _Pipe(stack), _Pipe(stack)
            tree = Tree(
                self.command,
                cwd=self.folder,
                env=self.environment,
                stdin=self.stdin,
                stdout=output.inlet,
                stderr=errors.inlet,
                held=self.held,
            )
            output.inlet.close()
            errors.inlet.close()
            try:
                self.started(tree.pid)
                stopped = self._follow(tree, watcher, {output: watcher.hear, errors: watcher.hear_error})
            finally:
                tree.end(self.grace)
                for pipe, hear in ((output, watcher.hear), (errors, watcher.hear_error)):
                    for data in pipe.rest():
                        hear(data)
            return Ended(KILLED if tree.returncode is None else tree.returncode, stopped)

    def _follow(
        self, tree: Tree, watcher: Watcher, pipes: Mapping[_Pipe, Callable[[bytes], None]]
    ) -> Stopped | None:
        """Read until the program has ended, or is to be ended. A descendant may hold the pipes open for longer."""
        asked = time.monotonic()
        with selectors.DefaultSelector() as selector:
            for pipe, hear in pipes.items():
                selector.register(pipe.outlet, selectors.EVENT_READ, (pipe, hear))
            while True:
                if selector.get_map():
                    for key, _ in selector.select(self.poll):
                        pipe, hear = key.data
                        if data := pipe.read():
                            hear(data)
                        elif data is not None:
                            selector.unregister(pipe.outlet)
                elif _has_ended(tree, self.poll):
                    return None
                if time.monotonic() - asked < self.poll:
                    continue
                asked = time.monotonic()
                if _has_ended(tree, 0):
                    return None
                if stopped := watcher.reason_to_stop():
                    return stopped


class _Pipe:
    """A pipe whose outlet is read without waiting."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        outlet, inlet = os.pipe()
        os.set_blocking(outlet, False)
        self.outlet = stack.enter_context(os.fdopen(outlet, "rb", buffering=0))
        self.inlet: IO[bytes] = stack.enter_context(os.fdopen(inlet, "wb"))

    def read(self) -> bytes | None:
        """What is there, b"" at the end; None: nothing yet."""
        return self.outlet.read(CHUNK)

    def rest(self) -> list[bytes]:
        """What is left in it, once nothing writes any more."""
        found: list[bytes] = []
        while sum(map(len, found)) < MOST_AFTER and (data := self.read()):
            found.append(data)
        return found


def _has_ended(tree: Tree, seconds: float) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        tree.wait(seconds)
        return True
    return False
