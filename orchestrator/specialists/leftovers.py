"""Ends the processes that a killed worker process leaves behind."""

from __future__ import annotations

import contextlib
import time

import psutil

from orchestrator.specialists import guard, processes

TICK = 0.02
"""Seconds by which the kernel may round down the start time of a process."""


class Leftovers:
    """The processes that a process leaves when it is killed: its guard (which kills its commands) and its own children.

    Args:
        pid: The process, while it lives; None: there is none.
    """

    def __init__(self, pid: int | None = None) -> None:
        self._awaited: list[psutil.Process] = []
        self._started: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid) if pid else None
            for child in process.children() if process else ():
                with contextlib.suppress(psutil.Error):
                    if guard.__file__ in child.cmdline():
                        self._awaited.append(child)
                    else:
                        self._started += [child, *child.children(recursive=True)]
            self._awaited += [process] if process else []

    def end(self) -> bool:
        """Kill the children once the process and its guard are dead; True when none of them is left."""
        if any(map(_lives, self._awaited)):
            return False
        for started in self._started:
            with contextlib.suppress(psutil.Error):
                started.kill()
        return not any(map(_lives, self._started))


def end_children(since: float) -> None:
    """Kill the children that this process has started since `since` (see `processes.moment`), except its guard."""
    leftovers, zero = Leftovers(), psutil.boot_time() if processes.IS_SINCE_BOOT else 0.0
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            is_ours = child.create_time() - zero >= since - TICK
            if is_ours and guard.__file__ not in child.cmdline():
                leftovers._started += [child, *child.children(recursive=True)]
    deadline = time.monotonic() + guard.PATIENCE
    while not leftovers.end() and time.monotonic() < deadline:
        time.sleep(guard.PAUSE)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
