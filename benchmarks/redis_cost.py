"""The cost of a task in Redis: its CPU, and the commands that it carries out, by its own count (INFO)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from redis import Redis

from benchmarks import plain
from benchmarks.graphs import layered
from benchmarks.measurement import Figure, Row, Target
from benchmarks.options import Options
from benchmarks.rig import Rig

LAYERS, WIDTH = 10, 100
TASKS = LAYERS * WIDTH

LOOKING = "cmdstat_info"
"""The command of this measurement itself."""


@dataclass(frozen=True)
class Cost:
    """The cost to Redis up to a moment, or between two.

    Args:
        cpu: Seconds.
        commands: Commands carried out, those inside a script included.
    """

    cpu: float
    commands: float

    def a_task_since(self, before: Cost) -> Cost:
        """The share of one task in what was spent since: milliseconds, and commands."""
        return Cost(1000 * (self.cpu - before.cpu) / TASKS, (self.commands - before.commands) / TASKS)


def rows(rig: Rig, options: Options) -> Iterator[Row]:
    """Batched, dataflow and a plain group in turn. That both workers wait for messages meanwhile is counted too."""
    sides: dict[str, Callable[[], object]] = {
        "batched": lambda: rig.run(layered(LAYERS, WIDTH)),
        "dataflow": lambda: rig.run(layered(LAYERS, WIDTH, strategy="dataflow")),
        f"group({TASKS:,}), no results": lambda: plain.run_group(TASKS),
    }
    for run in sides.values():
        run()
    costs: dict[str, list[Cost]] = {side: [] for side in sides}
    for _ in range(options.runs):
        for side, run in sides.items():
            before = _spent(rig.redis)
            run()
            costs[side].append(_spent(rig.redis).a_task_since(before))
    *ours, group = sides
    for side in ours:
        yield Row(
            f"Redis CPU a task, {side}, {LAYERS} x {WIDTH}",
            Figure(side, tuple(cost.cpu for cost in costs[side]), "ms"),
            Figure(group, tuple(cost.cpu for cost in costs[group]), "ms"),
            Target("at most", 0.15, of="ours"),
        )
        yield Row(
            f"Redis commands a task, {side}, {LAYERS} x {WIDTH}",
            Figure(side, tuple(cost.commands for cost in costs[side]), "commands"),
            Figure(group, tuple(cost.commands for cost in costs[group]), "commands"),
        )


def _spent(redis: Redis) -> Cost:
    info: dict[str, Any] = redis.info("cpu")
    stats: dict[str, Any] = redis.info("commandstats")
    return Cost(
        info["used_cpu_user"] + info["used_cpu_sys"],
        sum(stat["calls"] for command, stat in stats.items() if command != LOOKING),
    )
