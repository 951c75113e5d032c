"""The CPU time that processes have used. Linux only."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

PARENT = 1
"""The place of the parent in `/proc/PID/stat`, after the name of the command (proc(5))."""


def used(process: int) -> float:
    """The CPU seconds of one process, all its threads together, to the nanosecond; 0 where it has ended.

    `/proc/PID/stat` counts hundredths of a second, and an idle process uses less. The kernel's clock of a process
    (clock_getcpuclockid(3)) has no other name in Python.
    """
    try:
        return time.clock_gettime(~process << 3 | 2)
    except OSError:
        return 0.0


def used_by(processes: Iterable[int]) -> float:
    """The CPU seconds of several processes."""
    return sum(map(used, processes))


def children(process: int) -> list[int]:
    """The processes that a process has started itself and that still run."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                text = (folder / "stat").read_text("utf-8", "replace")
            except OSError:
                continue  # it has ended since
            if int(text.rpartition(")")[2].split()[PARENT]) == process:
                found.append(int(folder.name))
    return found
