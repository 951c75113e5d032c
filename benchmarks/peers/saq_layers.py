"""SAQ: `map` enqueues a layer and waits for its results (https://saq-py.readthedocs.io/en/latest/getting_started.html)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from redis.asyncio import Redis
from saq.queue.redis import RedisQueue

from benchmarks.peers import runs

queue = RedisQueue(Redis.from_url(runs.URL))


async def noop(context: Any) -> None:
    """Do nothing."""


settings = {"queue": queue, "functions": [noop], "concurrency": 10}
"""The settings of its worker; ten coroutines at once is its default."""


async def run_layers(layers: int, width: int) -> None:
    """Enqueue each layer when the one before it is done."""
    for _ in range(layers):
        await queue.map("noop", [{}] * width, poll_interval=0.005)


@contextlib.contextmanager
def started() -> Iterator[Callable[[int, int], None]]:
    """Two workers of one process each, and the caller's own connection."""
    worker = ["-m", "saq", "benchmarks.peers.saq_layers.settings", "--quiet"]
    with runs.workers(*[worker] * runs.PROCESSES), asyncio.Runner() as runner:
        runner.run(queue.connect())
        yield lambda layers, width: runner.run(run_layers(layers, width))
        runner.run(queue.disconnect())
