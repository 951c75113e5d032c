"""A feature that runs takes in tasks and dependencies: atomically, in the right place, and never into a cycle."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import pytest

from orchestrator.model import errors, flows, lifecycle
from orchestrator.model.feature import FeatureStatus, Strategy
from orchestrator.model.flows import FeatureEvent, FeatureFlow, TaskEvent
from orchestrator.model.outcome import Blocked, Completed, Failed
from orchestrator.model.plan import Route
from orchestrator.model.task import Task, TaskStatus
from orchestrator.planning import extension, planner
from orchestrator.planning.extension import Shape
from orchestrator.state import requests
from orchestrator.state.store import Store
from tests.model.factories import feature, task
from tests.state.factories import BUILDER, NOBODY, Run, enqueue, everything


class Growing(Run):
    """A stored feature that grows. After each growth what is stored is checked as a whole."""

    def grow(
        self,
        *tasks: Task,
        dependencies: Mapping[str, Sequence[str]] | None = None,
        meanwhile: Callable[[], object] | None = None,
        nobody: Collection[str] = (),
        note: str = "",
    ) -> list[str]:
        """It grows; `meanwhile` happens once between the look at it and the change. What was launched by it."""
        waiting = [meanwhile] if meanwhile else []

        def decide(shape: Shape) -> extension.Growth:
            decided = extension.grow(shape, tasks, dependencies, note)
            if waiting:
                waiting.pop()()
            return decided

        def route(added: Sequence[Task]) -> Mapping[str, Route]:
            return {task.id: NOBODY if task.id in nobody else BUILDER for task in added}

        found = self.take(self.store.requests.grow(self.id, decide, route))
        check(self)
        return found

    def attempt(self, task: str) -> int:
        """The same for gates, which the store does not show as a task."""
        return int(json.loads(self.hash("states")[task])["attempt"])

    def finish_all(self) -> None:
        """Workers do all that is launched until nothing is."""
        while launched := list(map(str, self.store.client.zrange(self.keys.slots, 0, -1))):
            self.complete(*launched)

    def batches(self) -> list[list[str]]:
        stored = self.hash("batches")
        return [json.loads(stored[number])["tasks"] for number in sorted(stored, key=int)]

    def hash(self, part: str) -> dict[str, str]:
        found: Any = self.store.client.hgetall(getattr(self.keys, part))
        return dict(found)


def launched(
    store: Store, *tasks: Task, flow: str = "default", gated: Mapping[str, str] | None = None, **given: Any
) -> Growing:
    """An enqueued feature with its first batch launched."""
    stages = FeatureFlow(flow, flows.SHIPPED_FEATURE_FLOWS[flow])
    run = enqueue(store, *tasks, stored_with={"flow": stages, "gated": gated}, **given)
    run = Growing(store, run.id, run.plan)
    run.schedule()
    check(run)
    return run


def check(run: Growing) -> None:
    """What is counted, described, ready and planned says the same as the tasks and their states."""
    client: Any = run.store.client
    keys, meta, plan, batches = run.keys, run.hash("meta"), run.hash("plan"), run.batches()
    states = {task: json.loads(text) for task, text in run.hash("states").items() if not task.startswith("@")}
    placed = [(number, task) for number, tasks in enumerate(batches, start=1) for task in tasks]
    assert sorted(task for _, task in placed) == sorted(run.hash("tasks"))
    assert int(meta["total"]) == len(placed)
    assert int(meta["batches"]) == len(batches)
    assert sorted(run.hash("batches"), key=int) == [str(number + 1) for number in range(len(batches))]

    truth: Counter[str] = Counter()
    for number, task_id in placed:
        truth[f"{number}:total"] += 1
        state = states.get(task_id, {})
        status = state.get("status", "pending")
        for name in [status] * (status != "pending") + ["resolved"] * bool(state.get("resolved")):
            truth.update([name, f"{number}:{name}"])
        assert state.get("batch", number) == number, f"{task_id} is counted in another batch"
        assert plan[task_id].split(":")[1] == str(number)
    assert {name: int(count) for name, count in run.hash("counts").items() if int(count)} == dict(truth)

    for batch in batches:
        ranks = [int(plan[task].split(":")[0]) for task in batch]
        assert ranks == sorted(set(ranks)), "the ranks do not follow the launch order"
    waiting = {*client.zrange(keys.ready, 0, -1), *client.smembers(keys.unassigned)}
    for number, task_id in placed:
        state = states.get(task_id, {"status": "pending", "attempt": 0})
        is_held = client.zscore(keys.slots, task_id) is not None
        awaits = state["status"] == "pending" and not is_held and number <= int(meta["batch"])
        assert (task_id in waiting) == awaits, f"{task_id} is forgotten, or ready before its turn"
    for task_id, score in client.zrange(keys.ready, 0, -1, withscores=True):
        assert int(score) == int(plan[task_id].split(":")[0])
    last = json.loads(run.hash("batches")[str(len(batches))])
    assert last["after"] == 0


# --- tasks ----------------------------------------------------------------------------------------------


def test_a_task_that_waits_for_nothing_joins_the_open_batch_and_starts(store: Store) -> None:
    run = launched(store, task("T1"), task("T2", "T1"))
    assert run.grow(task("N"), note="found in review") == ["N"]
    assert run.batches() == [["T1", "N"], ["T2"]]
    told = next(event for event in store.events.read("auth") if event.event == "tasks_added")
    assert (told.task, told.total, told.note) == ("N", 1, "found in review")
    run.finish_all()
    assert run.order == ["T1", "N", "T2"]
    assert run.status() == FeatureStatus.COMPLETED


def test_added_tasks_run_in_the_right_order_to_the_end(store: Store) -> None:
    run = launched(store, task("T1"), task("T2", "T1"), task("T3", "T2"))
    run.complete("T1")
    run.grow(task("N1", "T1"), task("N2", "N1", "T2"), task("N3", "T3"), dependencies={"T3": ["N2"]})
    assert run.batches() == [["T1"], ["T2", "N1"], ["N2"], ["T3"], ["N3"]]
    run.finish_all()
    check(run)
    assert run.order == ["T1", "T2", "N1", "N2", "T3", "N3"]
    assert run.status() == FeatureStatus.COMPLETED


def test_a_task_that_joins_a_full_batch_waits_for_a_slot(store: Store) -> None:
    run = launched(store, task("T1"), task("T2"), cap=1)
    assert run.grow(task("N", priority="high")) == []
    assert run.summary.queued == 2
    run.finish_all()
    assert run.order == ["T1", "N", "T2"]


def test_a_task_without_a_specialist_waits_for_one(store: Store) -> None:
    run = launched(store, task("T1"))
    assert run.grow(task("N"), nobody=["N"]) == []
    assert run.summary.unassigned == 1
    run.take(store.requests.assign("auth", "N", "builder"))
    assert run.order == ["T1", "N"]


def test_a_blocked_feature_takes_in_a_task_beside_the_blocked_one(store: Store) -> None:
    run = launched(store, task("T1"), task("T2", "T1"))
    run.do("T1", Blocked(reason="no key"))
    assert run.grow(task("N")) == ["N"]
    assert run.status() == FeatureStatus.BLOCKED


def test_a_feature_in_review_goes_back_to_development(store: Store) -> None:
    run = launched(store, task("T1"), flow="with_review")
    run.complete("T1")
    assert run.status() == FeatureStatus.PENDING_REVIEW
    assert run.grow(task("N")) == ["N"]
    assert run.batches() == [["T1"], ["N"]]
    assert run.status() == FeatureStatus.IN_DEVELOPMENT
    assert FeatureEvent.FEATURE_GREW in [event.event for event in store.events.read("auth")]
    run.finish_all()
    assert run.status() == FeatureStatus.PENDING_REVIEW


@pytest.mark.parametrize("is_begun", [False, True], ids=["launched", "running"])
def test_gates_that_run_begin_anew_when_all_is_done(store: Store, is_begun: bool) -> None:
    run = launched(store, task("T1"), gated={"testing": "builder"})
    run.complete("T1")
    assert run.order == ["T1", "@testing"]
    if is_begun:
        run.start("@testing")
    assert run.grow(task("N")) == ["N"]
    assert run.status() == FeatureStatus.IN_DEVELOPMENT
    passed = lifecycle.transition(lifecycle.GATES_FLOW, TaskEvent.IMPLEMENTATION_COMPLETE)
    # Gates that run hold their slot until they have ended.
    assert set(store.client.zrange(run.keys.slots, 0, -1)) == ({"@testing", "N"} if is_begun else {"N"})
    answer = "ended" if is_begun else "stale"
    assert store.attempts.finish("auth", "@testing", 1, Completed(), passed)[0] == answer
    run.complete("N")
    assert run.order == ["T1", "@testing", "N", "@testing"]
    run.complete("@testing")
    assert run.status() == FeatureStatus.COMPLETED


def test_a_feature_whose_gates_failed_is_mended_by_a_task(store: Store) -> None:
    run = launched(store, task("T1"), gated={"testing": "builder"})
    run.complete("T1")
    run.do("@testing", Failed(reason="two tests fail"))
    assert run.status() == FeatureStatus.BLOCKED
    assert run.grow(task("N")) == ["N"]
    run.complete("N")
    assert run.order[-1] == "@testing"
    assert run.status() == FeatureStatus.TESTING


def test_a_task_for_a_batch_that_waits_for_launch_waits_with_it(store: Store) -> None:
    run = launched(store, task("T1"), task("T2", "T1"), auto_launch=False)
    run.complete("T1")
    assert run.grow(task("N")) == []
    assert run.batches() == [["T1"], ["T2", "N"]]
    run.take(store.requests.update_feature("auth", "launch_requested", {"released": 2}))
    assert sorted(run.order) == ["N", "T1", "T2"]


# --- dependencies ---------------------------------------------------------------------------------------


def test_a_task_that_is_ready_moves_behind_what_it_waits_for_now(store: Store) -> None:
    run = launched(store, task("T1"), task("T2"), task("T3", "T2"), cap=1)
    first, other = run.order[0], "T1" if run.order[0] == "T2" else "T2"
    assert run.grow(dependencies={other: [first]}, note="needs the schema") == []
    assert run.summary.queued == 0
    told = next(event for event in store.events.read("auth") if event.event == "dependencies_changed")
    assert (told.task, told.cause, told.note) == (other, first, "needs the schema")
    assert first in store.tasks.find("auth", other).depends_on
    run.finish_all()
    assert run.order.index(first) < run.order.index(other)
    assert run.status() == FeatureStatus.COMPLETED


def test_a_held_task_moves_with_its_counts_and_resumes_in_its_new_batch(store: Store) -> None:
    run = launched(store, task("T1"), task("T2"), cap=1)
    run.ask("T2", TaskEvent.TASK_HELD)
    run.grow(dependencies={"T2": ["T1"]})
    assert run.batches() == [["T1"], ["T2"]]
    run.complete("T1")
    run.ask("T2", TaskEvent.TASK_RESUMED)
    check(run)
    run.finish_all()
    assert run.status() == FeatureStatus.COMPLETED


def test_a_task_without_a_specialist_moves_too(store: Store) -> None:
    run = launched(store, task("T1"), task("T2"), nobody=["T2"])
    run.grow(dependencies={"T2": ["T1"]})
    assert run.summary.unassigned == 0
    run.complete("T1")
    assert run.summary.unassigned == 1


def test_batches_that_are_no_more_leave_nothing_behind(store: Store) -> None:
    run = launched(store, task("T1"), task("T2", "T1"), task("T3", "T2"), task("T4", "T3"))
    run.skip("T2")
    run.grow(task("N", "T1"))
    assert [sorted(batch) for batch in run.batches()] == [["T1"], ["N", "T2", "T3"], ["T4"]]
    assert not [name for name in run.hash("counts") if name.startswith("4:")]
    run.finish_all()
    assert run.status() == FeatureStatus.COMPLETED


def test_a_skipped_task_that_moves_is_counted_in_its_new_batch(store: Store) -> None:
    run = launched(store, task("T1"), task("T2", "T1"), task("T3", "T2"), task("T4", "T1"))
    for skipped in ("T2", "T3"):
        run.skip(skipped)
    run.grow(task("N", "T1"))
    assert [sorted(batch) for batch in run.batches()] == [["T1"], ["N", "T2", "T3", "T4"]]
    run.finish_all()
    assert run.status() == FeatureStatus.COMPLETED


def test_an_open_batch_that_all_leave_is_filled_by_the_next(store: Store) -> None:
    run = launched(store, task("T1"), task("T2"), strategy="sequential", nobody=["T1"])
    assert run.grow(dependencies={"T1": ["T2"]}) == ["T2"]
    assert run.batches() == [["T2"], ["T1"]]


def test_a_parallel_feature_goes_on_as_batched(store: Store) -> None:
    run = launched(store, task("T1"), task("T2"), cap=1, strategy="parallel")
    run.grow(dependencies={"T2": ["T1"]})
    assert run.summary.strategy is Strategy.BATCHED


# --- while it goes on -----------------------------------------------------------------------------------


def test_a_batch_that_closes_meanwhile_is_taken_into_account(store: Store) -> None:
    run = launched(store, task("T1"), task("T2", "T1"))
    assert run.grow(task("N"), meanwhile=lambda: run.complete("T1")) == ["N"]
    assert [sorted(batch) for batch in run.batches()] == [["T1"], ["N", "T2"]]


def test_another_growth_meanwhile_is_taken_into_account(store: Store) -> None:
    run = launched(store, task("T1"))
    run.grow(task("N1", "T1"), meanwhile=lambda: run.grow(task("N2", "T1")))
    assert [sorted(batch) for batch in run.batches()] == [["T1"], ["N1", "N2"]]


def test_a_task_that_is_launched_meanwhile_takes_no_dependency(store: Store) -> None:
    run = launched(store, task("T1"), task("T2"), task("T3"), cap=1)
    with pytest.raises(errors.TaskStarted) as refused:
        run.grow(dependencies={"T2": ["T3"]}, meanwhile=lambda: run.complete("T1"))
    assert refused.value.task == "T2"
    check(run)


def test_a_feature_that_ends_meanwhile_does_not_grow(store: Store) -> None:
    run = launched(store, task("T1"))
    with pytest.raises(errors.FeatureOver):
        run.grow(task("N"), meanwhile=lambda: run.complete("T1"))
    assert run.batches() == [["T1"]]


def test_a_feature_that_changes_each_time_is_given_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "GROWTH_TRIES", 3)
    run = launched(store, task("T1"))

    def decide(shape: Shape) -> extension.Growth:
        store.client.hincrby(run.keys.meta, "grown", 1)
        return extension.grow(shape, [task("N")])

    with pytest.raises(errors.GrowthContested) as contested:
        store.requests.grow("auth", decide, lambda tasks: {"N": BUILDER})
    assert contested.value.tries == 3
    assert run.batches() == [["T1"]]


# --- refusals -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tasks", "dependencies", "error"),
    [
        pytest.param([task("N", "T3")], {"T2": ["N"]}, errors.CircularDependency, id="cycle"),
        pytest.param([], {"T2": ["T3"]}, errors.CircularDependency, id="cycle-of-old-tasks"),
        pytest.param([task("T2")], None, errors.InvalidFeature, id="taken"),
        pytest.param([task("N", "T9")], None, errors.InvalidFeature, id="unknown"),
        pytest.param([], {"T2": ["T2"]}, errors.InvalidFeature, id="itself"),
        pytest.param([], {"T9": ["T1"]}, errors.NoSuchTask, id="no-such-task"),
        pytest.param([task("N")], {"T1": ["N"]}, errors.TaskStarted, id="started"),
    ],
)
def test_what_is_refused_changes_nothing(
    store: Store,
    tasks: list[Task],
    dependencies: dict[str, list[str]] | None,
    error: type[errors.OrchestratorError],
) -> None:
    run = launched(store, task("T1"), task("T2", "T1"), task("T3", "T2"))
    before = everything(store.client)
    with pytest.raises(error):
        run.grow(*tasks, dependencies=dependencies)
    assert everything(store.client) == before


def test_a_feature_that_is_cancelled_does_not_grow(store: Store) -> None:
    run = launched(store, task("T1"))
    store.requests.update_feature("auth", FeatureEvent.FEATURE_CANCELLED)
    before = everything(store.client)
    with pytest.raises(errors.FeatureOver) as refused:
        run.grow(task("N"))
    assert refused.value.status == FeatureStatus.CANCELLED
    assert everything(store.client) == before


def test_no_feature_does_not_grow(store: Store) -> None:
    with pytest.raises(errors.NoSuchFeature):
        Growing(store, "nowhere", planner.plan(feature())).grow(task("N"))


def test_a_dependency_that_is_there_already_changes_nothing(store: Store) -> None:
    run = launched(store, task("T1"), task("T2", "T1"))
    before = everything(store.client)
    assert run.grow(dependencies={"T2": ["T1"]}) == []
    assert everything(store.client) == before


def test_a_task_moved_on_by_hand_has_started(store: Store) -> None:
    run = launched(store, task("T1"), task("T2", "T1"))
    run.skip("T2")
    with pytest.raises(errors.TaskStarted) as refused:
        run.grow(task("N"), dependencies={"T2": ["N"]})
    assert refused.value.status == TaskStatus.CANCELLED
