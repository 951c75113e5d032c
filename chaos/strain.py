"""Measures how long the processes of a run waited for a processor. On an overloaded machine that costs leases.

Linux counts it for each thread (/proc/PID/task/TID/schedstat, second number). On other systems it is unknown, and a
fault has to explain each loss.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from chaos.history import Wait

EVERY = 0.5
"""The least seconds between two measurements."""

LEAST = 0.05
"""Shorter waits are not recorded."""


class Strain:
    """Records how long the main processes of workers have waited.

    Example:
        strain = Strain()
        strain.look(time.time(), {"w1@chaos": 4711})
        strain.waits
    """

    def __init__(self) -> None:
        self.waits: list[Wait] = []
        self._looked = 0.0
        self._before: dict[str, float] = {}

    def look(self, now: float, processes: Mapping[str, int]) -> None:
        """Record how long each has waited since the last measurement, if that was recent.

        Args:
            now: Seconds since the epoch.
            processes: Node name → process id.
        """
        if now < self._looked + EVERY:
            return
        waited = {node: waited_by(process) for node, process in processes.items()}
        for node in waited.keys() & self._before.keys():
            seconds = waited[node] - self._before[node]
            if seconds > LEAST:
                self.waits.append(Wait(worker=node, began=self._looked, ended=now, seconds=seconds))
        self._looked, self._before = now, waited


def waited_by(process: int) -> float:
    """Seconds in which the threads of a process were ready to run, but did not."""
    nanoseconds = 0
    for thread in Path(f"/proc/{process}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):
            nanoseconds += int(thread.read_text().split()[1])
    return nanoseconds / 1e9
