"""The running workers. Each announces itself in Redis, so it is known even when it is too busy to answer a ping."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, ValidationError

from orchestrator.model.fields import Model
from orchestrator.state.keys import Keys

SILENT_SECONDS = 10.0
"""A worker that has not announced itself for this many seconds is gone."""

FORGOTTEN_SECONDS = 3_600.0


class Worker(Model):
    """A Celery worker, as it last announced itself.

    Example:
        >>> Worker(id="w1@host/4f1c", name="w1@host", processes=5, queues=("reviewer",)).processes
        5
    """

    model_config = ConfigDict(extra="ignore")  # a newer worker may have more fields

    id: str
    """Made at each start: two workers may have the same node name."""
    name: str
    """The Celery node name."""
    host: str = ""
    """The name of its machine."""
    pid: int = 0
    pool: str = ""
    processes: int = 0
    """How many tasks it runs at once."""
    queues: tuple[str, ...] = ()
    version: str = ""
    settings: Mapping[str, str] = {}
    """The configuration at its start, as `fingerprint.of` gives it."""
    trouble: tuple[str, ...] = ()
    """The errors of its threads that died."""
    hindered: tuple[str, ...] = ()
    """The steps that it retries, each with the reason of their failure."""
    seen: float = 0.0
    """The moment at which it last announced itself: seconds since the epoch, by the clock of Redis."""


@dataclass(frozen=True)
class Workers:
    """The workers of one Redis and prefix.

    Example:
        >>> import fakeredis
        >>> found = Workers(fakeredis.FakeRedis(decode_responses=True), Keys())
        >>> found.announce(Worker(id="w1@host/4f1c", name="w1@host"))
        >>> [worker.name for worker in found.present()]
        ['w1@host']
    """

    client: Any
    keys: Keys

    def announce(self, worker: Worker) -> None:
        """Store that a worker runs."""
        seen = worker.model_copy(update={"seen": self._now()})
        self.client.hset(self.keys.workers, worker.id, seen.model_dump_json())

    def leave(self, worker_id: str) -> None:
        """Store that a worker ends."""
        self.client.hdel(self.keys.workers, worker_id)

    def present(self) -> list[Worker]:
        """The workers that have announced themselves recently, by name."""
        earliest = self._now() - SILENT_SECONDS
        return sorted(
            (worker for worker in self._all() if worker.seen >= earliest), key=lambda worker: worker.id
        )

    def forget_gone(self) -> None:
        """Forget workers that have been gone for an hour."""
        earliest = self._now() - FORGOTTEN_SECONDS
        gone = [worker.id for worker in self._all() if worker.seen < earliest]
        if gone:
            self.client.hdel(self.keys.workers, *gone)

    def _all(self) -> Iterable[Worker]:
        stored: Mapping[str, str] = self.client.hgetall(self.keys.workers)
        for text in stored.values():
            try:
                yield Worker.model_validate_json(text)
            except ValidationError:  # of another version, or not ours; a report must not fail by it
                continue

    def _now(self) -> float:
        seconds, microseconds = self.client.time()
        return float(seconds) + float(microseconds) / 1e6


def by_queue(workers: Iterable[Worker]) -> dict[str, list[Worker]]:
    """The workers of each queue.

    Example:
        >>> found = by_queue([Worker(id="1", name="w1@host", queues=("reviewer", "writer"))])
        >>> {queue: [worker.name for worker in workers] for queue, workers in found.items()}
        {'reviewer': ['w1@host'], 'writer': ['w1@host']}
    """
    found: dict[str, list[Worker]] = {}
    for worker in workers:
        for queue in worker.queues:
            found.setdefault(queue, []).append(worker)
    return found


def processes(workers: Iterable[Worker]) -> int:
    """How many tasks the workers run at once."""
    return sum(worker.processes for worker in workers)
