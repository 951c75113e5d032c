"""The nouns: Feature, Task, Plan, Batch, Route, Outcome. Values only; nothing here reads or writes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ModelWrapValidatorHandler,
    PrivateAttr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError, PydanticKnownError

from orchestrator import command_line, durations, identifiers, texts, wording

if TYPE_CHECKING:
    from celery import Signature

MINUTES_PER_COMPLEXITY = 5
"""A task without an estimate is taken to last this many minutes for each point of its complexity."""

SUGGESTIONS = 20
"""So many unknown dependencies of one feature get a "did you mean"; each costs a search through all the ids."""

NAMED = 8
"""Where there is nothing near, so many of the ids are named."""

MOST_MISTAKES = 1_000
"""So many mistakes of a feature are told; a text of a few megabytes can hold millions."""


def _one_line(text: str) -> str:
    if unwanted := texts.unwanted(text, breaks=False):
        raise ValueError(
            f"has a line break or another control character ({unwanted}); write plain text on one line"
        )
    return text


def _printable(text: str) -> str:
    if unwanted := texts.unwanted(text, breaks=True):
        raise ValueError(
            f"has a control character ({unwanted}); only line breaks and tabs may stand between the letters"
        )
    return text


def _no_null(text: str) -> str:
    if "\0" in text:
        raise ValueError("has a null character, which no command can be given")
    return text


def _whole(value: object) -> object:
    """What can be read as a whole number. pydantic reads true as 1, and 1_0 as 10."""
    if isinstance(value, bool) or (isinstance(value, str) and not re.fullmatch(r"[-+]?\d+", value.strip())):
        raise PydanticKnownError("int_type")
    return value


def _number(value: object) -> object:
    if isinstance(value, bool) or (isinstance(value, str) and "_" in value):
        raise PydanticKnownError("float_type")
    return value


def _task_id(text: str) -> str:
    if wrong := identifiers.trouble(text := identifiers.normal(text)):
        raise PydanticCustomError("id", "{text}", {"text": wrong})
    return text


def _feature_id(text: str) -> str:
    if wrong := identifiers.trouble_of_feature(text := identifiers.normal(text)):
        raise PydanticCustomError("id", "{text}", {"text": wrong})
    return text


Id = Annotated[str, AfterValidator(_task_id)]
FeatureId = Annotated[str, AfterValidator(_feature_id)]
Tag = Annotated[
    str,
    StringConstraints(strip_whitespace=True, to_lower=True, min_length=1, max_length=64),
    AfterValidator(_one_line),
]
Resource = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,62}$")]
Line = Annotated[str, AfterValidator(_one_line)]
Text = Annotated[str, AfterValidator(_printable)]
Argument = Annotated[str, AfterValidator(_no_null)]
Seconds = Annotated[float, BeforeValidator(durations.parse)]
Estimate = Annotated[float, BeforeValidator(durations.parse_estimate)]
Whole = Annotated[int, BeforeValidator(_whole)]
Number = Annotated[float, BeforeValidator(_number)]


class Model(BaseModel):
    """A value: immutable, and nothing but its declared fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Priority(StrEnum):
    """Which of the ready tasks goes first."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def rank(self) -> int:
        """0 for high, 1 for medium, 2 for low: the smaller goes first."""
        return list(Priority).index(self)


class Strategy(StrEnum):
    """How a plan turns a dependency graph into batches, and whether a task waits for the batch before its own."""

    SEQUENTIAL = "sequential"
    PARALLEL = "parallel"
    BATCHED = "batched"
    RESOURCE_AWARE = "resource_aware"
    DATAFLOW = "dataflow"
    AUTO = "auto"


class TaskStatus(StrEnum):
    """Where a task stands."""

    BACKLOG = "backlog"
    PENDING = "pending"
    IN_PROGRESS = "in-progress"
    IN_REVIEW = "in-review"
    CHANGES_REQUESTED = "changes-requested"
    TESTING = "testing"
    BLOCKED = "blocked"
    ON_HOLD = "on-hold"
    FAILED = "failed"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    DEFERRED = "deferred"


RESTING = (
    TaskStatus.FAILED,
    TaskStatus.BLOCKED,
    TaskStatus.ON_HOLD,
    TaskStatus.DEFERRED,
    TaskStatus.CANCELLED,
    TaskStatus.IN_REVIEW,
)
"""A task in one of these waits for a person, unless it is resolved."""


class FeatureStatus(StrEnum):
    """Where a feature stands. It follows from its tasks, but for `cancelled`, which a person asks for."""

    DRAFT = "draft"
    PLANNING = "planning"
    IN_DEVELOPMENT = "in-development"
    TESTING = "testing"
    VALIDATING = "validating"
    PENDING_REVIEW = "pending-review"
    BLOCKED = "blocked"
    ON_HOLD = "on-hold"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"
    ARCHIVED = "archived"

    @property
    def is_over(self) -> bool:
        """Nothing more will happen to the feature."""
        return self in OVER

    @property
    def is_success(self) -> bool:
        """The feature came to the end of its flow."""
        return self in (FeatureStatus.COMPLETED, FeatureStatus.ARCHIVED)


OVER = (FeatureStatus.COMPLETED, FeatureStatus.CANCELLED, FeatureStatus.FAILED, FeatureStatus.ARCHIVED)
"""Statuses that a feature does not leave."""


class FailureCause(StrEnum):
    """Why an attempt failed."""

    CODE = "code-error"
    TESTS = "failing-tests"
    DEPENDENCY = "dependency"
    TIMEOUT = "timeout"
    WORKER_LOST = "worker-lost"
    OUT_OF_MEMORY = "out-of-memory"
    GATE = "gate"
    REPORTED = "reported"
    WORKER_ENDS = "worker-ends"


class Retries(Model):
    """How often a failed task is tried again, and how long each wait is.

    The wait before retry n is `backoff * factor ** (n - 1)` seconds, at most `longest`, and with `jitter` a
    random share of it between half and the whole, so that tasks that failed together do not return together
    (AWS Architecture Blog, "Exponential Backoff And Jitter", the "equal jitter" variant).
    """

    max: Whole = Field(default=0, ge=0, le=100, description="retries after the first attempt")
    backoff: Seconds = Field(default=1.0, description="wait before the first retry")
    factor: Number = Field(default=2.0, ge=1, le=10, description="growth of the wait from retry to retry")
    longest: Seconds = Field(default=300.0, description="no wait is longer than this")
    jitter: bool = True
    later: Whole | None = Field(
        default=100,
        ge=0,
        description="how often it may say retry-later (exit code 75) before that is a failure; null: without end",
    )
    on: tuple[FailureCause, ...] = Field(default=(), description="causes that are tried again; none: all")

    if TYPE_CHECKING:  # what may be given is more than what is kept

        def __init__(
            self,
            *,
            max: int = 0,
            backoff: float | str = 1.0,
            factor: float = 2.0,
            longest: float | str = 300.0,
            jitter: bool = True,
            later: int | None = 100,
            on: Iterable[FailureCause | str] = (),
        ) -> None: ...

    def covers(self, cause: FailureCause) -> bool:
        """A failure of this cause is tried again."""
        return not self.on or cause in self.on

    def wait(self, retry: int, chance: float) -> float:
        """Seconds to wait before retry number `retry` (from 1); `chance` is a random number in [0, 1).

        Example:
            >>> Retries(max=3, backoff="2s", jitter=False).wait(3, chance=0.5)
            8.0
        """
        whole = min(self.longest, self.backoff * self.factor ** (retry - 1))
        return float(whole * (0.5 + chance / 2) if self.jitter else whole)


class Task(Model):
    """One piece of work in a feature.

    Example:
        >>> Task(id="T2", title="Implement API", tags=["backend"], depends_on=["T1"], estimate="25m").estimate
        1500.0
    """

    id: Id
    title: Line = Field(default="", max_length=200, description="one line; the id where it is left out")
    description: Text = ""
    tags: tuple[Tag, ...] = Field(default=(), max_length=32)
    depends_on: tuple[Id, ...] = ()
    priority: Priority = Priority.MEDIUM
    complexity: Whole = Field(default=5, ge=1, le=10)
    estimate: Estimate | None = Field(default=None, description="expected duration")
    timeout: Seconds | None = Field(default=None, description="the task is ended after this")
    retries: Retries = Retries()
    idempotent: bool = Field(
        default=True,
        description="false: where an attempt is lost with its worker, a person is asked before it runs again",
    )
    specialist: Line | None = Field(default=None, max_length=64, description="overrides the routing by tags")
    resources: Mapping[Resource, Annotated[Whole, Field(ge=1, le=1_000_000)]] = Field(
        default_factory=dict, max_length=16, description="what it takes of each resource while it runs"
    )
    params: Mapping[str, JsonValue] = Field(default_factory=dict, description="data for the specialist")
    run: tuple[Argument, ...] | None = Field(
        default=None, min_length=1, description="inline command: an argument list, or a text split into one"
    )

    if TYPE_CHECKING:  # what may be given is more than what is kept

        def __init__(
            self,
            *,
            id: str,
            title: str = "",
            description: str = "",
            tags: Iterable[str] = (),
            depends_on: Iterable[str] = (),
            priority: Priority | str = Priority.MEDIUM,
            complexity: int = 5,
            estimate: float | str | None = None,
            timeout: float | str | None = None,
            retries: Retries | Mapping[str, Any] | int = 0,
            idempotent: bool = True,
            specialist: str | None = None,
            resources: Mapping[str, int] | Iterable[str] = (),
            params: Mapping[str, Any] = {},
            run: Iterable[str] | None = None,
        ) -> None: ...

    @field_validator("retries", mode="before")
    @classmethod
    def _a_number_of_retries_is_enough(cls, value: object) -> object:
        return {"max": value} if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("resources", mode="before")
    @classmethod
    def _a_list_of_resources_is_one_of_each(cls, value: object) -> object:
        if isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
            return dict.fromkeys(value, 1)
        return value

    @field_validator("run", mode="before")
    @classmethod
    def _a_text_is_an_argument_list(cls, value: object) -> object:
        return command_line.split(value) if isinstance(value, str) else value

    @field_validator("depends_on", "tags", mode="after")
    @classmethod
    def _once_each(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value))

    @property
    def name(self) -> str:
        """The title, or the id where there is none."""
        return self.title or self.id

    @property
    def label(self) -> str:
        """How a list names it: id and title, or the id where there is no other title."""
        return wording.named(self.id, self.title)

    @property
    def weight(self) -> float:
        """Expected seconds: the estimate, or a guess from the complexity."""
        return self.complexity * MINUTES_PER_COMPLEXITY * 60.0 if self.estimate is None else self.estimate


class Feature(Model):
    """A set of tasks with dependencies, run as one.

    All the mistakes of a feature are reported together: those of single fields, and those between tasks
    (duplicate ids, unknown dependencies, a task that depends on itself).

    Example:
        >>> feature = Feature(title="Login", tasks=[Task(id="T1"), Task(id="T2", depends_on=["T1"])])
        >>> [task.id for task in feature.tasks]
        ['T1', 'T2']
    """

    id: FeatureId | None = Field(default=None, description="made up at enqueue where it is left out")
    title: Line = Field(min_length=1, max_length=200)
    description: Text = ""
    tags: tuple[Tag, ...] = Field(default=(), max_length=32)
    strategy: Strategy = Strategy.BATCHED
    max_parallel_tasks: Whole | None = Field(default=None, ge=1, le=10_000, description="cap of this feature")
    tasks: tuple[Task, ...] = Field(min_length=1)

    if TYPE_CHECKING:  # what may be given is more than what is kept

        def __init__(
            self,
            *,
            id: str | None = None,
            title: str,
            description: str = "",
            tags: Iterable[str] = (),
            strategy: Strategy | str = Strategy.BATCHED,
            max_parallel_tasks: int | None = None,
            tasks: Iterable[Task],
        ) -> None: ...

    @model_validator(mode="wrap")
    @classmethod
    def _report_all_mistakes_at_once(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(data, cls):  # a feature on its way into a plan has been checked already
            return data
        mistakes: list[InitErrorDetails] = []
        feature = None
        try:
            feature = handler(data)
        except ValidationError as error:
            mistakes += [
                _mistake(line["type"], line["msg"], line["loc"], line["input"])
                for line in error.errors(include_url=False, include_context=False)[:MOST_MISTAKES]
                if line["type"] != "too_short" or not line["input"]  # short only of what was refused in it
            ]
        if feature is not None or isinstance(data, Mapping):
            between = _mistakes_between(feature.tasks if feature else data.get("tasks"))
            mistakes += itertools.islice(between, MOST_MISTAKES)
        if mistakes:
            raise ValidationError.from_exception_data(cls.__name__, mistakes)
        assert feature is not None  # nosec B101  # for mypy: there would be mistakes
        return feature

    def __repr__(self) -> str:
        name = f"{self.title!r}, id={self.id!r}" if self.id else f"{self.title!r}"
        return f"Feature({wording.one_line(name)}, {wording.count(len(self.tasks), 'task')})"

    def __str__(self) -> str:
        return repr(self)

    def task(self, task_id: str) -> Task:
        """The task of that id.

        Raises:
            KeyError: There is none.
        """
        for task in self.tasks:
            if task.id == task_id:
                return task
        raise KeyError(task_id)


def _mistakes_between(tasks: object) -> Iterator[InitErrorDetails]:
    """The mistakes that no single task shows. Reads raw data too, and passes over what it cannot read."""
    if not isinstance(tasks, list | tuple):
        return
    rows = [(place, _id(_raw(task, "id")), _raw(task, "depends_on")) for place, task in enumerate(tasks)]
    first: dict[str, int] = {}
    for place, task_id, _ in rows:
        if isinstance(task_id, str) and first.setdefault(task_id, place) != place:
            yield _mistake(
                "duplicate_id",
                f"tasks[{first[task_id]}] has this id already; give each task an id of its own",
                ("tasks", place, "id"),
                task_id,
            )
    unknown = 0
    for place, task_id, dependencies in rows:
        if not isinstance(dependencies, list | tuple):
            continue
        for at, dependency in enumerate(map(_id, dependencies)):
            if not isinstance(dependency, str) or (dependency in first and dependency != task_id):
                continue
            if not identifiers.is_id(dependency):
                continue
            where = ("tasks", place, "depends_on", at)
            if dependency == task_id:
                yield _mistake("self_dependency", "a task cannot depend on itself", where, dependency)
            elif dependency not in first:
                unknown += 1
                near = _nearest(dependency, first) if unknown <= SUGGESTIONS else None
                known = wording.some(list(first), NAMED)
                hint = f"; did you mean {near}?" if near else f"; the tasks are {known}"
                yield _mistake("unknown_dependency", f"no task has this id{hint}", where, dependency)


def _id(value: object) -> object:
    return identifiers.normal(value) if isinstance(value, str) else value


def _raw(task: object, key: str) -> object:
    return task.get(key) if isinstance(task, dict) else getattr(task, key, None)


def _mistake(kind: str, text: str, where: tuple[str | int, ...], value: object) -> InitErrorDetails:
    return InitErrorDetails(type=PydanticCustomError(kind, "{text}", {"text": text}), loc=where, input=value)


def _nearest(word: str, known: Mapping[str, int]) -> str | None:
    import difflib

    if len(known) > 2_000:  # the search is quadratic; a suggestion is a courtesy, not worth seconds
        return None
    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=0.6)), None)


class SubBatch(Model):
    """A part of a batch that is wider than the cap: 1a starts first, the rest follows slot by slot."""

    label: str = Field(description='"1a", "1b", …')
    tasks: tuple[str, ...]


class Batch(Model):
    """Tasks that may run at the same time: all their dependencies are in batches before."""

    number: int = Field(ge=1)
    tasks: tuple[str, ...] = Field(description="in launch order")
    expected: float = Field(description="expected seconds under the cap, by itself")
    adds: float | None = Field(
        default=None,
        description="dataflow: expected seconds from the end of all batches before to its own; 0: it ends first",
    )
    due: float | None = Field(
        default=None,
        description="seconds from its opening (dataflow: from the feature's start) to its expected end; "
        "absent where a task has no estimate",
    )
    sub_batches: tuple[SubBatch, ...] = ()

    @property
    def parallel(self) -> bool:
        """More than one task, so that there is something to run side by side."""
        return len(self.tasks) > 1


class Bottleneck(Model):
    """A task that many others wait for, directly or through others."""

    task: Id
    blocks: int


class Schedule(Model):
    """What will run when: the feature's batches in order."""

    feature: Feature
    requested: Strategy
    strategy: Strategy = Field(description="what `auto` came to, else as requested")
    cap: int = Field(ge=1, description="max_parallel_tasks in force")
    batches: tuple[Batch, ...]
    order: tuple[str, ...] = Field(
        description="all tasks, in launch order: of those that may start, the first does"
    )
    learned: Mapping[str, float] = Field(
        default_factory=dict,
        description="seconds that tasks without an estimate took before, as a rule: what the plan takes for theirs",
    )
    expected_seconds: float = Field(description="the whole, under the cap")

    def __repr__(self) -> str:
        title = wording.one_line(self.feature.title)
        tasks = wording.count(len(self.feature.tasks), "task")
        batches = wording.count(len(self.batches), "batch", "batches")
        return f"{type(self).__name__}({title!r}, {tasks} in {batches}, {self.strategy}, cap={self.cap})"

    def __str__(self) -> str:
        return repr(self)


class Plan(Schedule):
    """A schedule, and what the planner knows about it."""

    critical_path: tuple[Id, ...]
    critical_seconds: float = Field(description="no schedule is shorter than this")
    total_seconds: float = Field(description="all the work, one task after the other")
    expected_batched: float = Field(
        description="the same where a batch starts when the one before it is complete"
    )
    expected_dataflow: float = Field(
        description="the same where a task starts when its own dependencies are complete"
    )
    bottlenecks: tuple[Bottleneck, ...]

    @property
    def saving_percent(self) -> int:
        """How much shorter the plan is than one task after the other, in per cent."""
        return round(100 * (1 - self.expected_seconds / self.total_seconds)) if self.total_seconds else 0

    @property
    def barrier_percent(self) -> int:
        """How much longer the feature takes with the barrier between batches than without it, in per cent.

        Below 0 in rare graphs: a schedule that leaves no slot idle can be the longer one (R. L. Graham, "Bounds on
        Multiprocessing Timing Anomalies", 1969).
        """
        if not self.expected_dataflow:
            return 0
        return round(100 * (self.expected_batched / self.expected_dataflow - 1))

    @property
    def is_guess(self) -> bool:
        """Nobody knows how long some task takes, so its seconds are a guess from its complexity.

        A guess serves to order tasks, and is no time to be told.
        """
        return self.unknown > 0

    @property
    def written(self) -> int:
        """How many tasks have an estimate."""
        return sum(task.estimate is not None for task in self.feature.tasks)

    @property
    def known(self) -> set[str]:
        """The tasks of which it is known how long they take."""
        return {task.id for task in self.feature.tasks if task.estimate is not None} | self.learned.keys()

    @property
    def unknown(self) -> int:
        """Of how many tasks nobody knows how long they take: without an estimate, and never completed before."""
        return len(self.feature.tasks) - self.written - len(self.learned)

    def canvas(self, app: Any = None) -> Signature[Any]:
        """The plan as a plain Celery chain of groups, executable as it is, without the orchestrator's state.

        Each task runs its specialist from its own arguments and the outcomes of what it depends on, and is retried
        as it says; one that fails stops the chain, and whoever waits for the result gets its error. The result is
        the outcome of the last batch: of its one task, or a list. No more tasks than the cap run side by side.

        Args:
            app: The app to run it on, made by `create`; the orchestrator's own where it is left out.

        Raises:
            NotInACanvas: The plan relies on something that only an enqueued feature has, such as a quality gate.
            NoSpecialist, UnknownSpecialist: A task has nobody to do it.

        Example:
            result = plan(feature).canvas().apply_async()
        """
        # The one door from the model to Celery, opened only when asked for.
        from orchestrator import canvas
        from orchestrator.celery import app as own

        return canvas.chain_of_groups(self, app or own)


class Route(Model):
    """Which specialist gets a task, and why."""

    specialist: str = Field(description="the specialist's name in the configuration")
    title: str
    queue: str
    model_tier: str | None = None
    tag: str | None = Field(default=None, description="the tag that matched")
    rule: Literal["task", "tag", "default", "nobody", "escalated", "assigned"]
    reason: str
    suggestions: tuple[str, ...] = Field(default=(), description="tags that would have matched")


class BlockKind(StrEnum):
    """What sort of obstacle a blocked task met."""

    EXTERNAL = "external-dependency"
    TECHNICAL = "technical"
    INFORMATION = "missing-information"
    WORKER_LOST = "worker-lost"


class GateResult(Model):
    """How a quality gate judged."""

    name: str
    stage: str
    passed: bool
    required: bool = True
    reason: str = ""
    tail: str = Field(default="", description="the last lines of its output")

    @property
    def said(self) -> str:
        """How a report says that it did not pass."""
        return f"the gate {self.name} did not pass: {self.reason}"


class Completed(Model):
    """The work is done."""

    status: Literal["completed"] = "completed"
    summary: str = ""
    result: JsonValue = None
    tail: str = Field(default="", description="the last lines of output")
    gates: tuple[GateResult, ...] = Field(
        default=(), description="the quality gates it passed, or was let through"
    )

    @property
    def warnings(self) -> list[str]:
        """What the gates found that did not pass, and that let it through all the same."""
        return [gate.said for gate in self.gates if not gate.passed]


class Blocked(Model):
    """The work cannot go on until somebody removes an obstacle."""

    status: Literal["blocked"] = "blocked"
    kind: BlockKind = BlockKind.TECHNICAL
    reason: str
    tail: str = ""

    if TYPE_CHECKING:

        def __init__(
            self, *, kind: BlockKind | str = BlockKind.TECHNICAL, reason: str, tail: str = ""
        ) -> None: ...


class Failed(Model):
    """The attempt went wrong."""

    status: Literal["failed"] = "failed"
    cause: FailureCause = FailureCause.REPORTED
    reason: str
    retry: bool | None = Field(
        default=None,
        description="whether another attempt makes sense, within retries.max; null: as retries.on has it",
    )
    tail: str = ""
    gates: tuple[GateResult, ...] = Field(
        default=(), description="the quality gates that judged, where it came so far"
    )
    _error: BaseException | None = PrivateAttr(default=None)

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            cause: FailureCause | str = FailureCause.REPORTED,
            reason: str,
            retry: bool | None = None,
            tail: str = "",
            gates: Iterable[GateResult] = (),
        ) -> None: ...

    @property
    def error(self) -> BaseException | None:
        """What was raised, in the process that did the work; it is stored nowhere."""
        return self._error

    def because_of(self, error: BaseException) -> Self:
        """The same failure, with what was raised."""
        self._error = error
        return self


class RetryLater(Model):
    """Nothing is wrong, but now is not the time: try again after `after` seconds."""

    status: Literal["retry-later"] = "retry-later"
    after: Seconds = 60.0
    reason: str = ""
    tail: str = ""

    if TYPE_CHECKING:

        def __init__(self, *, after: float | str = 60.0, reason: str = "", tail: str = "") -> None: ...


class Cancelled(Model):
    """The attempt was ended because somebody cancelled it."""

    status: Literal["cancelled"] = "cancelled"
    reason: str = "cancelled"
    tail: str = ""


Outcome = Annotated[Completed | Blocked | Failed | RetryLater | Cancelled, Field(discriminator="status")]
OUTCOME: TypeAdapter[Completed | Blocked | Failed | RetryLater | Cancelled] = TypeAdapter(Outcome)
"""Reads and writes any outcome: `OUTCOME.validate_json(text)`."""


class Progress(Model):
    """How far a feature is, from counters alone."""

    id: FeatureId
    title: str
    status: FeatureStatus
    strategy: Strategy
    cap: int
    auto_launch: bool
    total: int = Field(description="tasks")
    counts: Mapping[TaskStatus, int] = Field(description="tasks by status, without the pending ones")
    in_flight: int = Field(description="published and unfinished: the slots taken")
    launched: int = Field(default=0, description="of those in flight: not begun by a worker yet")
    queued: int = Field(description="ready, waiting for a slot")
    delayed: int = Field(description="waiting for a retry")
    unassigned: int = Field(default=0, description="waiting for a specialist")
    limited: Mapping[str, int] = Field(
        default_factory=dict, description="tasks that wait for a limit, by limit"
    )
    gates_failed: str = Field(
        default="", description="@testing or @validating: the feature's gates that failed"
    )
    flow: str = "default"
    is_paused: bool = False
    stops: tuple[int, ...] = Field(default=(), description="batches that wait for launch")
    overdue: int = Field(default=0, description="how often the open batch was reported as overdue")
    batch_started: float | None = None
    batch_ran: float = Field(
        default=0.0,
        description="seconds in which the open batch (dataflow: the feature) could go on; compare with batch_due",
    )
    batch_due: float | None = Field(
        default=None, description="seconds after which it should have ended; absent without estimates"
    )
    batch: int = Field(description="number of the batch that is open; 0 before the first")
    batches: int
    batch_total: int
    batch_resolved: int
    batch_counts: Mapping[TaskStatus, int]
    created: float = Field(description="seconds since the epoch, as all moments here")
    started: float | None = None
    finished: float | None = None
    expected_end: float | None = Field(
        default=None,
        description="when it should end; absent where some duration is unknown, or a person is asked first",
    )
    resolved: int = Field(default=0, description="tasks that hold nothing up any more: completed or skipped")

    @property
    def is_overdue(self) -> bool:
        """It was reported that the open batch takes too long, and it is over its time still."""
        return self.overdue > 0 and self.batch_due is not None and self.batch_ran > self.batch_due

    @property
    def completed(self) -> int:
        """Tasks that are completed."""
        return self.counts.get(TaskStatus.COMPLETED, 0)

    @property
    def stopped(self) -> int:
        """Tasks that hold their batch open until a person acts: failed, blocked, or cancelled alone."""
        failed, blocked, cancelled = (
            self.counts.get(status, 0)
            for status in (TaskStatus.FAILED, TaskStatus.BLOCKED, TaskStatus.CANCELLED)
        )
        return failed + blocked + max(0, cancelled - self.skipped)

    @property
    def percent(self) -> int:
        """Tasks that are completed or skipped, in per cent of all."""
        return 100 * max(self.resolved, self.completed) // self.total

    @property
    def skipped(self) -> int:
        """Tasks that were skipped."""
        return max(0, self.resolved - self.completed)

    def rests_elsewhere(self) -> bool:
        """Some task that waits for a person is not in the open batch: a person stopped it before its turn."""
        is_unassigned = self.unassigned > 0 and self.strategy is Strategy.DATAFLOW
        return is_unassigned or any(
            self.counts.get(status, 0) > self.batch_counts.get(status, 0) for status in RESTING
        )

    @property
    def awaits_launch(self) -> bool:
        """The next batch starts when a person launches it."""
        is_closed = self.batch_resolved >= self.batch_total
        return is_closed and self.batch < self.batches and not self.status.is_over and self.in_flight == 0

    @property
    def is_at_gates(self) -> bool:
        """All its tasks are resolved: what may follow are the gates of the feature, and its review."""
        return self.batch == self.batches and self.batch_resolved >= self.batch_total

    @property
    def is_settled(self) -> bool:
        """Nothing more happens unless a person acts: over, or stopped with nothing left that could run."""
        if self.status.is_over:
            return self.in_flight == 0 or self.status.is_success
        is_waiting = self.status in (
            FeatureStatus.BLOCKED,
            FeatureStatus.ON_HOLD,
            FeatureStatus.PENDING_REVIEW,
        )
        # A paused feature keeps its queue, and takes nothing from it.
        queued = 0 if self.is_paused else self.queued + sum(self.limited.values())
        return is_waiting and self.in_flight + queued + self.delayed == 0


class Unreadable(Model):
    """A feature in a list, of which no more can be read than this."""

    id: str
    title: str = ""
    status: str = Field(default="", description="as it is written")
    unreadable: str = Field(description="why")


class TaskState(Model):
    """Where a task of an enqueued feature stands."""

    id: Id
    title: str
    specialist: str = Field(description="its title")
    status: TaskStatus = TaskStatus.PENDING
    phase: Literal["", "waiting", "queued", "limited", "launched", "delayed", "unassigned", "ending"] = Field(
        default="",
        description="what a task waits for that a worker is to take up: a batch, a slot, a limit, a worker, a "
        "retry, a specialist; of any task: ending, where a person took its attempt away and it has not ended yet",
    )
    limit: str = Field(default="", description="the limit that it waits for, such as resource:gpu")
    attempt: int = 0
    batch: int
    depends_on: tuple[Id, ...] = ()
    retried: int = 0
    lost: int = 0
    resolved: bool = Field(default=False, description="it no longer holds its batch open")
    escalated: bool = False
    started: float | None = None
    finished: float | None = None
    due: float | None = Field(default=None, description="when the retry is due")
    waits: int = Field(default=0, description="dataflow: how many of its dependencies are unresolved")
    worker: str = ""
    percent: float | None = None
    note: str = ""
    noted: float | None = None

    @property
    def label(self) -> str:
        """How a list names it: id and title, or the id where there is no other title."""
        return wording.named(self.id, self.title)


class Tail(NamedTuple):
    """The end of what an attempt has put out so far."""

    attempt: int
    end: int
    """How many bytes of it there are."""
    data: bytes
    """The last of them."""


class Event(Model):
    """One entry of a feature's event stream."""

    id: str = Field(description="the id in the Redis Stream")
    time: float
    event: str
    task: str = ""
    source: str = Field(default="", description="status before")
    target: str = Field(default="", description="status after")
    attempt: int | None = None
    batch: int | None = None
    worker: str = ""
    specialist: str = Field(default="", description="who begins the attempt, or who is handed the task")
    cause: str = ""
    percent: str = ""
    note: str = ""
    wait: str = Field(default="", description="ms until the next attempt")
    total: int | None = Field(default=None, description="tasks of a batch that opened")
    in_flight: int | None = None
    waiting: int | None = Field(default=None, description="tasks that wait for a slot")
    ran: float | None = Field(default=None, description="ms that an overdue batch has taken")
    expected: float | None = Field(default=None, description="ms that it was expected to take")


def running_longest(states: Sequence[TaskState]) -> list[TaskState]:
    """Those of the tasks that run, the one that has done so for longest first."""
    running = (TaskStatus.IN_PROGRESS, TaskStatus.TESTING)
    found = [state for state in states if state.status in running and state.started is not None]
    return sorted(found, key=lambda state: state.started or 0.0)
