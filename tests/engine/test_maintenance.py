"""A worker keeps its promises: leases are renewed, and the one that leads puts right what is wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celery.concurrency import thread
from celery.concurrency.prefork import TaskPool
from celery.worker import state

from orchestrator.config.schema.operation import Recovery
from orchestrator.engine import startup_checks
from orchestrator.engine.app import App
from orchestrator.engine.attempt import attempt_id_of
from orchestrator.engine.dispatcher import Dispatcher
from orchestrator.engine.maintenance import Maintenance
from orchestrator.engine.timer import Timer
from orchestrator.model import lifecycle
from orchestrator.model.flows import SHIPPED_FLOWS, Flow
from orchestrator.model.outcome import RetryLater
from orchestrator.model.task import Retries
from orchestrator.planning import planner, routing
from orchestrator.state.store import Store
from tests.engine.brokers import app_with, messages
from tests.model import factories
from tests.model.factories import task
from tests.state.factories import launched
from tests.waiting import wait_until

RECOVERY = Recovery(sweep=0.01, lease=60, patience=0.001, worker_lost_retries=1)


@pytest.fixture
def maintenance(store: Store) -> Any:
    parent: Any = SimpleNamespace(
        app=app_with("memory://", recovery=RECOVERY),
        hostname="w1@here",
        pool=SimpleNamespace(num_processes=3),
        pool_cls=TaskPool,
    )
    maintenance = Maintenance(parent)
    yield maintenance
    maintenance.terminate(parent)
    if maintenance.thread.is_alive():
        maintenance.thread.join(60)
        assert not maintenance.thread.is_alive()


def launch(maintenance: Maintenance, feature_id: str = "auth") -> None:
    feature = factories.feature(task("T1"), task("T2", "T1"))
    store = maintenance.runner.store
    store.enqueue(feature_id, planner.plan(feature), routing.route(feature, maintenance.runner.settings))
    store.schedule(feature_id)


def lose(store: Store, feature_id: str = "auth") -> None:
    """A worker begins T1 and is gone."""
    begun = store.attempts.start(
        feature_id, "T1", 1, specialist="implementation-specialist", worker="w9", lease=60
    )
    assert begun.code == "started"
    store.client.zadd(store.keys.feature(feature_id).slots, {"T1": 1})


def bodies() -> list[Any]:
    return sorted(message.body[0] for message in messages())


@pytest.mark.parametrize(
    ("id", "attempt"),
    [
        ("auth:T2:3:0f3a9c5e71d2", ("auth", "T2", 3)),
        ("0a1b-2c3d", None),
        ("a:b", None),
        ("a:b:c:d", None),
        ("a:b:c", None),
    ],
)
def test_what_runs_is_told_by_its_id(id: str, attempt: tuple[str, str, int] | None) -> None:
    assert attempt_id_of(SimpleNamespace(id=id)) == attempt


def test_the_leases_of_what_runs_here_are_renewed(
    maintenance: Maintenance, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an attempt that runs here, its lease at an end, and a task of another kind
    launch(maintenance)
    lose(store)
    running = [SimpleNamespace(id="auth:T1:1:0f3a9c5e71d2"), SimpleNamespace(id="some-other-task")]
    monkeypatch.setattr(state, "active_requests", running)

    maintenance.heartbeat.renew_leases()

    store.recovery.recover("auth", losses=1, patience=60)
    assert store.tasks.state("auth", "T1").attempt == 1


def test_an_idle_leader_asks_redis_for_little(
    maintenance: Maintenance, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a leader that has taken its steps once, and has nothing to do
    maintenance.settings = maintenance.settings.model_copy(update={"recovery": Recovery(sweep=60, lease=180)})
    maintenance.run_round()
    assert maintenance.leads

    # When it takes them again
    asked: list[str] = []
    ask: Any = store.client.execute_command

    def listen(*args: Any, **options: Any) -> Any:
        asked.append(args[0])
        return ask(*args, **options)

    monkeypatch.setattr(store.client, "execute_command", listen)
    maintenance.run_round()

    # Then it only asks whether there is something to do
    assert asked == ["SMEMBERS"]


def test_a_worker_announces_what_it_takes_until_it_ends(maintenance: Maintenance, store: Store) -> None:
    maintenance.announce()
    (worker,) = store.workers.present()
    assert (worker.name, worker.processes) == ("w1@here", 3)
    assert "senior-engineer" in worker.queues

    maintenance.parent.app.amqp.queues.deselect("senior-engineer")
    maintenance.announce()
    (worker,) = store.workers.present()
    assert "senior-engineer" not in worker.queues

    maintenance.terminate(maintenance.parent)
    assert store.workers.present() == []


def test_a_time_limit_that_its_pool_does_not_keep_is_told(
    maintenance: Maintenance, caplog: pytest.LogCaptureFixture
) -> None:
    worker: Any = maintenance.parent
    worker.time_limit = 60.0
    startup_checks.check_pool(maintenance.pool, worker.time_limit)
    assert not caplog.messages
    maintenance.pool = thread.TaskPool
    startup_checks.check_pool(maintenance.pool, worker.time_limit)
    (message,) = caplog.messages
    assert message.startswith(
        "The pool thread does not keep the time limit of this worker (--time-limit 60)."
    )


def test_of_two_workers_of_one_name_one_leads(maintenance: Maintenance, store: Store) -> None:
    # A lead lasts for three sweeps: as long as a slow machine takes to ask twice
    slow = RECOVERY.model_copy(update={"sweep": 60.0, "lease": 600.0})
    parent = SimpleNamespace(**{**vars(maintenance.parent), "app": app_with("memory://", recovery=slow)})
    first, twin = Maintenance(parent), Maintenance(parent)  # type: ignore[arg-type]
    assert [first.elect_leader(), twin.elect_leader()] == [True, False]


def test_a_sweep_publishes_what_was_lost_and_what_never_was_published(
    maintenance: Maintenance, store: Store
) -> None:
    launch(maintenance, "lost")
    lose(store, "lost")
    feature = factories.feature(task("T1"))
    store.enqueue("unseen", planner.plan(feature), routing.route(feature, maintenance.runner.settings))
    store.schedule("unseen")
    store.client.zadd(store.keys.feature("unseen").slots, {"T1": -1})

    maintenance.sweeper.sweep()

    assert bodies() == [["lost", "T1", 2], ["unseen", "T1", 1]]
    assert (store.client.zscore(store.keys.feature("unseen").slots, "T1") or 0) < -1


def test_leases_are_renewed_and_the_lead_kept_while_a_sweep_takes_long(
    maintenance: Maintenance, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given three features, of which each takes longer than a round
    told: list[str] = []
    leads = iter([True, True, False])
    for feature_id in ("one", "three", "two"):
        launch(maintenance, feature_id)

    def recover(feature_id: str, queued: object) -> None:
        told.append(feature_id)
        maintenance.heartbeat.due_at = 0.0

    monkeypatch.setattr(maintenance.sweeper, "_recover", recover)
    monkeypatch.setattr(maintenance.heartbeat, "renew_leases", lambda: told.append("renewed"))
    monkeypatch.setattr(maintenance.sweeper, "elect", lambda: next(leads))

    # Then leases are renewed before each of them, and it stops where another worker has taken the lead
    maintenance.sweeper.sweep()
    assert told == ["renewed", store.features.active()[0], "renewed", store.features.active()[1], "renewed"]


def test_a_feature_that_cannot_be_swept_does_not_hold_up_the_others(
    maintenance: Maintenance, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a feature that is broken in the store, one that is gone, and one that waits for the sweep
    launch(maintenance, "a-broken")
    store.client.delete(store.keys.feature("a-broken").slots)
    store.client.set(store.keys.feature("a-broken").slots, "not a sorted set")
    launch(maintenance, "b-gone")
    store.client.delete(store.keys.feature("b-gone").meta)
    launch(maintenance, "c-lost")
    lose(store, "c-lost")

    maintenance.sweeper.sweep()

    assert bodies() == [["c-lost", "T1", 2]]
    assert store.features.active() == ["a-broken", "c-lost"]
    assert any("a-broken" in message for message in caplog.messages)


def test_it_goes_on_after_an_error(
    maintenance: Maintenance, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch(maintenance)
    lose(store)
    trouble = iter([OSError("no route"), ValueError("who knows")])
    lead = store.recovery.acquire_leadership

    def troubled(worker: str, seconds: float) -> bool:
        for error in trouble:
            raise error
        return lead(worker, seconds)

    monkeypatch.setattr(store.recovery, "acquire_leadership", troubled)
    maintenance.start(None)  # type: ignore[arg-type]

    wait_until(lambda: store.tasks.state("auth", "T1").attempt == 2)


def test_who_does_not_lead_does_not_sweep(
    maintenance: Maintenance, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch(maintenance)
    lose(store)
    assert store.recovery.acquire_leadership("another", seconds=3_600)
    asked: list[str] = []
    lead = store.recovery.acquire_leadership

    def note_it(worker: str, seconds: float) -> bool:
        asked.append(worker)
        return lead(worker, seconds)

    monkeypatch.setattr(store.recovery, "acquire_leadership", note_it)

    maintenance.start(None)  # type: ignore[arg-type]
    wait_until(lambda: len(asked) > 3)

    assert store.tasks.state("auth", "T1").attempt == 1


def test_a_warm_stop_goes_on_renewing(maintenance: Maintenance, store: Store) -> None:
    maintenance.start(None)  # type: ignore[arg-type]
    maintenance.stop(None)  # type: ignore[arg-type]
    launch(maintenance)
    lose(store)
    wait_until(lambda: store.tasks.state("auth", "T1").attempt == 2)


# --- limits --------------------------------------------------------------------------------------------------


def test_the_maintenance_makes_the_limits_known_and_takes_back_what_is_held_by_none(store: Store) -> None:
    # Given a worker with a limit in its settings
    settings = {"recovery": RECOVERY, "resources": {"gpu": 2}}
    pool = SimpleNamespace(num_processes=3)
    parent: Any = SimpleNamespace(
        app=app_with("memory://", **settings), hostname="w1@here", pool=pool, pool_cls=TaskPool
    )
    maintenance = Maintenance(parent)
    maintenance.store_limits()
    assert [(limit.name, limit.amount) for limit in store.limits.all()] == [("resource:gpu", "2")]

    # When a feature that is gone still holds some, and a round is run
    client: Any = store.client
    client.hset(store.keys.holders("resource:gpu"), "gone:T1", 2)
    client.hset(store.keys.used, "resource:gpu", 2)
    maintenance.run_round()

    # Then nobody holds any
    assert store.limits.find("resource:gpu").holders == ()
    assert store.limits.find("resource:gpu").in_use == 0


@contextlib.contextmanager
def timing(app: App, store: Store) -> Iterator[None]:
    """A timer that leads, and looks by itself once in an hour."""
    timer = Timer(store, Dispatcher(app, store, pooled=False), pause=1, look=3_600)
    timer.start()
    timer.set_leader(True)
    try:
        yield
    finally:
        timer.stop()
        store.client.publish(store.keys.wake, "the end")
        timer.thread.join(60)
    assert not timer.thread.is_alive()


def test_a_token_wakes_who_waits_when_it_is_due_and_not_at_the_next_look(store: Store) -> None:
    # Given a rate of which the next token is due in a moment
    app = app_with("memory://", recovery=RECOVERY)
    with timing(app, store):
        specialist = "implementation-specialist"
        store.limits.set(f"rate:{specialist}", "50 1")
        feature = factories.feature(*(task(f"T{number}") for number in range(4)))
        store.enqueue("auth", planner.plan(feature), routing.route(feature, app.settings))

        # When the first of its tasks is launched
        store.schedule("auth")

        # Then the others follow
        wait_until(lambda: store.features.summary("auth").in_flight == 4)


def test_a_retry_begins_when_it_is_due_and_not_at_the_next_look(
    maintenance: Maintenance, store: Store
) -> None:
    with timing(app_with("memory://", recovery=RECOVERY), store):
        # Given a feature with a retry in an hour, and then another with one in a moment
        for feature, after in (("auth", 3_600), ("other", 0.05)):
            launch(maintenance, feature)
            lose(store, feature)
            later = RetryLater(after=after)
            transition = lifecycle.conclude(Flow("default", SHIPPED_FLOWS["default"]), later, Retries())
            assert store.attempts.finish(feature, "T1", 1, later, transition)[0] == "finished"

        # When nobody but the timer looks, then the one is launched again, and not the other
        wait_until(lambda: store.tasks.state("other", "T1").attempt == 2)
        assert store.tasks.state("auth", "T1").attempt == 1


def test_a_key_that_is_overwritten_costs_the_steps_that_need_it_alone(
    store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`doctor` names a sweep that fails; the log says it once."""
    # Given a worker of which one step meets a key of another type, and one feature that another has spoilt
    pool = SimpleNamespace(num_processes=1)
    parent: Any = SimpleNamespace(
        app=app_with("memory://", recovery=RECOVERY), hostname="w1@here", pool=pool, pool_cls=TaskPool
    )
    maintenance = Maintenance(parent)
    client: Any = store.client
    for name in ("spoilt", "sound"):
        launched(store, task("T1"), feature_id=name)
        client.zadd(store.keys.feature(name).slots, {"T1": 1})
    client.delete(store.keys.feature("spoilt").states)
    client.set(store.keys.feature("spoilt").states, "x")

    def read() -> int:
        raise redis.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value")

    with monkeypatch.context() as patch:
        patch.setattr(maintenance.runner.store.features, "minimum", read)
        for _ in range(3):
            maintenance.run_round()

    # Then the others are swept, each trouble is told once, and the doctor can read it
    assert store.tasks.state("sound", "T1").lost == 1
    assert caplog.text.count("[spoilt] is not swept") == 1
    assert caplog.text.count("could not check schema: ResponseError: WRONGTYPE") == 1
    (worker,) = store.workers.present()
    assert any("spoilt is not swept: WRONGTYPE" in text for text in worker.hindered)

    # And no longer when it is over
    client.srem(store.keys.active, "spoilt")
    maintenance.run_round()
    maintenance.run_round()
    (worker,) = store.workers.present()
    assert [text for text in worker.hindered if "spoilt" in text or "WRONGTYPE" in text] == []


def test_while_no_feature_is_active_the_leader_looks_for_one_within_half_of_the_patience(
    maintenance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []
    moment = [1_000.0]
    sweeper = maintenance.sweeper
    sweeper.settings = sweeper.settings.model_copy(update={"recovery": Recovery(patience=5, lease=8)})
    active = sweeper.store.features.active

    def look() -> Any:
        looks.append(moment[0] - 1_000.0)
        return active()

    monkeypatch.setattr(sweeper.store.features, "active", look)
    monkeypatch.setattr("orchestrator.engine.sweeper.time.monotonic", lambda: moment[0])
    for _ in range(6):
        sweeper.sweep()
        moment[0] += 1
    assert looks == [0.0, 3.0]

    launch(maintenance)
    for _ in range(3):
        sweeper.sweep()
        moment[0] += 1
    assert looks[2:] == [6.0, 7.0, 8.0]
