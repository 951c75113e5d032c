"""Bytes of a message, read from the queue in Redis while nobody takes from it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import redis

from benchmarks.graphs import layered
from benchmarks.measurement import Figure, Row, Target
from benchmarks.options import Options
from benchmarks.rig import REPOSITORY, Rig
from orchestrator.state.keys import Keys

SHAPES = ((1, 1), (10, 10), (100, 1), (10, 100), (1, 1_000), (100, 100))
QUEUE = "idle"


def rows(rig: Rig, options: Options) -> Iterator[Row]:
    """The largest message of each graph; the figures of the table are those of 10 x 100."""
    key = Keys().queue(QUEUE)
    ours = {shape: _largest(rig.redis, key, lambda shape=shape: _enqueue(rig, *shape)) for shape in SHAPES}
    theirs = _largest(rig.celery_redis, QUEUE, _publish_chain_of_groups)
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


def _publish_chain_of_groups() -> None:
    # In a process of its own: Celery holds on to results that never come, and complains of them at the end.
    command = [sys.executable, "-m", "benchmarks.plain", "10", "100", QUEUE]
    subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True)


def _largest(client: redis.Redis, queue: str, publish: Any) -> int:
    client.delete(queue)
    publish()
    messages: Any = client.lrange(queue, 0, -1)
    client.delete(queue)
    return max(map(len, messages))
