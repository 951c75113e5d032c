"""Answers about one task and its events: `task`, `explain`, `events`, `logs`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, JsonValue

from orchestrator.contract.answer import After, Answer, LeftOut, Moment, Need, Specialist
from orchestrator.contract.plan_answers import RouteGroup


class EarlierRuns(Answer):
    """How long a task took in earlier features of the same title, by the same specialist."""

    times: int = Field(description="that it was completed")
    median: float
    p90: float = Field(description="seconds that 9 of 10 attempts took at most")


class ExplainAnswer(Answer):
    """Of `explain`: why a task is in its status."""

    feature: str
    task: str
    title: str = ""
    status: str
    phase: str = ""
    answer: str
    details: tuple[str, ...] = ()
    before: EarlierRuns | None = None
    needs: tuple[Need, ...] = ()
    next: tuple[str, ...] = Field(default=(), description="commands that help and are no action of a need")
    route: RouteGroup | None = None


class OutcomeAnswer(Answer):
    """How an attempt ended."""

    status: str
    summary: str = ""
    cause: str = ""
    kind: str = ""
    reason: str = ""
    result: JsonValue = None
    tail: str = ""
    gates: tuple[str, ...] = Field(default=(), description="names of the quality gates that did not pass")


class EventLine(Answer):
    """One event."""

    rare: ClassVar = frozenset({"id", "source"})

    id: str = Field(default="", description="the cursor after it")
    time: Moment
    event: str
    task: str = ""
    source: str = Field(default="", description="the status before")
    status: str = Field(default="", description="the status after, if the event does not name it")
    attempt: int = 1
    batch: int = 0
    worker: str = ""
    specialist: Specialist | None = Field(default=None, description="who gets the task from here on")
    cause: str = ""
    percent: str = ""
    note: str = ""
    by: str = Field(default="", description="who decided it, where that is known")
    wait: float | None = Field(default=None, description="seconds until the next attempt")
    total: int = Field(default=0, description="tasks of the batch that opened, or that were added")
    in_flight: int = 0
    waiting: int = 0
    ran: float | None = Field(default=None, description="seconds that an overdue batch has taken")
    expected: float | None = Field(default=None, description="seconds that it was expected to take")


class EventsAnswer(Answer):
    """Of `events`: what happened, oldest first."""

    feature: str
    events: tuple[EventLine, ...] = ()
    gone: int = Field(default=0, description="how many of the oldest were deleted")
    left_out: LeftOut = Field(default_factory=dict)
    after: After = ""


class LogAnswer(Answer):
    """Of `logs`: the last lines of what an attempt wrote."""

    feature: str
    task: str
    attempt: int
    worker: str = Field(default="", description="where the last attempt ran")
    log: str = ""
    is_end: bool = Field(
        default=False, description="it is the end of a log on another machine; nobody counts what is before"
    )
    left_out: LeftOut = Field(default_factory=dict)


class ClaimAnswer(Answer):
    """Of `claim` and `report`: a task that an agent elsewhere has, or had; empty where none waits for an agent."""

    claim: str = Field(default="", description="what `report` takes")
    feature: str = ""
    task: str = ""
    title: str = ""
    status: str = Field(default="", description="of the task now")
    attempt: int = 0
    specialist: str = ""
    worker: str = Field(default="", description="the name of the agent")
    lease: float | None = Field(default=None, description="seconds in which the next report is due")
    brief: str = Field(default="", description="what is to be done")


class TaskSpec(Answer):
    """The definition of a task: what it was asked to do."""

    description: str = ""
    tags: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    priority: str = "medium"
    complexity: int = 5
    estimate: float | None = None
    timeout: float | None = None
    retries: int = Field(default=0, description="at most")
    idempotent: bool = True
    resources: Mapping[str, int] = Field(default_factory=dict)
    touches: tuple[str, ...] = ()
    params: Mapping[str, JsonValue] = Field(default_factory=dict)
    run: tuple[str, ...] = ()


class TaskAnswer(Answer):
    """Of `task`: one task; with --part, one part of what is known of it."""

    feature: str
    task: str
    title: str = ""
    status: str
    phase: str = ""
    batch: int
    attempt: int = 0
    specialist: Specialist | None = None
    tier: str = Field(default="", description="of its agent, where it stands on the ladder")
    cost: float | None = Field(default=None, description="dollars that its agents have cost so far")
    session: str = Field(default="", description="the conversation that its agent can go on with")
    worker: str = ""
    seconds: float | None = None
    percent: float | None = None
    note: str = ""
    said: str = ""
    brief: TaskSpec | None = Field(default=None, description="--part brief")
    outcome: OutcomeAnswer | None = Field(default=None, description="--part outcome")
    log: str = Field(default="", description="--part log: the end of the last attempt's output")
    diff: str = Field(default="", description="--part diff: what its agents have committed, as a patch")
    events: tuple[EventLine, ...] = Field(default=(), description="--part events")
    needs: tuple[Need, ...] = ()
    left_out: LeftOut = Field(default_factory=dict)
    after: After = ""
