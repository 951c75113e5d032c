"""Runs a load under faults, and records its history."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from chaos import faults, load
from chaos.cluster import MASONS, MOST_AT_ONCE, PATIENCE, PAUSE, QUICK, Cluster, wait_until
from chaos.history import EVERYONE, Effect, History, Story, Strike
from chaos.load import Errand
from chaos.person import Person
from orchestrator.client.client import Client
from orchestrator.client.preparation import gated_stages
from orchestrator.model import errors
from orchestrator.model.event import Event
from orchestrator.model.feature import Feature
from orchestrator.planning import planner, routing
from tests import sentinels

FAULT_PATIENCE = 10.0
"""Seconds for which a fault that finds nothing to harm keeps trying."""


@dataclass(frozen=True)
class Weather:
    """How hard a run is.

    Args:
        seconds: How long features are enqueued and faults happen.
        every: Seconds between faults, on average.
        feature_every: Seconds between features.
        kinds: The faults; empty: all.
        workers: How many workers there are.
        recovery: The section of the configuration.
        has_sentinels: See `Cluster`.
    """

    seconds: float
    every: float = 4.0
    feature_every: float = 1.0
    kinds: Sequence[str] = ()
    workers: int = 3
    recovery: Mapping[str, str] = field(default_factory=lambda: QUICK)
    has_sentinels: bool = False


class People(threading.Thread):
    """The people around the cluster: they enqueue the load and look after it, during all faults.

    Args:
        cluster: The cluster. They enqueue the errands that it asks for too.
        seed: Decides the load.
        every: Seconds between two features.
    """

    def __init__(self, cluster: Cluster, seed: int, every: float) -> None:
        super().__init__(name="people", daemon=True)
        self.cluster = cluster
        self.person = Person(Client(cluster.settings), Random(f"{seed}:person"))
        self.load = load.errands(seed)
        self.every = every
        self.has_more = True
        self.is_done = False
        self.stopped = threading.Event()
        self.error: BaseException | None = None

    def run(self) -> None:
        """Work until stopped."""
        try:
            self._work()
        except BaseException as error:
            self.error = error

    def _work(self) -> None:
        due, waiting = time.monotonic(), list[Errand]()
        while not self.stopped.wait(0.2):
            while self.has_more and due <= time.monotonic():
                waiting.append(next(self.load))
                due += self.every
            while self.cluster.errands:
                waiting.append(self.cluster.errands.popleft())
            while waiting and self.person.enqueue(waiting[0]):
                del waiting[0]
            self.person.look_after()
            self.is_done = not (self.has_more or waiting or self.cluster.errands or self.person.has_open)

    def check(self) -> None:
        """Raise the error that ended the thread, if any."""
        if self.error:
            raise self.error


def run(
    folder: Path, seed: int, weather: Weather, say: Callable[[str], object] = lambda text: None
) -> History:
    """Run a load under faults, wait until all has settled, and record what happened.

    Args:
        folder: The folder for all files, with a short path.
        seed: Decides the load and the faults.
        weather: How hard the run is.
        say: Called with a line about each fault.
    """
    with contextlib.ExitStack() as stack:
        servers = stack.enter_context(sentinels.watched(folder)) if weather.has_sentinels else None
        random = Random(f"{seed}:cluster")
        cluster = stack.enter_context(Cluster(folder, random, weather.workers, weather.recovery, servers))
        people = People(cluster, seed, weather.feature_every)
        strikes = live(cluster, people, weather, seed, say)
        return record(cluster, people.person.enqueued, strikes, seed)


def live(
    cluster: Cluster, people: People, weather: Weather, seed: int, say: Callable[[str], object]
) -> list[Strike]:
    """Let people work with a cluster under faults, until all has settled; the faults that happened."""
    wait_until(lambda: all(worker.is_ready for worker in cluster.workers.values()))
    people.start()
    try:
        strikes = harm(cluster, people, weather, seed, say)
        settle(cluster, people)
    finally:
        people.stopped.set()
        people.join(PATIENCE)
    return strikes


def harm(
    cluster: Cluster, people: People, weather: Weather, seed: int, say: Callable[[str], object]
) -> list[Strike]:
    """Let the faults happen when they are due. One that finds nothing to harm tries again for a while."""
    began, strikes = time.monotonic(), list[Strike]()

    def supervise(until: float) -> None:
        while time.monotonic() < until:
            cluster.supervise()
            people.check()
            time.sleep(PAUSE)

    for number, (at, name) in enumerate(faults.schedule(seed, weather.seconds, weather.every, weather.kinds)):
        random = Random(f"{seed}:{number}:{name}")
        supervise(until=began + at)
        strike, given_up = None, time.monotonic() + FAULT_PATIENCE
        while not strike and time.monotonic() < given_up:
            strike = faults.strike(name, cluster, random)
            supervise(until=time.monotonic() + PAUSE)
        if strike:
            say(f"{time.monotonic() - began:6.1f} s  {name}  {' '.join(strike.workers)}  {strike.note}")
            strikes.append(strike)
    supervise(until=began + weather.seconds)
    return strikes


def settle(cluster: Cluster, people: People) -> None:
    """Wait until everything runs again and no feature is open, or until nothing moves for a long time.

    The history shows the features that are still open, and the checker finds them.
    """
    people.person.is_moody = False
    people.has_more = False
    begun, since = -1, time.monotonic()
    while not (cluster.is_whole and people.is_done) and time.monotonic() < since + PATIENCE:
        cluster.supervise()
        people.check()
        if (now := cluster.moved()) != begun:
            begun, since = now, time.monotonic()
        time.sleep(PAUSE * 5)


def record(cluster: Cluster, enqueued: Mapping[str, Errand], strikes: Sequence[Strike], seed: int) -> History:
    """Read the history from Redis and from the files of the tasks."""
    with cluster.stopped():
        stories = [_story(cluster.client, errand.feature) for errand in enqueued.values()]
        effects = read_effects(cluster.effects)
    return History(
        seed=seed,
        lease=cluster.settings.recovery.lease,
        enqueued=tuple(enqueued),
        stories=tuple(filter(None, stories)),
        effects=tuple(effects),
        strikes=tuple(strikes),
        waits=tuple(cluster.strain.waits),
        limits={EVERYONE: MOST_AT_ONCE, "mason": MASONS},
        leftover=forget_all(cluster),
    )


def forget_all(cluster: Cluster) -> tuple[str, ...]:
    """End all open features, delete everything, and return what is left: keys, units of limits, messages, folders."""
    client, store = cluster.client, cluster.client.store
    for feature in store.features.active():
        with contextlib.suppress(errors.RefusedTransition):  # it is over, and is swept for the last time
            client.feature(feature).cancel()

    def all_is_gone() -> bool:
        client.prune(0.0)
        return not _left(cluster)

    with contextlib.suppress(TimeoutError):
        wait_until(all_is_gone, cluster.supervise)
    return _left(cluster)


def _left(cluster: Cluster) -> tuple[str, ...]:
    store, settings = cluster.client.store, cluster.settings
    keys = store.keys
    of_no_feature = {
        keys.sweeper,
        keys.last_started,
        keys.swept,
        keys.refused,
        keys.limits,
        keys.configured,
        keys.used,
        keys.turn,
        keys.workers,
        keys.replaced,
        keys.replicated,
        keys.identity,
        keys.minimum,
        keys.sweeper_schema,
    }
    stored = {str(key) for key in store.client.scan_iter(f"{settings.redis.prefix}:*")}
    # How long tasks took is kept for the next feature of the same title, for a time.
    stored -= {key for key in stored if key.endswith(":durations") and store.client.pttl(key) > 0}
    found = {key for key in stored - of_no_feature if not key.startswith(keys.celery())}
    used: dict[str, str] = store.client.hgetall(keys.used)  # type: ignore[assignment]
    units = {f"{count} of {limit}" for limit, count in used.items() if int(count)}
    queues = {settings.queue(specialist) for specialist in settings.specialists}
    messages = {queue for queue in queues if store.client.exists(keys.queue(queue))}
    folders = {str(path) for parent in (cluster.logs, settings.folder / "work") for path in parent.glob("*")}
    return tuple(sorted(found | units | messages | folders))


def _story(client: Client, feature: Feature) -> Story | None:
    feature_id, settings, store = str(feature.id), client.settings, client.store
    keys = store.keys.feature(feature_id)
    try:
        progress = store.features.summary(feature_id)
    except errors.NoSuchFeature:
        return None
    schedule = planner.schedule(feature, settings.parallelism.max_parallel_tasks)
    counts: dict[str, str] = store.client.hgetall(keys.counts)  # type: ignore[assignment]
    slots: list[str] = store.client.zrange(keys.slots, 0, -1)  # type: ignore[assignment]
    return Story(
        feature=feature,
        strategy=schedule.strategy,
        cap=schedule.cap,
        batches=tuple(batch.tasks for batch in schedule.batches),
        specialists={task: route.specialist for task, route in routing.route(feature, settings).items()},
        flows={task.id: settings.flow_for(task.tags).statuses for task in feature.tasks},
        feature_flow=settings.feature_flow_for(feature.tags).statuses,
        gated=tuple(gated_stages(feature, settings)),
        events=tuple(read_events(client, feature_id)),
        progress=progress,
        states=tuple(store.tasks.states(feature_id)),
        counts={name: int(count) for name, count in counts.items()},
        slots=tuple(slots),
    )


def read_events(client: Client, feature_id: str) -> list[Event]:
    """All events of a feature."""
    found = list[Event]()
    while more := client.store.events.read(feature_id, after=found[-1].id if found else "-"):
        found += more
    return found


def read_effects(folder: Path) -> list[Effect]:
    """The lines that the tasks wrote."""
    return [effect for file in sorted(folder.iterdir()) for effect in _effects(file)]


def _effects(file: Path) -> list[Effect]:
    feature, task = file.name.split("+")
    return [
        Effect(feature=feature, task=task, moment=moment, time=float(at), attempt=int(attempt), pid=int(pid))
        for moment, at, attempt, pid in map(str.split, file.read_text().splitlines())
    ]
