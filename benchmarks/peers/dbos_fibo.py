"""DBOS: steps of a workflow in a row; at once, workflows on a queue that two processes take from
(https://docs.dbos.dev/python/tutorials/queue-tutorial).
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator

from dbos import DBOS

from benchmarks.peers import fibonacci, runs

QUEUE = "fibo"


@DBOS.step()
def fibo(number: int) -> int:
    """Compute a Fibonacci number."""
    return fibonacci.fibo(number)


@DBOS.workflow()
def alone(number: int) -> int:
    """Compute one, in whatever process takes this from the queue."""
    return fibo(number)


@DBOS.workflow()
def in_a_row(steps: int, number: int) -> None:
    """Compute one after the other."""
    for _ in range(steps):
        fibo(number)


def run(steps: int, width: int, number: int) -> None:
    """Run one of the two cases, and wait for it."""
    if steps > 1:
        in_a_row(steps, number)
        return
    handles = [DBOS.enqueue_workflow(QUEUE, alone, number) for _ in range(width)]
    for handle in handles:
        handle.get_result(polling_interval_sec=0.005)


def launch(*queues: str) -> None:
    """Start DBOS in this process, which takes from these queues."""
    DBOS(
        config={
            "name": "fibo",
            "system_database_url": runs.POSTGRES,
            "log_level": "WARNING",
            "executor_id": str(os.getpid()),
        }
    )
    DBOS.listen_queues(queues)
    DBOS.launch()


@contextlib.contextmanager
def started() -> Iterator[Callable[[int, int, int], None]]:
    """The caller's process, which starts workflows, and two that take from the queue, one at a time."""
    launch()
    DBOS.register_queue(QUEUE, worker_concurrency=1, polling_interval_sec=0.05)
    with runs.workers(*[["-m", "benchmarks.peers.dbos_fibo"]] * runs.PROCESSES):
        yield run
    DBOS.destroy()


if __name__ == "__main__":  # a worker
    from benchmarks.peers import dbos_fibo  # under the name that the caller's process knows it by

    dbos_fibo.launch(QUEUE)
    signal.sigwait({signal.SIGTERM})
    DBOS.destroy()
