"""What a run of the benchmarks is asked for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """How much to measure.

    Args:
        runs: Times each side of a row is measured.
        large: Tasks of the large feature in the row about scale.
        patience: Seconds for Celery's chain of groups at full size. It takes minutes for each run; it is measured
            once in any case, and again as long as this lasts.
        peers: Measure other task queues too, where they are installed.
    """

    runs: int = 5
    large: int = 100_000
    patience: float = 180.0
    peers: bool = True
