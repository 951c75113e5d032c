"""Layers of growing width, ours beside Celery's own chain of groups. These rows are the points of the plot too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal

from benchmarks import plain, plot
from benchmarks.graphs import layered
from benchmarks.measurement import Figure, Row, Target, interleaved, per_second, seconds
from benchmarks.options import Options
from benchmarks.rig import Rig

LAYERS = 10
WIDTHS = (1, 3, 10, 30)
FULL = 100
"""The width of the target. Celery takes minutes for its chain of groups: of 1,000 tasks, it runs 10,900."""

LEAST, AFTER = 60.0, 45.0
"""Seconds: what Celery's run has in any case, and what is kept for all that comes after it."""

CELERY = "chain(group, …)"
BARRIER = "chain(group, task, …)"


def rows(rig: Rig, options: Options) -> Iterator[Row]:
    """Every width in turn with Celery, with and without a task between its groups; the full one around a single run of
    Celery's without.
    """
    for width in WIDTHS:
        ours, chained, parted = interleaved(
            options.runs,
            _ours(rig, width),
            partial(plain.run_chain_of_groups, LAYERS, width),
            _parted(width),
            settle=rig.settle,
        )
        yield _row(width, ours, chained, note=_executed(rig, width))
        yield _beside_parted(width, ours, parted)
    ours, parted = interleaved(options.runs, _ours(rig, FULL), _parted(FULL), settle=rig.settle)
    yield _beside_parted(FULL, ours, parted)
    if options.full:
        yield _full(rig, options)
    else:
        yield Row(_name(FULL, CELERY), skipped="it takes minutes; left out of a quick run")


def drawing(rows: Sequence[Row]) -> str:
    """Seconds for each number of tasks, from the medians. A run that was given up is no point."""
    theirs = {f"Celery, {label}": _points(rows, label, "beside") for label in (CELERY, BARRIER)}
    # Ours are measured beside both of Celery's; those beside the second have all widths.
    series = {"ours, batched": _points(rows, BARRIER, "ours"), **theirs}
    return plot.svg(series, "No-op tasks in layers, two worker processes")


def _points(rows: Sequence[Row], label: str, side: Literal["ours", "beside"]) -> plot.Points:
    return [
        (row.tasks, row.tasks / figure.median)
        for row in sorted(rows, key=lambda row: row.tasks)
        if row.tasks and row.beside and row.beside.label == label and (figure := getattr(row, side))
    ]


def _full(rig: Rig, options: Options) -> Row:
    """Ours before and after one run of Celery's, which is given up when the time of all the benchmarks is over."""
    half = (options.runs + 1) // 2
    ours = [seconds(_ours(rig, FULL)) for _ in range(half)]
    start = time.monotonic()
    is_done = plain.run_chain_of_groups(LAYERS, FULL, max(LEAST, options.end - start - AFTER))
    chained = time.monotonic() - start
    rig.stop_celery()
    ours += [seconds(_ours(rig, FULL)) for _ in range(options.runs - half)]
    return _row(
        FULL,
        tuple(ours),
        (chained,),
        label=CELERY if is_done else f"{CELERY}, given up after {chained:.0f} s",
        target=Target("at least", 50),
        note="Celery ran once, between our runs"
        + ("" if is_done else "; it was not done when its time was over, so that the ratio is at least this"),
    )


def _executed(rig: Rig, width: int) -> str:
    """How many tasks Celery runs for its chain of groups, in words."""
    before = plain.executed()
    plain.run_chain_of_groups(LAYERS, width)
    rig.settle()
    return f"for {LAYERS * width:,} tasks, Celery runs {plain.executed() - before:,} (celery#5958)"


def _ours(rig: Rig, width: int) -> Callable[[], object]:
    return lambda: rig.run(layered(LAYERS, width))


def _parted(width: int) -> Callable[[], object]:
    return partial(plain.run_chain_of_groups, LAYERS, width, barrier=True)


def _beside_parted(width: int, ours: tuple[float, ...], parted: tuple[float, ...]) -> Row:
    return _row(width, ours, parted, label=BARRIER)


def _row(
    width: int,
    ours: tuple[float, ...],
    theirs: tuple[float, ...],
    *,
    label: str = CELERY,
    target: Target | None = None,
    note: str = "",
) -> Row:
    tasks = LAYERS * width
    return Row(
        _name(width, BARRIER if label == BARRIER else CELERY),
        Figure("batched", per_second(tasks, ours), "tasks/s"),
        Figure(label, per_second(tasks, theirs), "tasks/s"),
        target,
        note=note,
        tasks=tasks,
    )


def _name(width: int, beside: str) -> str:
    return f"layered {LAYERS} x {width}, beside {beside}"
