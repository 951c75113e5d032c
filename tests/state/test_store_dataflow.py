"""Dataflow: a task starts the moment its own dependencies are resolved and a slot is free."""

from __future__ import annotations

import random
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.model import errors, lifecycle
from orchestrator.model.feature import Feature, FeatureStatus, Strategy
from orchestrator.model.flows import TaskEvent
from orchestrator.model.outcome import Blocked, Completed, Failed, Outcome, RetryLater
from orchestrator.model.task import Retries, Task
from orchestrator.state.keys import Keys
from orchestrator.state.store import Store
from tests.model import factories
from tests.model.factories import task
from tests.state.factories import FLOW, Run, enqueue, everything, launched


def flowing(store: Store, *tasks: Task, **given_: Any) -> Run:
    """A feature of these tasks and of the strategy dataflow, with what may start launched."""
    return launched(store, *tasks, strategy=Strategy.DATAFLOW, **given_)


def in_redis(run: Run) -> dict[str, Any]:
    """All that is stored but the events, which tell of each look too."""
    return {key: value for key, value in everything(run.store.client).items() if key != run.keys.events}


# --- what starts when -----------------------------------------------------------------------------------


def test_all_that_depends_on_nothing_starts_at_once(store: Store) -> None:
    run = flowing(store, task("A"), task("B", "A"), task("C"), task("D", "B", "C"))

    assert sorted(run.order) == ["A", "C"]
    assert {name: run.state(name).waits for name in "ABCD"} == {"A": 0, "B": 1, "C": 0, "D": 2}
    assert run.state("D").phase == "waiting"


def test_there_is_no_barrier_between_batches(store: Store) -> None:
    # Given two branches of three levels
    run = flowing(
        store, task("A1"), task("A2", "A1"), task("A3", "A2"), task("B1"), task("B2", "B1"), task("B3", "B2")
    )

    # Then the third level of one runs while the first of the other is unfinished
    assert run.complete("A1") == ["A2"]
    assert run.complete("A2") == ["A3"]
    assert run.state("B1").phase == "launched"
    assert run.summary.batch == 1


def test_a_join_waits_for_all_its_dependencies(store: Store) -> None:
    run = flowing(store, task("A"), task("B"), task("C"), task("D", "A", "B", "C"))

    assert run.complete("B", "A") == []
    assert run.state("D").waits == 1
    assert run.complete("C") == ["D"]


def test_batches_open_for_reports_as_they_would_be_complete(store: Store) -> None:
    run = flowing(store, task("A"), task("B", "A"), task("C"), task("D", "B"))
    run.complete("A", "B")
    assert run.summary.batch == 1
    run.complete("C")

    # C was the last of the first batch, and of the second all was resolved
    progress = run.summary
    assert (progress.batch, progress.batches) == (3, 3)
    opened = [event.batch for event in store.events.read(run.id) if event.event == "batch_opened"]
    assert opened == [1, 2, 3]


def test_the_last_task_completes_the_feature_and_what_was_counted_is_gone(store: Store) -> None:
    run = flowing(store, task("A"), task("B", "A"), task("C", "B"))
    run.complete("A", "B", "C")
    for stage in ("@testing", "@validating"):
        if stage in store.client.zrange(run.keys.slots, 0, -1):
            run.complete(stage)

    assert run.status() == FeatureStatus.COMPLETED
    keys = run.keys
    assert store.client.exists(keys.waits, keys.dependents, keys.dependency_updates) == 0


@pytest.mark.parametrize("cap", [1, 2, 3])
def test_the_cap_is_kept_exactly(store: Store, cap: int) -> None:
    # Given a task that releases five at once
    run = flowing(store, task("A"), *(task(f"B{place}", "A") for place in range(5)), cap=cap)

    assert len(run.complete("A")) == cap
    assert run.summary.queued == 5 - cap
    assert len(run.complete(run.order[1])) == 1
    assert run.summary.in_flight == cap


def test_of_the_ready_priority_goes_first_and_then_the_longest_remaining_path(store: Store) -> None:
    run = flowing(
        store,
        task("root"),
        task("short", "root"),
        task("long", "root"),
        task("end", "long", estimate="50m"),
        task("urgent", "root", priority="high", estimate="1m"),
        cap=1,
    )
    for _ in range(4):
        run.complete(run.order[-1])

    assert run.order == ["root", "urgent", "long", "end", "short"]


def test_a_freed_slot_goes_to_the_first_in_the_order_of_the_whole_feature(store: Store) -> None:
    # Given one slot; what A releases is on a later level, and has a longer path before it than B
    run = flowing(store, task("A"), task("A2", "A", estimate="60m"), task("B"), cap=1)

    assert run.complete("A") == ["A2"]
    assert run.complete("A2") == ["B"]


# --- what stops what ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "outcome", [Failed(reason="broken"), Blocked(reason="no key")], ids=["failed", "blocked"]
)
def test_a_stopped_task_holds_up_what_depends_on_it_alone(store: Store, outcome: Outcome) -> None:
    run = flowing(store, task("A"), task("A2", "A"), task("B"), task("B2", "B"), task("B3", "B2"))

    assert run.do("A", outcome) == []
    assert run.complete("B") == ["B2"]
    assert run.complete("B2") == ["B3"]
    assert (run.state("A2").phase, run.state("A2").waits) == ("waiting", 1)
    assert run.status() == FeatureStatus.BLOCKED


def test_what_was_skipped_before_the_start_holds_up_nothing(store: Store) -> None:
    run = enqueue(store, task("A"), task("B", "A"), task("C", "B"), strategy=Strategy.DATAFLOW)
    run.skip("A")

    run.schedule()
    assert run.order == ["B"]


def test_a_skipped_task_in_the_middle_leaves_the_others_to_wait(store: Store) -> None:
    run = flowing(store, task("A"), task("B", "A"), task("C", "A", "B"))

    assert run.skip("B") == []
    assert run.state("C").waits == 1
    assert run.complete("A") == ["C"]


@pytest.mark.parametrize("event", [TaskEvent.TASK_HELD, TaskEvent.TASK_DEFERRED])
def test_a_task_put_aside_before_its_turn_holds_up_what_depends_on_it_alone(
    store: Store, event: TaskEvent
) -> None:
    run = flowing(store, task("A"), task("B", "A"), task("C", "B"), task("D", "A"))
    run.ask("B", event)

    assert run.complete("A") == ["D"]
    assert run.state("C").waits == 1
    assert run.ask("B", TaskEvent.TASK_RESUMED) == ["B"]
    assert run.complete("B") == ["C"]


def test_a_task_resumed_before_its_turn_waits_for_it(store: Store) -> None:
    run = flowing(store, task("A"), task("B", "A"))
    run.ask("B", TaskEvent.TASK_HELD)

    assert run.ask("B", TaskEvent.TASK_RESUMED) == []
    assert run.state("B").phase == "waiting"
    assert run.complete("A") == ["B"]


def take_back(run: Run, name: str) -> list[str]:
    """A skip is taken back, as a flow may allow in which cancelled is not terminal."""
    arrow = {"cancelled": "pending"}
    scheduled = run.store.requests.transition_task(
        run.id, name, FLOW, lifecycle.Transition(((TaskEvent.TASK_RESUMED, arrow),))
    )
    return [launch.task for launch in scheduled.launched]


def test_a_skip_taken_back_holds_up_again_what_has_no_slot_yet(store: Store) -> None:
    # Given a task that waits for a slot, since what it depends on was skipped
    run = flowing(store, task("A"), task("B", "A"), task("other", priority="high"), cap=1)
    run.skip("A")
    assert run.state("B").phase == "queued"

    # When the skip is taken back
    take_back(run, "A")

    # Then it waits again, and its turn comes when what it depends on is completed
    assert (run.state("B").phase, run.state("B").waits) == ("waiting", 1)
    assert run.complete("other") == ["A"]
    assert run.complete("A") == ["B"]


def test_a_skip_taken_back_leaves_alone_what_has_begun(store: Store) -> None:
    run = flowing(store, task("A", priority="low"), task("B", "A"), task("other"), cap=1)
    run.skip("A")
    assert run.complete("other") == ["B"]

    take_back(run, "A")

    assert run.state("B").phase == "launched"
    assert run.complete("B") == ["A"]
    assert run.complete("A") == []
    assert run.order.count("B") == 1


def test_what_has_a_slot_is_not_queued_again_when_a_skip_was_taken_back(store: Store) -> None:
    # Given a task with a slot, not begun yet, whose dependency runs after all
    run = flowing(store, task("A", priority="low"), task("B", "A"), task("other"), task("more"), cap=2)
    run.skip("A")
    assert run.complete("other") == ["B"]
    take_back(run, "A")
    assert run.complete("more") == ["A"]

    # When that is completed, then it is not launched once more
    assert run.complete("A") == []
    assert run.state("B").phase == "launched"
    assert run.summary.queued == 0


def test_batches_open_whatever_is_set_later(store: Store) -> None:
    run = flowing(store, task("A"), task("B", "A"))
    store.requests.update_feature(run.id, "auto_launch_changed", {"auto_launch": 0, "stops": "2"})

    assert run.complete("A") == ["B"]
    assert run.summary.batch == 2


def test_a_task_without_a_specialist_waits_for_one_when_its_turn_comes(store: Store) -> None:
    run = flowing(store, task("A"), task("B", "A"), task("C", "B"), nobody=["B"])

    assert run.state("B").phase == "waiting"
    assert run.complete("A") == []
    assert run.state("B").phase == "unassigned"
    assert [launch.task for launch in store.requests.assign(run.id, "B", "builder").launched] == ["B"]
    assert run.complete("B") == ["C"]


def test_a_retry_goes_on_as_in_batches(store: Store) -> None:
    run = flowing(store, task("A"), task("B", "A"))
    run.do("A", RetryLater(after=60))
    assert run.state("A").phase == "delayed"

    store.client.zadd(run.keys.delayed, {"A": 1}, xx=True)

    assert run.schedule() == ["A"]
    assert run.complete("A") == ["B"]


def test_a_paused_feature_releases_when_it_goes_on(store: Store) -> None:
    run = flowing(store, task("A"), task("B", "A"))
    store.client.hset(run.keys.meta, "paused", "1")
    assert run.complete("A") == []

    store.client.hset(run.keys.meta, "paused", "0")
    assert run.schedule() == ["B"]


# --- once, and no more ----------------------------------------------------------------------------------


def test_a_repeated_schedule_changes_nothing(store: Store) -> None:
    run = flowing(store, task("A"), task("B", "A"), task("C", "A", "B"), task("D"))
    run.complete("A")
    before = in_redis(run)

    assert [run.schedule() for _ in range(3)] == [[], [], []]
    assert in_redis(run) == before


def test_a_repeated_finish_releases_nothing_twice(store: Store) -> None:
    run = flowing(store, task("A"), task("B"), task("C", "A", "B"))
    run.complete("A")
    transition = lifecycle.conclude(FLOW, Completed(), Retries(), lifecycle.Attempts())

    code, _, scheduled = store.attempts.finish(run.id, "A", 1, Completed(), transition, worker="w1")

    assert (code, scheduled.launched) == ("repeated", ())
    assert run.state("C").waits == 1


@pytest.mark.parametrize(
    ("given_", "asked"),
    [({"stored_with": {"stops": [2]}}, "stops"), ({"auto_launch": False}, "auto_launch: false")],
)
def test_a_batch_that_waits_for_launch_is_refused(store: Store, given_: dict[str, Any], asked: str) -> None:
    with pytest.raises(errors.NoBarrier, match=f"Leave {asked} out"):
        flowing(store, task("A"), task("B", "A"), **given_)
    assert store.features.newest() == []


def test_batched_features_store_nothing_of_it(store: Store) -> None:
    keys = enqueue(store, task("A"), task("B", "A")).keys

    assert store.client.exists(keys.waits, keys.dependents, keys.dependency_updates) == 0


# --- any graph ------------------------------------------------------------------------------------------


@st.composite
def features(draw: st.DrawFn) -> Feature:
    names = [f"T{place}" for place in range(draw(st.integers(1, 12)))]
    return factories.feature(
        *(
            task(
                name,
                *(draw(st.lists(st.sampled_from(names[:place]), unique=True, max_size=4)) if place else []),
                priority=draw(st.sampled_from(["high", "medium", "low"])),
                estimate=draw(st.integers(1, 9)),
            )
            for place, name in enumerate(names)
        ),
        strategy=Strategy.DATAFLOW,
    )


OUTCOMES: list[Outcome] = [
    Completed(),
    Completed(),
    Failed(reason="broken"),
    Blocked(reason="no key"),
    RetryLater(),
]


def drive(store: Store, feature: Feature, cap: int, chance: random.Random) -> None:
    """Run a feature to its end: tasks end in any order and with any outcome, people skip, retry, hold and resume."""
    run = enqueue(store, feature=feature, cap=cap)
    depends_on = {each.id: each.depends_on for each in feature.tasks}
    keys = run.keys
    run.schedule()
    for step in range(40 * len(feature.tasks)):
        states = {state.id: state for state in store.tasks.states(run.id)}
        flying = [str(name) for name in store.client.zrange(keys.slots, 0, -1)]
        ready = store.client.zrange(keys.ready, 0, -1)
        assert len(flying) <= cap
        assert not ready or len(flying) == cap, "a slot is free, and something is ready"
        for name, state in states.items():
            left = [end for end in depends_on[name] if not states[end].resolved]
            assert state.waits == len(left)
            if name in ready or name in flying:
                assert not left, f"{name} has its turn before {left}"
            if not left and state.status == "pending":
                assert state.phase != "waiting", f"{name} is forgotten"
        if run.summary.status.is_over:
            break
        late = step > 15 * len(feature.tasks)
        stuck = [name for name, state in states.items() if state.status in ("failed", "blocked", "on-hold")]
        delayed = [str(name) for name in store.client.zrange(keys.delayed, 0, -1)]
        if flying and (late or chance.random() < 0.8):
            name = chance.choice(flying)
            run.do(name, Completed() if late or name.startswith("@") else chance.choice(OUTCOMES))
        elif delayed:
            store.client.zadd(keys.delayed, {chance.choice(delayed): 1})
            run.schedule()
        elif stuck:
            name = chance.choice(stuck)
            event = {
                "failed": TaskEvent.RETRY_REQUESTED,
                "blocked": TaskEvent.BLOCKER_RESOLVED,
                "on-hold": TaskEvent.TASK_RESUMED,
            }[states[name].status]
            if chance.random() < 0.3:
                run.skip(name)
            else:
                run.ask(name, event, reset_retries=True)
        elif any(state.phase == "waiting" for state in states.values()) and not late:
            name = chance.choice([name for name, state in states.items() if state.phase == "waiting"])
            if chance.random() < 0.3:
                run.skip(name)
            else:
                run.ask(name, TaskEvent.TASK_HELD)
        if chance.random() < 0.3:
            before = in_redis(run)
            assert run.schedule() == []
            assert in_redis(run) == before
    assert run.status() == FeatureStatus.COMPLETED
    assert store.client.exists(keys.waits, keys.dependents, keys.dependency_updates) == 0


def test_any_graph_runs_to_its_end(client: redis.Redis) -> None:
    @settings(max_examples=70, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(features(), st.integers(1, 4), st.integers(0, 2**32))
    def runs_to_its_end(feature: Feature, cap: int, seed: int) -> None:
        client.flushall()
        drive(Store(client, Keys("to")), feature, cap, random.Random(seed))

    runs_to_its_end()
