"""How near the simulated schedule of dataflow comes to the best possible one, and how far batches are from it.

Run on graphs whose optimum is known by construction:

    python -m benchmarks.optimum

or on the Standard Task Graph Set (T. Tobita, H. Kasahara, "A standard task graph set for fair evaluation of
multiprocessor scheduling algorithms", Journal of Scheduling 5, 2002), whose optima for 2 to 16 processors are proven
but for a few:

    python -m benchmarks.optimum FOLDER

FOLDER holds `50/*.stg` and `100/*.stg`, and in `Optimal_values/*.csv` lines of graph, processors, length:
`50/rand0000.stg,2,131`. A line with two lengths is one whose optimum is only bounded, and is passed over.
"""

from __future__ import annotations

import csv
import random
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from orchestrator.model.feature import Feature, Strategy
from orchestrator.model.task import Task
from orchestrator.planning import planner

SIZES = (50, 100)
SLOTS = (2, 4, 8, 16)
GRAPHS = 45
"""Made for each size and number of slots."""

LONGEST = 10
"""A task takes 1 to so many seconds, as in the Standard Task Graph Set."""


class Case(NamedTuple):
    """A feature, and how many seconds the best schedule of it takes in so many slots."""

    feature: Feature
    slots: int
    optimum: float


class Ratios(NamedTuple):
    """Expected seconds, as multiples of the optimum."""

    slots: int
    dataflow: float
    batched: float


def measure(cases: Iterable[Case]) -> list[Ratios]:
    """Plan every case, and compare what is expected with the optimum."""
    found = []
    for feature, slots, optimum in cases:
        plan = planner.plan(feature, slots, Strategy.DATAFLOW)
        found.append(Ratios(slots, plan.expected_dataflow / optimum, plan.expected_batched / optimum))
    return found


def made(seed: int = 1) -> Iterator[Case]:
    """Cases whose optimum is known by construction.

    A schedule without a gap is made first: each slot is filled over the same time. A task may then depend on any that
    ended before it started. The schedule keeps all that, and no slot is ever idle in it, so none is shorter.
    """
    chance = random.Random(seed)
    for size in SIZES:
        for slots in SLOTS:
            for density in (0.02, 0.1, 0.3):
                for _ in range(GRAPHS // 3):
                    yield _packed(chance, size, slots, density)


def _packed(chance: random.Random, size: int, slots: int, density: float) -> Case:
    horizon = round(size * (LONGEST + 1) / 2 / slots)
    runs = [run for _ in range(slots) for run in _fill(chance, horizon)]
    chance.shuffle(runs)  # the order in the feature must not give the schedule away
    tasks = [
        Task(
            id=f"T{place}",
            estimate=end - start,
            depends_on=tuple(
                f"T{other}"
                for other, (_, ended) in enumerate(runs)
                if ended <= start and chance.random() < density
            ),
        )
        for place, (start, end) in enumerate(runs)
    ]
    return Case(Feature(title="packed", tasks=tuple(tasks)), slots, horizon)


def _fill(chance: random.Random, horizon: int) -> Iterator[tuple[int, int]]:
    start = 0
    while start < horizon:
        end = min(horizon, start + chance.randint(1, LONGEST))
        yield start, end
        start = end


def published(folder: Path) -> Iterator[Case]:
    """The cases of the Standard Task Graph Set whose optimum is proven."""
    features = {
        f"{file.parent.name}/{file.name}": _read(file)
        for size in SIZES
        for file in sorted((folder / str(size)).glob("*.stg"))
    }
    for table in sorted((folder / "Optimal_values").glob("*.csv")):
        with table.open(encoding="utf-8") as lines:
            for name, slots, *lengths in csv.reader(lines):
                if len(list(filter(None, lengths))) == 1:
                    yield Case(features[name], int(slots), float(lengths[0]))


def _read(file: Path) -> Feature:
    """Lines of: task, processing time, number of predecessors, predecessors; first and last are dummies of time 0."""
    lines = file.read_text(encoding="utf-8").splitlines()
    rows = [[int(word) for word in line.split()] for line in lines if line and not line.startswith("#")][1:]
    real = {number: (seconds, before) for number, seconds, _, *before in rows if seconds}
    tasks = [
        Task(id=f"T{number}", estimate=seconds, depends_on=tuple(f"T{one}" for one in before if one in real))
        for number, (seconds, before) in real.items()
    ]
    return Feature(title=file.stem, tasks=tuple(tasks))


def table(ratios: Iterable[Ratios]) -> Iterator[str]:
    """The means by slots, and over all, as lines of text."""
    by_slots: dict[str, list[Ratios]] = defaultdict(list)
    for one in ratios:
        by_slots[str(one.slots)].append(one)
        by_slots["all"].append(one)
    yield f"{'slots':>5} {'graphs':>6} {'dataflow':>9} {'worst':>6} {'batched':>8}"
    for slots in sorted(by_slots, key=lambda name: (name == "all", name.zfill(3))):
        found = by_slots[slots]
        dataflow = [one.dataflow for one in found]
        batched = statistics.fmean(one.batched for one in found)
        mean = statistics.fmean(dataflow)
        yield f"{slots:>5} {len(found):>6} {mean:>9.4f} {max(dataflow):>6.3f} {batched:>8.4f}"


if __name__ == "__main__":
    cases = published(Path(sys.argv[1])) if sys.argv[1:] else made()
    print("\n".join(table(measure(cases))))
