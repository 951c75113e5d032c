"""Each of the six errors, end to end with real workers, checked by the output that a person reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.acceptance import six_errors
from tests.acceptance.six_errors import staged

pytestmark = pytest.mark.real


def test_a_blocked_task_is_reported_and_resumes_exactly_there(tmp_path: Path) -> None:
    with staged(six_errors.blocked, tmp_path) as scene:
        ran, status, unblocked, watched = scene.told
    assert ran[2] == 1
    for part in (
        "Batch 2: 0/1 (blocked)",
        "T2 Call the provider: blocked (external-dependency): the payment provider gave no API key",
        "Suggestion: Contact the owner of the system that it waits for",
        "Waiting behind it: T3",
        'Next: orchestrator unblock shop T2 --note "…"',
    ):
        assert part in ran[1], ran[1]
    assert "T2 Call the provider: blocked. Next: orchestrator unblock shop T2" in status[1]
    assert unblocked[2] == 0
    assert watched[2] == 0, watched[1]
    assert "Shop (shop) is completed: 3 tasks" in watched[1]


def test_a_failed_task_is_tried_again_then_reported_and_mended(tmp_path: Path) -> None:
    with staged(six_errors.failed, tmp_path) as scene:
        ran, explained, retried, watched = scene.told
        states = {state.id: state.attempt for state in scene.project.client().feature("api").states()}
    assert ran[2] == 1
    for part in (
        "retry 1 of 1",
        "T2 Test the API: failed (failing-tests) after 2 attempts: exit code 1",
        "| === 1 failed, 8 passed in 0.12s ===",
        "Suggestion: Mend what the tests found, and retry.",
        "Waiting behind it: T3",
        "Next: orchestrator retry api T2",
    ):
        assert part in ran[1], ran[1]
    assert "T3 Publish is in batch 3, which opens when" in explained[1]
    assert "Holding it open: T2 Test the API: failed" in explained[1]
    assert retried[2] == 0
    assert watched[2] == 0, watched[1]
    assert states == {"T1": 1, "T2": 3, "T3": 1}, "completed work was not run again"


def test_at_capacity_the_rest_is_queued_and_freed_slots_are_filled(tmp_path: Path) -> None:
    with staged(six_errors.at_capacity, tmp_path) as scene:
        _, explained, capped, _ = scene.told
        lines = scene.project.run("orchestrator", "watch", "wide", "--no-live").stdout
        events = [
            event for event in scene.project.client().feature("wide").events() if event.event == "at_capacity"
        ]
        launched = [e for e in scene.project.client().feature("wide").events() if e.event == "task_launched"]
    assert "T7 Shard 7 is ready and waits for a slot: 5 of 5 slots in use, 2 queued." in explained[1]
    assert capped[2] == 0
    assert [(event.in_flight, event.waiting) for event in events] == [(5, 2)]
    assert [event.cause for event in launched] == [""] * 5 + ["queued"] * 2
    assert "7/7 tasks complete" in lines or "7 tasks in" in lines


def test_a_task_without_a_specialist_waits_for_one_and_it_is_remembered(tmp_path: Path) -> None:
    with staged(six_errors.no_specialist, tmp_path) as scene:
        routed, ran, assigned, watched, routed_again = scene.told
    assert "Nobody yet (no tag matches, and the fallback is ask_user" in routed[1]
    assert ran[2] == 1
    assert "No specialist matches T9: they wait for `orchestrator assign ID TASK SPECIALIST`." in ran[1]
    assert (
        'T9 Draw the logo: waits for a specialist. Next: orchestrator assign logo T9 "SPECIALIST"' in ran[1]
    )
    assert assigned[2] == 0, assigned[1]
    assert "Remembered: artwork → Senior Engineer" in assigned[1]
    assert watched[2] == 0, watched[1]
    assert "Senior Engineer (tag artwork): T9" in routed_again[1]


def test_a_circle_is_refused_with_its_ways_out_and_a_feature_cannot_grow_into_one(tmp_path: Path) -> None:
    with staged(six_errors.circular, tmp_path) as scene:
        ran, _, grown, added, watched = scene.told
        features = scene.project.client().features()
    assert ran[2] == 2
    for part in (
        "T2 (Implement API) → T5 (Add caching) → T7 (Update API) → T2",
        'remove "depends_on:',
        "split ",
        "reorder: ",
    ):
        assert part in ran[1], ran[1]
    assert grown[2] == 2
    assert "T2 (Implement API) → T3 (Test it) → T2" in grown[1]
    assert added[2] == 0, added[1]
    assert watched[2] == 0, watched[1]
    assert [(feature.id, feature.completed, feature.total) for feature in features] == [("line", 4, 4)]


def test_an_overdue_batch_is_warned_of_and_nothing_is_killed(tmp_path: Path) -> None:
    with staged(six_errors.overdue, tmp_path) as scene:
        _, status, watched, _ = scene.told
        warnings = [e for e in scene.project.client().feature("late").events() if e.event == "batch_overdue"]
    assert "Next: orchestrator status late" not in status[1], "that is the command that was typed"
    assert re.search(r"Batch 1 running \d+% over estimated time \(.+ vs 100ms\)", status[1]), status[1]
    assert re.search(r"T1 Migrate: running for .+, no progress reported, no output yet", status[1]), status[1]
    assert watched[2] == 0, watched[1]
    first, second = (event.ran or 0 for event in warnings[:2])
    assert second > first
    assert all((event.ran or 0) >= 1.5 * (event.expected or 0) for event in warnings)
