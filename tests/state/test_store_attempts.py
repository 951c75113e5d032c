"""An attempt: start, renew, note, finish."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import redis

from orchestrator.model import errors, lifecycle
from orchestrator.model.agent_history import EarlierAttempt, waits
from orchestrator.model.commands import BatchProgress
from orchestrator.model.feature import FeatureStatus
from orchestrator.model.flows import TaskEvent
from orchestrator.model.lifecycle import Attempts
from orchestrator.model.outcome import (
    Blocked,
    BlockKind,
    Cancelled,
    Completed,
    Failed,
    FailureCause,
    Outcome,
    RetryLater,
)
from orchestrator.model.task import Retries, TaskStatus
from orchestrator.state.attempts import EARLIER_KEPT
from orchestrator.state.store import Store
from tests.model.factories import task
from tests.state.factories import FLOW, LEASE, Run, check, launched, read

pytestmark = pytest.mark.bounds

# --- start ----------------------------------------------------------------------------------------------


def test_a_start_hands_over_the_task_and_takes_a_lease(store: Store, client: redis.Redis) -> None:
    with launched(store) as run:
        now = client.time()[0]
        started = run.start("T1", worker="w7")

        assert started.code == "started"
        assert started.task == run.plan.feature.task("T1")
        assert started.head is not None
        assert started.head["title"] == "User authentication"
        state = store.tasks.state(run.id, "T1")
        assert (state.status, state.worker, state.attempt) == (TaskStatus.IN_PROGRESS, "w7", 1)
        assert state.started is not None
        assert read(run).slots["T1"] >= (now + LEASE) * 1000


def outlive_the_lease(run: Run) -> None:
    run.start("T1")
    run.expire_lease("T1")


HAPPENED: dict[str, tuple[Callable[[Run], object], str]] = {
    "it is delivered again": (lambda run: run.start("T1"), "held"),
    "its lease ended, and the sweep has not come": (outlive_the_lease, "held"),
    "it has ended": (lambda run: run.complete("T1"), "stale"),
    "its task waits for a slot again": (lambda run: run.do("T1", RetryLater(after=60)), "stale"),
    "its feature is cancelled": (lambda run: run.cancel(), "over"),
}


@pytest.mark.parametrize(("happens", "code"), HAPPENED.values(), ids=HAPPENED)
def test_an_attempt_that_may_not_start_changes_nothing(
    store: Store, happens: Callable[[Run], object], code: str
) -> None:
    with launched(store, task("T1"), task("T2"), cap=1) as run:
        happens(run)
        before = read(run)

        assert run.start("T1", 1, worker="w2").code == code
        assert read(run) == before


def test_an_earlier_attempt_cannot_start(store: Store) -> None:
    with launched(store, task("T1")) as run:
        run.do("T1", Failed(reason="broken"))
        run.reopen("T1")

        assert run.start("T1", 1).code == "stale"
        assert run.start("T1", 2).code == "started"


@pytest.mark.parametrize(("feature", "name"), [("nobody", "T1"), ("auth", "T99"), ("auth", "T2")])
def test_what_was_never_launched_is_missing(store: Store, feature: str, name: str) -> None:
    launched(store)
    assert (
        store.attempts.start(feature, name, 1, specialist="builder", worker="w1", lease=LEASE).code
        == "missing"
    )


def test_only_the_specialist_who_is_to_do_a_task_can_start_it(store: Store) -> None:
    # Given a task that is launched for the builder
    with launched(store, task("T1")) as run:
        ask = partial(store.attempts.start, run.id, "T1", worker="w1", lease=LEASE)
        before = read(run)

        # When its message comes to another one, then nothing happens
        assert ask(1, specialist="senior").code == "misplaced"
        assert ask(1, specialist="build").code == "misplaced"
        assert read(run) == before

        # And where it is handed on, the next attempt is that one's, and the builder's no more
        assert ask(1, specialist="builder").code == "started"
        hard = Blocked(kind=BlockKind.TECHNICAL, reason="it is hard")
        transition = lifecycle.conclude(FLOW, hard, Retries(), chance=0, escalate_to="senior")
        assert run.apply("T1", hard, transition) == "finished"
        run.schedule()
        assert ask(1, specialist="senior").code == "stale"
        assert ask(2, specialist="builder").code == "misplaced"
        assert ask(2, specialist="senior").code == "started"


def test_a_new_attempt_begins_without_the_progress_of_the_last(store: Store) -> None:
    with launched(store, task("T1")) as run:
        run.start("T1")
        store.attempts.report_progress(run.id, "T1", 1, 80, "nearly there")
        run.end("T1", Failed(reason="broken"))
        run.reopen("T1")
        run.start("T1")

        state = store.tasks.state(run.id, "T1")
        assert (state.percent, state.note, state.noted, state.finished) == (None, "", None, None)


# --- finish ---------------------------------------------------------------------------------------------

ENDS: list[tuple[Outcome, TaskStatus, str]] = [
    (Completed(summary="done", result={"rows": 3}), TaskStatus.COMPLETED, "implementation_complete"),
    (Failed(cause=FailureCause.TESTS, reason="2 of 9 fail"), TaskStatus.FAILED, "work_failed"),
    (Blocked(kind=BlockKind.EXTERNAL, reason="no API key"), TaskStatus.BLOCKED, "blocker_detected"),
    (RetryLater(after=30), TaskStatus.PENDING, "retry_scheduled"),
    (Cancelled(), TaskStatus.CANCELLED, "task_cancelled"),
]


@pytest.mark.parametrize(("outcome", "status", "event"), ENDS, ids=lambda value: getattr(value, "status", ""))
def test_a_finish_commits_the_outcome_and_frees_the_slot(
    store: Store, outcome: Outcome, status: TaskStatus, event: str
) -> None:
    with launched(store) as run:
        run.start("T1")
        code, stands, scheduled = run.finish("T1", outcome)

        assert (code, stands) == ("finished", status)
        assert scheduled.finished is not None
        assert run.status("T1") == status
        assert store.tasks.outcomes(run.id, ["T1"]) == {"T1": outcome}
        assert "T1" not in read(run).slots
        last = [entry for entry in store.events.read(run.id) if entry.task == "T1"][-1]
        assert (last.event, last.source, last.target, last.attempt, last.worker) == (
            event,
            "in-progress",
            status,
            1,
            "w1",
        )


def test_a_finish_tells_how_far_its_batch_is(store: Store) -> None:
    with launched(store, *(task(f"T{number}") for number in range(5)), task("T9", "T0")) as run:
        for name in ("T0", "T1", "T2"):
            run.start(name)
        run.end("T0")
        run.end("T1", Blocked(reason="no key"))
        scheduled = run.end("T2", Failed(reason="broken"))

        assert scheduled.finished == BatchProgress(number=1, total=5, resolved=1, blocked=1, failed=1)


@pytest.mark.parametrize(("outcome", "status", "event"), ENDS, ids=lambda value: getattr(value, "status", ""))
def test_a_repeated_finish_changes_nothing(
    store: Store, outcome: Outcome, status: TaskStatus, event: str
) -> None:
    with launched(store) as run:
        run.do("T1", outcome)
        before = read(run)

        for again in (outcome, Completed(), Failed(reason="another")):
            code, stands, scheduled = run.finish("T1", again, attempt=1)
            assert (code, stands, scheduled.launched, scheduled.finished) == ("repeated", status, (), None)
        assert read(run) == before
        assert store.tasks.outcomes(run.id, ["T1"]) == {"T1": outcome}


def test_a_repeated_finish_still_asks_what_may_start(store: Store, client: redis.Redis) -> None:
    # Given a finish whose answer was lost on the way, before anything was launched
    with launched(store, task("T1"), task("T2", "T1")) as run:
        run.start("T1")
        finish = run.finish("T1")
        assert [launch.task for launch in finish[2].launched] == ["T2"]
        # When it comes again, then what was launched has its slot, so that the sweep finds it
        assert run.finish("T1", attempt=1)[2].launched == ()
        assert read(run).slots["T2"] < 0


def test_a_finish_of_an_earlier_attempt_is_stale(store: Store) -> None:
    with launched(store, task("T1")) as run:
        # Given an attempt that was lost, and the next one, which runs
        run.start("T1")
        run.expire_lease("T1")
        run.recover()
        run.start("T1", 2, worker="w2")
        before = read(run)

        # When the lost one comes back after all, then it is too late
        assert run.finish("T1", attempt=1)[:2] == ("stale", "in-progress")
        assert read(run) == before
        assert run.finish("T1", attempt=2)[0] == "finished"


def test_a_finish_of_a_lost_attempt_that_waits_for_a_slot_is_stale(store: Store) -> None:
    with launched(store, task("T1"), task("T2"), task("T3"), cap=1) as run:
        # Given a lost attempt, whose slot went to another one that was lost before it
        run.start("T1")
        run.expire_lease("T1")
        store.client.zadd(run.keys.ready, {"T3": -2e9})
        run.recover()
        assert store.tasks.state(run.id, "T1").phase == "queued"

        assert run.finish("T1", attempt=1)[0] == "stale"


def test_a_finish_without_a_start_is_refused(store: Store) -> None:
    with launched(store) as run:
        before = read(run)
        assert run.finish("T1")[:2] == ("refused", "pending")
        assert read(run) == before
        assert store.tasks.outcomes(run.id, ["T1"]) == {}


def test_a_move_that_the_status_does_not_allow_is_refused(store: Store) -> None:
    with launched(store) as run:
        run.start("T1")
        transition = lifecycle.transition(FLOW, TaskEvent.RETRY_REQUESTED)
        assert run.apply("T1", Failed(reason="x"), transition) == "refused"


def test_a_finish_of_what_is_not_there_is_missing(store: Store) -> None:
    with launched(store) as run:
        assert run.finish("T2", attempt=1)[0] == "missing"
    with pytest.raises(errors.NoSuchFeature):
        Run(store, "nobody", run.plan).finish("T1", attempt=1)


def test_failed_attempts_are_counted_against_the_retries(store: Store) -> None:
    with launched(store, task("T1", retries=2)) as run:
        for retried in range(2):
            assert run.start("T1").attempts.retried == retried
            code, status, _ = run.finish("T1", Failed(reason="flaky"), retries=2, retried=retried)
            assert (code, status) == ("finished", "pending")
            assert store.tasks.state(run.id, "T1").phase == "delayed"
            check(run)
            run.make_due("T1")
            assert run.schedule() == ["T1"]

        started = run.start("T1")
        assert started.attempts.retried == 2
        run.end("T1", Failed(reason="flaky"), retries=2, retried=2)
        assert run.status("T1") == TaskStatus.FAILED
        assert run.status() == FeatureStatus.BLOCKED


def test_to_try_later_is_no_failure(store: Store) -> None:
    with launched(store, task("T1")) as run:
        run.do("T1", RetryLater(after=60))
        assert store.tasks.state(run.id, "T1").retried == 0
        assert run.status() == FeatureStatus.IN_DEVELOPMENT
        # But it is counted, until a person begins again
        run.make_due("T1")
        run.schedule()
        assert run.start("T1").attempts.later == 1
        run.end("T1", Failed(reason="!"))
        run.ask("T1", TaskEvent.RETRY_REQUESTED, reset_retries=True)
        assert run.start("T1").attempts.later == 0


def test_the_wait_of_a_retry_is_kept(store: Store, client: redis.Redis) -> None:
    with launched(store, task("T1")) as run:
        run.start("T1")
        seconds, micro = client.time()
        run.end("T1", RetryLater(after=90))
        due = store.tasks.state(run.id, "T1").due
        assert due is not None
        later = client.time()[0] + 1
        assert seconds + micro / 1e6 + 89.99 <= due <= later + 90


def test_a_task_that_is_cancelled_alone_stops_its_feature_and_can_be_skipped(store: Store) -> None:
    with launched(store, task("T1"), task("T2", "T1")) as run:
        # When a specialist gives up its task as cancelled, though nobody cancelled the feature
        run.start("T1")
        scheduled = run.end("T1", Cancelled())
        # Then the feature does not wait forever in silence
        assert scheduled.status is FeatureStatus.ON_HOLD
        assert store.features.summary(run.id).is_settled
        check(run)
        # And a person can go on without it
        assert run.skip("T1") == ["T2"]


# --- renew and note -------------------------------------------------------------------------------------


def test_a_renewal_prolongs_the_lease(store: Store, client: redis.Redis) -> None:
    with launched(store) as run:
        run.start("T1")
        run.expire_lease("T1")
        assert store.attempts.renew([(run.id, "T1", 1)], lease=LEASE) == ["renewed"]
        assert read(run).slots["T1"] > client.time()[0] * 1000
        scheduled, _ = run.recover()
        assert scheduled.launched == ()


def test_what_is_not_held_is_not_renewed(store: Store) -> None:
    with launched(store, task("T1"), task("T2"), task("T3")) as run:
        run.complete("T1")
        run.start("T3")
        asked = [
            (run.id, "T1", 1),
            (run.id, "T2", 1),
            (run.id, "T3", 2),
            ("nobody", "T1", 1),
            (run.id, "T3", 1),
        ]
        before = {name: read(run).slots.get(name) for name in ("T1", "T2")}

        assert store.attempts.renew(asked, lease=LEASE) == ["lost", "lost", "lost", "lost", "renewed"]
        assert {name: read(run).slots.get(name) for name in ("T1", "T2")} == before
    assert store.attempts.renew([], lease=LEASE) == []


def test_a_running_attempt_learns_that_it_is_cancelled(store: Store) -> None:
    with launched(store) as run:
        run.start("T1")
        run.cancel()
        assert store.attempts.renew([(run.id, "T1", 1)], lease=LEASE) == ["cancelled"]


def test_a_note_is_kept_and_told(store: Store) -> None:
    with launched(store) as run:
        run.start("T1")
        assert store.attempts.report_progress(run.id, "T1", 1, 42.5, "half the tests written") == "reported"
        state = store.tasks.state(run.id, "T1")
        assert (state.percent, state.note) == (42.5, "half the tests written")
        assert state.noted is not None

        assert store.attempts.report_progress(run.id, "T1", 1, None, "more") == "reported"
        assert store.tasks.state(run.id, "T1").percent is None
        told = [event for event in store.events.read(run.id) if event.event == "progress"]
        assert [(event.percent, event.note) for event in told] == [
            ("42.5", "half the tests written"),
            ("", "more"),
        ]


def test_a_note_of_what_does_not_run_is_stale(store: Store) -> None:
    with launched(store, task("T1"), task("T2"), task("T3"), task("T4", "T1"), cap=3) as run:
        run.complete("T1")
        run.start("T2")
        run.expire_lease("T2")
        run.recover()
        before = read(run), store.events.read(run.id)

        ended, lost, not_started, not_launched = (("T1", 1), ("T2", 1), ("T3", 1), ("T4", 0))
        for name, attempt in (ended, lost, not_started, not_launched, ("T2", 2), ("T99", 1)):
            assert store.attempts.report_progress(run.id, name, attempt, 10, "still here") == "stale", name
        assert (read(run), store.events.read(run.id)) == before


def test_a_delivery_may_ask_twice_where_its_answer_was_lost(store: Store) -> None:
    with launched(store, task("T1")) as run:
        ask = partial(store.attempts.start, run.id, "T1", 1, specialist="builder", worker="w1", lease=60)
        first = ask(delivery="a")
        assert ask(delivery="a") == first
        assert ask(delivery="b").code == "held"
        run.end("T1")
        assert ask(delivery="a").code == "stale"


def test_what_is_kept_of_earlier_attempts_has_the_time_of_all(store: Store) -> None:
    """Waits for the same are kept as one; of others the last twenty, of which the oldest has the time of the rest."""
    run = launched(store, task("T1"))
    for number in range(1, 31):
        assert run.start("T1").code == "started"
        reason = "the limit is reached" if number > 25 else f"wait {number}"
        outcome = RetryLater(after=0.001, reason=reason)
        moved = lifecycle.conclude(FLOW, outcome, Retries(later=None), Attempts(), chance=0)
        earlier = EarlierAttempt(attempt=number, status="retry-later", reason=reason, seconds=2.0)
        store.attempts.finish_and_take(run.id, "T1", number, outcome, moved, worker="w1", earlier=earlier)
        run.make_due("T1")
        run.schedule()
    _, kept = store.attempts.history(run.id, "T1")
    assert len(kept) == EARLIER_KEPT
    assert sum(one.seconds for one in kept) == 60
    assert (kept[-1].attempt, kept[-1].times, kept[-1].seconds) == (30, 5, 10)
    assert waits(kept) == 24  # 5 for the limit, and one for each of the 19 others
