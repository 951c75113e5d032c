"""A user's own task in the user's own app: inside a feature, and beside it in a plain group and in a chord."""

from __future__ import annotations

import contextlib
import importlib
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from celery import chord, group

from benchmarks import plain
from benchmarks.measurement import Figure, Row, interleaved, per_second
from benchmarks.options import Options
from benchmarks.rig import PATIENCE, PROCESSES, Rig, Unfinished, environment
from orchestrator.client.client import Client
from orchestrator.config import urls
from orchestrator.engine import broker
from orchestrator.local import processes
from orchestrator.model.feature import Feature, FeatureStatus

LAYERS, WIDTH = 10, 100
TASKS = LAYERS * WIDTH
DATABASE = 2

NOTE = (
    "both sides run the same task on the same worker of the same app; a group has no order, no state and no events, "
    "and acknowledges before the work"
)


@dataclass(frozen=True)
class Guest:
    """The app, and what its tasks are called.

    Args:
        app: The Celery app.
        client: A client of the features that its workers run.
        noop: The task of a worker with Celery's defaults.
        one: That of a worker with `--prefetch-multiplier 1`.
    """

    app: Any
    client: Client
    noop: Any
    one: Any

    def run_feature(self, task: Any) -> None:
        """Run layers of calls of a task, as a feature.

        Raises:
            Unfinished: It did not complete.
        """
        handle = self.client.enqueue(layers_of(task.name))
        progress = handle.wait(PATIENCE)
        if progress.status is not FeatureStatus.COMPLETED:
            raise Unfinished(f"{progress.title}: {progress.status}")

    def run_group(self, task: Any) -> None:
        """Run as many calls as a group; the last one alone keeps its result, which is waited for."""
        rest = [task.si().set(ignore_result=True) for _ in range(TASKS - 1)]
        result: Any = group(*rest, task.si()).apply_async()
        result.results[-1].get(timeout=PATIENCE, interval=plain.INTERVAL)

    def run_chord(self, task: Any) -> None:
        """Run as many calls as a chord, whose body is one more."""
        chord([task.si() for _ in range(TASKS)], task.si()).apply_async().get(
            timeout=PATIENCE, interval=plain.INTERVAL
        )


def layers_of(call: str) -> Feature:
    """Layers of calls; each task depends on one task of the layer before."""
    tasks = [
        {
            "id": f"L{layer}-{place}",
            "call": call,
            "depends_on": [f"L{layer - 1}-{place}"] if layer else [],
        }
        for layer in range(LAYERS)
        for place in range(WIDTH)
    ]
    return Feature.model_validate({"title": "calls", "max_parallel_tasks": WIDTH, "tasks": tasks})


@contextlib.contextmanager
def open_guest(rig: Rig) -> Iterator[Guest]:
    """The app on the rig's Redis, in a database of its own."""
    state = f"{rig.url}?db={DATABASE}"
    url = broker.address(urls.read(state)).url
    with environment(BENCHMARKS_GUEST_URL=url, BENCHMARKS_GUEST_STATE=state):
        module = importlib.import_module("benchmarks.guest_app")  # late: it reads its environment
        with Client(app=module.app) as client:
            yield Guest(module.app, client, module.noop, module.noop_one)
        module.app.close()


@contextlib.contextmanager
def open_worker(rig: Rig, task: Any, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of the app for the queue of a task, with options of `celery worker`."""
    command = ["-A", "benchmarks.guest_app:app", "worker", "-n", f"{task.name}@%h", "-Q", task.name]
    log = rig.folder / f"{task.name}.log"
    with processes.celery(rig.settings, [*command, "-c", str(PROCESSES), *options], log) as process:
        yield process


def rows(rig: Rig, options: Options) -> Iterator[Row]:
    """A worker as it comes, and one that takes one message for each process: a feature, a group, a chord in turn."""
    with open_guest(rig) as guest:
        for task, said, given in (
            (guest.noop, "as it comes", ()),
            (guest.one, "--prefetch-multiplier 1", ("--prefetch-multiplier", "1")),
        ):
            with open_worker(rig, task, *given):
                sides: list[Callable[[], object]] = [
                    partial(run, task) for run in (guest.run_feature, guest.run_group, guest.run_chord)
                ]
                feature, plain_group, plain_chord = interleaved(options.runs, *sides)
            ours = Figure(f"calls in a feature, a worker {said}", per_second(TASKS, feature), "tasks/s")
            for name, times in ((f"group({TASKS:,})", plain_group), (f"chord({TASKS:,})", plain_chord)):
                yield Row(
                    f"their own task, {LAYERS} x {WIDTH}, {said}, beside {name}",
                    ours,
                    Figure(name, per_second(TASKS, times), "tasks/s"),
                    note=NOTE,
                )
