"""Dramatiq: a group, and a pipeline (https://dramatiq.io/cookbook.html#composition)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from benchmarks.peers import fibonacci, runs

PATIENCE = 120_000
"""Milliseconds."""

broker = RedisBroker(url=runs.URL)
results = redis.Redis.from_url(runs.URL, socket_timeout=None)  # waits for a result as long as it is asked to
broker.add_middleware(Results(backend=RedisBackend(client=results)))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def fibo(number: int) -> int:
    """Compute a Fibonacci number."""
    return fibonacci.fibo(number)


def run(steps: int, width: int, number: int) -> None:
    """Run one of the two cases, and wait for its results."""
    messages = [fibo.message_with_options(args=(number,), pipe_ignore=True) for _ in range(steps * width)]
    if steps > 1:
        dramatiq.pipeline(messages).run().get_result(block=True, timeout=PATIENCE)
    else:
        list(dramatiq.group(messages).run().get_results(block=True, timeout=PATIENCE))


@contextlib.contextmanager
def started() -> Iterator[Callable[[int, int, int], None]]:
    """One worker of two processes with a thread each."""
    worker = ["-m", "dramatiq", "benchmarks.peers.dramatiq_fibo", "--processes", str(runs.PROCESSES)]
    with runs.workers([*worker, "--threads", "1"]):
        yield run
