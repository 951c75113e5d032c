"""Which events a notification selects, and the text of each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import orchestrator
from orchestrator.config.settings import Settings
from orchestrator.model.event import Event
from orchestrator.model.event_names import EVENT_NAMES, EVENTS, groups
from orchestrator.model.flows import FeatureEvent, TaskEvent
from orchestrator.notify import rules
from orchestrator.state import script_sources

DOCS = Path(orchestrator.__file__).parent.parent / "docs"


def event(name: str, task: str = "", **fields: Any) -> Event:
    return Event(id="1700000000123-4", time=1_700_000_000.123, event=name, task=task, **fields)


# Which events


@pytest.mark.parametrize(
    ("happened", "expected"),
    [
        (event("task_stopped", target="blocked"), ["needs-person"]),
        (event("person_awaited", target="on-hold"), ["needs-person"]),
        (event("specialist_awaited", "T1"), ["needs-person"]),
        (event("batch_overdue", batch=1), ["needs-person"]),
        (event("implementation_complete", "T1", target="in-review"), ["needs-person"]),
        (event("all_tasks_complete", target="pending-review"), ["needs-person"]),
        (event("work_failed", "T1", target="failed"), ["failures"]),
        (event("tests_failed", "T1", target="failed"), ["failures"]),
        (event("worker_lost", "T1", target="pending"), ["failures"]),
        (event("blocker_detected", "T1", target="blocked"), ["failures"]),
        (event("feature_failed", target="failed"), ["failures", "milestones"]),
        (event("batch_opened", batch=2), ["milestones"]),
        (event("all_tasks_complete", target="completed"), ["milestones"]),
        (event("feature_cancelled", target="cancelled"), ["milestones"]),
        (event("tests_passed", "T1", target="completed"), []),
        (event("task_cancelled", "T1", target="cancelled"), []),
        (event("work_started", "T1", target="in-progress"), []),
    ],
    ids=lambda value: value.event if isinstance(value, Event) else "-".join(value),
)
def test_an_event_belongs_to_groups_by_its_name_and_by_where_it_leads(
    happened: Event, expected: list[str]
) -> None:
    assert list(groups(happened)) == expected


@pytest.mark.parametrize(
    ("names", "is_told"),
    [
        (["*"], True),
        (["work_failed"], True),
        (["failures"], True),
        (["progress", "failures"], True),
        (["needs-person", "work_started"], False),
    ],
)
def test_an_event_is_told_by_its_name_a_group_or_a_star(names: list[str], is_told: bool) -> None:
    assert rules.matches(names, event("work_failed", "T1", target="failed")) is is_told


def test_every_event_that_the_scripts_write_is_known() -> None:
    written = re.findall(r"\brecord\('([a-z_]+)'", "\n".join(script_sources.sources().values()))

    assert "batch_opened" in written
    assert set(written) <= set(EVENTS)


def test_no_name_means_both_an_event_and_a_group() -> None:
    assert len(set(EVENT_NAMES)) == len(EVENT_NAMES)


# Rules in the settings


@pytest.mark.parametrize("name", [*TaskEvent, *FeatureEvent, "*", "needs-person", "failures", "milestones"])
def test_known_names_are_taken(name: str) -> None:
    assert Settings(notifications=[{"events": [name], "log": True}]).notifications[0].events == (name,)


def test_an_unknown_name_is_refused_with_its_place_and_what_is_near() -> None:
    known = {"events": ["*"], "log": True}

    with pytest.raises(ValidationError) as caught:
        Settings(notifications=[known, {"events": ["work_faild"], "log": True}])

    (mistake,) = caught.value.errors()
    assert mistake["loc"] == ("notifications", "1", "events")
    assert mistake["msg"] == "no event is called work_faild; did you mean work_failed?"


# Messages


def test_the_message_has_all_that_a_receiver_needs() -> None:
    failed = event("work_failed", "T3", source="in-progress", target="failed", attempt=2, cause="timeout")

    assert rules.message("login-1", "Login", failed, "Write tests") == {
        "feature": "login-1",
        "title": "Login",
        "event": "work_failed",
        "task": "T3",
        "task_title": "Write tests",
        "batch": None,
        "from": "in-progress",
        "to": "failed",
        "attempt": 2,
        "cause": "timeout",
        "note": "",
        "time": "2023-11-14T22:13:20.123+00:00",
        "id": "1700000000123-4",
        "groups": ["failures"],
        "text": "Login: T3 Write tests: failed (timeout)",
        "next": "orchestrator retry login-1 T3",
    }


@pytest.mark.parametrize(
    ("happened", "text"),
    [
        (event("batch_opened", batch=2, total=1), "Login: Batch 2 started: 1 task"),
        (
            event("at_capacity", batch=1, in_flight=5, waiting=2),
            "Login: 5 tasks in progress (max). Queueing 2 additional tasks. "
            "Sub-batch 1b queued (2 tasks waiting for slots)",
        ),
        (
            event("batch_overdue", batch=2, ran=2_700_000, expected=1_800_000),
            "Login: Batch 2 running 50% over estimated time (45m vs 30m)",
        ),
        (
            event("specialist_awaited", "T9"),
            "Login: T9: no specialist matches its tags; it waits for one",
        ),
        (
            event("specialist_assigned", "T9", cause="senior-engineer"),
            "Login: T9: assigned to senior-engineer",
        ),
        (event("progress", "T9", percent="40.0", note="compiling"), "Login: T9: 40%, compiling"),
        (event("progress", "T9", note="compiling"), "Login: T9: compiling"),
        (
            event("feature_paused", source="planning", target="on-hold", note="wait\nfor me"),
            "Login: Feature paused: wait for me",
        ),
    ],
)
def test_the_text_is_one_line_for_people(happened: Event, text: str) -> None:
    assert rules.message("login-1", "Login", happened)["text"] == text


def test_a_feature_without_a_title_is_called_by_its_id() -> None:
    assert rules.message("login-1", "", event("feature_resumed"))["text"] == "login-1: Feature resumed"


@pytest.mark.parametrize(
    ("happened", "command"),
    [
        (event("work_failed", "T3", target="failed"), "orchestrator retry login-1 T3"),
        (event("blocker_detected", "T3", target="blocked"), "orchestrator unblock login-1 T3"),
        (event("implementation_complete", "T3", target="in-review"), "orchestrator approve login-1 T3"),
        (event("specialist_awaited", "T3"), "orchestrator assign login-1 T3 SPECIALIST"),
        (event("person_awaited", target="on-hold", cause="launch"), "orchestrator launch login-1"),
        (event("person_awaited", target="on-hold", cause="review"), "orchestrator status login-1"),
        (event("task_stopped", target="blocked"), "orchestrator status login-1"),
        (event("batch_overdue", batch=1), "orchestrator status login-1"),
        (event("all_tasks_complete", target="pending-review"), "orchestrator approve login-1"),
        (event("all_tasks_complete", target="completed"), ""),
        (event("feature_failed", target="failed"), ""),
        (event("work_started", "T3", target="in-progress"), ""),
    ],
)
def test_the_next_command_is_there_where_a_person_is_needed(happened: Event, command: str) -> None:
    assert rules.next_command("login-1", happened) == command


# The documentation


def test_the_documented_verification_accepts_what_is_signed_and_nothing_else() -> None:
    code = re.search(r"```python\n(.*?)```", (DOCS / "how-to" / "notify.md").read_text("utf-8"), re.DOTALL)
    assert code
    documented: dict[str, Any] = {}
    exec(code[1], documented)
    verify, body = documented["is_genuine"], b'{"event": "work_failed"}'
    signed = rules.signature("key", "1700000000", body)
    now = {"now": 1_700_000_060}

    assert verify("key", "1700000000", signed, body, **now)
    assert not verify("key", "1700000000", signed, body + b" ", **now)
    assert not verify("other", "1700000000", signed, body, **now)
    assert not verify("key", "1700000001", signed, body, **now), "the timestamp is signed too"
    assert not verify("key", "1700000000", signed, body, now=1_700_000_600), "an old one is no news"


def test_the_documentation_names_every_event() -> None:
    pages = (DOCS / "how-to" / "notify.md", DOCS / "reference" / "events.md")
    text = "".join(page.read_text("utf-8") for page in pages)

    assert [name for name in EVENT_NAMES if f"`{name}`" not in text] == []
