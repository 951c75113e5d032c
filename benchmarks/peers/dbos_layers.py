"""DBOS: a workflow whose steps are gathered layer by layer (https://docs.dbos.dev/python/tutorials/step-tutorial).

The steps run in the process of the workflow. A queue would hand them to others, as workflows of their own; it looks
for them once a second, or as often as it is told to, which is slower for tasks this small.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator

from dbos import DBOS

from benchmarks.peers import runs


@DBOS.step()
async def noop() -> None:
    """Do nothing."""


@DBOS.workflow()
async def run_layers(layers: int, width: int) -> None:
    """Run each layer when the one before it is done."""
    for _ in range(layers):
        await asyncio.gather(*(noop() for _ in range(width)))


@contextlib.contextmanager
def started() -> Iterator[Callable[[int, int], None]]:
    """DBOS in the caller's process."""
    DBOS(config={"name": "layers", "system_database_url": runs.POSTGRES, "log_level": "WARNING"})
    DBOS.launch()
    with asyncio.Runner() as runner:
        yield lambda layers, width: runner.run(run_layers(layers, width))
    DBOS.destroy()
