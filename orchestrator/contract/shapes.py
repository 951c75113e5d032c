"""What each command answers with --json.

The same words everywhere: a feature is `feature`, a task `task`, a specialist `{name, title}`; a moment is ISO 8601, a
duration seconds, a count a number. What is empty, or as it always is, is left out. A list is cut to `--limit`;
`left_out` counts the others, and `after` is what `--after` takes to go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, JsonValue

from orchestrator.models import Model

Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
LeftOut = Annotated[Mapping[str, int], Field(description="how many of each list are not in the answer")]
After = Annotated[str, Field(description="what --after takes to go on from here")]


class Answer(Model):
    """An object of an answer."""

    rare: ClassVar[frozenset[str]] = frozenset()
    """Fields that are only there where --fields asks for them."""


# Who and what


class Specialist(Answer):
    """Who does a task."""

    name: str = Field(description="as it is configured")
    title: str = ""


class Argument(Answer):
    """What an action takes."""

    type: Literal["string", "integer"] = Field(description="of its value")
    choices: tuple[str, ...] = Field(default=(), description="its values, where it has only these")
    required: bool = True


class Action(Answer):
    """What a person or a program may do about something."""

    action: str = Field(description="the command, such as retry")
    task: str = ""
    arguments: Mapping[str, Argument] = Field(default_factory=dict)
    command: str = Field(default="", description="as it is typed, where a command does it")


NeedKind = Literal[
    "failed", "blocked", "review", "specialist", "on-hold", "deferred", "cancelled", "gates", "feature-review",
    "paused", "launch", "overdue",
]  # fmt: skip


class Need(Answer):
    """What a feature waits for that somebody has to do."""

    need: NeedKind
    task: str = Field(default="", description="the task; absent where it is the feature that waits")
    title: str = Field(default="", description="of the task, where it has one of its own")
    cause: str = Field(default="", description="in a word, such as failing-tests")
    reason: str = Field(default="", description="as it was given")
    attempt: int = Field(default=1, description="which attempt stopped")
    tail: str = Field(default="", description="the last lines of its output")
    behind: int = Field(default=0, description="how many tasks wait behind it")
    waiting: tuple[str, ...] = Field(default=(), description="the first of them")
    batch: int = Field(default=0, description="of a launch or an overdue batch")
    ran: float | None = Field(default=None, description="seconds that an overdue batch has taken")
    expected: float | None = Field(default=None, description="seconds that it was expected to take")
    actions: tuple[Action, ...] = ()


# Features


class TaskLine(Answer):
    """Where a task stands, in short."""

    rare: ClassVar = frozenset({"specialist", "started", "finished", "depends_on", "worker"})

    task: str
    title: str = Field(default="", description="where it is not the id")
    status: str
    phase: str = Field(default="", description="what a task that waits is waiting for")
    batch: int = Field(default=0, description="where it is not the open one")
    attempt: int = Field(default=1, description="the last one, where it is not the first")
    seconds: float | None = Field(default=None, description="that the last attempt has taken")
    percent: float | None = None
    note: str = Field(default="", description="what it says about its progress")
    said: str = Field(default="", description="how its last attempt ended")
    specialist: Specialist | None = None
    worker: str = ""
    started: Moment = ""
    finished: Moment = ""
    depends_on: tuple[str, ...] = ()


class FeatureLine(Answer):
    """A feature in a list."""

    rare: ClassVar = frozenset({"batches", "created"})

    feature: str
    title: str = ""
    status: str
    batch: int = 0
    batches: int = 0
    total: int = Field(default=0, description="tasks")
    completed: int = 0
    skipped: int = 0
    stopped: int = Field(default=0, description="tasks that failed, are blocked, or were cancelled alone")
    in_flight: int = 0
    created: Moment = ""
    unreadable: str = Field(default="", description="why no more of it can be read")
    needs: tuple[Need, ...] = ()


class Features(Answer):
    """Of `status` without an id: the features."""

    features: tuple[FeatureLine, ...] = ()
    left_out: LeftOut = Field(default_factory=dict)
    after: After = ""


EndedBy = Literal["completed", "over", "stopped", "person", "batch", "change", "timeout"]


class FeatureAnswer(Answer):
    """Of `status`, `watch`, `run`, `enqueue`, `wait`: where a feature stands, and what it waits for."""

    rare: ClassVar = frozenset({"strategy", "cap", "counts", "created", "started", "finished", "flow"})

    feature: str
    title: str
    status: str
    ended_by: EndedBy | None = Field(default=None, description="why `wait` returned")
    repeated: bool = Field(default=False, description="it was enqueued before, under the same key")
    fallback: tuple[RouteGroup, ...] = Field(
        default=(), description="of `run` and `enqueue`: tasks that the default does, for no tag matches"
    )
    strategy: str = ""
    cap: int = 0
    flow: str = ""
    batch: int = Field(default=0, description="the open one")
    batches: int = 1
    total: int = Field(description="tasks")
    completed: int = 0
    skipped: int = 0
    stopped: int = Field(default=0, description="tasks that failed, are blocked, or were cancelled alone")
    in_flight: int = 0
    queued: int = 0
    limited: Mapping[str, int] = Field(
        default_factory=dict, description="tasks that wait for a limit, by limit"
    )
    delayed: int = Field(default=0, description="tasks that wait for a retry")
    unassigned: int = Field(default=0, description="tasks that wait for a specialist")
    paused: bool = False
    overdue: bool = False
    counts: Mapping[str, int] = Field(default_factory=dict, description="tasks by status, but for pending")
    seconds: float | None = Field(default=None, description="since its start, or in all")
    created: Moment = ""
    started: Moment = ""
    finished: Moment = ""
    expected_end: Annotated[
        Moment, Field(description="absent where some duration is unknown, or a person is asked first")
    ] = ""
    tasks: tuple[TaskLine, ...] = Field(default=(), description="of a large feature those of the open batch")
    needs: tuple[Need, ...] = ()
    warnings: tuple[GateWarning, ...] = Field(default=(), description="of gates that are not required")
    standstill: Standstill | None = None
    left_out: LeftOut = Field(default_factory=dict)
    after: After = ""
    cursor: str = Field(default="", description="the last event; `wait --after` takes it")


class GateWarning(Answer):
    """A gate of the feature that did not pass, and that is not required."""

    gate: str
    stage: str
    reason: str = ""


class Standstill(Answer):
    """What the open batch holds up while something in it has stopped."""

    batch: int
    tasks: int = Field(description="of later batches, and not resolved")
    last: int = Field(description="the last batch that is held up")
    independent: int = Field(default=0, description="those of them that depend on nothing that stopped")
    names: tuple[str, ...] = Field(default=(), description="of these, some")


class Standing(Answer):
    """Of `progress`: how far a feature is."""

    rare: ClassVar = frozenset({"feature", "batch", "batches", "in_flight"})

    feature: str
    status: str
    batch: int = 0
    batches: int = 0
    completed: int
    skipped: int = 0
    total: int
    in_flight: int = 0
    stopped: int = 0


class Decision(Answer):
    """Of each command by which a person decides something: the tasks it was about, and where they stand now."""

    feature: str
    status: str = Field(description="of the feature")
    message: str
    tasks: tuple[TaskLine, ...] = ()
    left_out: LeftOut = Field(default_factory=dict)


# One task


class RouteGroup(Answer):
    """Tasks that one specialist gets for one reason."""

    rare: ClassVar = frozenset({"model_tier"})

    specialist: Specialist | None = Field(default=None, description="absent: nobody matches")
    queue: str = Field(default="", description="where it is not the specialist's name")
    model_tier: str = ""
    rule: str = Field(
        default="", description="task, default, nobody, assigned or escalated; absent: by the tag"
    )
    tag: str = ""
    reason: str = ""
    total: int = Field(default=0, description="tasks, where not all are named")
    tasks: tuple[str, ...] = ()
    suggestions: tuple[str, ...] = Field(default=(), description="tags that would have routed them")


class Recommended(Answer):
    """Of `recommend`: who gets one task, and why."""

    specialist: Specialist | None = Field(default=None, description="absent: nobody yet")
    queue: str = Field(default="", description="where it is not the specialist's name")
    model_tier: str = ""
    rule: str = Field(
        default="", description="task, default, nobody, assigned or escalated; absent: by the tag"
    )
    tag: str = Field(default="", description="the one that matched")
    domains: Mapping[str, str] = Field(
        default_factory=dict, description="where no tag matches: who gets a tag of each domain"
    )
    near: tuple[str, ...] = Field(default=(), description="mapped tags that are spelt much like the task's")


class Routes(Answer):
    """Of `route`: who gets each task, and why."""

    routes: tuple[RouteGroup, ...] = ()
    left_out: LeftOut = Field(default_factory=dict)
    after: After = ""


class Before(Answer):
    """How long a task took in earlier features of the same title, by the same specialist."""

    times: int = Field(description="that it was completed")
    median: float
    p90: float = Field(description="seconds that 9 of 10 attempts took at most")


class Explained(Answer):
    """Of `explain`: why a task stands where it stands."""

    feature: str
    task: str
    title: str = ""
    status: str
    phase: str = ""
    answer: str
    details: tuple[str, ...] = ()
    before: Before | None = None
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
    status: str = Field(default="", description="the status after, where the event does not say it")
    attempt: int = 1
    batch: int = 0
    worker: str = ""
    specialist: Specialist | None = Field(default=None, description="who gets the task from here on")
    cause: str = ""
    percent: str = ""
    note: str = ""
    wait: float | None = Field(default=None, description="seconds until the next attempt")
    total: int = Field(default=0, description="tasks of the batch that opened, or that were added")
    in_flight: int = 0
    waiting: int = 0
    ran: float | None = Field(default=None, description="seconds that an overdue batch has taken")
    expected: float | None = Field(default=None, description="seconds that it was expected to take")


class Events(Answer):
    """Of `events`: what happened, oldest first."""

    feature: str
    events: tuple[EventLine, ...] = ()
    gone: int = Field(default=0, description="of the oldest, how many are kept no more")
    left_out: LeftOut = Field(default_factory=dict)
    after: After = ""


class Brief(Answer):
    """What a task was asked to do."""

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
    worker: str = ""
    seconds: float | None = None
    percent: float | None = None
    note: str = ""
    said: str = ""
    brief: Brief | None = Field(default=None, description="--part brief")
    outcome: OutcomeAnswer | None = Field(default=None, description="--part outcome")
    log: str = Field(default="", description="--part log: the end of the last attempt's output")
    events: tuple[EventLine, ...] = Field(default=(), description="--part events")
    needs: tuple[Need, ...] = ()
    left_out: LeftOut = Field(default_factory=dict)
    after: After = ""


# Before a run


class PlannedBatch(Answer):
    """Tasks that may run at the same time."""

    batch: int
    tasks: tuple[str, ...] = Field(default=(), description="in launch order")
    total: int = Field(default=0, description="tasks, where not all are named")
    seconds: float | None = Field(
        default=None, description="expected under the cap; absent where that is not known of each task"
    )
    sub_batches: int = Field(default=0, description="parts of a batch that is wider than the cap")


class Sources(Answer):
    """Where it is from how long tasks take: so many tasks each. Without `unknown`, the plan has its times."""

    written: int = Field(default=0, description="have an estimate")
    learned: int = Field(default=0, description="have none, and take the median of their earlier runs")
    unknown: int = Field(default=0, description="have none, and were never completed before")


class Blocking(Answer):
    """A task that many others wait for."""

    task: str
    blocks: int


class Planned(Answer):
    """Of `plan`: what would run when, and who would do it."""

    rare: ClassVar = frozenset({"requested", "critical_seconds", "expected_batched", "expected_dataflow"})

    title: str
    strategy: str
    requested: str = ""
    cap: int
    total: int = Field(description="tasks")
    sources: Sources
    seconds: float | None = Field(
        default=None,
        description="expected, under the cap; absent, as all seconds of the whole, where unknown",
    )
    total_seconds: float | None = Field(default=None, description="one task after the other")
    critical_seconds: float | None = None
    expected_batched: float | None = None
    expected_dataflow: float | None = None
    barrier_percent: int = Field(default=0, description="what the barrier between batches costs")
    batches: tuple[PlannedBatch, ...] = ()
    critical_path: tuple[str, ...] = ()
    bottlenecks: tuple[Blocking, ...] = ()
    routes: tuple[RouteGroup, ...] = ()
    left_out: LeftOut = Field(default_factory=dict)
    after: After = ""


# This machine


class SpecialistLine(Answer):
    """A specialist, and what is known of him."""

    name: str
    title: str = ""
    description: str = ""
    queue: str = Field(default="", description="where it is not the name")
    model_tier: str = ""
    tags: tuple[str, ...] = Field(default=(), description="that route to him")
    work: str = Field(default="", description="command, python, or absent: he does only tasks with a `run`")
    default: bool = False


class Specialists(Answer):
    """Of `specialists`: who there is."""

    specialists: tuple[SpecialistLine, ...] = ()
    left_out: LeftOut = Field(default_factory=dict)
    after: After = ""


class Holder(Answer):
    """A task that holds some of a limit."""

    feature: str
    task: str
    units: int = 1


class LimitLine(Answer):
    """What there is of something, over all features."""

    limit: str
    amount: str = ""
    in_use: float = 0
    waiting: int = Field(default=0, description="tasks")
    features: int = Field(default=0, description="of so many features")
    next_token: float | None = Field(default=None, description="seconds until a rate lets one more begin")
    holders: tuple[Holder, ...] = ()


class Limits(Answer):
    """Of `limits`: what holds over all features."""

    limits: tuple[LimitLine, ...] = ()
    left_out: LeftOut = Field(default_factory=dict)
    after: After = ""


class FindingLine(Answer):
    """What one check found."""

    finding: str
    level: str
    text: str
    remedy: str = ""


class Findings(Answer):
    """Of `doctor`: what was checked."""

    findings: tuple[FindingLine, ...] = ()
    left_out: LeftOut = Field(default_factory=dict)
    after: After = ""


class Setting(Answer):
    """A setting in force."""

    setting: str
    value: JsonValue
    origin: str = Field(default="default", description="environment, file or default")


class SettingsAnswer(Answer):
    """Of `config`: the settings in force."""

    file: str = ""
    folder: str
    settings: tuple[Setting, ...] = ()
    left_out: LeftOut = Field(default_factory=dict)
    after: After = ""


class Forgotten(Answer):
    """Of `prune` and `forget`: what went, or would go."""

    features: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    dry_run: bool = False
    left_out: LeftOut = Field(default_factory=dict)


# Errors


class ErrorAnswer(Answer):
    """Of any command, where it was not done: what is wrong, with what, and what to do."""

    code: str = Field(description="stable; see `orchestrator schema codes`")
    message: str
    cause: str = ""
    subject: Mapping[str, str] = Field(
        default_factory=dict, description="what it is about: {feature, task, …}"
    )
    actions: tuple[Action, ...] = ()
    facts: Mapping[str, JsonValue] = Field(default_factory=dict)


class Code(Answer):
    """A code that an error may have."""

    code: str
    exit_code: int
    message: str = Field(description="with the names of its facts in braces")


class Codes(Answer):
    """Of `schema codes`: every code there is."""

    codes: tuple[Code, ...] = ()


ANSWERS: Mapping[str, type[Answer]] = {
    "plan": Planned,
    "route": Routes,
    "recommend": Recommended,
    "run": FeatureAnswer,
    "enqueue": FeatureAnswer,
    "watch": FeatureAnswer,
    "wait": FeatureAnswer,
    "status": FeatureAnswer,
    "features": Features,
    "progress": Standing,
    "explain": Explained,
    "task": TaskAnswer,
    "events": Events,
    "decision": Decision,
    "specialists": Specialists,
    "limits": Limits,
    "doctor": Findings,
    "config": SettingsAnswer,
    "prune": Forgotten,
    "forget": Forgotten,
    "error": ErrorAnswer,
    "codes": Codes,
}
"""The shape of each answer, by the name that `orchestrator schema NAME` takes."""

DECISIONS = (
    "retry", "unblock", "skip", "assign", "approve", "request-changes", "advance", "hold", "resume", "defer", "block",
    "pause", "launch", "cap", "cancel", "fail", "add-task", "depend",
)  # fmt: skip
"""Commands that answer with a decision."""
