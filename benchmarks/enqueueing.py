"""Enqueue from Python, beside the time that Redis needs for the same bytes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from redis import Redis

from benchmarks.graphs import layered
from benchmarks.measurement import Figure, Row, Target, interleaved
from benchmarks.options import Options
from benchmarks.rig import Rig
from orchestrator.client.handle import Handle
from orchestrator.model.feature import Feature
from orchestrator.state.chunks import CHUNK
from orchestrator.state.keys import Keys

TASKS, CAP = 10_000, 5
QUEUE = "idle"


def rows(rig: Rig, options: Options) -> Iterator[Row]:
    """From a dictionary to stored and started, validation and planning included; nobody takes from the queue."""
    data = layered(TASKS // 100, 100, QUEUE, max_parallel_tasks=CAP).model_dump(
        mode="json", exclude_defaults=True
    )
    handles: list[Handle] = []

    def enqueue() -> None:
        handles.append(rig.client.enqueue(Feature.model_validate(data)))

    rig.redis.delete(Keys().queue(QUEUE))
    enqueue()
    keys = (*rig.client.store.keys.feature(handles[0].id).all(), Keys().queue(QUEUE))
    writes = [(key, *write) for key in keys for write in _writes(rig.redis, key)]
    copies = itertools.count()

    def pipelined() -> None:
        pipeline, copy = rig.redis.pipeline(transaction=False), next(copies)
        send: Callable[..., object] = pipeline.execute_command
        for key, command, held in writes:
            send(command, f"copy:{copy}:{key}", *held)
        pipeline.execute()

    ours, raw = interleaved(options.runs, enqueue, pipelined)
    for handle in handles:
        handle.cancel()
    rig.redis.delete(Keys().queue(QUEUE), *rig.redis.scan_iter("copy:*", count=1_000))
    yield Row(
        f"enqueue of {TASKS:,} tasks",
        Figure("Client.enqueue", ours, "s"),
        Figure("the same bytes, pipelined", raw, "s"),
        Target("at most", 4),
    )


def _writes(redis: Redis, key: str) -> Iterator[tuple[str, list[Any]]]:
    """The commands that write again what a key holds, without its name; a hash in parts, as an enqueue sends it."""
    kind: Any = redis.type(key)
    held: Any
    match kind.decode():
        case "hash":
            held = redis.hgetall(key)
            fields = [text for item in held.items() for text in item]
            for start in range(0, len(fields), 2 * CHUNK):
                yield "HSET", fields[start : start + 2 * CHUNK]
        case "zset":
            held = redis.zrange(key, 0, -1, withscores=True)
            yield "ZADD", [text for member, score in held for text in (score, member)]
        case "list":
            held = redis.lrange(key, 0, -1)
            yield "RPUSH", held
        case "set":
            held = redis.smembers(key)
            yield "SADD", list(held)
        case "stream":
            held = redis.xrange(key)
            for _, event in held:
                yield "XADD", ["*", *(text for item in event.items() for text in item)]
        case "string":
            yield "SET", [redis.get(key)]
