"""The attempts behind events: their number, waits, run times and ends."""

from __future__ import annotations

import pytest

from orchestrator.metrics.catalogue import BUCKETS
from orchestrator.metrics.tally import Attempt, Begun, Tally, field
from orchestrator.model.event import Event


def event(name: str, time: float, **fields: object) -> Event:
    given = {"id": "1-0", "time": time, "event": name, "task": "T1", "attempt": 1, **fields}
    return Event.model_validate(given)


def nothing(attempt: Attempt) -> Begun:
    return Begun(None, "writer")


def begun_at(time: float) -> Tally:
    """A tally in which an attempt of the writer was launched at 1 and began then."""
    tally = Tally(str, nothing)
    tally.add(event("task_launched", 1.0))
    tally.add(event("work_started", time, target="in-progress", specialist="writer"))
    return tally


def test_an_attempt_waits_from_its_launch_to_its_begin() -> None:
    # Given an attempt that is launched at 1.0, when it begins at 1.25
    counts = begun_at(1.25).take()
    # Then its wait of 250 ms stands in the bucket up to half a second
    assert counts == {
        field("attempts_started", "writer"): 1,
        field("attempt_wait_seconds", "writer", str(BUCKETS.index(0.5))): 1,
        field("attempt_wait_seconds", "writer", "ms"): 250,
    }


@pytest.mark.parametrize(
    ("ends", "outcome"),
    [
        ({"name": "tests_passed", "source": "testing", "target": "completed"}, "completed"),
        ({"name": "implementation_complete", "source": "in-progress", "target": "in-review"}, "completed"),
        ({"name": "work_failed", "source": "in-progress", "target": "failed"}, "failed"),
        ({"name": "tests_failed", "source": "testing", "target": "failed"}, "failed"),
        ({"name": "blocker_detected", "source": "in-progress", "target": "blocked"}, "blocked"),
        ({"name": "retry_scheduled", "source": "in-progress", "target": "pending"}, "retried"),
        ({"name": "worker_lost", "source": "in-progress", "target": "pending"}, "lost"),
        ({"name": "worker_lost", "source": "testing", "target": "testing"}, "lost"),
        (
            {"name": "work_failed", "source": "in-progress", "target": "failed", "cause": "worker-lost"},
            "lost",
        ),
        ({"name": "work_handed_back", "source": "in-progress", "target": "pending"}, "handed-back"),
        ({"name": "task_cancelled", "source": "in-progress", "target": "cancelled"}, "stopped"),
    ],
)
def test_an_attempt_ends_once_with_its_outcome(ends: dict[str, str], outcome: str) -> None:
    # Given an attempt that began at 2.0
    tally = begun_at(2.0)
    tally.take()
    # When it ends at 5.0, and its end is told again as that of an attempt taken from its worker
    ends = dict(ends)
    tally.add(event(ends.pop("name"), 5.0, **ends))
    tally.add(event("attempt_ended", 6.0))
    # Then it is counted once, with the three seconds that it ran
    counts = tally.take()
    assert counts[field("attempts_ended", "writer", outcome)] == 1
    assert counts[field("attempt_run_seconds", "writer", "ms")] == 3_000
    assert sum(count for name, count in counts.items() if name.startswith("attempts_ended")) == 1


def test_work_that_goes_on_to_its_gates_has_not_ended() -> None:
    tally = begun_at(2.0)
    tally.take()
    tally.add(event("implementation_complete", 3.0, source="in-progress", target="testing"))
    assert tally.take() == {}


def test_a_decision_about_a_task_that_does_not_run_ends_no_attempt() -> None:
    tally = Tally(str, nothing)
    tally.add(event("task_skipped", 3.0, source="failed", target="cancelled"))
    tally.add(event("blocker_detected", 3.0, source="pending", target="blocked"))
    assert tally.take() == {}


def test_an_attempt_that_began_before_this_tally_is_looked_up() -> None:
    # Given a worker that became the leader while an attempt ran
    asked: list[Attempt] = []

    def look_up(attempt: Attempt) -> Begun:
        asked.append(attempt)
        return Begun(2.0, "writer")

    tally = Tally(str.upper, look_up)
    # When the attempt ends
    tally.add(event("work_failed", 5.0, source="in-progress", target="failed"))
    # Then the state says when it began
    assert asked == [("T1", 1)]
    assert tally.take()[field("attempt_run_seconds", "WRITER", "ms")] == 3_000


def test_a_lost_attempt_is_counted_also_where_nobody_knows_any_more_when_it_began() -> None:
    # Given a leader that was killed with the attempts that it ran, which are launched again by now
    tally = Tally(str, nothing)
    tally.add(event("worker_lost", 5.0, source="in-progress", target="pending"))
    counts = tally.take()
    # Then the loss is counted, without a time
    assert counts[field("attempts_ended", "writer", "lost")] == 1
    assert not any(name.startswith("attempt_run_seconds") for name in counts)


def test_losses_and_hand_backs_are_recoveries() -> None:
    tally = begun_at(2.0)
    tally.take()
    for name in ("worker_lost", "message_lost", "work_handed_back"):
        tally.add(event(name, 3.0, source="in-progress", target="pending"))
    counts = tally.take()
    assert {name: counts[field("recoveries", name)] for name in ("attempt", "message", "hand-back")} == {
        "attempt": 1,
        "message": 1,
        "hand-back": 1,
    }


def test_features_are_counted_as_they_come_and_end() -> None:
    tally = Tally(str, nothing)
    tally.add(event("feature_enqueued", 1.0, task=""))
    tally.add(event("all_tasks_complete", 1.0, task="", source="in-development", target="testing"))
    tally.add(event("feature_validated", 2.0, task="", source="validating", target="completed"))
    assert tally.take() == {field("features_enqueued"): 1, field("features_ended", "completed"): 1}


def test_a_clock_that_goes_back_makes_no_negative_time() -> None:
    assert begun_at(0.5).take()[field("attempt_wait_seconds", "writer", "ms")] == 0
