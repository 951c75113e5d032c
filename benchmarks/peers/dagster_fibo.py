"""Dagster: jobs of ops, in a row in one process and at once in two (https://docs.dagster.io/deployment/execution/executors).

By default each op gets a process of its own, which takes a second or so to start; a job whose ops follow each other
gains nothing by that, so that it runs here in the process of its caller.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from dagster import (
    DagsterInstance,
    In,
    Nothing,
    execute_job,
    in_process_executor,
    job,
    multiprocess_executor,
    op,
    reconstructable,
)

from benchmarks.peers import fibonacci, runs

STEPS, SHORT = 40, 10
WIDTH, LONG = 10, 33
"""The jobs are built when this is imported, also by the processes that Dagster starts."""

two_processes = multiprocess_executor.configured(
    {
        "max_concurrent": runs.PROCESSES,
        "start_method": {"forkserver": {"preload_modules": ["benchmarks.peers.dagster_fibo"]}},
    }
)


@op
def long() -> int:
    """Compute a Fibonacci number that takes a second or so."""
    return fibonacci.fibo(LONG)


@op
def first() -> int:
    """Compute a small one."""
    return fibonacci.fibo(SHORT)


@op(ins={"before": In(Nothing)})
def following() -> int:
    """Compute a small one after another op."""
    return fibonacci.fibo(SHORT)


@job(executor_def=two_processes)
def at_once() -> None:
    """Long ones, two at a time."""
    for place in range(WIDTH):
        long.alias(f"long_{place}")()


@job(executor_def=in_process_executor)
def in_a_row() -> None:
    """Small ones, each after the one before it."""
    before = first()
    for place in range(1, STEPS):
        before = following.alias(f"following_{place}")(before)


def run(steps: int, width: int, number: int) -> None:
    """Execute one of the two jobs."""
    assert (steps, width, number) in {(STEPS, 1, SHORT), (1, WIDTH, LONG)}
    chosen = in_a_row if steps > 1 else at_once
    with DagsterInstance.get() as instance, execute_job(reconstructable(chosen), instance) as result:
        assert result.success


@contextlib.contextmanager
def started() -> Iterator[Callable[[int, int, int], None]]:
    """Nothing: its storage is SQLite in its home."""
    (runs.FOLDER / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", "utf-8")
    yield run
