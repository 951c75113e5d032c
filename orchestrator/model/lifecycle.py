"""What an event asks for, and what is to be done after a change.

Pure: an event comes in, a value goes out. What may happen is in the transition tables of `flows`. The store applies a
move (its Lua scripts are handed the rows of the table, and hold no rules of their own), the dispatcher carries out
commands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from orchestrator.model import errors, words
from orchestrator.model.feature import FeatureStatus
from orchestrator.model.flows import FORWARD, Arrow, FeatureEvent, Flow, TaskEvent
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
class Move:
    """A change of a task's status that the store is asked to apply, if the task's status allows every step.

    Args:
        steps: The events, one after the other.
        wait: Seconds until the task may start again, for a move that starts it again later.
        cause: Why, in a word.
        note: More of it, on a line.
        route: The specialist that gets the task next, where another one does.
        counts: What the move uses up one of: "retried" (a retry) or "later" (a retry-later); "": neither.
    """

    steps: tuple[Step, ...]
    wait: float | None = None
    cause: str = ""
    route: str = ""
    counts: Literal["", "retried", "later"] = ""
    note: str = ""

    @property
    def event(self) -> TaskEvent:
        """The last event, which names the move."""
        return self.steps[-1][0]

    def target(self, status: str) -> str | None:
        """Where the steps lead from a status; None where one of them is not allowed."""
        for _, arrow in self.steps:
            following = arrow.get(status)
            if following is None:
                return None
            status = following
        return status


def move(flow: Flow, *events: TaskEvent, wait: float | None = None, cause: str = "", route: str = "") -> Move:
    """The move that events ask for in a flow.

    Example:
        >>> from orchestrator.model.flows import Flow, SHIPPED_FLOWS
        >>> move(Flow("hotfix", SHIPPED_FLOWS["hotfix"]), TaskEvent.WORK_STARTED).target("pending")
        'in-progress'
    """
    return Move(tuple((event, flow.table.get(event, {})) for event in events), wait, cause, route)


def at_once(flow: Flow, status: str, *events: TaskEvent) -> Move:
    """The move of what passes a stage without a stop, such as testing where there are no gates: the first event alone.

    Example:
        >>> from orchestrator.model.flows import Flow, SHIPPED_FLOWS
        >>> flow = Flow("default", SHIPPED_FLOWS["default"])
        >>> at_once(flow, "in-progress", TaskEvent.IMPLEMENTATION_COMPLETE, TaskEvent.TESTS_PASSED).steps
        ((<TaskEvent.IMPLEMENTATION_COMPLETE: 'implementation_complete'>, {'in-progress': 'completed'}),)
    """
    target = move(flow, *events).target(status)
    return Move(((events[0], {} if target is None else {status: target}),))


@dataclass(frozen=True)
class Attempts:
    """What is known of a task's attempts when one ends.

    Args:
        retried: Failed attempts that were tried again.
        later: Attempts that asked to be tried again later.
        escalated: A blocker was handed on to another specialist before.
    """

    retried: int = 0
    escalated: bool = False
    later: int = 0


def conclude(
    flow: Flow,
    outcome: Outcome,
    retries: Retries,
    attempts: Attempts = Attempts(),
    *,
    chance: float = 0.5,
    status: str = TaskStatus.IN_PROGRESS,
    escalate_to: str | None = None,
) -> Move:
    """The move that the end of an attempt asks for.

    Args:
        flow: The task's flow.
        outcome: What the specialist returned, or the failure of a gate.
        retries: The task's retry policy.
        attempts: What came before.
        chance: A random number in [0, 1), the jitter of a wait.
        status: Where the attempt stands: in-progress, or testing where its gates were run.
        escalate_to: The specialist that a technical blocker is handed on to, once.

    Example:
        >>> from orchestrator.model.flows import Flow, SHIPPED_FLOWS
        >>> flow = Flow("hotfix", SHIPPED_FLOWS["hotfix"])
        >>> conclude(flow, Failed(reason="flaky"), Retries(max=1, jitter=False)).wait
        1.0
    """
    match outcome:
        case Completed(warnings=warnings):
            completed = at_once(flow, status, *path_to_rest(flow, status))
            if not warnings:
                return completed
            return replace(completed, cause=FailureCause.GATE, note=words.one_line("; ".join(warnings)))
        case Blocked(kind=BlockKind.TECHNICAL) if escalate_to and not attempts.escalated:
            return move(
                flow, TaskEvent.TASK_ESCALATED, wait=0.0, cause=BlockKind.TECHNICAL, route=escalate_to
            )
        case Blocked(kind=kind):
            return move(flow, TaskEvent.BLOCKER_DETECTED, cause=kind)
        case RetryLater(after=after):
            later = move(flow, TaskEvent.RETRY_SCHEDULED, wait=after, cause="retry-later")
            return replace(later, counts="later")
        case Cancelled():
            return move(flow, TaskEvent.TASK_CANCELLED)
        case Failed(cause=cause, retry=makes_sense):
            is_wanted = retries.covers(cause) if makes_sense is None else makes_sense
            may_retry = is_wanted and attempts.retried < retries.max
            if may_retry and flow.target(TaskEvent.RETRY_SCHEDULED, status):
                wait = retries.wait(attempts.retried + 1, chance)
                step = (TaskEvent.RETRY_SCHEDULED, flow.table[TaskEvent.RETRY_SCHEDULED])
                return Move((step,), wait, cause, counts="retried")
            failed = status == TaskStatus.TESTING or cause is FailureCause.GATE
            return move(flow, TaskEvent.TESTS_FAILED if failed else TaskEvent.WORK_FAILED, cause=cause)


def bounded(outcome: Outcome, retries: Retries, attempts: Attempts) -> Outcome:
    """The outcome, or the failure that it amounts to: a task may not ask for another time without end.

    Example:
        >>> bounded(RetryLater(reason="no licence"), Retries(later=2), Attempts(later=2)).reason
        'asked 3 times to be tried again later, and its limit is 2 (retries.later): no licence'
    """
    if not isinstance(outcome, RetryLater) or retries.later is None or attempts.later < retries.later:
        return outcome
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

    Only a worker puts a task in progress. Who moves a task on that has not started says that its work is done, so it
    passes through that status to the one behind it. A step that the flow does not have is in the list all the same,
    for the store to refuse it.

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
"""What a person may ask of the gates of a feature: to run again. Nothing goes on behind gates that were put aside."""


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
        event: What it cannot take.
        status: Where it stands.
        table: What each event leads to.
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


@dataclass(frozen=True)
class Launch:
    """A task that got its slot, to be published."""

    task: str
    attempt: int
    specialist: str


@dataclass(frozen=True)
class BatchTally:
    """How far a batch is."""

    number: int
    total: int
    resolved: int
    blocked: int = 0
    failed: int = 0

    def line(self) -> str:
        """The progress of the batch as people read it.

        Example:
            >>> BatchTally(number=1, total=5, resolved=3).line()
            'Batch 1: 3/5 tasks complete (60%)'
            >>> BatchTally(number=2, total=1, resolved=0, blocked=1).line()
            'Batch 2: 0/1 (blocked)'
        """
        stopped = [
            text
            for count, text in ((self.blocked, "blocked"), (self.failed, "failed"))
            if count
            for text in [text if count == self.total - self.resolved else f"{count} {text}"]
        ]
        if stopped:
            return f"Batch {self.number}: {self.resolved}/{self.total} ({', '.join(stopped)})"
        share = 100 * self.resolved // self.total
        return f"Batch {self.number}: {self.resolved}/{self.total} tasks complete ({share}%)"


@dataclass(frozen=True)
class ScheduleResult:
    """What the store found and did: its answer to "what may start now?"."""

    feature: str
    status: FeatureStatus
    launched: tuple[Launch, ...] = ()
    opened: tuple[int, ...] = ()
    finished: BatchTally | None = None
    """The batch of the task that finished, where one did."""
    wake: tuple[str, ...] = ()
    """Features that a limit lets go on now."""


@dataclass(frozen=True)
class Publish:
    """Send these tasks to their queues, as one Celery group."""

    feature: str
    launches: tuple[Launch, ...]


@dataclass(frozen=True)
class Announce:
    """Write a line of progress to the log."""

    feature: str
    text: str


@dataclass(frozen=True)
class Wake:
    """Launch what may start now in this feature: something that it waits for is free."""

    feature: str


Command = Publish | Announce | Wake


def follow_up(facts: ScheduleResult) -> list[Command]:
    """What is to be done after a change, from the facts that the store returned.

    Example:
        >>> facts = ScheduleResult("auth", FeatureStatus.IN_DEVELOPMENT, launched=(Launch("T2", 1, "senior-engineer"),))
        >>> [type(command).__name__ for command in follow_up(facts)]
        ['Publish']
    """
    commands: list[Command] = []
    if facts.finished:
        commands.append(Announce(facts.feature, facts.finished.line()))
    if facts.launched:
        commands.append(Publish(facts.feature, facts.launched))
    return commands + [Wake(feature) for feature in dict.fromkeys(facts.wake)]
