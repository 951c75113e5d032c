"""What stopped or needs a person, and what to type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import Field

from orchestrator import graph
from orchestrator.models import (
    Blocked,
    Failed,
    FeatureStatus,
    Model,
    Outcome,
    Progress,
    Strategy,
    TaskState,
    TaskStatus,
)
from orchestrator.report.standing import is_stopped
from orchestrator.wording import count, named, some

SHOWN_TAIL = 10
"""Lines of a stopped task's output that stand in a report; the log has the rest."""


class Stopped(Model):
    """A task that waits for a person: why, what waits behind it, and what to type next."""

    task: str
    title: str
    status: TaskStatus
    cause: str
    reason: str
    attempt: int
    tail: str
    waiting: tuple[str, ...]
    next: tuple[str, ...]


def stopped(feature: str, state: TaskState, outcome: Outcome | None, waiting: Sequence[str] = ()) -> Stopped:
    """What is known of a failed or blocked task; `waiting` are the ids of the tasks behind it (`graph.behind`)."""
    match outcome:
        case Failed(cause=cause):
            kind = str(cause)
        case Blocked(kind=what):
            kind = str(what)
        case _:
            kind = ""
    return Stopped(
        task=state.id,
        title=state.title,
        status=state.status,
        cause=kind,
        reason=getattr(outcome, "reason", ""),
        attempt=state.attempt,
        tail=getattr(outcome, "tail", ""),
        waiting=tuple(waiting),
        next=commands(feature, state),
    )


class Standstill(Model):
    """What the open batch holds up while something in it has stopped."""

    batch: int
    tasks: int = Field(description="of later batches, and not resolved")
    last: int = Field(description="the last batch that is held up")
    independent: tuple[str, ...] = Field(description="those of them that depend on nothing that stopped")


def standstill(progress: Progress, states: Sequence[TaskState]) -> Standstill | None:
    """What stands still behind the open batch because tasks of it have stopped; None where nothing does.

    Parameters:
        states: Of all tasks of the feature.
    """
    later = [state for state in states if state.batch > progress.batch and not state.resolved]
    stopped = [state for state in states if state.batch <= progress.batch and is_stopped(state)]
    if progress.strategy is Strategy.DATAFLOW or progress.status.is_over or not (later and stopped):
        return None
    followers = graph.dependents({state.id: state.depends_on for state in states})
    behind = {task for state in stopped for task in graph.behind(state.id, followers)}
    return Standstill(
        batch=progress.batch,
        tasks=len(later),
        last=max(state.batch for state in later),
        independent=tuple(state.id for state in later if state.id not in behind),
    )


def standstill_line(found: Standstill) -> str:
    """What stands still, which of it does not depend on what stopped, and which strategy would go on.

    Example:
        >>> standstill_line(Standstill(batch=1, tasks=1, last=2, independent=()))
        'Batch 1 holds up 1 task of batch 2. It depends on what stopped.'
    """
    first = found.batch + 1
    batches = f"batch {first}" if found.last == first else f"batches {first:,} to {found.last:,}"
    held = f"Batch {found.batch:,} holds up {count(found.tasks, 'task')} of {batches}."
    number, of_them = len(found.independent), "of them " if found.tasks > 1 else ""
    if not number:
        return f"{held} {'All of them depend' if found.tasks > 1 else 'It depends'} on what stopped."
    verb, these = ("depends", "this one goes") if number == 1 else ("depend", "these go")
    names = some(found.independent)
    return f"{held} {number:,} {of_them}{verb} on nothing that stopped: {names}. In dataflow {these} on."


def stopped_lines(found: Stopped) -> list[str]:
    """A stopped task as a person reads it: cause, reason, the end of its output, what waits, what to type."""
    name = named(found.task, found.title)
    cause = f" ({found.cause})" if found.cause else ""
    attempts = f" after {count(found.attempt, 'attempt')}" if found.attempt > 1 else ""
    said = found.reason.splitlines() or ["no reason was given"]
    output = [line for line in found.tail.splitlines() if line.strip()][-SHOWN_TAIL:]
    waiting = f"  Waiting behind it: {some(found.waiting)}" if found.waiting else "  No task depends on it"
    suggestion = [f"  Suggestion: {SUGGESTIONS[found.cause]}"] if found.cause in SUGGESTIONS else []
    return [
        f"{name}: {found.status}{cause}{attempts}: {said[0]}",
        *(f"  {line}" for line in said[1:SHOWN_TAIL]),
        *(f"  | {line}" for line in output),
        *suggestion,
        waiting,
        *(f"  {'Next:' if place == 0 else '     '} {command}" for place, command in enumerate(found.next)),
    ]


def commands(feature: str, state: TaskState) -> tuple[str, ...]:
    """What to type for a task that is stopped.

    Example:
        ('orchestrator retry login-1 T3', 'orchestrator logs login-1 T3')
    """
    where = f"{feature} {state.id}"
    if state.id.startswith("@"):
        return (f"orchestrator retry {where}",)
    logs, skip = f"orchestrator logs {where}", f'orchestrator skip {where} --because "…"'
    match state.status:
        case TaskStatus.CANCELLED if state.resolved or state.phase == "ending":
            return ()  # it may be skipped already, and counts as resolved when the attempt has ended
        case TaskStatus.FAILED:
            return (f"orchestrator retry {where}", logs, skip)
        case TaskStatus.BLOCKED:
            return (f'orchestrator unblock {where} --note "…"', logs, skip)
        case TaskStatus.IN_REVIEW:
            return (f"orchestrator approve {where}", f'orchestrator request-changes {where} --note "…"')
        case TaskStatus.ON_HOLD | TaskStatus.DEFERRED:
            return (f"orchestrator resume {where}", skip)
        case TaskStatus.CANCELLED:
            return (skip,)
        case TaskStatus.PENDING if state.phase == "unassigned":
            return (f'orchestrator assign {where} "SPECIALIST"',)
        case _:
            return ()


SUGGESTIONS: Mapping[str, str] = {
    "external-dependency": "Contact whoever runs what it waits for; unblock it when that is there.",
    "technical": "Launch the Senior Engineer to investigate, or set error_handling.escalate_technical_to.",
    "missing-information": "Ask the stakeholders, and hand on what they say with --note.",
    "code-error": "Read the last lines of output, mend the code, and retry.",
    "failing-tests": "Mend what the tests found, and retry.",
    "dependency": "Install or configure what is missing where the worker runs, and retry.",
    "timeout": "Give it a longer timeout, or split the task, and retry.",
    "worker-ends": "Raise recovery.grace or recovery.hand_backs, or split the task, and retry.",
    "reported": "Read what it says and the last lines of output, and retry when it can succeed.",
    "worker-lost": "Look at the worker's machine (memory, restarts) before it runs again.",
    "out-of-memory": "Give the worker more memory, or let the task use less, and retry.",
    "gate": "Mend what the gate found, and retry.",
}
"""What to do about a stopped task, by the kind of its obstacle or the cause of its failure."""


class Need(Model):
    """Something that waits for a person, and the command that answers it."""

    what: str
    command: str


def needs(progress: Progress, states: Sequence[TaskState] = ()) -> list[Need]:
    """All of a feature that waits for a person; `states` are those of its open batch, or all."""
    if progress.status.is_over:
        return []
    found = [
        Need(what=f"{state.label}: {_needs(state)}", command=typed[0])
        for state in states
        if (typed := commands(progress.id, state))
    ]
    if progress.gates_failed:
        stage = progress.gates_failed.removeprefix("@")
        retry = f"orchestrator retry {progress.id} {progress.gates_failed}"
        found.append(Need(what=f"the feature's gates ({stage}) did not pass", command=retry))
    if progress.status is FeatureStatus.PENDING_REVIEW:
        found.append(
            Need(what="the feature waits for its review", command=f"orchestrator approve {progress.id}")
        )
    if progress.is_paused:
        found.append(Need(what="the feature is paused", command=f"orchestrator resume {progress.id}"))
    elif progress.awaits_launch:
        following = f"batch {progress.batch + 1} waits to be launched"
        found.append(Need(what=following, command=f"orchestrator launch {progress.id}"))
    if progress.is_overdue and progress.in_flight:
        late = f"batch {progress.batch} is overdue"
        found.append(Need(what=late, command=f"orchestrator status {progress.id}"))
    return found


def _needs(state: TaskState) -> str:
    match state.status:
        case TaskStatus.IN_REVIEW:
            return "waits for a review"
        case TaskStatus.PENDING:
            return "waits for a specialist"
        case _:
            return str(state.status)
