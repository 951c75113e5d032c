"""procrastinate: a layer is deferred, and its jobs are waited for (https://procrastinate.readthedocs.io/en/stable/quickstart.html)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator

from procrastinate import App, PsycopgConnector

from benchmarks.peers import runs

app = App(connector=PsycopgConnector(conninfo=runs.POSTGRES))

LEFT = "SELECT count(*) AS number FROM procrastinate_jobs WHERE id = ANY(%(jobs)s) AND status <> 'succeeded'"


@app.task(name="noop")
async def noop() -> None:
    """Do nothing."""


async def run_layers(layers: int, width: int) -> None:
    """Defer each layer when the one before it is done."""
    for _ in range(layers):
        jobs = await noop.batch_defer_async(*[{}] * width)
        while (await app.connector.execute_query_one_async(LEFT, jobs=jobs))["number"]:
            await asyncio.sleep(0.005)


async def prepare() -> None:
    """Connect, and make its tables."""
    await app.open_async()
    await app.schema_manager.apply_schema_async()


@contextlib.contextmanager
def started() -> Iterator[Callable[[int, int], None]]:
    """Two workers of one process each, and the caller's own connection."""
    worker = ["-m", "procrastinate", "--app", "benchmarks.peers.procrastinate_layers.app", "worker"]
    with asyncio.Runner() as runner:
        runner.run(prepare())
        with runs.workers(*[worker] * runs.PROCESSES):
            yield lambda layers, width: runner.run(run_layers(layers, width))
        runner.run(app.close_async())
