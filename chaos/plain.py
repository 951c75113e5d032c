"""The same load and the same kills for plain Celery: each feature is a canvas, a chain of groups.

Its tasks sleep as long as ours, and all succeed, because a Celery canvas knows no blockers. If a worker is killed, its
messages are delivered again after the visibility timeout, an hour by default (Celery documentation, "Using Redis",
"Visibility timeout"). A shorter timeout also delivers the messages of longer tasks again while they run.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from celery import Celery, chain, group

from chaos import faults, load, plain_app
from chaos.cluster import PAUSE, Cluster, wait_until
from chaos.history import Effect, Strike
from chaos.load import Errand
from chaos.report import Recovery, Report
from chaos.run import FAULT_PATIENCE, Weather, read_effects
from orchestrator.model.commands import Launch
from orchestrator.planning import planner

STILL = 45.0
"""Seconds without any task after which the run is over."""


@dataclass
class PlainCluster(Cluster):
    """The same processes, with plain Celery workers.

    Args:
        visibility: The visibility timeout in seconds; None: Celery's own, an hour.
    """

    visibility: float | None = None

    @property
    def url(self) -> str:
        """Celery's broker, and its result backend."""
        return f"redis+socket://{self.socket}"

    def command(self, node: str) -> list[str]:
        """The command that starts a worker."""
        return ["-A", "chaos.plain_app", "worker", "-n", node, "-c", "2", "--loglevel", "info"]

    def environment(self, clock: int = 0) -> dict[str, str]:
        """The environment variables of workers."""
        own = {plain_app.URL: self.url}
        visibility = {plain_app.VISIBILITY: str(self.visibility)} if self.visibility else {}
        return {**super().environment(clock), **own, **visibility}

    def held(self) -> list[tuple[str, tuple[str, Launch]]]:
        """The unfinished tasks, each with the worker that runs it."""
        holder = {pid: worker.node for worker in self.running() for pid in worker.children()}
        open_: dict[tuple[str, str], int] = {}
        for effect in read_effects(self.effects):
            if effect.moment == "began":
                open_[effect.feature, effect.task] = effect.pid
            else:
                open_.pop((effect.feature, effect.task), None)
        return [
            (holder[pid], (feature, Launch(task, 1, "celery")))
            for (feature, task), pid in open_.items()
            if pid in holder
        ]


def run(
    folder: Path, seed: int, weather: Weather, visibility: float | None, say: Callable[[str], object]
) -> Report:
    """Run the load under kills, wait until nothing moves any more, and count."""
    name = f"Celery, {visibility or 3600:g} s"
    with PlainCluster(folder, Random(f"{seed}:cluster"), weather.workers, visibility=visibility) as cluster:
        wait_until(lambda: all(worker.is_ready for worker in cluster.workers.values()))
        strikes, enqueued = _harm(cluster, seed, weather, say)
        _settle(cluster, sum(len(errand.feature.tasks) for errand in enqueued))
        return _report(name, seed, enqueued, strikes, read_effects(cluster.effects))


def _harm(
    cluster: PlainCluster, seed: int, weather: Weather, say: Callable[[str], object]
) -> tuple[list[Strike], list[Errand]]:
    """Enqueue the load and let the kills happen, each when it is due."""
    planned = faults.schedule(seed, weather.seconds, weather.every, weather.kinds)
    errands, enqueued, strikes = load.errands(seed), list[Errand](), list[Strike]()
    app = plain_app.create(cluster.url, cluster.visibility)
    began = time.monotonic()
    while (now := time.monotonic() - began) < weather.seconds:
        cluster.supervise()
        if len(enqueued) * weather.feature_every <= now:
            enqueued.append(next(errands))
            _enqueue(app, enqueued[-1])
        if planned and planned[0][0] <= now:
            at, name = planned[0]
            strike = faults.strike(name, cluster, Random(f"{seed}:{at}:{name}"))
            if strike:
                strikes.append(strike)
                say(f"{now:6.1f} s  {name}  {' '.join(strike.workers)}")
            if strike or now - at > FAULT_PATIENCE:
                del planned[0]
        time.sleep(PAUSE)
    return strikes, enqueued


def _enqueue(app: Celery, errand: Errand) -> None:
    tasks = {task.id: task for task in errand.feature.tasks}
    batches = [
        [
            app.signature(
                plain_app.SLEEP, (errand.feature.id, task, tasks[task].params["seconds"]), immutable=True
            )
            for task in batch.tasks
        ]
        for batch in planner.schedule(errand.feature, 5).batches
    ]
    steps = list[Any]()
    for batch in batches:
        if steps and len(batch) > 1:
            # Where three groups follow each other, Celery 5.7 runs the third several times, by itself (celery#5958).
            steps.append(app.signature(plain_app.PASS, immutable=True))
        steps.append(batch[0] if len(batch) == 1 else group(batch))
    chain(*steps).apply_async()


def _settle(cluster: PlainCluster, tasks: int) -> None:
    """Wait until all tasks are done, or nothing has happened for a long time."""
    seen, since = 0, time.monotonic()
    while time.monotonic() - since < STILL:
        cluster.supervise()
        effects = read_effects(cluster.effects)
        if len({(each.feature, each.task) for each in effects if each.moment == "done"}) == tasks:
            return
        if len(effects) != seen:
            seen, since = len(effects), time.monotonic()
        time.sleep(0.5)


def _report(
    name: str,
    seed: int,
    enqueued: Sequence[Errand],
    strikes: Sequence[Strike],
    effects: Sequence[Effect],
) -> Report:
    tasks = sum(len(errand.feature.tasks) for errand in enqueued)
    begun = [each for each in effects if each.moment == "began"]
    done = {(each.feature, each.task) for each in effects if each.moment == "done"}
    return Report(
        system=name,
        seed=seed,
        features=len(enqueued),
        tasks=tasks,
        faults=dict(sorted(Counter(strike.fault for strike in strikes).items())),
        executions=len(begun),
        completed=len(done),
        repeated=len(begun) - len({(each.feature, each.task) for each in begun}),
        lost=tasks - len(done),
        recovery=recovery(strikes, effects),
    )


def recovery(strikes: Sequence[Strike], effects: Sequence[Effect]) -> Recovery:
    """The time from each kill until a task that it interrupted began again."""
    of_task: dict[tuple[str, str], list[Effect]] = {}
    for each in sorted(effects, key=lambda effect: effect.time):
        of_task.setdefault((each.feature, each.task), []).append(each)
    held, waits = 0, list[float]()
    for strike in strikes:
        for history in of_task.values():
            before = [each for each in history if each.time <= strike.began]
            if not before or before[-1].moment != "began" or before[-1].pid not in strike.pids:
                continue
            held += 1
            again = [each.time for each in history if each.time > strike.began and each.moment == "began"]
            waits += [again[0] - strike.began] if again else []
    return Recovery(
        held=held,
        restarted=len(waits),
        typical=round(median(waits), 3) if waits else None,
        worst=round(max(waits), 3) if waits else None,
    )
