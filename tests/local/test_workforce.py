"""The workers on a feature: the workers that announced themselves, and the one that `run` brings."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.cli import workforce
from orchestrator.client.listeners import listeners
from orchestrator.config.settings import Settings
from orchestrator.local import processes
from orchestrator.planning import planner, routing
from orchestrator.state.store import Store
from orchestrator.state.workers import SILENT_SECONDS, Worker
from tests.model.factories import feature, task

BUSY = Worker(id="solo@here/1", name="solo@here", pid=os.getpid(), processes=1, queues=("reviewer",))


class Control:
    """Workers that answer a ping, or are too busy to."""

    def __init__(self, answers: dict[str, list[dict[str, str]]]) -> None:
        self.answers = answers
        self.asked = 0

    def inspect(self, timeout: float) -> Any:
        self.asked += 1
        return SimpleNamespace(active_queues=lambda: self.answers or None)


def client_with(store: Store, **answers: list[dict[str, str]]) -> Any:
    control = Control({name.replace("_", "@"): queues for name, queues in answers.items()})
    return SimpleNamespace(settings=Settings(), store=store, app=SimpleNamespace(control=control))


def test_a_worker_that_is_too_busy_to_answer_is_there(store: Store) -> None:
    store.workers.announce(BUSY)
    client = client_with(store)
    found = listeners(client, ["reviewer"])
    assert [worker.name for worker in found["reviewer"]] == ["solo@here"]
    assert client.app.control.asked == 0


def test_a_worker_that_announces_nothing_is_pinged(store: Store) -> None:
    store.workers.announce(BUSY)
    client = client_with(store, old_host=[{"name": "writer"}])
    found = listeners(client, ["writer"])
    assert {queue: [worker.name for worker in there] for queue, there in found.items()} == {
        "reviewer": ["solo@here"],
        "writer": ["old@host"],
    }


def test_a_worker_that_was_killed_is_not_there(store: Store) -> None:
    dead = os.fork()
    if not dead:
        os._exit(0)
    os.waitpid(dead, 0)
    store.workers.announce(BUSY.model_copy(update={"pid": dead}))
    assert listeners(client_with(store)) == {}


def test_a_worker_that_is_silent_for_long_is_gone(store: Store) -> None:
    store.workers.announce(BUSY)
    silent = store.workers.present()[0]
    stored = silent.model_copy(update={"seen": silent.seen - SILENT_SECONDS - 1})
    store.client.hset(store.keys.workers, BUSY.id, stored.model_dump_json())
    store.client.hset(store.keys.workers, "junk", "{")
    assert store.workers.present() == []


@pytest.mark.parametrize(
    ("cap", "tasks", "width"), [(10, 12, 10), (10, 7, 7), (2, 12, 5), (1_000, 1_000, 64)]
)
def test_the_worker_that_is_brought_is_as_wide_as_the_feature(
    store: Store, monkeypatch: pytest.MonkeyPatch, cap: int, tasks: int, width: int
) -> None:
    brought: dict[str, Any] = {}

    @contextlib.contextmanager
    def worker(settings: Settings, *, name: str, log: Path, processes: int) -> Iterator[Any]:
        brought["processes"] = processes
        yield SimpleNamespace(poll=lambda: 0)

    monkeypatch.setattr(processes, "worker", worker)
    monkeypatch.setattr(processes, "stop", lambda process, at_once: None)
    wide = feature(*(task(f"T{number}") for number in range(tasks)), max_parallel_tasks=cap)
    settings = Settings()
    store.enqueue("wide", planner.plan(wide), routing.route(wide, settings))
    with contextlib.ExitStack() as stack:
        workforce.Workforce(client_with(store), "wide", stack).bring()
    assert brought["processes"] == width
