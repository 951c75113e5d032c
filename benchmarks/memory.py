"""The memory that a finished feature keeps in Redis, by MEMORY USAGE over all its keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from redis import Redis

from benchmarks import plain
from benchmarks.graphs import layered
from benchmarks.measurement import Figure, Row, Target
from benchmarks.options import Options
from benchmarks.rig import Rig

LAYERS, WIDTH = 10, 100
TASKS = LAYERS * WIDTH


def rows(rig: Rig, options: Options) -> Iterator[Row]:
    """The no-op specialist says nothing, so that no text of an outcome is counted."""
    handle = rig.run(layered(LAYERS, WIDTH))
    used = _used(rig.redis, rig.client.store.keys.feature(handle.id).all())
    shares = ", ".join(
        f"{key.rsplit(':', 1)[-1]} {size:,.0f}"
        for key, size in sorted(used.items(), key=lambda item: -item[1])
    )
    before = set(rig.celery_redis.scan_iter(count=1_000))
    plain.run_group_with_results(TASKS)
    results = _used(rig.celery_redis, set(rig.celery_redis.scan_iter(count=1_000)) - before)
    yield Row(
        f"Redis memory per task, {LAYERS} x {WIDTH} finished",
        Figure("batched", (sum(used.values()),), "bytes"),
        Figure(f"results of group({TASKS:,})", (sum(results.values()),), "bytes"),
        target=Target("at most", 1_024, of="ours"),
        note=f"{shares}; Celery keeps a result for each task, and no plan, state or events",
    )


def _used(redis: Redis, keys: Iterable[Any]) -> dict[str, float]:
    """Key → bytes for each task."""
    sizes: dict[Any, Any] = {key: redis.memory_usage(key, samples=0) for key in keys}
    return {
        key.decode() if isinstance(key, bytes) else key: size / TASKS for key, size in sizes.items() if size
    }
