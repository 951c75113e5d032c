"""The next steps: which tasks stopped or need a person, and which commands help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from orchestrator.contract import needs
from orchestrator.model.feature import Strategy
from orchestrator.model.outcome import Completed, Outcome
from orchestrator.model.words import SHOWN, count, named, one_line, some
from orchestrator.planning import graph
from orchestrator.report.json_page import LIMIT
from orchestrator.report.status_text import gates_state, is_stopped

if TYPE_CHECKING:
    from orchestrator.contract.answer import Need
    from orchestrator.contract.feature_answers import GateWarning, Standstill
    from orchestrator.model.progress import Progress, TaskState

SHOWN_TAIL = needs.SHOWN_TAIL
"""Lines of a stopped task's output that stand in a report; the log has the rest."""


TOLD_IN_FULL = ("failed", "blocked", "gates")
"""Needs that `stopped_lines` tells; the others have a line."""


def standstill(progress: Progress, states: Sequence[TaskState]) -> Standstill | None:
    """The tasks that stand still because a task of the open batch has stopped; None if there are none.

    Parameters:
        states: Of all tasks of the feature.
    """
    later = [state for state in states if state.batch > progress.batch and not state.resolved]
    stopped = [state for state in states if state.batch <= progress.batch and is_stopped(state)]
    if progress.strategy is Strategy.DATAFLOW or progress.status.is_over or not (later and stopped):
        return None
    from orchestrator.contract.feature_answers import Standstill

    followers = graph.dependents({state.id: state.depends_on for state in states})
    behind = {task for state in stopped for task in graph.behind(state.id, followers)}
    free = [state.id for state in later if state.id not in behind]
    return Standstill(
        batch=progress.batch,
        tasks=len(later),
        last=max(state.batch for state in later),
        independent=len(free),
        names=tuple(free[:SHOWN]),
    )


def standstill_line(found: Standstill) -> str:
    """Say how many tasks stand still, how many of them could run, and which strategy would run them.

    Example:
        >>> from orchestrator.contract.feature_answers import Standstill
        >>> standstill_line(Standstill(batch=1, tasks=1, last=2, independent=0))
        'Batch 1 holds up 1 task of batch 2. It depends on what stopped.'
    """
    first = found.batch + 1
    batches = f"batch {first}" if found.last == first else f"batches {first:,} to {found.last:,}"
    held = f"Batch {found.batch:,} holds up {count(found.tasks, 'task')} of {batches}."
    number, of_them = found.independent, "of them " if found.tasks > 1 else ""
    if not number:
        return f"{held} {'All of them depend' if found.tasks > 1 else 'It depends'} on what stopped."
    verb, these = ("depends", "this one goes") if number == 1 else ("depend", "these go")
    names = some(found.names, of=number)
    return f"{held} {number:,} {of_them}{verb} on nothing that stopped: {names}. In dataflow {these} on."


def stopped_lines(need: Need) -> list[str]:
    """A stopped task as a person reads it: cause, reason, end of the output, waiting tasks, commands."""
    is_gates = need.need == "gates"
    name = named(need.task, gates_state(need.task).title if is_gates else need.title)
    cause = f" ({need.cause})" if need.cause else ""
    attempts = f" after {count(need.attempt, 'attempt')}" if need.attempt > 1 else ""
    said = need.reason.splitlines() or ["no reason was given"]
    behind = f"Waiting behind it: {some(need.waiting, of=need.behind)}"
    waiting = [] if is_gates else [f"  {behind if need.behind else 'No task depends on it'}"]
    suggestion = [f"  Suggestion: {SUGGESTIONS[need.cause]}"] if need.cause in SUGGESTIONS else []
    return [
        f"{name}: {'failed' if is_gates else need.need}{cause}{attempts}: {said[0]}",
        *(f"  {line}" for line in said[1:SHOWN_TAIL]),
        *(f"  | {line}" for line in need.tail.splitlines()),
        *suggestion,
        *waiting,
        *(
            f"  {'Next:' if place == 0 else '     '} {action.command}"
            for place, action in enumerate(need.actions)
        ),
    ]


def commands(feature: str, state: TaskState) -> tuple[str, ...]:
    """The commands that help a stopped task.

    Example:
        ('orchestrator retry login-1 T3', 'orchestrator logs login-1 T3')
    """
    return tuple(action.command for action in needs.of_task(feature, state))


SUGGESTIONS: Mapping[str, str] = {
    "external-dependency": "Contact the owner of the system that it waits for; unblock the task when that is ready.",
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
    "budget": "Raise the budget that it names, and it goes on where it stood. That of tokens, requests or time is in "
    "specialists.NAME.budget: raise it there, and unblock.",
    "permission": "Add what it names to specialists.NAME.agent.tools.allow and unblock, or hand on a way without it "
    "with --note.",
    "conflict": "Resolve the conflict in the task's worktree and commit, and unblock.",
    "stalled": "Look at what its agent did last; raise agent.idle_timeout if it needs longer, and retry.",
    "no-outcome": "Read the end of its output: its agent ended without saying how it went. Retry, or give it a "
    "stronger tier.",
}
"""Advice for a stopped task, by the kind of its obstacle or the cause of its failure."""


def gate_warnings(outcomes: Mapping[str, Outcome]) -> tuple[GateWarning, ...]:
    """The findings of a feature's gates that did not pass and are not required; `outcomes` are by "@stage"."""
    found = [
        gate for outcome in outcomes.values() if isinstance(outcome, Completed) for gate in outcome.gates
    ]
    if all(gate.passed for gate in found):
        return ()
    from orchestrator.contract.feature_answers import GateWarning

    return tuple(
        GateWarning(gate=gate.name, stage=gate.stage, reason=gate.reason) for gate in found if not gate.passed
    )[:LIMIT]


def warning_line(warning: GateWarning) -> str:
    """The finding of a gate that did not pass and is not required.

    Example:
        >>> from orchestrator.contract.feature_answers import GateWarning
        >>> warning_line(GateWarning(gate="slow", stage="testing", reason="exit code 1"))
        'Warning of the gates of the feature (testing): the gate slow did not pass: exit code 1'
    """
    said = f"the gate {warning.gate} did not pass: {one_line(warning.reason)}"
    return f"Warning of {gates_state(warning.stage).title}: {said}"


def need_line(need: Need) -> str:
    """A need on one line, with the command that answers it.

    Example:
        >>> from orchestrator.model.progress import TaskState
        >>> waits = TaskState(id="T3", title="", specialist="", batch=1, status="in-review")
        >>> need_line(needs.of_state("login-1", waits))
        'T3: waits for a review. Next: orchestrator approve login-1 T3'
    """
    return f"{need_text(need)}. Next: {need.actions[0].command}"


def need_text(need: Need) -> str:
    """A need in a few words."""
    match need.need:
        case "gates":
            return f"the feature's gates ({need.task.removeprefix('@')}) did not pass"
        case "feature-review":
            return "the feature waits for its review"
        case "paused":
            return "the feature is paused"
        case "launch":
            return f"batch {need.batch} waits to be launched"
        case "overdue":
            return f"batch {need.batch} is overdue"
    said = {"review": "waits for a review", "specialist": "waits for a specialist"}.get(need.need, need.need)
    return f"{named(need.task, need.title)}: {said}"
