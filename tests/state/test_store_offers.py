"""Tasks wait for agents that claim them: each is given once, in the order of the launches, whatever happens between."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import redis

from orchestrator.model import lifecycle
from orchestrator.model.flows import FeatureEvent, TaskEvent
from orchestrator.model.outcome import Completed, Failed
from orchestrator.model.queues import Queues
from orchestrator.model.task import TaskStatus
from orchestrator.state.keys import Keys
from orchestrator.state.offers import Offer
from orchestrator.state.start_result import StartResult
from orchestrator.state.store import Store
from tests.model.factories import feature, task
from tests.state.factories import FLOW, LEASE, Run, enqueue, everything, launched

QUEUE = Keys().queue("builder")


@pytest.fixture(params=[True, False], ids=["redis-broker", "other-broker"])
def store(client: redis.Redis, request: pytest.FixtureRequest) -> Store:
    """A store whose specialist has agents that ask for work, with each kind of broker."""
    queues = Queues(Keys().celery(), used=["builder"]) if request.param else None
    return Store(client, Keys(), queues=queues, pulled=["builder"])


def offered(store: Store) -> list[str]:
    return [f"{offer.feature}/{offer.task}/{offer.attempt}" for offer in store.offers.waiting(["builder"])]


def claim(store: Store, offer: Offer, delivery: str = "d1", worker: str = "w1") -> StartResult:
    return store.offers.claim(offer, worker=worker, lease=LEASE, delivery=delivery)


def first(store: Store) -> Offer:
    return next(store.offers.waiting(["builder"]))


def test_a_launch_makes_an_offer_and_no_message(store: Store, client: redis.Redis) -> None:
    with enqueue(store, *(task(f"T{number}") for number in range(1, 12)), cap=20) as run:
        scheduled = store.schedule(run.id)
        assert (scheduled.launched, client.llen(QUEUE)) == ((), 0)
        assert offered(store) == [f"auth/T{number}/1" for number in range(1, 12)]
        assert run.state("T1").phase == "launched"


def test_a_claim_begins_the_attempt_and_takes_the_offer_out(store: Store) -> None:
    with launched(store, task("T1"), task("T2")) as run:
        started = claim(store, first(store))
        assert (started.code, started.task and started.task.id) == ("started", "T1")
        assert (run.state("T1").status, run.state("T1").worker) == (TaskStatus.IN_PROGRESS, "w1")
        assert offered(store) == ["auth/T2/1"]


def test_the_same_delivery_may_ask_twice_and_another_gets_nothing(store: Store) -> None:
    with launched(store, task("T1")):
        offer = first(store)
        assert [claim(store, offer, who).code for who in ("a", "a", "b")] == ["started", "started", "held"]


def test_offers_of_several_features_come_in_the_order_of_their_launch(store: Store) -> None:
    one = launched(store, task("A"), task("B"), feature_id="zeta", cap=1)
    two = launched(store, task("A"), feature_id="alpha")
    assert offered(store) == ["zeta/A/1", "alpha/A/1"]
    claim(store, first(store))
    one.finish("A")
    assert offered(store) == ["alpha/A/1", "zeta/B/1"]
    assert two.state("A").phase == "launched"


@pytest.mark.parametrize("gives_back", ["lost", "released"])
def test_what_comes_back_goes_ahead(store: Store, gives_back: str) -> None:
    with launched(store, task("T1"), task("T2"), task("T3")) as run:
        claim(store, first(store))
        if gives_back == "lost":
            run.expire_lease("T1")
            run.recover()
        else:
            store.attempts.requeue(run.id, "T1", 1, worker="w1", delivery="d1")
        assert offered(store) == ["auth/T1/2", "auth/T2/1", "auth/T3/1"]
        assert claim(store, first(store), "d2", "w2").state["attempt"] == 2
        # The former holder changes nothing
        assert store.attempts.renew([(run.id, "T1", 1)], lease=LEASE, delivery="d1") == ["lost"]


def test_what_waits_for_days_is_not_taken_for_lost(store: Store, client: redis.Redis) -> None:
    with launched(store, task("T1"), task("T2"), task("T3")) as run:
        *_, last = store.offers.waiting(["builder"])
        assert claim(store, last).code == "started"  # a later one, which overtakes
        for name in ("T1", "T2"):
            run.age_launch(name, 300_000_000)
        _, unpublished = run.recover()
        assert (unpublished, client.llen(QUEUE)) == ((), 0)
        assert offered(store) == ["auth/T1/1", "auth/T2/1"]
        assert "message_lost" not in {event.event for event in store.events.read(run.id)}


def test_the_sweep_makes_a_lost_offer_again(store: Store, client: redis.Redis) -> None:
    with launched(store, task("T1"), task("T2")) as run:
        client.delete(store.keys.offered("builder"))
        for name in ("T1", "T2"):
            run.age_launch(name)
        run.recover()
        assert sorted(offered(store)) == ["auth/T1/1", "auth/T2/1"]


def test_a_key_of_a_wrong_type_does_not_stop_a_launch(store: Store, client: redis.Redis) -> None:
    client.set(store.keys.offered("builder"), "x")
    with launched(store, task("T1")) as run:
        client.delete(store.keys.offered("builder"))
        run.age_launch("T1")
        run.recover()
        assert offered(store) == ["auth/T1/1"]


def cancelled(run: Run) -> None:
    run.ask("T1", TaskEvent.TASK_CANCELLED, revoke=True)


def held(run: Run) -> None:
    run.ask("T1", TaskEvent.TASK_HELD, revoke=True)


def cancelled_as_a_whole(run: Run) -> None:
    run.cancel()


def forgotten(run: Run) -> None:
    run.cancel()
    assert run.store.delete_feature(run.id)[0] == "deleted"


@pytest.mark.parametrize(
    ("happens", "code"),
    [(cancelled, "stale"), (held, "stale"), (cancelled_as_a_whole, "over"), (forgotten, "missing")],
)
def test_a_stale_offer_is_dropped(store: Store, happens: Callable[[Run], None], code: str) -> None:
    run = launched(store, task("T1"))
    offer = first(store)
    happens(run)
    store.client.zadd(store.keys.offered("builder"), {f"{offer.feature} {offer.task} 1": 1})
    assert claim(store, offer).code == code
    assert offered(store) == []


def test_a_feature_that_is_over_takes_its_offers_back(store: Store) -> None:
    run = launched(store, task("T1"), task("T2"))
    run.cancel()
    assert offered(store) == []


def test_nothing_of_a_paused_feature_starts(store: Store) -> None:
    with launched(store, task("T1")) as run:
        store.requests.update_feature(run.id, FeatureEvent.FEATURE_PAUSED, {"paused": 1})
        assert claim(store, first(store)).code == "paused"
        assert offered(store) == ["auth/T1/1"]
        store.requests.update_feature(run.id, FeatureEvent.FEATURE_RESUMED, {"paused": 0})
        assert claim(store, first(store)).code == "started"


def test_a_retry_is_offered_again(store: Store) -> None:
    with launched(store, task("T1")) as run:
        claim(store, first(store))
        run.finish("T1", Failed(reason="flaky"), retries=1)
        run.make_due("T1")
        run.schedule()
        assert offered(store) == ["auth/T1/2"]


def test_completed_work_leads_to_what_depends_on_it(store: Store) -> None:
    for strategy in ("batched", "dataflow"):
        run = launched(store, task("T1"), task("T2", "T1"), feature_id=strategy, strategy=strategy)
        claim(store, first(store))
        assert run.finish("T1")[0] == "finished"
        assert offered(store) == [f"{strategy}/T2/1"]
        claim(store, first(store))
        run.finish("T2")
        assert run.status() == "completed"


def test_gates_are_no_agents(store: Store, client: redis.Redis) -> None:
    """Work that is done goes to `testing`: a message goes out, for a worker that runs its gates."""
    with launched(store, task("T1")) as run:
        claim(store, first(store))
        move = lifecycle.transition(FLOW, TaskEvent.IMPLEMENTATION_COMPLETE, wait=0.0)
        code, status, scheduled = store.attempts.finish(
            run.id, "T1", 1, Completed(summary="done"), move, worker="w1", delivery="d1"
        )
        assert (code, status) == ("finished", "testing")
        assert (offered(store), [each.task for each in scheduled.launched]) == ([], ["T1"])
        assert client.llen(QUEUE) == (1 if store.queues else 0)
        assert run.start("T1", 2).status == "testing"


def test_a_task_with_its_own_command_is_a_workers(store: Store) -> None:
    run = enqueue(store, task("T1", run=["make"]), task("T2", params={"run": "fast"}))
    assert run.schedule() == ["T1"]
    assert offered(store) == ["auth/T2/1"]


def test_a_claim_stores_nothing_else(store: Store) -> None:
    """A refused claim changes nothing but the stale offer."""
    with launched(store, task("T1")):
        offer = first(store)
        claim(store, offer, "a")
        before = everything(store.client)
        assert claim(store, offer, "b").code == "held"
        assert everything(store.client) == before


def test_many_agents_get_each_task_once(store: Store) -> None:
    tasks = [task(f"T{number}") for number in range(200)]
    run = enqueue(store, feature=feature(*tasks), cap=200)
    store.schedule(run.id)
    got: Counter[str] = Counter()

    def ask(who: int) -> None:
        count = 0
        while True:
            for offer in store.offers.waiting(["builder"]):
                count += 1
                if claim(store, offer, f"{who}-{count}", f"w{who}").code == "started":
                    got[offer.task] += 1
                    break
            else:
                return

    agents = [threading.Thread(target=ask, args=(who,)) for who in range(20)]
    for agent in agents:
        agent.start()
    for agent in agents:
        agent.join()
    assert dict(got) == {one.id: 1 for one in tasks}


def test_without_agents_everything_is_as_before(client: redis.Redis) -> None:
    store: Any = Store(client, Keys(), queues=Queues(Keys().celery(), used=["builder"]), pulled=["other"])
    run = launched(store, task("T1"))
    assert (client.llen(QUEUE), run.order) == (1, ["T1"])
