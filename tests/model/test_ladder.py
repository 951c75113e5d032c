"""The laws of the ladder: no tier is left behind, attempts are bounded, and a person is asked at the end."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from orchestrator.config.settings import Settings
from orchestrator.model import lifecycle
from orchestrator.model.flows import TaskEvent
from orchestrator.model.ladder import CLIMBED_CAUSES, CLIMBED_KINDS, Ladder, ask_a_person, climb
from orchestrator.model.lifecycle import Attempts, Transition, conclude
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

FLOW = Settings().flow_for(())
ENDS = {TaskStatus.COMPLETED, TaskStatus.BLOCKED, TaskStatus.FAILED, TaskStatus.CANCELLED}

LADDERS = some.builds(
    Ladder, some.lists(some.sampled_from("abcd"), min_size=1, max_size=4).map(tuple), some.integers(1, 3)
)
BLOCKED = some.builds(Blocked, kind=some.sampled_from(BlockKind), reason=some.just("no"))
FAILED = some.builds(
    Failed,
    cause=some.sampled_from(FailureCause),
    reason=some.just("no"),
    retry=some.sampled_from([None, True, False]),
)
LATER = some.builds(RetryLater, reason=some.just("not now"), after=some.just(1.0))
OUTCOMES: some.SearchStrategy[Outcome] = some.one_of(
    BLOCKED, FAILED, LATER, some.just(Completed()), some.just(Cancelled())
)


def end(outcome: Outcome, ladder: Ladder, retries: Retries, known: Attempts, status: str) -> Transition:
    """What the engine commits: see AttemptRecorder.finish."""
    outcome = lifecycle.bounded(outcome, retries, known)
    if isinstance(outcome, Blocked | Failed) and climb(outcome, ladder, known.rung, known.tries) == "top":
        outcome = ask_a_person(outcome, ladder.tier(known.rung), [])
    return conclude(FLOW, outcome, retries, known, status=status, ladder=ladder)


def count(known: Attempts, transition: Transition) -> Attempts:
    """The attempts after a transition: see finish.lua."""
    if transition.counts == "rung":
        return replace(known, rung=known.rung + 1, tries=0)
    return (
        replace(known, **{transition.counts: getattr(known, transition.counts) + 1})
        if transition.counts
        else known
    )


@given(
    LADDERS,
    some.builds(Retries, max=some.integers(0, 3), later=some.integers(0, 3)),
    some.lists(
        some.tuples(OUTCOMES, some.sampled_from(["in-progress", "testing"])), min_size=40, max_size=60
    ),
)
def test_attempts_are_bounded_and_every_path_ends_with_a_person_or_completed(
    ladder: Ladder, retries: Retries, ends: list[tuple[Outcome, str]]
) -> None:
    known, number = Attempts(), 0
    for outcome, status in ends:
        if isinstance(outcome, RetryLater | Cancelled):
            status = "in-progress"  # gates say neither
        number += 1
        transition = end(outcome, ladder, retries, known, status)
        after = count(known, transition)
        assert after.rung in (known.rung, known.rung + 1)
        assert after.rung < len(ladder.tiers)
        assert after.tries < ladder.tries
        assert after.rung == known.rung or after.tries == 0
        known = after
        if transition.wait is None:
            assert transition.target(status) in ENDS | {TaskStatus.TESTING, TaskStatus.IN_REVIEW}
            break
    else:
        pytest.fail("it has no end")
    assert number <= len(ladder.tiers) * ladder.tries + retries.max + (retries.later or 0) + 1


@given(LADDERS, some.one_of(BLOCKED, FAILED))
def test_what_no_tier_can_help_changes_no_tier(ladder: Ladder, outcome: Blocked | Failed) -> None:
    helps = outcome.kind in CLIMBED_KINDS if isinstance(outcome, Blocked) else outcome.cause in CLIMBED_CAUSES
    transition = end(outcome, ladder, Retries(max=2), Attempts(), "in-progress")
    if not helps:
        assert transition.counts in ("", "retried")
        assert transition.event is not TaskEvent.TASK_ESCALATED


@pytest.mark.parametrize("kind", ["budget", "permission", "missing-information", "external-dependency"])
def test_an_obstacle_that_every_tier_meets_is_a_persons_at_once(kind: str) -> None:
    transition = end(
        Blocked(kind=kind, reason="x"), Ladder(("a", "b")), Retries(max=2), Attempts(), "in-progress"
    )
    assert (transition.event, transition.wait) == (TaskEvent.BLOCKER_DETECTED, None)


def test_a_models_limit_is_waited_for_at_the_same_tier_and_counts_nothing() -> None:
    wait = RetryLater(after=60, limit="haiku", reason="used up")
    transition = end(wait, Ladder(("a", "b")), Retries(later=0), Attempts(later=9), "in-progress")
    assert (transition.event, transition.wait, transition.counts) == (TaskEvent.RETRY_SCHEDULED, 60, "")


def test_each_tier_has_its_tries_and_a_dependency_is_tried_again_beside_them() -> None:
    ladder, retries, known, path = Ladder(("a", "b"), tries=2), Retries(max=1, jitter=False), Attempts(), []
    broken = Failed(cause=FailureCause.DEPENDENCY, reason="no network")
    fails = Failed(cause=FailureCause.TESTS, reason="2 tests fail")
    for outcome in (fails, broken, fails, fails, fails):
        transition = end(outcome, ladder, retries, known, "in-progress")
        known = count(known, transition)
        path.append((ladder.tier(known.rung), known.tries, str(transition.event)))
    assert path == [
        ("a", 1, "retry_scheduled"),
        ("a", 1, "retry_scheduled"),
        ("b", 0, "task_escalated"),
        ("b", 1, "retry_scheduled"),
        ("b", 1, "blocker_detected"),
    ]
