"""Plain Celery, as its documentation sets it up: one app, one no-op task, Redis as broker and result backend.

The worker is started with `celery -A benchmarks.plain worker -c 2`. Every setting is Celery's default.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from celery import Celery, chain, exceptions, group

from benchmarks.peers import fibonacci

URL = "BENCHMARKS_CELERY_URL"
PATIENCE = 1_800.0
INTERVAL = 0.005
"""Seconds between two looks at a result. With the default of half a second, `get` notices up to so much too late."""

app = Celery("plain", broker=os.environ.get(URL), backend=os.environ.get(URL))
app.conf.broker_connection_retry_on_startup = True


@app.task(name="plain.noop", shared=False)  # not to be found by other apps of this process
def noop() -> None:
    """Do nothing."""


@app.task(name="plain.clock", shared=False)
def clock() -> list[float]:
    """Say when it was entered and left, by the clock that all processes of a machine share."""
    return [time.monotonic(), time.monotonic()]


@app.task(name="plain.fibo", shared=False)
def fibo(number: int) -> int:
    """Compute a Fibonacci number."""
    return fibonacci.fibo(number)


def chain_of_groups(layers: int, width: int, *, barrier: bool = False) -> Any:
    """Layers of tasks, each layer after the one before it, as a Celery user would write it.

    Args:
        layers: How many groups.
        width: The tasks of each.
        barrier: Put a task between two groups. Without it, Celery 5.7 hangs the third group on every member of the
            second one, and runs each of its tasks `width` times (celery#5958): of 10 x 100 tasks, 10,900 are run.
    """
    groups = [group([noop.si() for _ in range(width)]) for _ in range(layers)]
    if not barrier:
        return chain(*groups)
    return chain(groups[0], *(step for following in groups[1:] for step in (noop.si(), following)))


def run_chain_of_groups(
    layers: int, width: int, patience: float = PATIENCE, *, barrier: bool = False
) -> bool:
    """Run the layers and wait for the last one; whether it was done within so many seconds."""
    result = chain_of_groups(layers, width, barrier=barrier).apply_async()
    try:
        result.get(timeout=patience, interval=INTERVAL)
    except exceptions.TimeoutError:
        result.forget()
        return False
    return True


def run_group(tasks: int, queue: str = "celery") -> None:
    """Run tasks that have nothing to do with each other, without results: the least that a group can do.

    The queue is first in, first out, so the last task alone keeps its result and is waited for.
    """
    options: Any = {"ignore_result": True}
    rest = [noop.si().set(**options) for _ in range(tasks - 1)]
    result: Any = group(*rest, noop.si()).apply_async(queue=queue)
    result.results[-1].get(timeout=PATIENCE, interval=INTERVAL)


def run_group_with_results(tasks: int) -> None:
    """Run tasks that have nothing to do with each other, and gather what they return."""
    group(noop.si() for _ in range(tasks)).apply_async().get(timeout=PATIENCE, interval=INTERVAL)


def run_chain(tasks: int) -> None:
    """Run tasks one after the other, and wait for the last one."""
    chain(*(noop.si() for _ in range(tasks))).apply_async().get(timeout=PATIENCE, interval=INTERVAL)


def run_clock() -> Any:
    """Run one task, and return when it was entered and left."""
    return clock.delay().get(timeout=PATIENCE, interval=INTERVAL)


def run_fibo(steps: int, width: int, number: int) -> None:
    """Compute a Fibonacci number so many times: one after the other, or at once where there is a single step."""
    together = group if steps == 1 else chain
    together(*(fibo.si(number) for _ in range(steps * width))).apply_async().get(
        timeout=PATIENCE, interval=INTERVAL
    )


def executed() -> int:
    """How many tasks the worker has run since it was started, by its own count."""
    answers: Any = app.control.inspect(timeout=10, limit=1).stats()
    (worker,) = answers.values()
    return int(worker["total"].get(noop.name, 0))


if __name__ == "__main__":  # publish layers to a queue that nobody serves: LAYERS WIDTH QUEUE
    chain_of_groups(int(sys.argv[1]), int(sys.argv[2])).apply_async(queue=sys.argv[3])
