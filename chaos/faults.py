"""The faults. Each is a function that does harm and reports which workers it hit."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import redis

from chaos import load
from chaos.cluster import Cluster, Worker
from chaos.history import EVERYONE, Strike
from orchestrator.model.commands import Launch
from orchestrator.state.keys import Keys

HOUR = 3_600


@dataclass(frozen=True)
class Harm:
    """The harm that a fault did.

    Args:
        workers: The node names of the workers that it hit.
        seconds: How long it lasts.
        pids: The pool processes that it killed.
        feature: The feature that is the fault.
        note: A remark for people.
    """

    workers: tuple[str, ...] = ()
    seconds: float = 0.0
    pids: tuple[int, ...] = ()
    feature: str = ""
    note: str = ""


Fault = Callable[[Cluster, Random], Harm | None]
"""Does harm; returns None if it found nothing to harm."""

FAULTS: dict[str, Fault] = {}

NEED_MORE = ("lose-master", "kill-agent")
"""Faults that need sentinels, or agents."""


def fault(function: Fault) -> Fault:
    """Register a fault under the name of its function, with hyphens."""
    FAULTS[getattr(function, "__name__", "").replace("_", "-")] = function
    return function


def schedule(seed: int, seconds: float, every: float, kinds: Sequence[str] = ()) -> list[tuple[float, str]]:
    """The times of the faults: all kinds in a random order, again and again.

    Example:
        >>> [fault for _, fault in schedule(1, seconds=10, every=4, kinds=["kill-child"])]
        ['kill-child', 'kill-child']
    """
    random, at = Random(f"{seed}:faults"), 0.0
    planned, waiting = list[tuple[float, str]](), list[str]()
    while True:
        at += random.uniform(0.6, 1.4) * every
        if at > seconds:
            return planned
        if not waiting:
            some = list(kinds) or [name for name in FAULTS if name not in NEED_MORE]
            waiting = random.sample(some, len(some))
        planned.append((at, waiting.pop()))


def strike(name: str, cluster: Cluster, random: Random) -> Strike | None:
    """Let a fault happen; None if it found nothing to harm."""
    began = time.time()  # the driver's clock is the one that Redis reads: it is the same machine
    try:
        harm = FAULTS[name](cluster, random)
    except redis.ConnectionError:
        return None  # another fault has taken Redis away
    if harm is None:
        return None
    return Strike(
        fault=name,
        began=began,
        ended=time.time() + harm.seconds,
        workers=harm.workers,
        pids=harm.pids,
        feature=harm.feature,
        note=harm.note,
    )


# --- workers -------------------------------------------------------------------------------------------------


@fault
def kill_child(cluster: Cluster, random: Random) -> Harm | None:
    """kill -9 of one process of a pool."""
    worker = cluster.busiest()
    children = worker.children() if worker else []
    if not worker or not children:
        return None
    pid = random.choice(children)
    os.kill(pid, signal.SIGKILL)
    return Harm((worker.node,), pids=(pid,))


@fault
def kill_worker(cluster: Cluster, random: Random) -> Harm | None:
    """kill -9 of a worker with its pool."""
    worker = cluster.busiest()
    return _kill([worker]) if worker else None


@fault
def kill_main_process(cluster: Cluster, random: Random) -> Harm | None:
    """kill -9 of a worker's main process alone: its pool is orphaned at work."""
    worker = cluster.busiest()
    if not worker:
        return None
    worker.process.kill()
    return Harm((worker.node,))


@fault
def kill_all_workers(cluster: Cluster, random: Random) -> Harm | None:
    """kill -9 of every worker at once."""
    return _kill(cluster.running()) if cluster.running() else None


@fault
def freeze_worker(cluster: Cluster, random: Random) -> Harm | None:
    """SIGSTOP for longer than the lease, then SIGCONT: it goes on with attempts that it does not hold any more."""
    worker = cluster.busiest()
    if not worker:
        return None
    seconds = cluster.settings.recovery.lease * random.uniform(1.5, 3.0)
    worker.signal_all(signal.SIGSTOP)
    cluster.later(seconds, lambda: worker.signal_all(signal.SIGCONT))
    return Harm((worker.node,), seconds, note=f"{seconds:.1f} s")


@fault
def terminate_worker(cluster: Cluster, random: Random) -> Harm | None:
    """SIGTERM, as at every deployment; then SIGKILL, to some before they have handed back their attempts."""
    worker, patience = cluster.busiest(), random.choice([0.5, 8.0])
    if not worker:
        return None
    worker.process.terminate()
    cluster.later(patience, lambda: worker.signal_all(signal.SIGKILL) if worker.is_alive else None)
    return Harm((worker.node,), patience, note=f"SIGKILL after {patience:g} s")


@fault
def wrong_clock(cluster: Cluster, random: Random) -> Harm | None:
    """A worker restarts with a clock that is an hour wrong."""
    return _replace(cluster, random, clock=random.choice([-HOUR, HOUR]))


@fault
def full_disk_of_worker(cluster: Cluster, random: Random) -> Harm | None:
    """A worker restarts, and cannot write a line of its own log: ENOSPC."""
    return _replace(cluster, random, log=Path("/dev/full"))


@fault
def no_room_for_logs(cluster: Cluster, random: Random) -> Harm | None:
    """The folder for the output of commands is gone, and cannot be made again."""
    away, seconds = cluster.logs.with_name("logs.away"), random.uniform(0.5, 3.0)
    if away.exists():
        return None
    cluster.logs.rename(away)
    cluster.logs.touch()

    def put_back() -> None:
        cluster.logs.unlink()
        away.rename(cluster.logs)

    cluster.later(seconds, put_back)
    return Harm((EVERYONE,), seconds)


@fault
def exhaust_memory(cluster: Cluster, random: Random) -> Harm | None:
    """Tasks that take all memory, and tasks that are killed for it."""
    errand = load.memory_eater(random, f"memory-{random.randrange(10**9)}")
    cluster.errands.append(errand)
    return Harm(feature=str(errand.feature.id))


@fault
def terminate_attempt(cluster: Cluster, random: Random) -> Harm | None:
    """Somebody presses Terminate in Flower, or sends SIGKILL by the same means."""
    held = cluster.held()
    if not held:
        return None
    worker, (feature, launch) = random.choice(held)
    attempt, signal_name = f"{feature}:{launch.task}:{launch.attempt}", random.choice(["SIGTERM", "SIGKILL"])
    cluster.client.dispatcher.app.control.revoke(attempt, terminate=True, signal=signal_name)
    return Harm((worker,), note=f"{attempt} {signal_name}")


@fault
def kill_agent(cluster: Cluster, random: Random) -> Harm | None:
    """kill -9 of an agent's program: its worker lives."""
    living = cluster.agents()
    if not living:
        return None
    pid = random.choice(living)
    os.kill(pid, signal.SIGKILL)
    return Harm(note=str(pid))


# --- Redis ---------------------------------------------------------------------------------------------------


@fault
def kill_redis(cluster: Cluster, random: Random) -> Harm | None:
    """kill -9 of redis-server, and its return."""
    seconds = random.uniform(0.2, 3.0)
    cluster.kill_redis()
    cluster.later(seconds, cluster.start_redis)
    return Harm((EVERYONE,), seconds, note=f"{seconds:.1f} s")


@fault
def cut_connections(cluster: Cluster, random: Random) -> Harm | None:
    """CLIENT KILL TYPE normal: every connection is cut, even in the middle of a command."""
    cluster.redis.client_kill_filter(_type="normal", skipme=True)
    return Harm((EVERYONE,))


@fault
def pause_redis(cluster: Cluster, random: Random) -> Harm | None:
    """CLIENT PAUSE: Redis answers no client for a while."""
    seconds = random.uniform(0.5, 1.5) * cluster.settings.recovery.lease
    cluster.redis.client_pause(round(seconds * 1000), all=True)
    return Harm((EVERYONE,), seconds, note=f"{seconds:.1f} s")


@fault
def lose_master(cluster: Cluster, random: Random) -> Harm | None:
    """kill -9 of the master; sentinels choose the replica. The old master comes back as a replica."""
    lost = cluster.lose_master()
    seconds = 6 * cluster.sentinels.down_after if cluster.sentinels else 0.0
    return Harm((EVERYONE,), seconds, note=lost) if lost else None


SENTINELS = (
    "lose-master",
    "kill-child",
    "kill-worker",
    "kill-all-workers",
    "terminate-worker",
    "freeze-worker",
    "cut-connections",
)
"""The faults of a run with sentinels."""


# --- messages ------------------------------------------------------------------------------------------------


@fault
def duplicate_message(cluster: Cluster, random: Random) -> Harm | None:
    """A message comes twice: one that waits, or one whose task runs already."""
    queue, count = _fullest_queue(cluster, random)
    if count and random.random() < 0.5:
        message = cluster.redis.lindex(Keys().queue(queue), random.randrange(-count, 0))
        if message:
            cluster.redis.lpush(Keys().queue(queue), str(message))
            return Harm(note="one that waits")
    held = cluster.held()
    if not held:
        return None
    _, (feature, launch) = random.choice(held)
    cluster.client.dispatcher.publish(feature, (launch,))
    return Harm(note=f"{feature}:{launch.task}:{launch.attempt}")


@fault
def stale_message(cluster: Cluster, random: Random) -> Harm | None:
    """A message of an attempt that ended long ago comes again."""
    feature = random.choice(cluster.client.store.features.newest(10) or [""])
    ended = (
        [state for state in cluster.client.store.tasks.states(feature) if state.attempt] if feature else []
    )
    if not ended:
        return None
    state = random.choice(ended)
    launch = Launch(state.id, random.randint(1, state.attempt), state.specialist)
    cluster.client.dispatcher.publish(feature, (launch,))
    return Harm(note=f"{feature}:{launch.task}:{launch.attempt}")


@fault
def drop_message(cluster: Cluster, random: Random) -> Harm | None:
    """A message is lost on its way."""
    queue, count = _fullest_queue(cluster, random)
    key = Keys().queue(queue)
    dropped = cluster.redis.lpop(key) if random.random() < 0.5 else cluster.redis.rpop(key)
    return Harm(note=queue) if count and dropped else None


@fault
def poison_message(cluster: Cluster, random: Random) -> Harm | None:
    """A message that cannot be read, or that asks for something that does not exist."""
    queue = random.choice(cluster.specialists)
    name, poison = random.choice(list(poisons(queue).items()))
    cluster.redis.lpush(Keys().queue(queue), poison)
    return Harm((EVERYONE,), note=name)


def poisons(queue: str) -> dict[str, str]:
    """Messages that no worker can carry out, by their defect."""
    return {
        "not JSON": "this is no message",
        "JSON, and no message": "[]",
        "an unknown task": _message("unknown-specialist", ("feature", "task", 1), queue),
        "wrong arguments": _message(queue, ("feature",), queue),
        "an unknown feature": _message(queue, ("feature", "task", 1), queue),
    }


def _message(task: str, arguments: tuple[object, ...], queue: str) -> str:
    """A message as kombu's Redis transport writes it."""
    return json.dumps(
        {
            "body": json.dumps([arguments, {}, {}]),
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": {"lang": "py", "task": task, "id": "poison"},
            "properties": {
                "delivery_mode": 1,
                "delivery_tag": "poison",
                "delivery_info": {"exchange": "", "routing_key": queue},
            },
        }
    )


def _fullest_queue(cluster: Cluster, random: Random) -> tuple[str, int]:
    counted = {queue: int(cluster.redis.llen(Keys().queue(queue))) for queue in cluster.specialists}
    queue = max(counted, key=lambda name: (counted[name], random.random()))
    return queue, counted[queue]


def _kill(workers: Sequence[Worker]) -> Harm:
    pids = tuple(pid for worker in workers for pid in worker.children())
    for worker in workers:
        worker.signal_all(signal.SIGKILL)
    return Harm(tuple(worker.node for worker in workers), pids=pids)


def _replace(cluster: Cluster, random: Random, *, clock: int = 0, log: Path | None = None) -> Harm | None:
    """End a worker, and start another in its place at once."""
    worker = cluster.busiest()
    if not worker:
        return None
    worker.signal_all(signal.SIGKILL)
    worker.process.wait()
    cluster.start_worker(worker.place, clock=clock, log=log)
    return Harm((worker.node,))
