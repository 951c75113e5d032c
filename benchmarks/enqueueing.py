"""Enqueue from Python, beside the time that Redis needs for the same bytes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from benchmarks.graphs import layered
from benchmarks.measurement import Figure, Row, Target, interleaved
from benchmarks.options import Options
from benchmarks.rig import Rig
from orchestrator.client import Handle
from orchestrator.models import Feature
from orchestrator.store import CHUNK

TASKS, CAP = 10_000, 5
PARTS = ("tasks", "plan", "batches", "counts")
"""The hashes that an enqueue writes."""


def rows(rig: Rig, options: Options) -> Iterator[Row]:
    """From a dictionary to stored and started, validation and planning included; nobody takes from the queue."""
    data = layered(TASKS // 100, 100, "idle", max_parallel_tasks=CAP).model_dump(
        mode="json", exclude_defaults=True
    )
    keys = rig.client.store.keys

    handles: list[Handle] = []

    def enqueue() -> None:
        handles.append(rig.client.enqueue(Feature.model_validate(data)))

    enqueue()
    stored: dict[str, Any] = {
        part: rig.redis.hgetall(getattr(keys.feature(handles[0].id), part)) for part in PARTS
    }
    copies = itertools.count()

    def pipelined() -> None:
        pipeline, copy = rig.redis.pipeline(transaction=False), next(copies)
        for part, fields in stored.items():
            items = list(fields.items())
            for start in range(0, len(items), CHUNK):
                pipeline.hset(f"copy:{copy}:{part}", mapping=dict(items[start : start + CHUNK]))
        pipeline.execute()

    ours, raw = interleaved(options.runs, enqueue, pipelined)
    for handle in handles:
        handle.cancel()
    rig.redis.delete("idle", *(f"copy:{copy}:{part}" for copy in range(next(copies)) for part in PARTS))
    yield Row(
        f"enqueue of {TASKS:,} tasks",
        Figure("Client.enqueue", ours, "s"),
        Figure("the same bytes, pipelined", raw, "s"),
        Target("at most", 3),
    )
