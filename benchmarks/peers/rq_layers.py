"""RQ: each job depends on the whole layer before it (https://python-rq.org/docs/#job-dependencies).

One dependency for each job would be less to do, but does not end: where two workers finish at once, RQ 3.0 leaves the
jobs that waited for them to its next cleanup, which comes every ten minutes (`ReadyJobRegistry.enqueue_jobs`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from redis import Redis
from rq import Queue
from rq.job import Job

from benchmarks.peers import runs


def noop() -> None:
    """Do nothing."""


def run(layers: int, width: int) -> None:
    """Enqueue the layers, and wait for the last one."""
    queue = Queue(connection=Redis.from_url(runs.URL))
    layer: list[Job] = []
    for _ in range(layers):
        before = layer
        layer = [queue.enqueue(noop, depends_on=before or None) for _ in range(width)]
    while not all(job.get_status() == "finished" for job in layer):
        time.sleep(0.01)


@contextlib.contextmanager
def started() -> Iterator[Callable[[int, int], None]]:
    """Two workers of one process each. An RQ worker forks for every job; SimpleWorker does not, and is faster."""
    worker = ["-m", "rq.cli", "worker", "--url", runs.URL, "--quiet", "--worker-class", "rq.SimpleWorker"]
    with runs.workers(*[worker] * runs.PROCESSES):
        yield run
