"""An event as a line of a log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from orchestrator.model import durations
from orchestrator.model.flows import TaskEvent
from orchestrator.model.outcome import BlockKind
from orchestrator.model.task import TaskStatus
from orchestrator.model.words import count, letters, one_line
from orchestrator.report.status_text import noted, overdue_line, reason

if TYPE_CHECKING:
    from orchestrator.model.event import Event
    from orchestrator.model.outcome import Outcome

_ENDS: Mapping[str, tuple[str, ...]] = {
    TaskEvent.IMPLEMENTATION_COMPLETE: ("completed",),
    TaskEvent.TESTS_PASSED: ("completed",),
    TaskEvent.TESTS_FAILED: ("failed",),
    TaskEvent.TASK_ESCALATED: ("blocked", "failed"),
    TaskEvent.BLOCKER_DETECTED: ("blocked",),
    TaskEvent.WORK_FAILED: ("failed",),
    TaskEvent.RETRY_SCHEDULED: ("failed", "retry-later"),
    TaskEvent.TASK_CANCELLED: ("cancelled",),
}


def event_line(
    event: Event,
    name: str = "",
    *,
    specialist: str = "",
    seconds: float | None = None,
    outcome: Outcome | None = None,
    next_try: str = "",
    size: int = 0,
) -> str | None:
    """An event as a line of a log; None for one that only restates others.

    Parameters:
        name: How the task is called (its `label`).
        specialist: The title of the specialist who begins the attempt, or is handed the task.
        seconds: How long the attempt that ended took.
        outcome: How the task's last attempt ended. One that does not fit the event (a later attempt has ended
            since) is passed over.
        next_try: When the next attempt is, such as "retry 1 of 2 in 2s".
        size: How many tasks the batch of the event has.

    Example:
        >>> from orchestrator.model.event import Event
        >>> started = Event(id="1-0", time=1.0, event="work_started", task="T1", attempt=1)
        >>> event_line(started, "T1 Create schema", specialist="Implementation Specialist")
        'T1 Create schema: started (Implementation Specialist, attempt 1)'
    """
    said = reason(outcome) if outcome and outcome.status in _ENDS.get(event.event, ()) else ""
    took = f" in {durations.write(seconds)}" if seconds is not None else ""
    who = f"{specialist}, " if specialist else ""
    why_not = f": {said}" if said else (f" ({event.cause})" if event.cause else "")
    comment = f": {one_line(event.note)}" if event.note else ""
    heir = specialist or "another specialist"
    if event.event in (TaskEvent.IMPLEMENTATION_COMPLETE, TaskEvent.TESTS_PASSED) and name:
        return _moved_on(name, event, f"{took}" + (f": {said}" if said else comment))
    lines = {
        "batch_opened": f"Batch {event.batch} started: {count(size, 'task')}",
        "at_capacity": _at_capacity(event),
        "task_launched": f"Launched queued task: {name}" if event.cause == "queued" and name else None,
        "batch_overdue": _overdue(event),
        "attempt_ended": f"{name}: attempt {event.attempt}, which was taken from its worker, has ended",
        "message_lost": f"{name}: its message seems lost; it was sent again",
        "specialist_awaited": f"{name}: no specialist matches its tags; it waits for one",
        "specialist_assigned": f"{name}: assigned to {event.cause}{comment}",
        "tasks_added": f"{count(event.total or 1, 'task')} added" + (f": {name}" if name else "") + comment,
        "dependencies_changed": f"{name}: depends on {event.cause} now{comment}",
        "cap_changed": f"At most {event.note} tasks at once from now on",
        "budget_changed": f"Budget from now on: {event.note}",
        "budget_warned": f"{name or 'Feature'}: most of its budget is used, {event.note}",
        "budget_reached": f"{name or 'Feature'}: its budget is used up, {event.note}",
        TaskEvent.GATES_STARTED: f"{name}: its gates run ({who}attempt {event.attempt})",
        TaskEvent.TESTS_FAILED: f"{name}: failed its gates{took}" + _in_brackets(said, event.cause),
        TaskEvent.REVIEW_APPROVED: f"{name}: approved{comment}",
        TaskEvent.CHANGES_REQUESTED: f"{name}: changes requested{comment}",
        TaskEvent.TASK_ESCALATED: _escalated(name, event, said, heir),
        TaskEvent.TASK_HELD: f"{name}: on hold{comment}",
        TaskEvent.TASK_RESUMED: f"{name}: resumed{comment}",
        TaskEvent.TASK_DEFERRED: f"{name}: deferred{comment}",
        TaskEvent.TASK_SKIPPED: f"{name}: skipped{comment}",
        "feature_paused": f"Feature paused{comment}",
        "feature_resumed": f"Feature resumed{comment}",
        "feature_approved": f"Feature approved{comment}",
        "feature_failed": f"Feature given up{comment}",
        "person_awaited": f"Nothing can run until a person acts: a {event.cause} is awaited",
        "progress": f"{name}: {noted(float(event.percent) if event.percent else None, event.note)}",
        TaskEvent.WORK_STARTED: f"{name}: started ({who}attempt {event.attempt})",
        TaskEvent.BLOCKER_DETECTED: f"{name}: blocked{took}" + (_in_brackets(said, event.cause) or comment),
        TaskEvent.WORK_FAILED: f"{name}: failed{took}" + _in_brackets(said, event.cause),
        TaskEvent.RETRY_SCHEDULED: _tries_again(name, event, said, next_try),
        TaskEvent.WORKER_LOST: f"{name}: its worker {event.worker} was lost; it starts again",
        TaskEvent.WORK_HANDED_BACK: f"{name}: its worker {event.worker} ends and handed it back; it starts again",
        TaskEvent.RETRY_REQUESTED: f"{name}: retry requested{comment}",
        TaskEvent.BLOCKER_RESOLVED: f"{name}: unblocked{comment}",
        TaskEvent.TASK_CANCELLED: f"{name}: cancelled{took}{why_not or comment}",
        "launch_requested": "Launch of the next batch requested",
        "feature_cancelled": f"Feature cancelled{comment}",
        "all_tasks_complete": "All tasks complete",
    }
    return lines.get(event.event)


def gone_line(gone: int, kept: int) -> str:
    """Say that the beginning of a story is missing.

    Example:
        >>> gone_line(12_345, 1_000_000)
        'The oldest 12,345 events are gone: about 1,000,000 of a feature are kept (limits.events).'
    """
    events = "event is" if gone == 1 else f"{gone:,} events are"
    return f"The oldest {events} gone: about {kept:,} of a feature are kept (limits.events)."


def _moved_on(name: str, event: Event, how: str) -> str | None:
    match event.target:
        case TaskStatus.COMPLETED:
            return f"{name}: completed{how}"
        case TaskStatus.IN_REVIEW:
            return f"{name}: done{how}; it waits for its review"
    return None  # in testing: its gates follow, or it is completed by the next event


def _at_capacity(event: Event) -> str:
    """The three lines of a batch that is wider than the cap, in one."""
    waiting, cap = event.waiting or 0, event.in_flight or 1
    last = -(-waiting // cap)
    parts = (
        f"Sub-batch {event.batch}b"
        if last == 1
        else f"Sub-batches {event.batch}b to {event.batch}{letters(last)}"
    )
    return (
        f"{count(cap, 'task')} in progress (max). Queueing {count(waiting, 'additional task')}. "
        f"{parts} queued ({count(waiting, 'task')} waiting for slots)"
    )


def _overdue(event: Event) -> str:
    return overdue_line(event.batch or 0, (event.ran or 0) / 1000, (event.expected or 0) / 1000)


def _in_brackets(said: str, cause: str) -> str:
    text = said.removeprefix(f"{cause}: ") if cause else said
    return (f" ({cause})" if cause else "") + (f": {text}" if text else "")


def _escalated(name: str, event: Event, said: str, heir: str) -> str:
    """A task goes to another specialist, or to the next tier of its agent, which the note names."""
    ended = "blocked" if event.cause in tuple(BlockKind) else "failed"
    onward = event.note or f"handed on to {heir}"
    return f"{name}: {ended}{_in_brackets(said, event.cause)}; {onward}"


def _tries_again(name: str, event: Event, said: str, next_try: str) -> str:
    after = f"; {next_try}" if next_try else "; it is tried again"
    if event.cause in ("retry-later", "rate-limit"):
        return f"{name}: not now" + (f": {said}" if said else "") + after
    return f"{name}: failed{_in_brackets(said, event.cause)}{after}"
