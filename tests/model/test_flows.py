"""Status flows: every pair of a status and an event of every shipped flow, and flows that cannot work."""

from __future__ import annotations

from itertools import product

import pytest

from orchestrator.model import flows
from orchestrator.model.feature import OVER, FeatureStatus
from orchestrator.model.flows import (
    SHIPPED_FEATURE_FLOWS,
    SHIPPED_FLOWS,
    BadFlow,
    FeatureEvent,
    FeatureFlow,
    Flow,
    Rules,
    TaskEvent,
)
from orchestrator.model.task import TaskStatus

# The transitions of every flow, as a reader would draw them: (status, event) → status. No other is allowed.
TROUBLE = ("changes-requested", "blocked", "on-hold", "failed", "deferred")
EVERY_FLOW = {
    ("pending", "work_started"): "in-progress",
    ("changes-requested", "work_started"): "in-progress",
    ("in-progress", "work_failed"): "failed",
    ("in-progress", "tests_failed"): "failed",
    ("in-progress", "retry_scheduled"): "pending",
    ("in-progress", "worker_lost"): "pending",
    ("in-progress", "work_handed_back"): "pending",
    ("in-progress", "task_escalated"): "pending",
    ("failed", "retry_requested"): "pending",
    ("blocked", "blocker_resolved"): "pending",
    ("on-hold", "task_resumed"): "pending",
    ("deferred", "task_resumed"): "pending",
    ("cancelled", "task_skipped"): "cancelled",
}
TESTING = {
    ("testing", "gates_started"): "testing",
    ("testing", "tests_passed"): "completed",
    ("testing", "tests_failed"): "failed",
    ("testing", "work_failed"): "failed",
    ("testing", "retry_scheduled"): "pending",
    ("testing", "worker_lost"): "pending",
    ("testing", "work_handed_back"): "pending",
    ("testing", "task_escalated"): "pending",
}
BACKLOG = {("backlog", "work_started"): "in-progress"}
OWN = {
    "default": {("in-progress", "implementation_complete"): "testing", **TESTING, **BACKLOG},
    "bug_fix": {("in-progress", "implementation_complete"): "testing", **TESTING},
    "documentation": {("in-progress", "implementation_complete"): "completed"},
    "hotfix": {("in-progress", "implementation_complete"): "completed"},
    "with_review": {
        ("in-progress", "implementation_complete"): "in-review",
        ("in-review", "review_approved"): "testing",
        ("in-review", "changes_requested"): "changes-requested",
        **TESTING,
        **BACKLOG,
    },
}


def emergencies(flow: Flow) -> dict[tuple[str, str], str]:
    """From anywhere that is not terminal a person may block, hold, defer or cancel; and skip what does not run."""
    leavable = [*(status for status in flow.statuses if status != "completed"), *TROUBLE]
    arrows = {
        (status, event): target
        for status in leavable
        for event, target in (
            ("blocker_detected", "blocked"),
            ("task_held", "on-hold"),
            ("task_deferred", "deferred"),
            ("task_cancelled", "cancelled"),
        )
        if status != target
    }
    skips = {
        (status, "task_skipped"): "cancelled"
        for status in leavable
        if status not in ("in-progress", "testing")
    }
    return arrows | skips


@pytest.mark.parametrize("name", SHIPPED_FLOWS)
def test_every_pair_of_status_and_event_of_every_shipped_flow(name: str) -> None:
    flow = Flow(name, SHIPPED_FLOWS[name])
    drawn = EVERY_FLOW | OWN[name] | emergencies(flow)
    for status, event in product(TaskStatus, TaskEvent):
        assert flow.target(event, status) == drawn.get((str(status), str(event))), f"{status} {event}"


@pytest.mark.parametrize("name", SHIPPED_FLOWS)
def test_nothing_leaves_a_terminal_status(name: str) -> None:
    flow = Flow(name, SHIPPED_FLOWS[name])
    assert flow.allowed("completed") == []
    assert flow.allowed("cancelled") == [TaskEvent.TASK_SKIPPED]


def test_rules_take_arrows_away() -> None:
    strict = Flow("strict", SHIPPED_FLOWS["with_review"], Rules(allow_backward=False, allow_emergency=False))
    assert strict.target("changes_requested", "in-review") is None
    assert strict.target("retry_scheduled", "testing") is None
    assert strict.target("task_held", "pending") is None
    assert strict.target("blocker_detected", "pending") is None
    # Reports of workers, and the cancelling of running tasks, are no wishes, and stay.
    assert strict.target("blocker_detected", "in-progress") == "blocked"
    assert strict.target("task_cancelled", "in-progress") == "cancelled"


WORKING = ("draft", "planning", "in-development")


@pytest.mark.parametrize("gated", [(), ("testing",), ("validating",), ("testing", "validating")])
@pytest.mark.parametrize("name", SHIPPED_FEATURE_FLOWS)
def test_a_feature_comes_to_the_end_of_its_flow_through_the_stages_that_have_gates(
    name: str, gated: tuple[str, ...]
) -> None:
    statuses = SHIPPED_FEATURE_FLOWS[name]
    table = FeatureFlow(name, statuses).table([stage for stage in gated if stage in statuses])
    passes, status = [], "in-development"
    for event in (
        FeatureEvent.ALL_TASKS_COMPLETE,
        FeatureEvent.FEATURE_TESTS_PASSED,
        FeatureEvent.FEATURE_VALIDATED,
        FeatureEvent.FEATURE_APPROVED,
    ):
        if status in table.get(event, {}):
            status = table[event][status]
            passes.append(status)
    wanted: list[str] = [stage for stage in ("testing", "validating") if stage in gated and stage in statuses]
    wanted += ["pending-review"] if "pending-review" in statuses else []
    assert passes == [*wanted, statuses[-1]]


@pytest.mark.parametrize("name", SHIPPED_FEATURE_FLOWS)
def test_a_feature_that_is_over_takes_nothing(name: str) -> None:
    table = FeatureFlow(name, SHIPPED_FEATURE_FLOWS[name]).table(["testing"])
    assert not [(event, status) for event, arrow in table.items() for status in OVER if status in arrow]


@pytest.mark.parametrize("name", SHIPPED_FEATURE_FLOWS)
def test_every_event_of_every_shipped_feature_flow(name: str) -> None:
    table = FeatureFlow(name, SHIPPED_FEATURE_FLOWS[name]).table()
    drawn = {
        "first_task_started": dict.fromkeys(("draft", "planning"), "in-development"),
        "task_stopped": dict.fromkeys((*WORKING, "on-hold", "testing", "validating"), "blocked"),
        "person_awaited": dict.fromkeys((*WORKING, "blocked"), "on-hold"),
        "all_resolved": dict.fromkeys(("blocked", "on-hold"), "in-development"),
        "feature_paused": dict.fromkeys((*WORKING, "blocked", "on-hold"), "on-hold"),
        "feature_resumed": dict.fromkeys(("on-hold", "blocked"), "in-development"),
    }
    for event, status in product(drawn, FeatureStatus):
        assert table[FeatureEvent(event)].get(status) == drawn[event].get(status), f"{status} {event}"


@pytest.mark.parametrize(
    ("statuses", "why"),
    [
        (("pending", "in-progress", "done"), "'done' is no status"),
        (("pending", "completed"), "in-progress is missing"),
        (("pending", "in-progress", "testing"), "it does not end"),
        (("pending", "in-progress", "completed", "cancelled"), "what follows completed cannot be reached"),
        (("pending", "in-progress", "testing", "testing", "completed"), "testing is listed twice"),
        (("pending", "testing", "in-progress", "completed"), "it must begin pending → in-progress"),
        (("pending", "in-progress", "blocked", "completed"), "blocked belongs to every flow by itself"),
        ((), "pending is missing"),
    ],
)
def test_a_flow_that_cannot_work_is_refused(statuses: tuple[str, ...], why: str) -> None:
    with pytest.raises(BadFlow, match=why):
        Flow("broken", statuses)


def test_a_feature_flow_that_cannot_work_is_refused() -> None:
    with pytest.raises(BadFlow, match="it does not end"):
        FeatureFlow("broken", ("planning", "in-development"))
    with pytest.raises(BadFlow, match="on-hold belongs to every flow"):
        FeatureFlow("broken", ("planning", "in-development", "on-hold", "completed"))


def test_every_status_of_a_flow_has_a_way_on() -> None:
    for name, statuses in SHIPPED_FLOWS.items():
        flow = Flow(name, statuses)
        for status in statuses[:-1]:
            assert flow.target(flows.FORWARD[TaskStatus(status)], status), f"{name}: {status}"
