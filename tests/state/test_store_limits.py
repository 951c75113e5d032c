"""Limits hold over all features: what is in flight, what is held, and how often something begins."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from orchestrator.model import commands, lifecycle
from orchestrator.model.commands import ScheduleResult, follow_up
from orchestrator.model.feature import Strategy
from orchestrator.model.flows import SHIPPED_FEATURE_FLOWS, FeatureEvent, FeatureFlow, TaskEvent
from orchestrator.model.outcome import Cancelled, Failed, Outcome
from orchestrator.model.task import Task
from orchestrator.planning.extension import grow
from orchestrator.state.store import Store
from tests.model import factories
from tests.state.factories import FLOW, Run, check, check_limits, enqueue, routes_of

BUILDER = "specialist:builder"
GATED = FeatureFlow("default", SHIPPED_FEATURE_FLOWS["default"])


@dataclass
class Cluster:
    """Features on one store, with the caller that follows up the answers of its scripts."""

    store: Store
    launches: list[tuple[str, str]] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)
    woken: int = 0

    def limit(self, **amounts: str) -> None:
        """Change limits now: `total="3"`, `resource__gpu="2"`."""
        for name, amount in amounts.items():
            self.follow(self.store.limits.set(name.replace("__", ":"), amount))

    def enqueue(self, name: str, *tasks: Any, **given: Any) -> Run:
        """Enqueue a feature and launch what may start."""
        run = enqueue(self.store, *tasks, feature_id=name, **given)
        self.runs[name] = run
        self.take(self.store.schedule(name))
        return run

    def take(self, scheduled: ScheduleResult) -> None:
        """Note the launched tasks, and schedule the features to wake."""
        self.launches += [(scheduled.feature, launch.task) for launch in scheduled.launched]
        self.follow(
            [
                command.feature
                for command in follow_up(scheduled)
                if isinstance(command, commands.ScheduleFeature)
            ]
        )

    def follow(self, wake: list[str]) -> None:
        for feature in wake:
            self.woken += 1
            assert self.woken < 100_000, "they wake each other for ever"
            self.take(self.store.schedule(feature))

    def begin(self, feature: str, task: str) -> None:
        assert self.runs[feature].start(task).code == "started"

    def end(self, feature: str, task: str, outcome: Outcome | None = None, retries: int = 0) -> None:
        """Start and end a launched task."""
        self.begin(feature, task)
        self.take(self.runs[feature].end(task, outcome, retries=retries))

    def in_flight(self) -> list[tuple[str, str]]:
        client: Any = self.store.client
        return [
            (feature, task)
            for feature, run in self.runs.items()
            for task in client.zrange(run.keys.slots, 0, -1)
        ]

    def work_off(self) -> list[tuple[str, str]]:
        """End what is in flight, the oldest launch first, until nothing is; all launches in their order."""
        done = 0
        while self.in_flight():
            waiting = [launch for launch in self.launches[done:] if launch in self.in_flight()]
            assert waiting, "in flight, and nobody was told"
            self.end(*waiting[0])
            done += 1
        return self.launches

    def check(self) -> None:
        for run in self.runs.values():
            check(run)
        check_limits(self.store, list(self.runs.values()))


@pytest.fixture
def cluster(store: Store) -> Cluster:
    return Cluster(store)


def tasks(number: int, **given: Any) -> list[Task]:
    return [factories.task(f"T{place:05}", **given) for place in range(1, number + 1)]


# --- at most so many -----------------------------------------------------------------------------------------


def test_a_specialist_has_no_more_in_flight_than_its_concurrency(cluster: Cluster) -> None:
    cluster.limit(specialist__builder="1")
    cluster.enqueue("one", *tasks(3))
    cluster.enqueue("two", *tasks(3))
    assert cluster.in_flight() == [("one", "T00001")]
    cluster.check()
    while cluster.in_flight():
        (running,) = cluster.in_flight()
        cluster.end(*running)
        cluster.check()
    assert Counter(feature for feature, _ in cluster.launches) == {"one": 3, "two": 3}


def test_the_total_is_over_all_features(cluster: Cluster) -> None:
    cluster.limit(total="3")
    for feature in ("one", "two", "three"):
        cluster.enqueue(feature, *tasks(2))
    assert len(cluster.in_flight()) == 3
    launches = cluster.work_off()
    assert len(launches) == 6
    cluster.check()


def test_tasks_that_touch_the_same_files_do_not_run_side_by_side(cluster: Cluster) -> None:
    """A and C have only B in common: they run together, and B when both have ended."""
    run = cluster.enqueue(
        "one",
        factories.task("A", touches=["api/a.py"]),
        factories.task("B", touches=["api/**"]),
        factories.task("C", touches=["api/c.py", "docs/**"]),
        factories.task("D", touches=["web/**"]),
    )
    other = cluster.enqueue("two", factories.task("A", touches=["api/a.py"]))
    assert sorted(cluster.launches) == [("one", "A"), ("one", "C"), ("one", "D"), ("two", "A")]
    ((limit, waiting),) = run.summary.limited.items()
    assert waiting == 1
    found = cluster.store.limits.find(limit)
    assert (found.amount, found.in_use, found.waiting) == ("1", 1, 1)
    assert [holder.task for holder in found.holders] == ["A"]
    cluster.end("one", "C")
    assert ("one", "B") not in cluster.launches
    cluster.end("one", "A")
    assert ("one", "B") in cluster.launches
    check_limits(cluster.store, [run, other])
    assert cluster.store.limits.all() == []  # no operator sees them


def test_no_lock_outlives_its_feature(cluster: Cluster) -> None:
    run = cluster.enqueue("one", *(factories.task(name, touches=["a"]) for name in ("A", "B")))
    run.cancel()
    run.start("A")
    run.finish("A", Cancelled())
    cluster.store.delete_feature("one")
    client: Any = cluster.store.client
    assert not [key for key in client.scan_iter("*") if "touch:" in key]
    assert not client.hkeys(cluster.store.keys.used)


def test_a_task_takes_its_resources_while_it_runs(cluster: Cluster) -> None:
    cluster.limit(resource__gpu="2", resource__db="1")
    cluster.enqueue(
        "one",
        factories.task("big", resources={"gpu": 2}),
        factories.task("both", resources=["gpu", "db"]),
        factories.task("free"),
    )
    cluster.check()
    in_flight = {task for _, task in cluster.in_flight()}
    assert in_flight == {"big", "free"}
    assert cluster.store.tasks.state("one", "both").limit == "resource:gpu"
    cluster.end("one", "big")
    assert {task for _, task in cluster.in_flight()} == {"both", "free"}
    cluster.check()


def test_whoever_waits_for_two_holds_neither(cluster: Cluster) -> None:
    """No hold and wait, so no deadlock: two tasks that need the same two, in either order."""
    cluster.limit(resource__a="1", resource__b="1")
    cluster.enqueue("one", factories.task("x", resources=["a"]), factories.task("y", resources=["b", "a"]))
    cluster.enqueue("two", factories.task("y", resources=["a", "b"]), factories.task("x", resources=["b"]))
    cluster.check()
    assert sorted(cluster.in_flight()) == [("one", "x"), ("two", "x")]
    assert len(cluster.work_off()) == 4
    cluster.check()


def test_what_waits_for_a_limit_takes_no_slot(cluster: Cluster) -> None:
    cluster.limit(resource__gpu="0")
    run = cluster.enqueue(
        "one", *tasks(5, resources=["gpu"]), *(factories.task(f"free{n}") for n in range(3)), cap=2
    )
    assert [task for _, task in cluster.launches] == ["free0", "free1"]
    progress = cluster.store.features.summary(run.id)
    assert (progress.in_flight, progress.queued, progress.limited) == (2, 1, {"resource:gpu": 5})
    assert not progress.is_settled
    cluster.limit(resource__gpu="5")
    cluster.check()
    assert len(cluster.in_flight()) == 2, "the cap of the feature holds at launch"
    assert len(cluster.work_off()) == 8


def test_a_full_feature_holds_nobody_up(cluster: Cluster) -> None:
    """It waited first; but its slots are taken, so that the free unit goes to the other."""
    cluster.limit(resource__gpu="1")
    cluster.enqueue("holder", factories.task("G", resources=["gpu"]))
    cluster.enqueue("full", factories.task("G", resources=["gpu"]), factories.task("free"), cap=1)
    cluster.enqueue("other", factories.task("G", resources=["gpu"]))
    cluster.end("holder", "G")
    assert ("other", "G") in cluster.in_flight()
    cluster.check()
    cluster.end("full", "free")
    assert ("full", "G") not in cluster.in_flight()
    cluster.end("other", "G")
    assert ("full", "G") in cluster.in_flight()


def test_a_paused_feature_holds_nobody_up(cluster: Cluster) -> None:
    cluster.limit(specialist__builder="1")
    for feature in ("one", "two", "three"):
        cluster.enqueue(feature, factories.task("T"))
    cluster.take(cluster.store.requests.update_feature("two", FeatureEvent.FEATURE_PAUSED, {"paused": 1}))
    cluster.end("one", "T")
    assert cluster.in_flight() == [("three", "T")]
    cluster.check()
    cluster.take(cluster.store.requests.update_feature("two", FeatureEvent.FEATURE_RESUMED, {"paused": 0}))
    cluster.end("three", "T")
    assert cluster.in_flight() == [("two", "T")]


# --- what gives back -----------------------------------------------------------------------------------------


def test_a_lost_attempt_gives_back_and_goes_first(cluster: Cluster) -> None:
    cluster.limit(specialist__builder="1")
    one = cluster.enqueue("one", factories.task("T1"), factories.task("T2"))
    cluster.enqueue("two", factories.task("T"))
    cluster.begin("one", "T1")
    one.expire_lease("T1")
    cluster.take(one.recover()[0])
    # It has had its turn, and so comes before the others of both features
    assert cluster.in_flight() == [("one", "T1")]
    cluster.check()
    cluster.end("one", "T1")
    assert cluster.in_flight() == [("two", "T")]


def test_what_was_lost_goes_first_also_where_it_waits(cluster: Cluster) -> None:
    # Given two that run, two of another feature that wait, and a limit that becomes smaller
    cluster.limit(specialist__builder="2")
    one = cluster.enqueue("one", *(factories.task(f"T{number}") for number in range(1, 4)))
    cluster.enqueue("two", factories.task("T1"), factories.task("T2"))
    for task in ("T1", "T2"):
        cluster.begin("one", task)
    cluster.limit(specialist__builder="1")

    # When both are lost
    for task in ("T1", "T2"):
        one.expire_lease(task)
    cluster.take(one.recover()[0])
    assert cluster.in_flight() == [("one", "T1")]
    cluster.check()

    # Then the second one goes next, and after them all take turns again
    cluster.end("one", "T1")
    assert cluster.in_flight() == [("one", "T2")]
    cluster.end("one", "T2")
    assert cluster.in_flight() == [("two", "T1")]
    cluster.end("two", "T1")
    assert cluster.in_flight() == [("one", "T3")]
    cluster.check()


def test_what_was_lost_goes_first_of_its_priority_alone(cluster: Cluster) -> None:
    cluster.limit(specialist__builder="1")
    one = cluster.enqueue("one", factories.task("T"))
    cluster.enqueue("two", factories.task("T", priority="high"))
    cluster.begin("one", "T")
    one.expire_lease("T")
    cluster.take(one.recover()[0])
    assert cluster.in_flight() == [("two", "T")]
    cluster.end("two", "T")
    assert cluster.in_flight() == [("one", "T")]


def test_an_attempt_handed_back_gives_back_and_goes_first(cluster: Cluster) -> None:
    cluster.limit(specialist__builder="1")
    cluster.enqueue("one", factories.task("T"))
    cluster.enqueue("two", factories.task("T"))
    cluster.begin("one", "T")
    cluster.take(cluster.store.attempts.requeue("one", "T", 1, worker="w1")[1])
    assert cluster.in_flight() == [("one", "T")]
    cluster.check()
    cluster.end("one", "T")
    assert cluster.in_flight() == [("two", "T")]


def test_a_retry_gives_back_while_it_is_delayed(cluster: Cluster) -> None:
    cluster.limit(specialist__builder="1")
    one = cluster.enqueue("one", factories.task("T", retries=1))
    cluster.enqueue("two", factories.task("T"))
    cluster.end("one", "T", Failed(reason="broken"), retries=1)
    assert cluster.in_flight() == [("two", "T")]
    one.make_due("T")
    cluster.take(cluster.store.schedule("one"))
    assert cluster.in_flight() == [("two", "T")]
    cluster.check()
    cluster.end("two", "T")
    assert cluster.in_flight() == [("one", "T")]


def test_a_task_that_is_taken_away_gives_back(cluster: Cluster) -> None:
    cluster.limit(specialist__builder="1")
    cluster.enqueue("one", factories.task("T00001"))
    cluster.enqueue("two", factories.task("T"))
    cluster.begin("one", "T00001")
    transition = lifecycle.transition(FLOW, TaskEvent.TASK_HELD)
    cluster.take(cluster.store.requests.transition_task("one", "T00001", FLOW, transition, revoke=True))
    # It lives still, and holds what it held
    assert cluster.in_flight() == [("one", "T00001")]
    cluster.check()
    cluster.take(cluster.runs["one"].finish("T00001", Cancelled())[2])
    assert cluster.in_flight() == [("two", "T")]
    cluster.check()


def test_a_waiting_task_that_is_held_waits_no_more(cluster: Cluster) -> None:
    cluster.limit(specialist__builder="1")
    cluster.enqueue("one", factories.task("T"))
    two = cluster.enqueue("two", *tasks(2))
    cluster.take(
        cluster.store.requests.transition_task(
            "two", "T00001", FLOW, lifecycle.transition(FLOW, TaskEvent.TASK_HELD), revoke=True
        )
    )
    cluster.check()
    cluster.end("one", "T")
    assert cluster.in_flight() == [("two", "T00002")]
    two.ask("T00001", TaskEvent.TASK_RESUMED)
    cluster.end("two", "T00002")
    assert cluster.in_flight() == [("two", "T00001")]
    cluster.check()


@pytest.mark.parametrize("begun", [False, True])
def test_a_cancelled_feature_gives_back(cluster: Cluster, begun: bool) -> None:
    """At once what no worker has begun; what runs, when its worker lets go."""
    cluster.limit(specialist__builder="1")
    one = cluster.enqueue("one", *tasks(3))
    cluster.enqueue("two", factories.task("T"))
    if begun:
        cluster.begin("one", "T00001")
    cluster.take(cluster.store.requests.update_feature("one", FeatureEvent.FEATURE_CANCELLED))
    cluster.check()
    if begun:
        assert ("two", "T") not in cluster.in_flight()
        cluster.take(one.end("T00001"))
    assert ("two", "T") in cluster.in_flight()
    cluster.check()
    if not begun:
        assert one.start("T00001").code == "over"
    cluster.end("two", "T")
    assert cluster.store.limits.find(BUILDER).in_use == 0
    assert cluster.store.limits.find(BUILDER).waiting == 0


def test_a_feature_that_is_gone_holds_nothing_and_waits_for_nothing(cluster: Cluster) -> None:
    cluster.limit(specialist__builder="1")
    one = cluster.enqueue("one", factories.task("T"))
    gone = cluster.enqueue("gone", factories.task("T"))
    cluster.enqueue("two", factories.task("T"))
    for run in (one, gone):
        cluster.store.client.delete(*run.keys.all())
        del cluster.runs[run.id]
    cluster.follow(cluster.store.limits.repair())
    assert cluster.in_flight() == [("two", "T")]
    cluster.check()


def test_the_tasks_of_a_growth_wait_as_all_do(cluster: Cluster) -> None:
    cluster.limit(specialist__builder="1", resource__gpu="1")
    run = cluster.enqueue("one", *tasks(2))
    added = [factories.task("N", resources=["gpu"]), factories.task("M")]
    scheduled = cluster.store.requests.grow(
        "one", lambda shape: grow(shape, added), lambda new: routes_of(factories.feature(*new))
    )
    cluster.take(scheduled)
    assert len(cluster.in_flight()) == 1
    cluster.end("one", "T00001")
    check_limits(cluster.store, [run])
    assert cluster.store.features.summary("one").limited == {BUILDER: 3} or len(cluster.in_flight()) == 1
    assert sorted(task for _, task in cluster.work_off()) == ["M", "N", "T00001", "T00002"]
    assert run.status() == "completed"


def test_the_gates_of_a_feature_count_too(cluster: Cluster) -> None:
    cluster.limit(specialist__builder="1")
    cluster.enqueue("one", factories.task("T"), stored_with={"flow": GATED, "gated": {"testing": "builder"}})
    cluster.enqueue("two", factories.task("T"))
    cluster.end("one", "T")
    assert cluster.in_flight() == [("two", "T")]
    assert cluster.store.features.summary("one").limited == {BUILDER: 1}
    cluster.end("two", "T")
    assert cluster.in_flight() == [("one", "@testing")]


# --- who is next ---------------------------------------------------------------------------------------------


def test_priority_goes_first_over_all_features(cluster: Cluster) -> None:
    cluster.limit(specialist__builder="1")
    cluster.enqueue("holder", factories.task("T"))
    cluster.enqueue("low", *tasks(2, priority="low"))
    cluster.enqueue("medium", *tasks(2))
    cluster.enqueue("high", *tasks(2, priority="high"))
    order = [feature for feature, _ in cluster.work_off()]
    assert order == ["holder", "high", "high", "medium", "medium", "low", "low"]


def test_features_of_the_same_priority_take_turns(cluster: Cluster) -> None:
    cluster.limit(specialist__builder="1")
    cluster.enqueue("large", *tasks(12))
    cluster.enqueue("small", *tasks(3))
    order = [feature for feature, _ in cluster.work_off()]
    assert order[:7] == ["large", "large", "small", "large", "small", "large", "small"]
    assert order[7:] == ["large"] * 8


def test_a_feature_of_ten_thousand_tasks_starves_no_other(cluster: Cluster) -> None:
    cluster.limit(specialist__builder="2")
    cluster.enqueue("large", *tasks(10_000))
    cluster.enqueue("small", *tasks(5))
    for _ in range(12):
        done = cluster.in_flight()[0]
        cluster.end(*done)
    assert sum(feature == "small" for feature, _ in cluster.launches) == 5
    assert cluster.store.features.summary("large").limited[BUILDER] > 9_900


def test_a_feature_with_two_kinds_of_work_has_one_share(cluster: Cluster) -> None:
    cluster.limit(total="1", resource__gpu="5")
    cluster.enqueue("holder", factories.task("T"))
    cluster.enqueue("two", *(factories.task(f"G{n}", resources=["gpu"]) for n in range(6)), *tasks(6), cap=20)
    cluster.enqueue("one", *tasks(6))
    order = [feature for feature, _ in cluster.work_off()]
    assert Counter(order[1:11]) == {"one": 5, "two": 5}


def test_who_needs_two_units_is_not_overtaken_by_those_who_need_one(cluster: Cluster) -> None:
    cluster.limit(resource__gpu="2")
    cluster.enqueue("first", *tasks(2, resources=["gpu"]))
    cluster.enqueue("big", factories.task("B", resources={"gpu": 2}))
    cluster.enqueue("small", *tasks(4, resources=["gpu"]))
    cluster.end("first", "T00001")
    assert ("small", "T00001") not in cluster.in_flight()
    cluster.end("first", "T00002")
    assert cluster.in_flight() == [("big", "B")]
    cluster.check()


# --- changing limits -----------------------------------------------------------------------------------------


def test_raising_a_limit_wakes_the_waiters_at_once(cluster: Cluster) -> None:
    cluster.limit(specialist__builder="1")
    cluster.enqueue("one", *tasks(3))
    cluster.enqueue("two", *tasks(3))
    cluster.limit(specialist__builder="4")
    assert Counter(feature for feature, _ in cluster.in_flight()) == {"one": 3, "two": 1}
    cluster.check()
    cluster.limit(specialist__builder="")
    assert len(cluster.in_flight()) == 6
    cluster.check()


def test_a_class_of_tasks_that_is_served_to_the_last_leaves_the_next_its_turn(cluster: Cluster) -> None:
    cluster.limit(total="1", resource__gpu="9")
    cluster.enqueue("one", *tasks(1), factories.task("G", resources=["gpu"]), *(tasks(4)[1:]), cap=9)
    cluster.limit(total="9")
    assert len(cluster.in_flight()) == 5
    cluster.check()


def test_lowering_a_limit_ends_nothing(cluster: Cluster) -> None:
    cluster.limit(specialist__builder="3")
    cluster.enqueue("one", *tasks(5))
    cluster.limit(specialist__builder="1")
    assert len(cluster.in_flight()) == 3
    cluster.end("one", "T00001")
    cluster.end("one", "T00002")
    assert len(cluster.in_flight()) == 1
    cluster.end("one", "T00003")
    assert len(cluster.in_flight()) == 1
    cluster.check()


def test_a_new_limit_counts_what_is_in_flight(cluster: Cluster) -> None:
    cluster.enqueue("one", *tasks(3), cap=2)
    cluster.limit(specialist__builder="2", total="2")
    cluster.enqueue("two", *tasks(3))
    assert Counter(feature for feature, _ in cluster.in_flight()) == {"one": 2}
    cluster.check()
    assert len(cluster.work_off()) == 6
    cluster.check()


def test_who_needs_more_than_there_is_now_holds_nobody_up(cluster: Cluster) -> None:
    cluster.limit(resource__gpu="2")
    cluster.enqueue("first", factories.task("T", resources=["gpu"]))
    cluster.enqueue("big", factories.task("B", resources={"gpu": 2}))
    cluster.enqueue("small", *tasks(2, resources=["gpu"]))
    cluster.limit(resource__gpu="1")
    cluster.end("first", "T")
    assert cluster.in_flight() == [("small", "T00001")]
    assert cluster.store.tasks.state("big", "B").limit == "resource:gpu"
    cluster.limit(resource__gpu="2")
    cluster.work_off()
    assert ("big", "B") in cluster.launches
    cluster.check()


def test_what_is_set_survives_until_it_is_configured_differently(store: Store) -> None:
    store.limits.configure({"total": "5", "resource:gpu": "2"})
    store.limits.set("total", "9")
    store.limits.configure({"total": "5", "resource:gpu": "2"})
    assert amounts(store) == {"total": "9", "resource:gpu": "2"}
    store.limits.configure({"total": "5", "resource:gpu": "3"})
    assert amounts(store) == {"total": "9", "resource:gpu": "3"}
    store.limits.configure({"total": "5", "resource:gpu": "3"}, reset=True)
    assert amounts(store) == {"total": "5", "resource:gpu": "3"}
    store.limits.configure({"resource:gpu": "3"})
    assert amounts(store) == {"resource:gpu": "3"}
    store.limits.configure({})
    assert store.client.keys("*") == []


def amounts(store: Store) -> dict[str, str]:
    return {limit.name: limit.amount for limit in store.limits.all()}


# --- rates ---------------------------------------------------------------------------------------------------


def pass_time(store: Store, milliseconds: float) -> None:
    """As if so much time had passed: all moments that are kept of rates move into the past."""
    client: Any = store.client
    for name, moment in client.hgetall(store.keys.arrival_times).items():
        client.hset(store.keys.arrival_times, name, float(moment) - milliseconds)
    for name, moment in client.zrange(store.keys.due, 0, -1, withscores=True):
        client.zadd(store.keys.due, {name: moment - milliseconds})


HOUR = 3_600_000
RATE = f"{HOUR} 1"


def test_a_rate_launches_one_each_interval(cluster: Cluster) -> None:
    cluster.limit(rate__builder=RATE)
    cluster.enqueue("one", *tasks(3))
    assert len(cluster.launches) == 1
    cluster.end("one", "T00001")
    assert len(cluster.launches) == 1, "that nothing is in flight is no token"
    left, wake = cluster.store.limits.take_due()
    assert wake == []
    assert left is not None
    assert HOUR / 1000 - 60 < left <= HOUR / 1000
    pass_time(cluster.store, HOUR)
    _, wake = cluster.store.limits.take_due()
    assert wake == ["one"]
    cluster.follow(wake)
    assert len(cluster.launches) == 2
    assert cluster.store.limits.take_due()[0] is not None, "the third has its moment already"
    cluster.check()


def test_a_burst_is_there_at_once_and_comes_back_bit_by_bit(cluster: Cluster) -> None:
    cluster.limit(rate__builder=f"{HOUR} 3")
    cluster.enqueue("one", *tasks(9), cap=9)
    assert len(cluster.launches) == 3
    pass_time(cluster.store, 2 * HOUR)
    cluster.follow(cluster.store.limits.take_due()[1])
    assert len(cluster.launches) == 5
    pass_time(cluster.store, 100 * HOUR)
    cluster.follow(cluster.store.limits.take_due()[1])
    assert len(cluster.launches) == 8, "no more than a burst gathers"


def test_tokens_go_to_features_in_turn(cluster: Cluster) -> None:
    cluster.limit(rate__builder=RATE)
    cluster.enqueue("one", *tasks(4))
    cluster.enqueue("two", *tasks(4))
    for _ in range(4):
        pass_time(cluster.store, HOUR)
        cluster.follow(cluster.store.limits.take_due()[1])
    assert [feature for feature, _ in cluster.launches] == ["one", "one", "two", "one", "two"]


def test_starts_keep_to_the_rate_too(cluster: Cluster) -> None:
    """What was launched at its rate stood in a queue, and is begun all at the same moment."""
    cluster.limit(rate__builder=f"{HOUR} 2")
    cluster.enqueue("one", *tasks(4))
    for _ in range(2):
        for name in (RATE, "rate:builder"):
            cluster.store.client.hdel(cluster.store.keys.arrival_times, name)
        cluster.take(cluster.store.schedule("one"))
    assert len(cluster.launches) == 4
    waits = [cluster.runs["one"].start(task).wait for _, task in cluster.launches]
    assert [round(wait / 3_600, 2) for wait in waits] == [0, 0, 1, 2], "in hours"


def test_a_token_that_is_due_before_all_others_is_told(client: Any, cluster: Cluster) -> None:
    listener = client.pubsub(ignore_subscribe_messages=True)
    listener.subscribe(cluster.store.keys.wake)
    listener.get_message(timeout=1)
    cluster.limit(rate__builder=RATE)
    cluster.enqueue("one", *tasks(2))
    messages = [listener.get_message(timeout=1) for _ in range(2)]
    assert [message["data"] for message in messages if message] == ["rate:builder"]
    listener.close()


def test_a_rate_that_is_raised_wakes_who_waits(cluster: Cluster) -> None:
    cluster.limit(rate__builder=RATE)
    cluster.enqueue("one", *tasks(2))
    cluster.limit(rate__builder="")
    assert len(cluster.launches) == 2


# --- what it costs, and what is shown ------------------------------------------------------------------------


def test_a_feature_behind_no_limit_leaves_no_trace(cluster: Cluster) -> None:
    cluster.enqueue("one", *tasks(3))
    cluster.work_off()
    names = {str(key).split(":")[1] for key in cluster.store.client.keys("to:*")}
    assert names & {"limits", "used", "holders", "waiting", "turn", "arrival-times", "due"} == set()


def test_a_limit_says_who_holds_it_and_who_waits(cluster: Cluster) -> None:
    cluster.limit(resource__gpu="3")
    cluster.enqueue("one", factories.task("A", resources={"gpu": 2}))
    cluster.enqueue("two", *tasks(4, resources={"gpu": 2}))
    limit = cluster.store.limits.find("resource:gpu")
    assert (limit.amount, limit.in_use, limit.waiting, limit.features) == ("3", 2, 4, 1)
    assert [(holder.feature, holder.task, holder.units) for holder in limit.holders] == [("one", "A", 2)]


def test_dataflow_keeps_to_limits(cluster: Cluster) -> None:
    cluster.limit(specialist__builder="1")
    cluster.enqueue(
        "one",
        feature=factories.feature(
            factories.task("A"),
            factories.task("B", "A"),
            factories.task("C", "A"),
            factories.task("D", "B", "C"),
            strategy=Strategy.DATAFLOW,
        ),
    )
    while cluster.in_flight():
        (running,) = cluster.in_flight()
        cluster.end(*running)
        check_limits(cluster.store, list(cluster.runs.values()))
    assert cluster.runs["one"].status() == "completed"
