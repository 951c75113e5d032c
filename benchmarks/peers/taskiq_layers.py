"""Taskiq: a layer is sent, and its results are waited for (https://taskiq-python.github.io/guide/getting-started.html).

With the stream broker of its Redis package, which acknowledges; the list broker loses what a lost worker had.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator

from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from benchmarks.peers import runs

broker = RedisStreamBroker(runs.URL).with_result_backend(RedisAsyncResultBackend(runs.URL))


@broker.task
async def noop() -> None:
    """Do nothing."""


async def run_layers(layers: int, width: int) -> None:
    """Send each layer when the one before it is done."""
    for _ in range(layers):
        sent = await asyncio.gather(*(noop.kiq() for _ in range(width)))
        await asyncio.gather(*(task.wait_result(check_interval=0.005) for task in sent))


@contextlib.contextmanager
def started() -> Iterator[Callable[[int, int], None]]:
    """One worker of two processes, and the caller's own connection."""
    worker = ["-m", "taskiq", "worker", "benchmarks.peers.taskiq_layers:broker"]
    with (
        runs.workers([*worker, "--workers", str(runs.PROCESSES), "--log-level", "WARNING"]),
        asyncio.Runner() as runner,
    ):
        runner.run(broker.startup())
        yield lambda layers, width: runner.run(run_layers(layers, width))
        runner.run(broker.shutdown())
