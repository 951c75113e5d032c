"""Tasks a second, beside a plain group without any workflow."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import plain
from benchmarks.graphs import layered
from benchmarks.measurement import Figure, Row, Target, interleaved, per_second
from benchmarks.options import Options
from benchmarks.rig import PROCESSES, Rig

LAYERS, WIDTH = 10, 100
TASKS = LAYERS * WIDTH
AHEAD = "ahead"


def rows(rig: Rig, options: Options) -> Iterator[Row]:
    """Four sides in turn: ours, ours on a worker that takes more ahead, a group without results, a group with them."""
    with rig.worker(AHEAD, PROCESSES, "--prefetch-multiplier", "2"):
        ours, ahead, group, gathered = interleaved(
            options.runs,
            lambda: rig.run(layered(LAYERS, WIDTH)),
            lambda: rig.run(layered(LAYERS, WIDTH, AHEAD)),
            lambda: plain.run_group(TASKS),
            lambda: plain.run_group_with_results(TASKS),
        )
    figure = Figure("batched", per_second(TASKS, ours), "tasks/s")
    yield Row(
        f"layered {LAYERS} x {WIDTH}, beside a plain group",
        figure,
        Figure(f"group({TASKS:,}), no results", per_second(TASKS, group), "tasks/s"),
        Target("at least", 2.5),
        note="a group has no dependencies, no state, no events; it acknowledges before the work, so that a lost "
        "worker loses tasks, and takes four messages ahead for each process, where ours takes one",
    )
    yield Row(
        f"layered {LAYERS} x {WIDTH}, two tasks ahead, beside a plain group",
        Figure("batched, --prefetch-multiplier 2", per_second(TASKS, ahead), "tasks/s"),
        Figure(f"group({TASKS:,}), no results", per_second(TASKS, group), "tasks/s"),
        note="a worker takes two tasks for each process, where ours takes one and Celery's own default is four; what "
        "it has taken waits for it, also where another worker is free: for small tasks only",
    )
    yield Row(
        f"layered {LAYERS} x {WIDTH}, beside a group whose results are gathered",
        figure,
        Figure(f"group({TASKS:,}).get()", per_second(TASKS, gathered), "tasks/s"),
    )
