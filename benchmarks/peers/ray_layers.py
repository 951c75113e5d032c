"""Ray: tasks that take the result of one of the layer before (https://docs.ray.io/en/latest/ray-core/tasks.html)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import ray

from benchmarks.peers import runs


@ray.remote
def noop(before: object) -> None:
    """Do nothing."""


def run(layers: int, width: int) -> None:
    """Submit the layers, and wait for the last one."""
    layer: list[Any] = [None] * width
    for _ in range(layers):
        layer = [noop.remote(before) for before in layer]
    ray.get(layer)


@contextlib.contextmanager
def started() -> Iterator[Callable[[int, int], None]]:
    """Its processes on this machine, with two workers."""
    ray.init(num_cpus=runs.PROCESSES, include_dashboard=False, log_to_driver=False, logging_level="WARNING")
    try:
        yield run
    finally:
        ray.shutdown()
