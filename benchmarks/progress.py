"""Reading a feature's progress, large beside small."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.graphs import layered
from benchmarks.measurement import Figure, Row, Target, interleaved
from benchmarks.options import Options
from benchmarks.rig import Rig
from orchestrator.client.handle import Handle

READS, BOUND = 200, 1.2
LARGE, SMALL = 100_000, 10


def rows(rig: Rig, options: Options) -> Iterator[Row]:
    """Milliseconds for one read. "The same" allows for the noise of a shared machine."""
    small = rig.client.enqueue(layered(1, SMALL, "idle"))
    large = rig.client.enqueue(layered(LARGE // 100, 100, "idle"))
    ours, beside = interleaved(3 * options.runs, lambda: _read(large), lambda: _read(small))
    for handle in (small, large):
        handle.cancel()
    rig.redis.delete("idle")
    yield Row(
        f"progress of {LARGE:,} tasks, beside {SMALL}",
        Figure(f"{LARGE:,} tasks", tuple(1000 * time / READS for time in ours), "ms"),
        Figure(f"{SMALL} tasks", tuple(1000 * time / READS for time in beside), "ms"),
        Target("at most", BOUND),
    )


def _read(handle: Handle) -> None:
    for _ in range(READS):
        handle.progress()
