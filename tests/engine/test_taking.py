"""When the main process of a worker looks what its pool processes may take: while something runs, and never else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from celery.bootsteps import RUN  # type: ignore[attr-defined]
from celery.concurrency.thread import TaskPool
from celery.worker import state
from kombu.asynchronous.hub import Hub

from orchestrator.engine.board import NOTHING
from orchestrator.engine.taking import LOOK_SECONDS, Taking
from tests.engine.brokers import app_with

QUEUE = "senior-engineer"


class Request:
    """A request of Celery's, which it keeps by weak references."""

    id = "auth:T1:1"


@pytest.fixture
def parent() -> Any:
    queue = SimpleNamespace(name=QUEUE)
    channel = SimpleNamespace()
    consumer = SimpleNamespace(
        task_consumer=SimpleNamespace(queues=[queue], channel=channel), blueprint=SimpleNamespace(state=RUN)
    )
    return SimpleNamespace(
        app=app_with("memory://"),
        hostname="w1@here",
        pool_cls=TaskPool,
        consumer=consumer,
        prefetch_multiplier=1,
        time_limit=None,
        soft_time_limit=None,
        max_tasks_per_child=None,
        max_memory_per_child=None,
        autoscale=None,
        statedb=None,
    )


@pytest.fixture
def taking(parent: Any, monkeypatch: pytest.MonkeyPatch) -> Taking:
    monkeypatch.setattr(state, "active_requests", set())
    monkeypatch.setattr(state, "reserved_requests", set())
    made = Taking(parent)
    made.is_possible = True
    return made


def waiting(hub: Hub) -> list[Any]:
    """The timers of the event loop that are not cancelled."""
    return [entry for entry in hub.timer.queue if not entry.entry.canceled]


def fire(hub: Hub) -> None:
    """Fire the next timer, as if its time had come."""
    (scheduled,) = waiting(hub)
    hub.timer.clear()
    scheduled.entry()


def test_an_idle_worker_looks_once_more_and_then_not_until_a_message_comes(taking: Taking) -> None:
    hub = Hub()
    taking.register_with_event_loop(taking.parent, hub)
    assert taking.board.read() == {QUEUE: [QUEUE]}

    fire(hub)
    assert waiting(hub) == []

    taking.wake()
    assert len(waiting(hub)) == 1
    taking.wake()
    assert len(waiting(hub)) == 1


@pytest.mark.parametrize("kind", ["active_requests", "reserved_requests"])
def test_it_looks_again_and_again_while_something_runs(taking: Taking, kind: str) -> None:
    hub = Hub()
    taking.register_with_event_loop(taking.parent, hub)
    getattr(state, kind).add(Request())
    for _ in range(3):
        fire(hub)
        (scheduled,) = waiting(hub)
        assert scheduled.entry.fun == taking._look_again

    taking.parent.consumer.task_consumer.queues.clear()
    fire(hub)
    assert taking.board.read() == NOTHING


def test_a_message_after_a_change_finds_the_permission_of_now(taking: Taking) -> None:
    hub = Hub()
    taking.register_with_event_loop(taking.parent, hub)
    fire(hub)
    taking.parent.consumer.task_consumer.queues.clear()
    taking.wake()

    assert taking.board.read() == NOTHING


def test_a_new_event_loop_gets_the_timer_that_the_old_one_lost(taking: Taking) -> None:
    old, new = Hub(), Hub()
    taking.register_with_event_loop(taking.parent, old)
    old.timer.clear()  # Celery does so when it closes its consumer
    taking.register_with_event_loop(taking.parent, new)

    assert len(waiting(new)) == 1
    taking.wake()
    assert len(waiting(new)) == 1


def test_where_nothing_may_be_taken_nobody_looks(taking: Taking) -> None:
    taking.is_possible = False
    hub = Hub()
    taking.register_with_event_loop(taking.parent, hub)
    taking.wake()

    assert waiting(hub) == []
    assert LOOK_SECONDS <= 0.5  # events of a batch may be that late
