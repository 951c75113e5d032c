"""How long a single task waits: from its enqueue until it starts, and from its end until its caller knows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import plain
from benchmarks.graphs import layered
from benchmarks.measurement import Figure, Row, Target, percentile
from benchmarks.options import Options
from benchmarks.rig import Rig

TIMES = 100
"""Tasks of one round, one after the other."""

PAUSE = 0.02
"""Seconds between two tasks, in which a worker finishes what comes after the first; it is still hot."""

Waits = tuple[float, float]
"""Milliseconds: until it started, and until its end was known."""


def rows(rig: Rig, options: Options) -> Iterator[Row]:
    """Features of one task, and single tasks of plain Celery, in turn; a round has a p50 and a p95 of its own."""

    def ours() -> Waits:
        began = time.monotonic()
        handle = rig.run(layered(1, 1, "clock"))
        known = time.monotonic()
        return _waits(began, handle.result("L0-0"), known)

    def beside() -> Waits:
        began = time.monotonic()
        ran = plain.run_clock()
        return _waits(began, ran, time.monotonic())

    with rig.worker("clock"):
        ours(), beside()
        rounds = [(_round(ours), _round(beside)) for _ in range(options.runs)]
    parts = (
        ("enqueue to start of a task", 3.0),
        ("end of the last task to the return of wait", 5.0),
    )
    for place, (what, bound) in enumerate(parts):
        for share in (0.5, 0.95):
            mine, other = (
                tuple(percentile([waits[place] for waits in one[side]], share) for one in rounds)
                for side in (0, 1)
            )
            yield Row(
                f"{what}, p{100 * share:.0f}",
                Figure(f"{TIMES} features of one task", mine, "ms"),
                Figure("apply_async and get", other, "ms"),
                Target("at most", bound, of="ours") if share == 0.5 else None,
            )


def _round(once: Callable[[], Waits]) -> list[Waits]:
    found = []
    for _ in range(TIMES):
        found.append(once())
        time.sleep(PAUSE)
    return found


def _waits(began: float, ran: Any, known: float) -> Waits:
    """`ran` is when the task was entered and left, by the clock that all processes of a machine share."""
    entered, left = ran
    return 1000 * (entered - began), 1000 * (known - left)
