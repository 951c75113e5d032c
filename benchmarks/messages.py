"""Bytes of a message, read from the queue in Redis while nobody takes from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import redis

from benchmarks import plain
from benchmarks.graphs import layered
from benchmarks.measurement import Figure, Row, Target
from benchmarks.options import Options
from benchmarks.rig import Rig

SHAPES = ((1, 1), (10, 10), (100, 1), (10, 100), (1, 1_000), (100, 100))
QUEUE = "idle"


def rows(rig: Rig, options: Options) -> Iterator[Row]:
    """The largest message of each graph; the figures of the table are those of 10 x 100."""
    ours = {shape: _largest(rig.redis, lambda shape=shape: _enqueue(rig, *shape)) for shape in SHAPES}
    theirs = _largest(rig.celery_redis, lambda: plain.chain_of_groups(10, 100).apply_async(queue=QUEUE))
    sizes = ", ".join(f"{layers} x {width}: {ours[layers, width]:,}" for layers, width in SHAPES)
    yield Row(
        "message size, largest of 10 x 100",
        Figure("batched", (ours[10, 100],), "bytes"),
        Figure("chain(group, …)", (theirs,), "bytes"),
        Target("at most", 600, of="ours"),
        note=sizes,
    )


def _enqueue(rig: Rig, layers: int, width: int) -> None:
    handle = rig.client.enqueue(layered(layers, width, QUEUE))
    handle.cancel()


def _largest(client: redis.Redis, publish: Any) -> int:
    client.delete(QUEUE)
    publish()
    messages: Any = client.lrange(QUEUE, 0, -1)
    client.delete(QUEUE)
    return max(map(len, messages))
