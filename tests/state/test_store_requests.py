"""The requests of people: retry, unblock, cancel, launch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.model import errors
from orchestrator.model.feature import FeatureStatus
from orchestrator.model.flows import FeatureEvent, TaskEvent
from orchestrator.model.outcome import Blocked, Cancelled, Failed, RetryLater
from orchestrator.model.task import TaskStatus
from orchestrator.state.store import Store
from tests.model.factories import task
from tests.state.factories import LEASE, Run, check, enqueue, ids, launched, read

RETRY, UNBLOCK = TaskEvent.RETRY_REQUESTED, TaskEvent.BLOCKER_RESOLVED
FAILED, BLOCKED = Failed(reason="broken"), Blocked(reason="no key")


def stopped(store: Store, outcome: Failed | Blocked, **given: Any) -> Run:
    """A feature whose first task has stopped, with another behind it."""
    run = launched(store, task("T1"), task("T2", "T1"), **given)
    run.do("T1", outcome)
    return run


# --- retry and unblock ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "event"), [(FAILED, RETRY), (BLOCKED, UNBLOCK)], ids=["retry", "unblock"]
)
def test_a_stopped_task_runs_again_and_the_chain_goes_on(
    store: Store, outcome: Failed | Blocked, event: TaskEvent
) -> None:
    with stopped(store, outcome) as run:
        assert run.reopen("T1", event, note="key is there now") == ["T1"]
        check(run)

        assert run.attempt("T1") == 2
        assert run.status() == FeatureStatus.IN_DEVELOPMENT
        told = next(entry for entry in store.events.read(run.id) if entry.event == event)
        assert (told.source, told.target, told.note) == (outcome.status, "pending", "key is there now")
        assert run.complete("T1") == ["T2"]


def test_a_retry_gives_the_task_all_its_retries_again(store: Store) -> None:
    with launched(store, task("T1")) as run:
        run.do("T1", Failed(reason="flaky"), retries=1)
        run.make_due("T1")
        run.schedule()
        run.do("T1", FAILED, retries=1, retried=1)
        run.reopen("T1")
        assert run.start("T1").attempts.retried == 0


def test_a_reopened_task_waits_for_a_free_slot(store: Store) -> None:
    with launched(store, task("T1"), task("T2"), cap=1) as run:
        run.do("T1", FAILED)
        assert run.reopen("T1") == []
        assert store.tasks.state(run.id, "T1").phase == "queued"
        assert run.complete("T2") == ["T1"]


@pytest.mark.parametrize(
    ("outcome", "event", "allowed"),
    [
        (
            FAILED,
            UNBLOCK,
            "retry_requested, blocker_detected, task_held, task_deferred, task_skipped, task_cancelled",
        ),
        (BLOCKED, RETRY, "blocker_resolved, task_held, task_deferred, task_skipped, task_cancelled"),
    ],
    ids=["unblock-a-failed", "retry-a-blocked"],
)
def test_the_wrong_request_is_refused_with_the_right_one(
    store: Store, outcome: Failed | Blocked, event: TaskEvent, allowed: str
) -> None:
    with stopped(store, outcome) as run:
        before = read(run)
        with pytest.raises(errors.RefusedTransition) as refused:
            run.reopen("T1", event)
        assert str(refused.value) == (
            f"T1 of auth cannot take {event}: it is {outcome.status}. From there the flow default allows {allowed}."
        )
        assert read(run) == before


def test_a_retry_of_what_is_not_there_says_so(store: Store) -> None:
    with stopped(store, FAILED) as run, pytest.raises(errors.NoSuchTask, match="T99"):
        run.reopen("T99")
    with pytest.raises(errors.NoSuchFeature, match="nobody"):
        Run(store, "nobody", run.plan).reopen("T1")


TOO_LATE: dict[str, tuple[Callable[[Run], object], str, type[Exception], str]] = {
    "it runs again": (lambda run: run.reopen("T1"), "T1", errors.RefusedTransition, "it is pending"),
    "it was never launched": (lambda run: None, "T2", errors.RefusedTransition, "it is pending"),
    "its feature is cancelled": (lambda run: run.cancel(), "T1", errors.FeatureOver, "auth is cancelled"),
    "its feature is completed": (
        lambda run: (run.reopen("T1"), run.complete("T1", "T2")),
        "T1",
        errors.FeatureOver,
        "auth is completed",
    ),
}


@pytest.mark.parametrize(("happens", "name", "error", "said"), TOO_LATE.values(), ids=TOO_LATE)
def test_a_task_that_has_not_stopped_cannot_be_retried(
    store: Store, happens: Callable[[Run], object], name: str, error: type[Exception], said: str
) -> None:
    with stopped(store, FAILED) as run:
        happens(run)
        with pytest.raises(error, match=said):
            run.reopen(name)


# --- cancel ---------------------------------------------------------------------------------------------


def test_nothing_starts_after_a_cancel(store: Store) -> None:
    with launched(store, *(task(f"T{number}") for number in range(6)), task("T9", "T0"), cap=3) as run:
        # Given one that waits for a retry, one that runs, two that are launched, and two that wait for a slot
        run.do("T0", RetryLater(after=60))
        run.start("T1")

        run.cancel(note="not wanted any more")

        # Then nothing waits any more, and nothing is launched
        raw = read(run)
        assert (raw.ready, raw.delayed) == (frozenset(), frozenset())
        assert run.schedule() == []
        assert run.start("T2").code == "over"
        assert [state.status for state in store.tasks.states(run.id) if state.id != "T1"] == ["cancelled"] * 6
        assert run.status("T1") == TaskStatus.IN_PROGRESS
        assert store.events.read(run.id)[-1].note == "not wanted any more"


def test_a_cancelled_feature_is_settled_when_its_last_task_has_ended(store: Store) -> None:
    with launched(store, task("T1"), task("T2")) as run:
        run.start("T1")
        run.cancel()
        assert not store.features.summary(run.id).is_settled
        assert store.features.active() == [run.id]

        run.start("T2")
        run.end("T1", Cancelled())
        assert store.features.summary(run.id).is_settled
        assert run.status("T1") == TaskStatus.CANCELLED

        run.recover()
        assert store.features.active() == []


def test_a_cancelled_feature_with_nothing_in_flight_is_out_of_sight_at_once(store: Store) -> None:
    with enqueue(store) as run:
        run.cancel()
        assert store.features.active() == []
        assert store.features.summary(run.id).is_settled


@pytest.mark.parametrize("outcome", [FAILED, RetryLater(after=5)], ids=["failed", "retry-later"])
def test_an_attempt_that_ends_after_the_cancel_leaves_nothing_waiting(
    store: Store, outcome: Failed | RetryLater
) -> None:
    with launched(store, task("T1")) as run:
        run.start("T1")
        run.cancel()
        run.end("T1", outcome, retries=3)
        assert store.features.summary(run.id).delayed == 0
        assert run.status("T1") == TaskStatus.CANCELLED


def test_work_that_was_done_before_the_cancel_stays_done(store: Store) -> None:
    with launched(store, task("T1"), task("T2")) as run:
        run.start("T1")
        run.cancel()
        run.end("T1")
        assert run.status("T1") == TaskStatus.COMPLETED
        assert run.status() == FeatureStatus.CANCELLED


def test_a_lost_attempt_of_a_cancelled_feature_is_not_tried_again(store: Store) -> None:
    with launched(store, task("T1")) as run:
        run.start("T1")
        run.cancel()
        run.expire_lease("T1")
        scheduled, unpublished = run.recover()
        assert (scheduled.launched, unpublished) == ((), ())
        assert store.features.active() == []


@pytest.mark.parametrize("over", ["completed", "cancelled"])
def test_a_feature_that_is_over_cannot_be_cancelled(store: Store, over: str) -> None:
    with launched(store, task("T1")) as run:
        run.complete("T1") if over == "completed" else run.cancel()
        before = read(run)
        with pytest.raises(errors.RefusedTransition, match=rf"it is {over}\. .* it is final"):
            run.cancel()
        assert read(run) == before


def test_a_cancel_of_what_is_not_there_says_so(store: Store) -> None:
    with pytest.raises(errors.NoSuchFeature, match="nobody"):
        store.requests.update_feature("nobody", FeatureEvent.FEATURE_CANCELLED)


# --- launch ---------------------------------------------------------------------------------------------


def test_a_launch_of_what_does_not_wait_launches_nothing(store: Store) -> None:
    with launched(store, auto_launch=False) as run:
        assert run.release() == []
        assert store.features.summary(run.id).batch == 1
    with pytest.raises(errors.NoSuchFeature, match="nobody"):
        store.requests.update_feature("nobody", "launch_requested", {"released": 2})


def test_a_stopped_batch_is_not_launched_over(store: Store) -> None:
    with launched(store, task("T1"), task("T2", "T1"), auto_launch=False) as run:
        # Given a batch that stopped, was retried and completed
        run.do("T1", FAILED)
        assert not store.features.summary(run.id).awaits_launch
        run.reopen("T1")
        run.complete("T1")
        # Then the feature waits for launch as ever
        assert run.status() == FeatureStatus.ON_HOLD
        assert store.features.summary(run.id).awaits_launch
        assert run.release() == ["T2"]


def test_a_feature_that_waits_for_launch_can_be_cancelled(store: Store) -> None:
    with launched(store, task("T1"), task("T2", "T1"), auto_launch=False) as run:
        run.complete("T1")
        run.cancel()
        assert run.status("T2") == TaskStatus.CANCELLED
        assert store.attempts.renew([(run.id, "T2", 1)], lease=LEASE) == ["lost"]


# --- hold, defer, skip, review, pause, cap --------------------------------------------------------------


def test_a_running_task_on_hold_is_taken_from_its_worker_and_resumes(store: Store) -> None:
    with launched(store, task("T1"), task("T2", "T1")) as run:
        run.start("T1")
        run.ask("T1", TaskEvent.TASK_HELD, revoke=True)
        check(run)
        assert store.attempts.renew([(run.id, "T1", 1)], lease=LEASE) == ["cancelled"]
        assert run.finish("T1", attempt=1)[0] == "ended"
        assert run.finish("T1", attempt=1)[0] == "repeated"
        assert run.status("T1") == TaskStatus.ON_HOLD
        assert run.status() == FeatureStatus.ON_HOLD

        assert run.ask("T1", TaskEvent.TASK_RESUMED) == ["T1"]
        assert run.status() == FeatureStatus.IN_DEVELOPMENT
        assert run.complete("T1") == ["T2"]


def test_a_running_attempt_is_not_taken_away_unasked(store: Store) -> None:
    with launched(store, task("T1")) as run:
        run.start("T1")
        run.schedule()
        before = read(run)
        with pytest.raises(errors.AttemptRuns, match="T1 of auth is in-progress"):
            run.ask("T1", TaskEvent.TASK_HELD)
        assert read(run) == before


@pytest.mark.parametrize("strategy", ["batched", "dataflow"])
@pytest.mark.parametrize("event", [TaskEvent.TASK_HELD, TaskEvent.TASK_DEFERRED, TaskEvent.BLOCKER_DETECTED])
def test_an_attempt_that_is_taken_away_holds_its_slot_until_it_has_ended(
    store: Store, event: TaskEvent, strategy: str
) -> None:
    with launched(store, task("T1"), task("T2"), cap=1, strategy=strategy) as run:
        run.start("T1")
        assert run.ask("T1", event, revoke=True) == []
        assert run.schedule() == []
        assert store.tasks.state(run.id, "T1").phase == "ending"
        assert store.features.summary(run.id).in_flight == 1
        assert store.attempts.report_progress(run.id, "T1", 1, 50, "still here") == "stale"
        code, status, scheduled = run.finish("T1", Cancelled())
        assert (code, status, ids(scheduled)) == ("ended", run.status("T1"), ["T2"])
        told = store.events.read(run.id)[-2]
        assert (told.event, told.task, told.attempt, told.worker) == ("attempt_ended", "T1", 1, "w1")


@pytest.mark.parametrize("strategy", ["batched", "dataflow"])
@pytest.mark.parametrize("end", ["it reports", "its worker ends", "its lease ends"])
def test_a_task_that_is_resumed_starts_again_when_its_attempt_has_ended(
    store: Store, strategy: str, end: str
) -> None:
    with launched(store, task("T1"), task("T2", "T1"), strategy=strategy) as run:
        run.start("T1")
        run.ask("T1", TaskEvent.TASK_HELD, revoke=True)
        assert run.ask("T1", TaskEvent.TASK_RESUMED) == []
        check(run)
        assert run.schedule() == []
        assert run.recover()[0].launched == ()
        assert run.start("T1", 1).code == "stale"
        match end:
            case "it reports":
                scheduled = run.finish("T1", Cancelled())[2]
            case "its worker ends":
                code, scheduled = store.attempts.requeue(run.id, "T1", 1, worker="w1")
                assert code == "ended"
            case _:
                run.expire_lease("T1")
                scheduled = run.recover()[0]
        assert [(launch.task, launch.attempt) for launch in scheduled.launched] == [("T1", 2)]
        assert store.tasks.state(run.id, "T1").lost == 0
        assert run.complete("T1") == ["T2"]


@pytest.mark.parametrize("strategy", ["batched", "dataflow"])
@pytest.mark.parametrize("end", ["it reports", "its lease ends"])
def test_what_a_skip_releases_waits_until_the_attempt_has_ended(
    store: Store, strategy: str, end: str
) -> None:
    with launched(store, task("T1"), task("T2", "T1"), strategy=strategy) as run:
        run.start("T1")
        run.ask("T1", TaskEvent.TASK_CANCELLED, revoke=True)
        assert run.skip("T1") == []
        check(run)
        assert not store.tasks.state(run.id, "T1").resolved
        if end == "it reports":
            scheduled = run.finish("T1")[2]
        else:
            run.expire_lease("T1")
            scheduled = run.recover()[0]
        assert ids(scheduled) == ["T2"]
        assert store.tasks.state(run.id, "T1").resolved
        assert run.complete("T2") == []
        assert run.status() == FeatureStatus.COMPLETED


def test_a_person_may_change_their_mind_while_the_attempt_ends(store: Store) -> None:
    with launched(store, task("T1"), task("T2")) as run:
        run.start("T1")
        for event in (TaskEvent.TASK_HELD, TaskEvent.TASK_RESUMED, TaskEvent.TASK_DEFERRED):
            run.ask("T1", event, revoke=True)
            check(run)
        assert ids(run.finish("T1")[2]) == []
        assert run.status("T1") == TaskStatus.DEFERRED
        assert run.ask("T1", TaskEvent.TASK_RESUMED) == ["T1"]


def test_a_feature_that_is_cancelled_while_an_attempt_ends_is_over_with_it(store: Store) -> None:
    with launched(store, task("T1"), task("T2", "T1")) as run:
        run.start("T1")
        run.ask("T1", TaskEvent.TASK_HELD, revoke=True)
        run.ask("T1", TaskEvent.TASK_RESUMED)
        run.cancel()
        assert store.features.summary(run.id).in_flight == 1
        assert run.finish("T1")[0] == "ended"
        run.recover()
        assert store.features.active() == []


def test_what_no_worker_has_begun_has_nothing_to_end(store: Store) -> None:
    with launched(store, task("T1"), task("T2"), cap=1) as run:
        assert run.ask("T1", TaskEvent.TASK_HELD, revoke=True) == ["T2"]
        assert run.start("T1", 1).code == "stale"


def test_a_task_held_before_its_batch_is_left_out_when_it_opens(store: Store) -> None:
    with launched(store, task("T1"), task("T2", "T1"), task("T3", "T1")) as run:
        run.ask("T2", TaskEvent.TASK_DEFERRED)
        assert run.complete("T1") == ["T3"]
        check(run)
        assert run.complete("T3") == []
        assert run.status() == FeatureStatus.ON_HOLD
        assert run.ask("T2", TaskEvent.TASK_RESUMED) == ["T2"]


@pytest.mark.parametrize("strategy", ["batched", "dataflow"])
def test_a_skipped_task_counts_as_resolved(store: Store, strategy: str) -> None:
    with stopped(store, FAILED, strategy=strategy) as run:
        assert run.skip("T1") == ["T2"]
        check(run)
        run.complete("T2")
        assert run.status() == FeatureStatus.COMPLETED
        assert run.status("T1") == TaskStatus.CANCELLED


def test_a_cancelled_task_stops_what_depends_on_it_until_it_is_skipped(store: Store) -> None:
    with launched(store, task("T1"), task("T2", "T1")) as run:
        run.ask("T1", TaskEvent.TASK_CANCELLED, revoke=True)
        assert (run.status(), run.status("T1")) == (FeatureStatus.ON_HOLD, TaskStatus.CANCELLED)
        assert run.skip("T1") == ["T2"]


def test_a_paused_feature_starts_nothing_until_it_is_resumed(store: Store) -> None:
    with launched(store, task("T1"), task("T2"), task("T3", "T1"), cap=1) as run:
        run.start("T1")
        store.requests.update_feature(run.id, FeatureEvent.FEATURE_PAUSED, {"paused": 1})
        assert ids(run.end("T1")) == []
        assert run.status() == FeatureStatus.ON_HOLD
        assert store.features.summary(run.id).is_settled
        assert ids(store.requests.update_feature(run.id, FeatureEvent.FEATURE_RESUMED, {"paused": 0})) == [
            "T2"
        ]
        assert run.status() == FeatureStatus.IN_DEVELOPMENT


def test_a_feature_that_is_blocked_while_it_is_paused_is_resumed_all_the_same(store: Store) -> None:
    with launched(store, task("T1"), task("T2", "T1")) as run:
        run.start("T1")
        store.requests.update_feature(run.id, FeatureEvent.FEATURE_PAUSED, {"paused": 1})
        run.end("T1", BLOCKED)
        assert run.status() == FeatureStatus.BLOCKED
        assert run.reopen("T1", UNBLOCK) == []
        assert run.status() == FeatureStatus.ON_HOLD
        assert ids(store.requests.update_feature(run.id, FeatureEvent.FEATURE_RESUMED, {"paused": 0})) == [
            "T1"
        ]
        assert run.status() == FeatureStatus.IN_DEVELOPMENT


def test_a_cap_holds_both_ways_for_what_starts_next(store: Store) -> None:
    with launched(store, *(task(f"T{number}") for number in range(6)), cap=2) as run:
        assert len(ids(store.requests.update_feature(run.id, "cap_changed", {"cap": 4}))) == 2
        store.requests.update_feature(run.id, "cap_changed", {"cap": 1})
        run.complete("T0", "T1", "T2")
        assert store.features.summary(run.id).in_flight == 1
        store.requests.update_feature(run.id, "cap_changed", {"cap": run.plan.cap})


def test_a_stop_before_a_batch_waits_for_launch(store: Store) -> None:
    with launched(store, task("T1"), task("T2", "T1"), task("T3", "T2"), stored_with={"stops": [3]}) as run:
        assert run.complete("T1") == ["T2"]
        assert run.complete("T2") == []
        assert store.features.summary("auth").awaits_launch
        assert run.release() == ["T3"]


def test_a_task_without_a_specialist_waits_for_one_and_holds_no_slot(store: Store) -> None:
    with enqueue(store, task("T1"), task("T2"), cap=1, nobody=["T1"]) as run:
        assert run.schedule() == ["T2"]
        assert store.tasks.state("auth", "T1").phase == "unassigned"
        run.complete("T2")
        assert (run.status(), store.features.summary("auth").unassigned) == (FeatureStatus.ON_HOLD, 1)
        scheduled = store.requests.assign("auth", "T1", "reviewer")
        assert [(launch.task, launch.specialist) for launch in scheduled.launched] == [("T1", "reviewer")]
        with pytest.raises(errors.AttemptRuns):
            store.requests.assign("auth", "T1", "builder")
