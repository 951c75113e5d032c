"""Where the time goes: the CPU of a no-op task by process, ours beside a plain group. Linux only.

    python -m benchmarks.profile           # CPU milliseconds a task
    python -m benchmarks.profile --calls   # and what Redis carries out for a task, by command
    python -m benchmarks.profile --line    # a hop of a line, beside one of Celery's chain
    python -m benchmarks.profile --guest   # the same for a user's own task, in an app of the user's own

CPU is read from the kernel's clock of each process before and after the runs, so that waiting costs nothing and a busy
machine matters little. Redis counts its commands itself (`INFO commandstats`): those inside a script are counted, and
their time is part of the script's time too.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import cpu, guest, line, plain
from benchmarks.graphs import layered
from benchmarks.rig import Rig, rig

LAYERS, WIDTH = 10, 100
TASKS = LAYERS * WIDTH
RUNS = 5

ALL, CLOCK = "all", "time by the clock"
"""Rows that come last."""

LOOKING = "info"
"""The command of this tool itself."""


@dataclass(frozen=True)
class Profile:
    """The cost of one side, for each task.

    Args:
        wall: Milliseconds from enqueue to done, over the number of tasks.
        cpu: Process → CPU milliseconds.
        calls: Redis command → calls.
        micros: Redis command → microseconds that Redis spent in it.
    """

    wall: float
    cpu: dict[str, float]
    calls: dict[str, float]
    micros: dict[str, float]


def measure(rig: Rig, worker: int, run: Callable[[], object], runs: int, of_one_run: int = TASKS) -> Profile:
    """Run so often, and share out over the tasks what was used.

    Args:
        rig: The rig.
        worker: The process id of the worker that takes the tasks.
        run: Runs tasks and waits for them.
        runs: How often.
        of_one_run: How many tasks.
    """
    run()  # connections are open, and what is imported late is imported
    before, carried_out = _used(rig, worker), _commands(rig)
    began = time.perf_counter()  # not `seconds`, which collects garbage: that would be CPU of the client
    for _ in range(runs):
        run()
    wall = time.perf_counter() - began
    time.sleep(0.2)  # the last acknowledgement comes after the caller knows that all is done
    after = _used(rig, worker)
    commands = _commands(rig) - carried_out
    tasks = runs * of_one_run
    return Profile(
        1000 * wall / tasks,
        {process: 1000 * (after[process] - before[process]) / tasks for process in after},
        {name: count / tasks for (name, kind), count in commands.items() if kind == "calls"},
        {name: count / tasks for (name, kind), count in commands.items() if kind == "usec"},
    )


def _used(rig: Rig, worker: int) -> dict[str, float]:
    """The CPU seconds of each process up to now; the children of the pool are added up."""
    info: dict[str, Any] = rig.redis.info("server")
    return {
        "worker, main": cpu.used(worker),
        "worker, pool": cpu.used_by(cpu.children(worker)),
        "redis": cpu.used(info["process_id"]),
        "client": cpu.used(os.getpid()),
    }


def _commands(rig: Rig) -> Counter[tuple[str, str]]:
    """How often Redis has carried out each command up to now, and its microseconds in it."""
    stats: dict[str, Any] = rig.redis.info("commandstats")
    found = {name.removeprefix("cmdstat_"): stat for name, stat in stats.items()}
    return Counter(
        {
            (name, kind): stat[kind]
            for name, stat in found.items()
            if name != LOOKING
            for kind in ("calls", "usec")
        }
    )


def main() -> None:
    """Measure both sides and print what they used."""
    asked = _arguments()
    with rig() as made:
        what, beside = f"{LAYERS} x {WIDTH} no-op tasks", "plain group"
        if asked.guest:
            ours, group = _of_guest(made, asked.runs)
        elif asked.line:
            ours, group = _of_line(made, asked.runs)
            what, beside = f"a line of {line.TASKS} no-op tasks", "chain"
        else:
            ours = measure(
                made, made.workers["noop"].pid, lambda: made.run(layered(LAYERS, WIDTH)), asked.runs
            )
            group = measure(made, made.workers["plain"].pid, lambda: plain.run_group(TASKS), asked.runs)
    console = Console(highlight=False)
    title = f"CPU milliseconds a task: {what}, {asked.runs} runs"
    console.print(
        _table(title, *(_with_sum(side.cpu) | {CLOCK: side.wall} for side in (ours, group)), beside=beside)
    )
    if asked.calls:
        commands = _with_sum(ours.calls), _with_sum(group.calls)
        console.print(_table("Redis commands a task", *commands, beside=beside))
        console.print(_table("Microseconds in Redis a task", ours.micros, group.micros, beside=beside))


def _of_line(made: Rig, runs: int) -> tuple[Profile, Profile]:
    """Tasks one after the other, and a chain."""
    return (
        measure(
            made, made.workers["noop"].pid, lambda: made.run(layered(line.TASKS, 1)), 10 * runs, line.TASKS
        ),
        measure(made, made.workers["plain"].pid, lambda: plain.run_chain(line.TASKS), 10 * runs, line.TASKS),
    )


def _of_guest(made: Rig, runs: int) -> tuple[Profile, Profile]:
    """A user's own task in the user's own app: in a feature, and in a plain group. The worker is the same."""
    with (
        guest.open_guest(made) as opened,
        guest.open_worker(made, opened.one, "--prefetch-multiplier", "1") as worker,
    ):
        return (
            measure(made, worker.pid, lambda: opened.run_feature(opened.one), runs),
            measure(made, worker.pid, lambda: opened.run_group(opened.one), runs),
        )


def _with_sum(shares: Mapping[str, float]) -> dict[str, float]:
    return {**shares, ALL: sum(shares.values())}


def _table(title: str, ours: Mapping[str, float], group: Mapping[str, float], *, beside: str) -> Table:
    """Both sides by name, the largest first; the rows that add up or compare come last."""
    table = Table("", title=title, min_width=len(title) + 4)
    for side in ("ours", beside):
        table.add_column(side, justify="right")
    last = (ALL, CLOCK)
    names = sorted(
        {*ours, *group}, key=lambda name: (name in last, -max(ours.get(name, 0), group.get(name, 0)))
    )
    for name in names:
        if max(ours.get(name, 0), group.get(name, 0)) >= 0.001:
            table.add_row(name, *(f"{side[name]:.3f}" if name in side else "" for side in (ours, group)))
    return table


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--calls", action="store_true", help="print the Redis commands of a task too")
    parser.add_argument("--line", action="store_true", help="a line of tasks, beside Celery's chain")
    parser.add_argument("--guest", action="store_true", help="a user's own task, in an app of the user's own")
    parser.add_argument("--runs", type=int, default=RUNS, help="times that each side is run")
    return parser.parse_args()


if __name__ == "__main__":
    main()
