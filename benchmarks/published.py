"""The two cases that people publish for workflow engines: a few long tasks, and many short ones in a row.

https://www.windmill.dev/docs/misc/benchmarks/competitors
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from benchmarks import plain
from benchmarks.graphs import layered
from benchmarks.measurement import Figure, Row, interleaved
from benchmarks.options import Options
from benchmarks.peers import process
from benchmarks.peers.peer import PEERS
from benchmarks.rig import Rig

ENGINES = ("dramatiq", "dbos", "prefect", "dagster")


@dataclass(frozen=True)
class Case:
    """So many steps one after the other, each of so many tasks at once, and the Fibonacci number each computes."""

    title: str
    steps: int
    width: int
    number: int


CASES = (
    Case("10 times fibo(33), at once", 1, 10, 33),
    Case("40 times fibo(10), one after the other", 40, 1, 10),
)


def rows(rig: Rig, options: Options) -> Iterator[Row]:
    """Both cases beside plain Celery and each engine, in turn with ours; two worker processes on every side."""
    with rig.worker("fibo"):
        for case in CASES:
            yield from _beside_all(rig, options, case)


def _beside_all(rig: Rig, options: Options, case: Case) -> Iterator[Row]:
    feature = layered(case.steps, case.width, "fibo", {"number": case.number})
    shape = (case.steps, case.width, case.number)

    def run() -> None:
        rig.run(feature)

    ours, celery = interleaved(options.runs, run, partial(plain.run_fibo, *shape))
    yield _row(case, ours, celery, "Celery", "group" if case.steps == 1 else "chain")
    for name in ENGINES:
        peer = PEERS[name]
        try:
            ours, theirs = process.in_turn(rig, peer, "fibo", shape, run, options.runs)
        except process.NotMeasured as reason:
            yield Row(f"{case.title}, beside {peer.title}", skipped=str(reason))
        else:
            yield _row(case, ours, theirs, peer.title, f"{peer.title} {peer.version()}")


def _row(
    case: Case,
    ours: tuple[float, ...],
    theirs: tuple[float, ...],
    title: str,
    label: str,
) -> Row:
    return Row(
        f"{case.title}, beside {title}",
        Figure("batched", ours, "s"),
        Figure(label, theirs, "s"),
    )
