"""The points of the plot: ten layers of growing width, ours beside Celery's chain of groups."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks import plain
from benchmarks.graphs import layered
from benchmarks.measurement import seconds
from benchmarks.plot import Points
from benchmarks.rig import Rig

LAYERS = 10
WIDTHS, OUR_WIDTHS = (1, 3, 10, 30), (1, 3, 10, 30, 100, 300, 1_000)
OURS, CELERY = "ours", "chain(group, …)"
LARGEST = 100
"""The width at which the row about throughput measures both sides; its figures are points of the plot too."""


def measure(rig: Rig) -> dict[str, Points]:
    """Seconds for each number of tasks; the better of two runs, as small ones last milliseconds."""
    return {
        OURS: [(LAYERS * width, _best(partial(_ours, rig, width))) for width in OUR_WIDTHS],
        CELERY: [
            (LAYERS * width, _best(partial(plain.run_chain_of_groups, LAYERS, width))) for width in WIDTHS
        ],
    }


def _ours(rig: Rig, width: int) -> None:
    rig.run(layered(LAYERS, width))


def _best(work: Callable[[], object]) -> float:
    return min(seconds(work) for _ in range(2))
