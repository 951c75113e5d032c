"""How long the processes of a run waited for a processor: what a lease is lost by where a machine has too much to do.

Linux counts it for each thread (/proc/PID/task/TID/schedstat, its second number). Elsewhere nothing is known of it, and
each loss has to be explained by a fault.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from chaos.history import Wait

EVERY = 0.5
"""Seconds from look to look, at least."""

LEAST = 0.05
"""A wait that is shorter is not kept."""


class Strain:
    """Looks at what the main processes of workers have waited.

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
        """Note what each has waited since the last look, where that was a moment ago.

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
    """Seconds that the threads of a process could have run, and did not."""
    nanoseconds = 0
    for thread in Path(f"/proc/{process}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):
            nanoseconds += int(thread.read_text().split()[1])
    return nanoseconds / 1e9
