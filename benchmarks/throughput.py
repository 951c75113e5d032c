"""Tasks a second: layers beside Celery's chain of groups, and beside a plain group without any workflow."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks import plain
from benchmarks.graphs import layered
from benchmarks.measurement import Figure, Row, Target, interleaved, per_second, seconds
from benchmarks.options import Options
from benchmarks.rig import Rig

LAYERS, WIDTH = 10, 100
TASKS = LAYERS * WIDTH


def rows(rig: Rig, options: Options) -> Iterator[Row]:
    """Measure three sides in turn; Celery's chain of groups as often as the time allows."""
    chained: list[float] = []
    end = time.monotonic() + options.patience

    def chain_of_groups() -> None:
        if not chained or (len(chained) < options.runs and time.monotonic() < end):
            chained.append(seconds(lambda: plain.run_chain_of_groups(LAYERS, WIDTH)))

    ours, group, gathered, _ = interleaved(
        options.runs,
        lambda: rig.run(layered(LAYERS, WIDTH)),
        lambda: plain.run_group(TASKS),
        lambda: plain.run_group_with_results(TASKS),
        chain_of_groups,
    )
    figure = Figure("batched", per_second(TASKS, ours), "tasks/s")
    yield Row(
        f"layered {LAYERS} x {WIDTH}, beside Celery's chain of groups",
        figure,
        Figure("chain(group, …)", per_second(TASKS, chained), "tasks/s"),
        Target("at least", 50),
        note=f"the chain of groups was run {len(chained)} times",
    )
    yield Row(
        f"layered {LAYERS} x {WIDTH}, beside a plain group",
        figure,
        Figure(f"group({TASKS:,}), no results", per_second(TASKS, group), "tasks/s"),
        Target("at least", 0.9),
        note="a group has no dependencies, no state, no events, and acknowledges early: a lost worker loses tasks",
    )
    yield Row(
        f"layered {LAYERS} x {WIDTH}, beside a group whose results are gathered",
        figure,
        Figure(f"group({TASKS:,}).get()", per_second(TASKS, gathered), "tasks/s"),
    )
