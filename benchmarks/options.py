"""The options of a run of the benchmarks, and how its time is shared out."""

from __future__ import annotations

import math
from dataclasses import dataclass

MINUTES = 55
"""The time that `make bench` may take on two cores."""

BUDGET = {
    "throughput": 45,
    "guest": 60,
    "line": 15,
    "enqueueing": 15,
    "makespan": 100,
    "planning": 25,
    "progress": 25,
    "messages": 10,
    "memory": 10,
    "redis": 40,
    "latency": 50,
    "status": 40,
    "idle": 180,
    "curve": 150,
    "peers": 600,
    "published": 700,
    "scale": 600,
    "layers": 260,
}
"""Subject → seconds that it may take on two cores, in the order in which they are measured; starting and stopping has
the rest of `MINUTES`.

Two subjects fit themselves to the time, as no number of runs would. `scale` runs its large feature as often as it can.
`layers` comes last and has all that is left: when it is over, Celery's chain of groups at full size is given up. Nor is
a worker of Celery measured again that has gone through it.
"""

TARGETS = (
    "throughput",
    "line",
    "enqueueing",
    "makespan",
    "redis",
    "latency",
    "status",
    "idle",
    "peers",
    "scale",
)
"""The subjects of `python -m benchmarks targets`, which shows their rows that have a target."""


@dataclass(frozen=True)
class Options:
    """How much to measure.

    Args:
        runs: Times each side of a row is measured.
        large: Tasks of the large feature in the row about scale.
        full: Whether to run Celery's chain of groups at full size, which takes minutes.
        end: When all is to be measured, by `time.monotonic`.
    """

    runs: int = 5
    large: int = 100_000
    full: bool = True
    end: float = math.inf
