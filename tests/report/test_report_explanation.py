"""Text for people about why a task stands where it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from orchestrator.model.outcome import Outcome
from orchestrator.model.plan import Route
from orchestrator.model.progress import Progress, TaskState
from orchestrator.model.task import Retries
from orchestrator.planning.limits import Holder, Limit
from orchestrator.planning.sketch import Sketch
from orchestrator.report import explanation, status_text
from orchestrator.state.workers import Worker
from tests.model.factories import NOW, TESTS_FAIL, failed, progress, running, state, task

W1 = Worker(id="w1@host/1", name="w1@host", processes=5, queues=("hard-work",))


def route(**fields: Any) -> Route:
    return Route.model_validate(
        {
            "specialist": "senior-engineer",
            "title": "Senior Engineer",
            "queue": "hard-work",
            "model_tier": "advanced",
            "tag": "bug",
            "rule": "tag",
            "reason": "tag bug → Senior Engineer",
            **fields,
        }
    )


def explain(
    found: TaskState,
    *others: TaskState,
    of: Progress | None = None,
    depends_on: Sequence[str] = (),
    outcome: Outcome | None = None,
    listeners: Mapping[str, Sequence[Worker]] | None = None,
    limit: Limit | None = None,
    before: Sketch | None = None,
    claimed: bool = False,
    **fields: Any,
) -> explanation.Explanation:
    return explanation.explain(
        task(found.id, *depends_on, **fields),
        found,
        of or progress(),
        others={other.id: other for other in others},
        now=NOW,
        outcome=outcome,
        route=route(),
        listeners=listeners,
        limit=limit,
        before=before,
        claimed=claimed,
    )


def test_a_task_behind_a_batch_names_who_holds_that_batch_and_what_to_do() -> None:
    # Given T5 in batch 2, and a failed and a running task in batch 1
    stopped, busy = failed("T3"), running("T2")
    waiting = state("T5", phase="waiting", batch=2)
    # When
    found = explain(waiting, busy, stopped, state("T1", status="completed"), waiting, depends_on=["T1", "T2"])
    # Then
    assert found.answer == "T5 is in batch 2, which opens when batch 1 is complete."
    assert found.details[0] == "Batch 1: 2/5 tasks complete (40%)"
    assert [line for line in found.details if line.startswith("Holding")] == [
        "Holding it open: T3: failed",
        "Holding it open: T2: running",
    ]
    assert [line for line in found.details if line.startswith("Depends")] == [
        "Depends on T2: running",
        "Depends on T1: completed",
    ]
    assert found.next == (
        "orchestrator retry login-1 T3",
        "orchestrator logs login-1 T3",
        'orchestrator skip login-1 T3 --because "…"',
    )


def test_a_queued_task_names_who_has_the_slots() -> None:
    found = explain(state("T5", phase="queued"), running("T1"), state("T2", phase="launched"))
    assert found.answer == "T5 is ready and waits for a slot: 2 of 2 slots in use, 1 queued."
    assert found.details[:2] == (
        "Has a slot: T1: running",
        "Has a slot: T2: launched (waiting to be taken)",
    )


def test_a_task_in_a_queue_that_no_worker_takes_from_says_so() -> None:
    found = explain(state("T5", phase="launched", attempt=1), listeners={"other": [W1]})
    assert "no worker takes from that queue" in found.answer
    assert "celery -A orchestrator worker -Q hard-work" in found.next


@pytest.mark.parametrize("listeners", [None, {"hard-work": [W1]}])
def test_a_launched_task_waits_for_a_worker(listeners: Mapping[str, Sequence[Worker]] | None) -> None:
    found = explain(state("T5", phase="launched", attempt=1), listeners=listeners)
    assert (
        found.answer
        == "T5 has its slot, was sent to the queue hard-work, and waits for a worker (attempt 1)."
    )
    assert found.next == ()


def test_a_launched_task_waits_for_a_process_where_the_cap_is_wider_than_the_workers() -> None:
    wide = progress(cap=10, in_flight=10, launched=5)
    found = explain(state("T5", phase="launched", attempt=1), of=wide, listeners={"hard-work": [W1]})
    assert (
        "5 of 10 launched tasks wait for a process: the workers run 5 at once, and the cap is 10"
        in found.details
    )


def test_a_launched_task_waits_behind_other_work_where_the_workers_are_wide_enough() -> None:
    narrow = progress(cap=2, in_flight=2, launched=1)
    found = explain(state("T5", phase="launched", attempt=1), of=narrow, listeners={"hard-work": [W1]})
    assert "Workers on hard-work: w1@host; they are busy with other work" in found.details


def test_a_delayed_retry_says_when_it_is_due_and_what_went_wrong() -> None:
    found = explain(
        state("T5", phase="delayed", due=NOW + 4, retried=1), outcome=TESTS_FAIL, retries=Retries(max=2)
    )
    assert found.answer == "T5 waits for its next attempt, which is due in 4s."
    assert found.details[:2] == ("The last attempt: failing-tests: exit code 1: 2 failed", "Retry 1 of 2")


def test_a_running_task_says_since_when_where_and_how_far() -> None:
    found = explain(running("T5", percent=40, note="compiling", noted=NOW - 3))
    assert found.answer == "T5 has been running for 12s."
    assert found.details[:2] == ("Worker w1@host, attempt 1", "It says: 40%, compiling (3s ago)")


def test_a_failed_task_gives_reason_and_remedy() -> None:
    found = explain(failed("T3"), outcome=TESTS_FAIL)
    assert found.answer == "T3 is failed (failing-tests): exit code 1: 2 failed"
    assert "| 2 failed" in found.details
    assert found.next[0] == "orchestrator retry login-1 T3"


def test_a_batch_that_waits_for_launch_gives_the_command() -> None:
    found = explain(
        state("T5", phase="waiting", batch=2),
        of=progress(status="on-hold", batch_resolved=5, in_flight=0, queued=0),
    )
    assert found.next == ("orchestrator launch login-1",)


@pytest.mark.parametrize(
    ("found", "answer"),
    [
        (state("T1", status="cancelled"), "T1 is cancelled. What depends on it waits until it is skipped."),
        (state("T1", status="cancelled", resolved=True), "T1 was skipped; it counts as resolved."),
        (state("T1", status="in-review"), "T1 is done and waits for a person's review."),
        (state("T1", status="on-hold"), "T1 is on-hold until somebody resumes it."),
        (state("T1", phase="unassigned"), "T1 waits for a specialist: none matches its tags."),
        (
            state("T1", status="completed", attempt=1, started=NOW - 9, finished=NOW - 4, worker="w"),
            "T1 is completed in 5s.",
        ),
        (
            state("T9", phase="waiting", batch=3),
            "T9 is in batch 3, which opens when batches 1 to 2 are complete.",
        ),
    ],
)
def test_every_other_standing_has_an_answer(found: TaskState, answer: str) -> None:
    assert explain(found).answer == answer


def test_the_route_is_explained() -> None:
    assert explain(state("T5")).details[-1] == (
        "Route: Senior Engineer (tag bug → Senior Engineer), queue hard-work, model tier advanced"
    )


def test_in_dataflow_a_task_waits_for_its_dependencies_and_not_for_a_batch() -> None:
    # Given a task of the third batch, one of whose two dependencies has failed
    flowing = progress(strategy="dataflow")
    waiting = state("T5", phase="waiting", batch=3, waits=1)

    # When
    found = explain(
        waiting, state("T1", status="completed"), failed("T3"), of=flowing, depends_on=["T1", "T3"]
    )

    # Then
    assert found.answer == "T5 starts when the 2 tasks it depends on are resolved: 1 to go."
    assert found.details[:2] == ("Depends on T3: failed", "Depends on T1: completed")
    assert "orchestrator retry login-1 T3" in found.next
    assert status_text.why(waiting, flowing, NOW) == "waiting for 1 task it depends on"


def test_a_task_that_waits_for_a_limit_names_it_and_who_holds_it() -> None:
    # Given a task that needs two of three GPUs, of which another feature's task holds two
    waiting = state("T5", phase="limited", limit="resource:gpu")
    holders = (Holder(feature="other", task="T1", units=2),)
    gpu = Limit(name="resource:gpu", amount="3", in_use=2, waiting=4, features=2, holders=holders)

    # When
    found = explain(waiting, limit=gpu, resources={"gpu": 2})

    # Then
    assert found.answer == "T5 waits for resource gpu: 2 of 3 in use, and it needs 2."
    assert found.details[:2] == ("Held by T1 of other", "Waiting for it: 4 tasks of 2 features")
    assert status_text.why(waiting, progress(), NOW) == "waiting for resource gpu"
    assert status_text.word(waiting) == "queued"


@pytest.mark.parametrize(
    ("limit", "answer", "command"),
    [
        (
            Limit(name="resource:gpu", amount="1"),
            "T5 waits for resource gpu: there is less of it than it needs (0 of 1 in use), and it needs 2.",
            "orchestrator limits set resource:gpu N",
        ),
        (
            Limit(name="rate:writer", amount="30/m", next_token=1.5),
            "T5 waits for the rate of writer: 30/m, the next is due in 1.5s.",
            None,
        ),
        (
            Limit(name="total", amount="5", in_use=5),
            "T5 waits for max_parallel_total: 5 of 5 in use.",
            None,
        ),
    ],
)
def test_each_limit_has_an_answer(limit: Limit, answer: str, command: str | None) -> None:
    found = explain(state("T5", phase="limited", limit=limit.name), limit=limit, resources={"gpu": 2})
    assert found.answer == answer
    assert found.next == ((command,) if command else ())


def test_a_paused_feature_says_so_before_its_limit() -> None:
    paused = progress(is_paused=True, limited={"total": 1})
    found = explain(
        state("T5", phase="limited", limit="total"), of=paused, limit=Limit(name="total", amount="5")
    )
    assert found.answer == "T5 waits for max_parallel_total, and its feature is paused."
    assert found.next == ("orchestrator resume login-1",)
    assert "1 waiting for a limit" in status_text.progress_line(paused)


def test_a_queued_task_of_a_paused_feature_waits_for_no_slot() -> None:
    found = explain(state("T5", phase="queued"), of=progress(is_paused=True, in_flight=2))
    assert found.answer == "T5 is ready, and its feature is paused."
    assert found.next == ("orchestrator resume login-1",)


def test_of_many_that_hold_a_batch_open_those_not_looked_at_are_counted() -> None:
    wide = progress(batch_total=60_000, batch_resolved=10)
    others = [state(f"T{at}", phase="queued") for at in range(50)]
    found = explain(state("U1", phase="waiting", batch=2), *others, of=wide)
    assert found.details[-1 - 1] == "and 59,978 more tasks"


def test_a_task_that_runs_says_how_long_it_took_before() -> None:
    found = explain(running("T5"), before=Sketch(12, 41.0, 63.0))
    assert (
        "In earlier features of this title it took 41s as a rule (12 times; 9 of 10 times at most 1m 3s)"
        in (found.details)
    )


def test_a_task_that_waits_for_an_agent_says_how_one_gets_it() -> None:
    found = explain(state("T1", phase="launched", attempt=1), listeners={}, claimed=True)
    assert found.answer == (
        "T1 has its slot, and waits for an agent that claims it (orchestrator mcp --tools worker)."
    )
    assert found.next == (
        "orchestrator mcp --tools worker",
        "orchestrator claim --specialist senior-engineer",
    )


def test_of_an_agent_the_tier_and_its_ladder_are_told() -> None:
    found = running("T3").model_copy(update={"rung": 1, "tier": "opus", "worker": "w1@host", "percent": None})
    by_an_agent = route(model_tier="opus", runtime="claude", ladder="haiku, then opus, then a person")
    told = explanation.explain(task("T3"), found, progress(), others={}, now=NOW, route=by_an_agent)
    assert "Worker w1@host, attempt 1, tier opus" in told.details
    assert told.details[-1].endswith(", model tier opus, by claude: haiku, then opus, then a person")
    assert status_text.why(found, progress(), NOW).startswith("opus")
