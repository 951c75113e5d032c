"""The CPU of a worker that has nothing to do, and of its Redis. Linux only."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celery import Celery
from redis import Redis

from benchmarks import cpu, plain
from benchmarks.graphs import layered
from benchmarks.measurement import Figure, Row, Target
from benchmarks.options import Options
from benchmarks.rig import PROCESSES, Rig, Unfinished, environment, settings_on
from orchestrator.client.client import Client
from orchestrator.config import urls
from orchestrator.engine import broker
from orchestrator.local import processes
from orchestrator.state import embedded

SECONDS = 30.0
"""How long the processes are looked at, each time."""

QUIET = 5.0
"""Seconds before that, in which a worker settles after its start."""

PATIENCE = 60.0
"""Seconds for a worker of plain Celery to start."""


@dataclass(frozen=True)
class Side:
    """A worker that is idle, and its Redis, by process id."""

    worker: int
    redis: int

    def used(self) -> tuple[float, float]:
        """CPU seconds up to now: the worker with its pool, and Redis."""
        return cpu.used_by([self.worker, *cpu.children(self.worker)]), cpu.used(self.redis)


def rows(rig: Rig, options: Options) -> Iterator[Row]:
    """Ours and plain Celery's in the same half minutes, each with a Redis of its own, so that its share can be told."""
    what = "CPU of an idle worker and its Redis"
    if sys.platform != "linux":
        yield Row(what, skipped="the CPU of another process can be read on Linux alone")
        return
    with _ours(rig.folder / "idle") as ours, _plain(rig.folder / "idle-plain") as beside:
        time.sleep(QUIET)
        rounds = [_looked_at(ours, beside) for _ in range(options.runs)]
    mine, others = zip(*rounds, strict=True)
    yield _row(what, mine, others, Target("at most", 0.3, of="ours"))
    yield _row("CPU of an idle worker", [one[:1] for one in mine], [one[:1] for one in others])
    yield _row("CPU of the Redis of an idle worker", [one[1:] for one in mine], [one[1:] for one in others])


def _row(what: str, ours: Any, beside: Any, target: Target | None = None) -> Row:
    return Row(
        f"{what}, share of a core",
        Figure(f"{PROCESSES} processes, {SECONDS:g} s", tuple(map(sum, ours)), "%"),
        Figure("plain Celery", tuple(map(sum, beside)), "%"),
        target,
    )


def _looked_at(*sides: Side) -> list[tuple[float, ...]]:
    """For each side the shares of a core, in percent, that its worker and its Redis take."""
    start, before = time.monotonic(), [side.used() for side in sides]
    time.sleep(SECONDS)
    after, took = [side.used() for side in sides], time.monotonic() - start
    return [
        tuple(100 * (late - early) / took for early, late in zip(*pair, strict=True))
        for pair in zip(before, after, strict=True)
    ]


@contextlib.contextmanager
def _ours(folder: Path) -> Iterator[Side]:
    """A worker of ours that takes from the queues of all specialists, and has run a feature."""
    with embedded.Server(folder / "server") as server:
        settings = settings_on(folder, server.url)
        command = ["-A", "orchestrator", "worker", "-c", str(PROCESSES)]
        with processes.celery(settings, command, folder / "log") as worker, Client(settings) as client:
            client.enqueue(layered(2, 20)).wait(PATIENCE)
            yield Side(worker.pid, _process(server.url))


@contextlib.contextmanager
def _plain(folder: Path) -> Iterator[Side]:
    """A worker of plain Celery that answers."""
    with embedded.Server(folder / "server") as server:
        url = broker.address(urls.read(server.url)).url
        command = ["-A", "benchmarks.plain", "worker", "-c", str(PROCESSES)]
        settings = settings_on(folder, server.url)
        with (
            environment(**{plain.URL: url}),
            processes.celery(settings, command, folder / "log") as worker,
            Celery("asking", broker=url) as asking,
        ):
            deadline = time.monotonic() + PATIENCE
            while not asking.control.ping(timeout=1):
                if time.monotonic() > deadline:
                    raise Unfinished("The worker of plain Celery does not answer.")
            yield Side(worker.pid, _process(server.url))


def _process(url: str) -> int:
    with Redis.from_url(url) as redis:
        info: Any = redis.info("server")
        return int(info["process_id"])
