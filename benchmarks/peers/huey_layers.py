"""Huey: a group with a callback that enqueues the next one (https://huey.readthedocs.io/en/latest/guide.html)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from huey import RedisHuey
from huey.api import group
from redis import ConnectionPool, Redis

from benchmarks.peers import runs

client = Redis.from_url(runs.URL)
huey = RedisHuey("layers", connection_pool=ConnectionPool.from_url(runs.URL))


@huey.task()
def noop() -> int:
    """Do nothing. Huey keeps no result of None, and waits for a result of each before it calls back."""
    return 0


@huey.task()
def layer_done(results: object, name: str, left: int, width: int) -> None:
    """Enqueue the next layer, or say that it was the last one."""
    if left:
        enqueue_layer(name, left, width)
    else:
        client.set(name, "done", ex=600)


def enqueue_layer(name: str, left: int, width: int) -> None:
    """Enqueue one layer; `left` counts the layers from this one on."""
    layer = group([noop.s() for _ in range(width)])
    huey.enqueue(layer.then(layer_done, name=name, left=left - 1, width=width))


def run(layers: int, width: int) -> None:
    """Enqueue the first layer, and wait for the last one."""
    name = f"layers:{time.time_ns()}"
    enqueue_layer(name, layers, width)
    while not client.exists(name):
        time.sleep(0.005)


@contextlib.contextmanager
def started() -> Iterator[Callable[[int, int], None]]:
    """One consumer of two processes."""
    worker = ["-m", "huey.bin.huey_consumer", "benchmarks.peers.huey_layers.huey", "-k", "process", "-q"]
    with runs.workers([*worker, "-w", str(runs.PROCESSES), "-d", "0.01"]):
        yield run
