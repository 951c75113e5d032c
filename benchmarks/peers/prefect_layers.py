"""Prefect: a flow whose tasks wait for one of the layer before (https://docs.prefect.io/v3/how-to-guides/workflows/run-work-concurrently)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from prefect import flow, task
from prefect.futures import wait
from prefect.task_runners import ThreadPoolTaskRunner

from benchmarks.peers import runs


@task
def noop() -> None:
    """Do nothing."""


@flow(task_runner=ThreadPoolTaskRunner(max_workers=runs.PROCESSES))
def run(layers: int, width: int) -> None:
    """Submit the layers, and wait for the last one."""
    layer = [noop.submit() for _ in range(width)]
    for _ in range(layers - 1):
        layer = [noop.submit(wait_for=[before]) for before in layer]
    wait(layer)


@contextlib.contextmanager
def started() -> Iterator[Callable[[int, int], None]]:
    """Nothing: the first flow starts the server that Prefect runs where none is configured."""
    yield run
