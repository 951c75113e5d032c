"""Layers of growing width, ours beside Celery's own chain of groups. These rows are the points of the plot too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

from benchmarks import plain
from benchmarks.graphs import layered
from benchmarks.measurement import Figure, Row, Target, interleaved, per_second, seconds
from benchmarks.options import Options
from benchmarks.rig import Rig

LAYERS = 10
WIDTHS = (1, 3, 10, 30)
FULL = 100
"""The width of the target. Celery takes minutes for it: what is left of the chain travels in every message."""

LEAST, AFTER = 60.0, 45.0
"""Seconds: what Celery's run has in any case, and what is kept for all that comes after it."""

CELERY = "chain(group, …)"


def rows(rig: Rig, options: Options) -> Iterator[Row]:
    """Every width in turn with Celery, and the full one around a single run of Celery's."""
    for width in WIDTHS:
        ours, chained = interleaved(
            options.runs, _ours(rig, width), partial(plain.run_chain_of_groups, LAYERS, width)
        )
        tasks = LAYERS * width
        yield Row(
            _name(width),
            Figure("batched", per_second(tasks, ours), "tasks/s"),
            Figure(CELERY, per_second(tasks, chained), "tasks/s"),
            tasks=tasks,
        )
    if options.full:
        yield _full(rig, options)
    else:
        yield Row(_name(FULL), skipped="it takes minutes; left out of a quick run")


def _full(rig: Rig, options: Options) -> Row:
    """Ours before and after one run of Celery's, which is given up when the time of all the benchmarks is over."""
    tasks, half = LAYERS * FULL, (options.runs + 1) // 2
    ours = [seconds(_ours(rig, FULL)) for _ in range(half)]
    start = time.monotonic()
    is_done = plain.run_chain_of_groups(LAYERS, FULL, max(LEAST, options.end - start - AFTER))
    chained = time.monotonic() - start
    if not is_done:
        rig.stop_celery()
    ours += [seconds(_ours(rig, FULL)) for _ in range(options.runs - half)]
    return Row(
        _name(FULL),
        Figure("batched", per_second(tasks, ours), "tasks/s"),
        Figure(
            CELERY if is_done else f"{CELERY}, given up after {chained:.0f} s",
            per_second(tasks, [chained]),
            "tasks/s",
        ),
        Target("at least", 50),
        note="Celery ran once, between our runs"
        + ("" if is_done else "; it was not done when its time was over, so that the ratio is at least this"),
        tasks=tasks,
    )


def _ours(rig: Rig, width: int) -> Callable[[], object]:
    return lambda: rig.run(layered(LAYERS, width))


def _name(width: int) -> str:
    return f"layered {LAYERS} x {width}, beside Celery's chain of groups"
