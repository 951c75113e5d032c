"""Needs: what a person or a program has to do before a feature can go on, and the commands that do it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from orchestrator.contract.answer import Action, Argument, Need, NeedKind
from orchestrator.model import flows, identifiers
from orchestrator.model.feature import FeatureStatus
from orchestrator.model.flows import FeatureEvent, TaskEvent
from orchestrator.model.outcome import Blocked, Failed, Outcome
from orchestrator.model.progress import Progress, TaskState, running_longest
from orchestrator.model.task import Task, TaskStatus

TEXT = Argument(type="string")
MAYBE_TEXT = Argument(type="string", required=False)

KINDS: Mapping[TaskStatus, NeedKind] = {
    TaskStatus.FAILED: "failed",
    TaskStatus.BLOCKED: "blocked",
    TaskStatus.IN_REVIEW: "review",
    TaskStatus.ON_HOLD: "on-hold",
    TaskStatus.DEFERRED: "deferred",
    TaskStatus.CANCELLED: "cancelled",
    TaskStatus.PENDING: "specialist",
}
"""The need of a task, by its status; a pending task has one if it has no specialist."""

WAITING = (FeatureStatus.BLOCKED, FeatureStatus.ON_HOLD, FeatureStatus.PENDING_REVIEW)
"""A feature in one of these waits for a person."""

STOPPED = frozenset({"failed", "blocked", "cancelled", "gates"})
"""Needs after which the feature does not go on as it was planned; the others are a person's turn."""


COMMANDS: Mapping[str, tuple[str, Mapping[str, Argument]]] = {
    TaskEvent.REVIEW_APPROVED: ("approve", {}),
    TaskEvent.CHANGES_REQUESTED: ("request-changes", {"note": TEXT}),
    TaskEvent.RETRY_REQUESTED: ("retry", {}),
    TaskEvent.BLOCKER_RESOLVED: ("unblock", {"note": MAYBE_TEXT}),
    TaskEvent.BLOCKER_DETECTED: ("block", {"because": TEXT}),
    TaskEvent.TASK_HELD: ("hold", {}),
    TaskEvent.TASK_RESUMED: ("resume", {}),
    TaskEvent.TASK_DEFERRED: ("defer", {}),
    TaskEvent.TASK_SKIPPED: ("skip", {"because": TEXT}),
    TaskEvent.TASK_CANCELLED: ("cancel", {}),
    FeatureEvent.FEATURE_APPROVED: ("approve", {}),
    FeatureEvent.FEATURE_PAUSED: ("pause", {}),
    FeatureEvent.FEATURE_RESUMED: ("resume", {}),
    FeatureEvent.FEATURE_CANCELLED: ("cancel", {}),
    FeatureEvent.FEATURE_FAILED: ("fail", {}),
}
"""Events that a person causes, each with its command and what that takes."""


def by_events(feature: str, task: str, events: Iterable[str]) -> list[Action]:
    """The actions by which a person causes these events; those that no person causes are passed over.

    Example:
        >>> [way.command for way in by_events("login-1", "T3", ["work_started", "retry_requested"])]
        ['orchestrator retry login-1 T3']
    """
    return [
        action(name, feature, task, given=given)
        for name, given in (COMMANDS[event] for event in events if event in COMMANDS)
    ]


def action(name: str, feature: str, task: str = "", *, given: Mapping[str, Argument] | None = None) -> Action:
    """An action, with the command as it is typed.

    Args:
        name: The command.
        feature: The feature's id.
        task: The task's id; "": the whole feature.
        given: Its other arguments: a specialist and an amount are typed by themselves, the others as options.

    Example:
        >>> action("skip", "login-1", "T3", given={"because": TEXT}).command
        'orchestrator skip login-1 T3 --because "…"'
    """
    arguments = given or {}
    typed = [feature, *([task] if task else [])]
    for argument in arguments:
        match argument:
            case "amount":
                typed.insert(1, '"AMOUNT"')
            case "specialist":
                typed.append('"SPECIALIST"')
            case _:
                typed.append(f'--{argument} "…"')
    command = " ".join(["orchestrator", name, *typed])
    return Action(action=name, task=task, arguments=arguments, command=command)


def of_task(feature: str, state: TaskState, specialists: Iterable[str] = ()) -> tuple[Action, ...]:
    """The actions for a task that is stopped or waits for a person; the likeliest first."""
    where = (feature, state.id)
    if identifiers.is_gates(state.id):
        return (action("retry", *where),)
    logs, skip = action("logs", *where), action("skip", *where, given={"because": TEXT})
    match state.status:
        case TaskStatus.CANCELLED if state.resolved or state.phase == "ending":
            return ()  # it may be skipped already, and counts as resolved when the attempt has ended
        case TaskStatus.FAILED:
            return action("retry", *where), logs, skip
        case TaskStatus.BLOCKED:
            return action("unblock", *where, given={"note": MAYBE_TEXT}), logs, skip
        case TaskStatus.IN_REVIEW:
            return action("approve", *where), action("request-changes", *where, given={"note": TEXT})
        case TaskStatus.ON_HOLD | TaskStatus.DEFERRED:
            return action("resume", *where), skip
        case TaskStatus.CANCELLED:
            return (skip,)
        case TaskStatus.PENDING if state.phase == "unassigned":
            choice = Argument(type="string", choices=tuple(specialists))
            return (action("assign", *where, given={"specialist": choice}),)
        case _:
            return ()


def of_feature(
    progress: Progress,
    states: Sequence[TaskState] = (),
    *,
    outcomes: Mapping[str, Outcome] | None = None,
    behind: Mapping[str, Sequence[str]] | None = None,
    specialists: Iterable[str] = (),
) -> list[Need]:
    """All of a feature that waits for somebody.

    Args:
        progress: Where it stands.
        states: Its tasks that may need somebody: those of the open batch, or all.
        outcomes: How the last attempts of stopped tasks ended, if that is to be said.
        behind: The tasks that wait behind a stopped one, if that is to be said.
        specialists: Those that a task may be assigned to.

    Example:
        [need.actions[0].command for need in of_feature(progress, states)]
    """
    if progress.status.is_over:
        return []
    names = tuple(specialists)
    found = [
        of_state(progress.id, state, (outcomes or {}).get(state.id), (behind or {}).get(state.id, ()), names)
        for state in states
        if of_task(progress.id, state)
    ]
    return [*found, *_of_the_whole(progress, states, (outcomes or {}).get(progress.gates_failed))]


def of_state(
    feature: str,
    state: TaskState,
    outcome: Outcome | None = None,
    behind: Sequence[str] = (),
    specialists: Iterable[str] = (),
) -> Need:
    """The need of a task; if it stopped, with its cause and the end of its output."""
    is_stopped = state.status in flows.STOPPED
    return Need(
        need="gates" if identifiers.is_gates(state.id) else KINDS[state.status],
        task=state.id,
        title="" if state.title == state.id else state.title,
        attempt=max(1, state.attempt) if is_stopped else 1,
        behind=len(behind),
        waiting=tuple(behind[:SHOWN_BEHIND]),
        actions=(*_raised(feature, state.id, outcome), *of_task(feature, state, specialists)),
        **(_told(outcome) if is_stopped else {}),
    )


def _raised(feature: str, task: str, outcome: Outcome | None) -> tuple[Action, ...]:
    """How the budget is raised that an agent has used up, so that its task goes on."""
    if not (isinstance(outcome, Blocked) and outcome.budget in ("task", "feature")):
        return ()
    where = (feature, task) if outcome.budget == "task" else (feature,)
    return (action("budget", *where, given={"amount": TEXT}),)


def in_the_way(
    task: Task, state: TaskState, progress: Progress, others: Mapping[str, TaskState]
) -> list[TaskState]:
    """The tasks that somebody has to do something about before a task goes on: itself, what it depends on, or what
    holds an earlier batch open."""
    if of_task(progress.id, state):
        return [state]
    if state.status is not TaskStatus.PENDING or state.phase not in ("", "waiting"):
        return []
    before = [other for other in others.values() if 0 < other.batch <= progress.batch < state.batch]
    found = [*(others[one] for one in task.depends_on if one in others), *before]
    return [other for other in dict.fromkeys(found) if not other.resolved]


SHOWN_BEHIND = 5
"""How many of the tasks that wait behind one are named."""

SHOWN_TAIL = 6
"""How many lines of output an answer has; `task ID TASK --part log` has more."""


def _told(outcome: Outcome | None) -> dict[str, str]:
    cause = ""
    match outcome:
        case Failed(cause=why):
            cause = str(why)
        case Blocked(kind=kind):
            cause = str(kind)
    lines = [line for line in getattr(outcome, "tail", "").splitlines() if line.strip()]
    return {
        "cause": cause,
        "reason": getattr(outcome, "reason", "") if cause else "",
        "tail": "\n".join(lines[-SHOWN_TAIL:]),
    }


def _of_the_whole(progress: Progress, states: Sequence[TaskState], gates: Outcome | None) -> list[Need]:
    found = []
    if progress.gates_failed:
        retry = action("retry", progress.id, progress.gates_failed)
        found.append(Need(need="gates", task=progress.gates_failed, actions=(retry,), **_told(gates)))
    if progress.status is FeatureStatus.PENDING_REVIEW:
        found.append(Need(need="feature-review", actions=(action("approve", progress.id),)))
    if progress.is_paused:
        found.append(Need(need="paused", actions=(action("resume", progress.id),)))
    elif progress.awaits_launch:
        launch = action("launch", progress.id)
        found.append(Need(need="launch", batch=progress.batch + 1, actions=(launch,)))
    if progress.is_overdue and progress.in_flight:
        longest = running_longest(states)
        look = action("logs", progress.id, longest[0].id) if longest else action("watch", progress.id)
        found.append(
            Need(
                need="overdue",
                batch=progress.batch,
                ran=progress.batch_ran,
                expected=progress.batch_due,
                actions=(look,),
            )
        )
    return found
