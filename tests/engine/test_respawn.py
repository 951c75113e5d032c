"""A pool process is replaced when it can be waited for, though its pipe closed a moment before that."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from orchestrator.engine.respawn import PAUSES, ProcessReplacer, Respawn


class Pool:
    """A pool, one process of which can be waited for at its second look."""

    def __init__(self, process: object, looks: int) -> None:
        self._pool = [process]
        self.looks = looks
        self.untracked: list[object] = []

    def _untrack_child_process(self, process: object, hub: object) -> None:
        self.untracked.append(process)

    def _event_process_exit(self, hub: object, process: object) -> None:
        raise AssertionError("it looks once")

    def maintain_pool(self) -> None:
        self.looks -= 1
        if self.looks == 0:
            self._pool = []


class Hub:
    """An event loop that does at once what is due later."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def call_later(self, seconds: float, action: Callable[..., None], *arguments: Any) -> None:
        self.pauses.append(seconds)
        action(*arguments)


def test_the_end_of_a_process_is_looked_for_until_it_is_found() -> None:
    process = object()
    pool, hub = Pool(process, looks=3), Hub()
    ProcessReplacer(pool).on_process_exit(hub, process)
    assert (pool._pool, pool.untracked, hub.pauses) == ([], [process], list(PAUSES[:2]))


def test_it_is_left_to_celerys_timer_after_a_while() -> None:
    pool, hub = Pool(object(), looks=99), Hub()
    ProcessReplacer(pool).on_process_exit(hub, pool._pool[0])
    assert hub.pauses == list(PAUSES)


def test_the_watch_takes_the_place_of_celerys_own() -> None:
    pool, hub = Pool(object(), looks=1), Hub()
    worker: Any = SimpleNamespace(pool=SimpleNamespace(_pool=pool))
    Respawn(worker).start(worker)
    pool._event_process_exit(hub, pool._pool[0])
    assert (pool._pool, hub.pauses) == ([], [])


def test_celerys_pool_has_what_the_watch_relies_on() -> None:
    from celery.concurrency.asynpool import AsynPool

    for name in ("_event_process_exit", "_untrack_child_process", "maintain_pool", "_track_child_process"):
        assert callable(getattr(AsynPool, name))


def test_a_pool_without_processes_has_nothing_to_watch() -> None:
    worker: Any = SimpleNamespace(pool=SimpleNamespace())
    Respawn(worker).start(worker)
