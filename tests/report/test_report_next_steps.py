"""Text for people about tasks that stopped or need them."""

from __future__ import annotations

from orchestrator.contract import needs
from orchestrator.model.outcome import BlockKind, FailureCause
from orchestrator.model.progress import TaskState
from orchestrator.planning import graph
from orchestrator.report import next_steps
from tests.model.factories import TESTS_FAIL, authentication, failed, progress, running, state


def test_a_stopped_task_is_reported_with_cause_output_consequence_and_command() -> None:
    # Given
    followers = graph.dependents({task.id: task.depends_on for task in authentication().tasks})
    need = needs.of_state("login-1", failed("T1"), TESTS_FAIL, graph.behind("T1", followers))
    # When
    lines = next_steps.stopped_lines(need)
    # Then
    assert lines == [
        "T1: failed (failing-tests) after 2 attempts: exit code 1: 2 failed",
        "  | collected 9",
        "  | 2 failed",
        "  Suggestion: Mend what the tests found, and retry.",
        "  Waiting behind it: T2, T4, T5",
        "  Next: orchestrator retry login-1 T1",
        "        orchestrator logs login-1 T1",
        '        orchestrator skip login-1 T1 --because "…"',
    ]


def test_a_blocked_task_is_unblocked_not_retried() -> None:
    blocked = state("T2", status="blocked", attempt=1)
    assert next_steps.commands("login-1", blocked)[0] == 'orchestrator unblock login-1 T2 --note "…"'


def test_all_that_needs_a_person_is_named_with_its_command() -> None:
    states = [
        failed("T1"),
        state("T2", status="blocked"),
        state("T3", status="in-review"),
        state("T4", phase="unassigned"),
        state("T5", status="on-hold"),
        running("T6"),
    ]
    found = needs.of_feature(progress(status="blocked", overdue=1, batch_ran=45, batch_due=30), states)
    assert [(next_steps.need_text(need), need.actions[0].command) for need in found] == [
        ("T1: failed", "orchestrator retry login-1 T1"),
        ("T2: blocked", 'orchestrator unblock login-1 T2 --note "…"'),
        ("T3: waits for a review", "orchestrator approve login-1 T3"),
        ("T4: waits for a specialist", 'orchestrator assign login-1 T4 "SPECIALIST"'),
        ("T5: on-hold", "orchestrator resume login-1 T5"),
        ("batch 1 is overdue", "orchestrator logs login-1 T6"),
    ]
    assert needs.of_feature(progress(status="completed"), states) == []


def test_a_batch_that_is_back_on_time_is_not_called_overdue() -> None:
    assert needs.of_feature(progress(overdue=1, batch_ran=20, batch_due=30)) == []


def test_a_feature_that_waits_names_its_own_command() -> None:
    assert needs.of_feature(progress(is_paused=True))[0].actions[0].command == "orchestrator resume login-1"
    assert (
        needs.of_feature(progress(status="pending-review"))[0].actions[0].command
        == "orchestrator approve login-1"
    )
    waiting = progress(status="on-hold", batch_resolved=5, in_flight=0, queued=0)
    assert needs.of_feature(waiting)[0].actions[0].command == "orchestrator launch login-1"


def _batches() -> list[TaskState]:
    return [
        state("T1", batch=1, status="failed"),
        state("T2", batch=1, status="completed", resolved=True),
        state("T3", batch=2, depends_on=("T1",)),
        state("T4", batch=2, depends_on=("T2",)),
        state("T5", batch=3, depends_on=("T4",)),
    ]


def test_what_a_stopped_batch_holds_up_is_said_and_what_of_it_dataflow_would_do() -> None:
    found = next_steps.standstill(progress(status="blocked", batch=1), _batches())

    assert found is not None
    assert (found.tasks, found.last, found.independent, found.names) == (3, 3, 2, ("T4", "T5"))
    assert next_steps.standstill_line(found) == (
        "Batch 1 holds up 3 tasks of batches 2 to 3. 2 of them depend on nothing that stopped: T4, T5. "
        "In dataflow these go on."
    )


def test_nothing_stands_still_in_dataflow_nor_where_nothing_stopped() -> None:
    going = [one for one in _batches() if one.id != "T1"]

    assert next_steps.standstill(progress(strategy="dataflow", batch=1), _batches()) is None
    assert next_steps.standstill(progress(batch=1), [one for one in going if one.id != "T3"]) is None


def test_every_cause_and_every_obstacle_has_its_advice() -> None:
    assert {*FailureCause, *BlockKind} == set(next_steps.SUGGESTIONS)
