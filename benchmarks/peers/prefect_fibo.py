"""Prefect: tasks that a flow calls, and tasks that it submits to two processes
(https://docs.prefect.io/v3/how-to-guides/workflows/run-work-concurrently).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from prefect import flow, task
from prefect.futures import wait
from prefect.task_runners import ProcessPoolTaskRunner

from benchmarks.peers import fibonacci, runs


@task
def fibo(number: int) -> int:
    """Compute a Fibonacci number."""
    return fibonacci.fibo(number)


@flow
def in_a_row(steps: int, number: int) -> None:
    """Compute one after the other."""
    for _ in range(steps):
        fibo(number)


@flow(task_runner=ProcessPoolTaskRunner(max_workers=runs.PROCESSES))
def at_once(width: int, number: int) -> None:
    """Compute two at a time; threads would share one core."""
    wait([fibo.submit(number) for _ in range(width)])


def run(steps: int, width: int, number: int) -> None:
    """Run one of the two cases."""
    if steps > 1:
        in_a_row(steps, number)
    else:
        at_once(width, number)


@contextlib.contextmanager
def started() -> Iterator[Callable[[int, int, int], None]]:
    """Nothing: the first flow starts the server that Prefect runs where none is configured."""
    yield run
