"""Luigi: each task requires one of the layer before, and leaves a file (https://luigi.readthedocs.io/en/stable/tasks.html)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import luigi

from benchmarks.peers import runs


class Unfinished(Exception):
    """Luigi could not do all the tasks; the figures would mean nothing."""


class Noop(luigi.Task):
    """Do nothing, and say by an empty file that it is done: so Luigi knows it."""

    name = luigi.Parameter()
    layer = luigi.IntParameter()
    place = luigi.IntParameter()

    def requires(self) -> list[Noop]:
        """One task of the layer before."""
        return [Noop(self.name, self.layer - 1, self.place)] if self.layer else []

    def output(self) -> luigi.LocalTarget:
        """The file that is there when the task is done."""
        return luigi.LocalTarget(str(runs.FOLDER / self.name / f"{self.layer}-{self.place}"))

    def run(self) -> None:
        """Leave the file."""
        with self.output().open("w"):
            pass


def run(layers: int, width: int) -> None:
    """Build the last layer, and with it what it requires."""
    last = [Noop(f"{time.time_ns()}", layers - 1, place) for place in range(width)]
    if not luigi.build(last, workers=runs.PROCESSES, local_scheduler=True, log_level="WARNING"):
        raise Unfinished


@contextlib.contextmanager
def started() -> Iterator[Callable[[int, int], None]]:
    """Nothing: Luigi forks a process for each task, two at once."""
    yield run
