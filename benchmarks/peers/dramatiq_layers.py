"""Dramatiq: a group whose completion callback sends the next group (https://dramatiq.io/cookbook.html#composition)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import GroupCallbacks
from dramatiq.rate_limits.backends import RedisBackend

from benchmarks.peers import runs

client = redis.Redis.from_url(runs.URL)
broker = RedisBroker(url=runs.URL)
broker.add_middleware(GroupCallbacks(RedisBackend(url=runs.URL)))
dramatiq.set_broker(broker)


@dramatiq.actor
def noop() -> None:
    """Do nothing."""


@dramatiq.actor
def layer_done(name: str, left: int, width: int) -> None:
    """Send the next layer, or say that it was the last one."""
    if left:
        send_layer(name, left, width)
    else:
        client.set(name, "done", ex=600)


def send_layer(name: str, left: int, width: int) -> None:
    """Send one layer; `left` counts the layers from this one on."""
    layer = dramatiq.group([noop.message() for _ in range(width)])
    layer.add_completion_callback(layer_done.message(name, left - 1, width))
    layer.run()


def run(layers: int, width: int) -> None:
    """Send the first layer, and wait for the last one."""
    name = f"layers:{time.time_ns()}"
    send_layer(name, layers, width)
    while not client.exists(name):
        time.sleep(0.005)


@contextlib.contextmanager
def started() -> Iterator[Callable[[int, int], None]]:
    """One worker of two processes with a thread each."""
    worker = ["-m", "dramatiq", "benchmarks.peers.dramatiq_layers", "--processes", str(runs.PROCESSES)]
    with runs.workers([*worker, "--threads", "1"]):
        yield run
