"""Tasks a second, beside a plain group without any workflow."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import plain
from benchmarks.graphs import layered
from benchmarks.measurement import Figure, Row, Target, interleaved, per_second
from benchmarks.options import Options
from benchmarks.rig import Rig

LAYERS, WIDTH = 10, 100
TASKS = LAYERS * WIDTH


def rows(rig: Rig, options: Options) -> Iterator[Row]:
    """Three sides in turn: ours, a group whose results are ignored, and one whose results are gathered."""
    ours, group, gathered = interleaved(
        options.runs,
        lambda: rig.run(layered(LAYERS, WIDTH)),
        lambda: plain.run_group(TASKS),
        lambda: plain.run_group_with_results(TASKS),
    )
    figure = Figure("batched", per_second(TASKS, ours), "tasks/s")
    yield Row(
        f"layered {LAYERS} x {WIDTH}, beside a plain group",
        figure,
        Figure(f"group({TASKS:,}), no results", per_second(TASKS, group), "tasks/s"),
        Target("at least", 0.9),
        note="a group has no dependencies, no state, no events; it acknowledges before the work, so that a lost "
        "worker loses tasks, and takes four messages ahead for each process, where ours takes one",
    )
    yield Row(
        f"layered {LAYERS} x {WIDTH}, beside a group whose results are gathered",
        figure,
        Figure(f"group({TASKS:,}).get()", per_second(TASKS, gathered), "tasks/s"),
    )
