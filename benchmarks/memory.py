"""What a finished feature keeps in Redis, by MEMORY USAGE over all its keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.graphs import layered
from benchmarks.measurement import Figure, Row, Target
from benchmarks.options import Options
from benchmarks.rig import Rig

LAYERS, WIDTH = 10, 100


def rows(rig: Rig, options: Options) -> Iterator[Row]:
    """The no-op specialist says nothing, so that no text of an outcome is counted."""
    handle = rig.run(layered(LAYERS, WIDTH))
    used = {}
    for key in rig.client.store.keys.feature(handle.id).all():
        size: Any = rig.redis.memory_usage(key, samples=0)
        used[key.rsplit(":", 1)[-1]] = (size or 0) / (LAYERS * WIDTH)
    shares = ", ".join(
        f"{part} {size:,.0f}" for part, size in sorted(used.items(), key=lambda item: -item[1])
    )
    yield Row(
        f"Redis memory per task, {LAYERS} x {WIDTH} finished",
        Figure("batched", (sum(used.values()),), "bytes"),
        target=Target("at most", 1_024, of="ours"),
        note=shares,
    )
