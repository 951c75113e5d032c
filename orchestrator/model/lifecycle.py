"""The transitions that events ask for.

Pure: an event comes in, a value goes out. The tables of `flows` say which transitions are allowed. The store applies
one: its Lua scripts get the rows of the table, and hold no rules of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Literal

from orchestrator.model import errors, words
from orchestrator.model.calls import specialist_of
from orchestrator.model.flows import FORWARD, Arrow, FeatureEvent, Flow, TaskEvent
from orchestrator.model.ladder import Ladder, climb
from orchestrator.model.outcome import (
    Blocked,
    BlockKind,
    Cancelled,
    Completed,
    Failed,
    FailureCause,
    Outcome,
    RetryLater,
)
from orchestrator.model.task import Retries, TaskStatus

RESOLVED = frozenset({TaskStatus.COMPLETED})
"""A task that reaches one of these no longer holds its batch open. A skipped task does not either."""

Step = tuple[TaskEvent, Arrow]
"""One row of a flow's table: an event, and where it leads from each status that allows it."""


@dataclass(frozen=True)
class Transition:
    """A change of a task's status that the store is asked to apply, if the task's status allows every step.

    Args:
        steps: The events, one after the other.
        wait: Seconds until the task may start again, if the transition starts it again.
        cause: Why, in a word.
        note: More of it, on a line.
        route: The specialist that gets the task next, where another one does.
        counts: The counter that the transition adds to: "retried", "later" (a retry-later), "tries" (of a tier), "rung"
            (a step up the ladder), or "" for none.
    """

    steps: tuple[Step, ...]
    wait: float | None = None
    cause: str = ""
    route: str = ""
    counts: Literal["", "retried", "later", "tries", "rung"] = ""
    note: str = ""

    @cached_property
    def written_steps(self) -> str:
        """The steps, as the scripts take them (see transition_attempt.lua)."""
        return "\n".join(
            " ".join([event, *(f"{status}:{target}" for status, target in arrow.items())])
            for event, arrow in self.steps
        )

    @property
    def event(self) -> TaskEvent:
        """The last event, which names the transition."""
        return self.steps[-1][0]

    def target(self, status: str) -> str | None:
        """The status after these steps from a status; None if one of them is not allowed."""
        for _, arrow in self.steps:
            following = arrow.get(status)
            if following is None:
                return None
            status = following
        return status


def transition(
    flow: Flow, *events: TaskEvent, wait: float | None = None, cause: str = "", route: str = ""
) -> Transition:
    """The transition that events ask for in a flow.

    Example:
        >>> from orchestrator.model.flows import Flow, SHIPPED_FLOWS
        >>> transition(Flow("hotfix", SHIPPED_FLOWS["hotfix"]), TaskEvent.WORK_STARTED).target("pending")
        'in-progress'
    """
    return Transition(tuple((event, flow.table.get(event, {})) for event in events), wait, cause, route)


def at_once(flow: Flow, status: str, *events: TaskEvent) -> Transition:
    """The transition of work that passes a stage without a stop, such as testing if there are no gates: one event.

    Example:
        >>> from orchestrator.model.flows import Flow, SHIPPED_FLOWS
        >>> flow = Flow("default", SHIPPED_FLOWS["default"])
        >>> at_once(flow, "in-progress", TaskEvent.IMPLEMENTATION_COMPLETE, TaskEvent.TESTS_PASSED).steps
        ((<TaskEvent.IMPLEMENTATION_COMPLETE: 'implementation_complete'>, {'in-progress': 'completed'}),)
    """
    target = transition(flow, *events).target(status)
    return Transition(((events[0], {} if target is None else {status: target}),))


@dataclass(frozen=True)
class Attempts:
    """The attempts that a task has used up when one ends.

    Args:
        retried: Failed attempts that were tried again.
        later: Attempts that asked to be tried again later.
        escalated: A blocker was handed on to another specialist before.
        rung: The place of an agent's tier on its ladder.
        tries: Attempts at this tier that ended.
    """

    retried: int = 0
    escalated: bool = False
    later: int = 0
    rung: int = 0
    tries: int = 0


def conclude(
    flow: Flow,
    outcome: Outcome,
    retries: Retries,
    attempts: Attempts = Attempts(),
    *,
    chance: float = 0.5,
    status: str = TaskStatus.IN_PROGRESS,
    escalate_to: str | None = None,
    ladder: Ladder | None = None,
) -> Transition:
    """The transition that the end of an attempt asks for.

    A ladder decides before `retries`: it gives the task to another try or another tier at once. `retries` hold for what
    no tier can help, such as a lost connection.

    Args:
        flow: The task's flow.
        outcome: The outcome that the specialist returned, or the failure of a gate.
        retries: The task's retry policy.
        attempts: The attempts before this one.
        chance: A random number in [0, 1), the jitter of a wait.
        status: Where the attempt stands: in-progress, or testing where its gates were run.
        escalate_to: The specialist that a technical blocker is handed on to, once.
        ladder: The tiers of the agent that does the work; None: no agent does it.

    Example:
        >>> from orchestrator.model.flows import Flow, SHIPPED_FLOWS
        >>> flow = Flow("hotfix", SHIPPED_FLOWS["hotfix"])
        >>> conclude(flow, Failed(reason="flaky"), Retries(max=1, jitter=False)).wait
        1.0
    """
    if ladder and (climbs := _climb(flow, outcome, ladder, attempts, status)):
        return climbs
    match outcome:
        case Completed(warnings=warnings):
            completed = _completion(flow, status)
            if not warnings:
                return completed
            return replace(completed, cause=FailureCause.GATE, note=words.one_line("; ".join(warnings)))
        case Blocked(kind=BlockKind.TECHNICAL) if escalate_to and not attempts.escalated:
            return transition(
                flow, TaskEvent.TASK_ESCALATED, wait=0.0, cause=BlockKind.TECHNICAL, route=escalate_to
            )
        case Blocked(kind=kind):
            return transition(flow, TaskEvent.BLOCKER_DETECTED, cause=kind)
        case RetryLater(after=after, limit=limit) if limit:
            return transition(flow, TaskEvent.RETRY_SCHEDULED, wait=after, cause="rate-limit")
        case RetryLater(after=after, next=following):
            route = specialist_of(following.call) if following and following.moves else ""
            later = transition(flow, TaskEvent.RETRY_SCHEDULED, wait=after, cause="retry-later", route=route)
            return replace(later, counts="later")
        case Cancelled():
            return transition(flow, TaskEvent.TASK_CANCELLED)
        case Failed(cause=cause, retry=makes_sense):
            is_wanted = retries.covers(cause) if makes_sense is None else makes_sense
            may_retry = is_wanted and attempts.retried < retries.max
            if may_retry and flow.target(TaskEvent.RETRY_SCHEDULED, status):
                wait = retries.wait(attempts.retried + 1, chance)
                step = (TaskEvent.RETRY_SCHEDULED, flow.table[TaskEvent.RETRY_SCHEDULED])
                return Transition((step,), wait, cause, counts="retried")
            failed = status == TaskStatus.TESTING or cause is FailureCause.GATE
            return transition(flow, TaskEvent.TESTS_FAILED if failed else TaskEvent.WORK_FAILED, cause=cause)


def _climb(
    flow: Flow, outcome: Outcome, ladder: Ladder, attempts: Attempts, status: str
) -> Transition | None:
    """The transition to another try or another tier; None if the ladder has no more to say."""
    step = climb(outcome, ladder, attempts.rung, attempts.tries)
    event = TaskEvent.TASK_ESCALATED if step == "up" else TaskEvent.RETRY_SCHEDULED
    if step not in ("again", "up") or not flow.target(event, status):
        return None
    assert isinstance(outcome, Blocked | Failed)  # nosec B101  # no other outcome climbs
    cause = outcome.kind if isinstance(outcome, Blocked) else outcome.cause
    found = transition(flow, event, wait=0.0, cause=cause)
    if step == "again":
        return replace(found, counts="tries", note="another try")
    return replace(found, counts="rung", note=f"goes to the tier {ladder.tier(attempts.rung + 1)}")


@lru_cache(maxsize=256)  # most attempts of a worker end so
def _completion(flow: Flow, status: str) -> Transition:
    return at_once(flow, status, *path_to_rest(flow, status))


def bounded(outcome: Outcome, retries: Retries, attempts: Attempts) -> Outcome:
    """The outcome, or the failure that it amounts to: a task may not ask for another time without end.

    Example:
        >>> bounded(RetryLater(reason="no licence"), Retries(later=2), Attempts(later=2)).reason
        'asked 3 times to be tried again later, and its limit is 2 (retries.later): no licence'
    """
    if not isinstance(outcome, RetryLater) or retries.later is None or attempts.later < retries.later:
        return outcome
    if outcome.limit:
        return outcome  # to wait for a model's limit is no fault of the task
    why = f": {outcome.reason}" if outcome.reason else ""
    times = words.count(attempts.later + 1, "time")
    reason = f"asked {times} to be tried again later, and its limit is {retries.later} (retries.later){why}"
    return Failed(reason=reason, tail=outcome.tail, retry=False)


def ask_whether_done(happened: str) -> Blocked:
    """The outcome of an attempt that ended half way, of a task that is not to run twice: a question for a person.

    Example:
        >>> ask_whether_done("its worker was lost").kind
        <BlockKind.WORKER_LOST: 'worker-lost'>
    """
    return Blocked(
        kind=BlockKind.WORKER_LOST,
        reason=f"{happened} before it was finished, and it is not to run twice (idempotent: false). Was it done? "
        "If it was, skip it; if not, unblock it, and it runs again",
    )


def path_to_rest(flow: Flow, status: str) -> list[TaskEvent]:
    """The events that take completed work from `status` to where it rests: in review, or at the flow's end.

    Example:
        >>> from orchestrator.model.flows import Flow, SHIPPED_FLOWS
        >>> [str(event) for event in path_to_rest(Flow("default", SHIPPED_FLOWS["default"]), "in-progress")]
        ['implementation_complete', 'tests_passed']
    """
    events = []
    while status in (TaskStatus.IN_PROGRESS, TaskStatus.TESTING):
        event = TaskEvent.TESTS_PASSED if status == TaskStatus.TESTING else TaskEvent.IMPLEMENTATION_COMPLETE
        events.append(event)
        status = flow.after(status)
    return events


def path_forward(flow: Flow, status: str, to: str | None = None) -> list[TaskEvent]:
    """The events by which a person moves a task on: to the next status, or all those that lead to the status `to`.

    Only a worker puts a task in progress. A person who moves on a task that has not started says that its work is
    done, so it passes through that status to the next one. A step that the flow does not have is in the list all the
    same, for the store to refuse it.

    Raises:
        CannotAdvance: `to` is not the next status, and the rules enforce the sequence; or nothing leads there.

    Example:
        >>> from orchestrator.model.flows import Flow, SHIPPED_FLOWS
        >>> path_forward(Flow("hotfix", SHIPPED_FLOWS["hotfix"]), "pending")
        [<TaskEvent.WORK_STARTED: 'work_started'>, <TaskEvent.IMPLEMENTATION_COMPLETE: 'implementation_complete'>]
    """
    events, following = list[TaskEvent](), str(status) or None
    is_there = False
    while following and not is_there:
        events.append(FORWARD.get(TaskStatus(following), TaskEvent.TASK_RESUMED))
        following = flow.target(events[-1], following)
        is_there = following != TaskStatus.IN_PROGRESS and (
            flow.rules.enforce_sequential or to is None or following == to
        )
    if to and following != to:
        raise errors.CannotAdvance(status=status, to=to, flow=flow.name, following=following or "none")
    return events


def stages_ahead(flow: Flow, status: str) -> list[str]:
    """The stages whose gates completed work has to pass before it rests: "testing", "completion", both or neither.

    Example:
        >>> from orchestrator.model.flows import Flow, SHIPPED_FLOWS
        >>> stages_ahead(Flow("default", SHIPPED_FLOWS["default"]), "in-progress")
        ['testing', 'completion']
        >>> stages_ahead(Flow("with_review", SHIPPED_FLOWS["with_review"]), "in-progress")
        []
    """
    passes = [status]
    for event in path_to_rest(flow, status):
        passes.append(flow.table[event][passes[-1]])
    stages = ["testing"] if TaskStatus.TESTING in passes else []
    return [*stages, "completion"] if passes[-1] == TaskStatus.COMPLETED else stages


GATES_FLOW = Flow("gates", ("pending", "in-progress", "completed"))
"""How the gates of a feature run: as an attempt of a task of their own."""


class _Asked(Flow):
    @cached_property
    def table(self) -> Mapping[TaskEvent, Arrow]:
        asked = (TaskEvent.RETRY_REQUESTED, TaskEvent.BLOCKER_RESOLVED)
        return {event: GATES_FLOW.table[event] for event in asked}


ASKED_OF_GATES = _Asked(GATES_FLOW.name, GATES_FLOW.statuses)
"""A person may ask the gates of a feature to run again, and nothing else: a feature cannot go on without its gates."""


def refuse(
    feature: str,
    task: str,
    event: str,
    status: str,
    table: Mapping[TaskEvent, Arrow] | Mapping[FeatureEvent, Arrow] | Mapping[str, Arrow],
    flow: str,
) -> errors.RefusedTransition:
    """The error for a transition that a table does not have; it names the flow and what would be allowed.

    Args:
        feature: The feature.
        task: Its task; "": the feature itself cannot take the event.
        event: The event that it cannot take.
        status: Where it stands.
        table: The status that each event leads to, from each status.
        flow: The name of the table.
    """
    allowed = [str(name) for name, arrow in table.items() if status in arrow]
    return errors.RefusedTransition(
        subject=f"{task} of {feature}" if task else f"The feature {feature}",
        feature=feature,
        task=task,
        event=event,
        status=status,
        flow=flow,
        events=allowed or "no event: it is final",
        allowed=allowed,
    )
