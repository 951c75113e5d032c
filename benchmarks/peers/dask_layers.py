"""Dask: futures that depend on one of the layer before (https://docs.dask.org/en/stable/futures.html). No Redis."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

from distributed import Client, LocalCluster

from benchmarks.peers import runs


def noop(before: object) -> None:
    """Do nothing."""


def run(client: Client, layers: int, width: int) -> None:
    """Submit the layers, and wait for the last one."""
    layer: list[Any] = [None] * width
    for _ in range(layers):
        layer = [client.submit(noop, before, pure=False) for before in layer]
    client.gather(layer)


@contextlib.contextmanager
def started() -> Iterator[Callable[[int, int], None]]:
    """A scheduler and two workers of one thread each."""
    with (
        LocalCluster(n_workers=runs.PROCESSES, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield functools.partial(run, client)
