"""Huey: the caller waits for each layer before it enqueues the next (https://huey.readthedocs.io/en/latest/guide.html).

Its pipelines pass results from task to task, and have no join over many tasks in every version.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from huey import RedisHuey
from redis import ConnectionPool

from benchmarks.peers import runs

huey = RedisHuey("layers", connection_pool=ConnectionPool.from_url(runs.URL))


@huey.task()
def noop() -> int:
    """Do nothing. Huey keeps no result of None, so that there would be nothing to wait for."""
    return 0


def run(layers: int, width: int) -> None:
    """Enqueue a layer, wait for it, and go on with the next."""
    for _ in range(layers):
        for result in [noop() for _ in range(width)]:
            result.get(blocking=True, backoff=1.0, max_delay=0.01)


@contextlib.contextmanager
def started() -> Iterator[Callable[[int, int], None]]:
    """One consumer of two processes."""
    worker = ["-m", "huey.bin.huey_consumer", "benchmarks.peers.huey_layers.huey", "-k", "process", "-q"]
    with runs.workers([*worker, "-w", str(runs.PROCESSES), "-d", "0.01"]):
        yield run
