"""The nouns: Feature, Task, Plan, Batch, Route, Outcome. Values only; nothing here reads or writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    Field,
    JsonValue,
    field_validator,
    model_validator,
)

from orchestrator.model import calls, command_line, words
from orchestrator.model.call_options import CallOptions, Errback

if TYPE_CHECKING:
    pass
from orchestrator.model.fields import (
    Argument,
    CeleryName,
    Estimate,
    Glob,
    Id,
    Line,
    Model,
    Number,
    Resource,
    Seconds,
    Tag,
    Text,
    Whole,
)
from orchestrator.model.outcome import FailureCause
from orchestrator.model.references import Reference

MINUTES_PER_COMPLEXITY = 5
"""A task without an estimate is taken to last this many minutes for each point of its complexity."""


class Priority(StrEnum):
    """Which of the ready tasks goes first."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def rank(self) -> int:
        """0 for high, 1 for medium, 2 for low: the smaller goes first."""
        return list(Priority).index(self)


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


OPEN_TO_DEPENDENCIES = (TaskStatus.PENDING, TaskStatus.ON_HOLD, TaskStatus.DEFERRED)
"""The statuses in which a task that was never launched can get a new dependency."""


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
    title: Line = Field(default="", max_length=200, description="one line; the id if it is left out")
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
    touches: tuple[Glob, ...] = Field(
        default=(),
        max_length=64,
        description="globs of the files that it changes: tasks of the feature that touch the same do not run at once",
    )
    params: Mapping[str, JsonValue] = Field(default_factory=dict, description="data for the specialist")
    run: tuple[Argument, ...] | None = Field(
        default=None, min_length=1, description="inline command: an argument list, or a text split into one"
    )
    call: CeleryName | None = Field(
        default=None, description="a task of the project's own Celery app, by its name, that does the work"
    )
    args: tuple[JsonValue, ...] = Field(
        default=(),
        description="its positional arguments; {result: T1} is the result of T1, {result: T1, path: rows.0} a part",
    )
    kwargs: Mapping[str, JsonValue] = Field(
        default_factory=dict, description="its arguments by keyword, as args"
    )
    options: CallOptions | None = Field(
        default=None, description="Celery's options for the message of a call"
    )
    on_failure: tuple[Errback, ...] = Field(
        default=(),
        max_length=100,
        description="Celery tasks that are called when this call has failed for good",
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
            touches: Iterable[str] = (),
            params: Mapping[str, Any] = {},
            run: Iterable[str] | None = None,
            call: object = None,
            args: Iterable[Any] = (),
            kwargs: Mapping[str, Any] = {},
            options: CallOptions | Mapping[str, Any] | None = None,
            on_failure: Iterable[Errback | Mapping[str, Any]] = (),
        ) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _a_signature_is_a_call(cls, value: object) -> object:
        return calls.as_fields(value)

    @model_validator(mode="after")
    def _one_way_to_work(self) -> Task:
        if self.call is None and (self.args or self.kwargs or self.options or self.on_failure):
            raise ValueError(
                "has args, kwargs, options or on_failure, and no call that they are for; write what it calls"
            )
        if self.call is not None and self.run is not None:
            raise ValueError("has both a run and a call; keep one of them")
        if self.call is not None and self.specialist is not None:
            raise ValueError("has both a specialist and a call, which does the work; leave one of them out")
        return self

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
        return tuple(dict.fromkeys(value)) if len(value) > 1 else value

    @property
    def calls(self) -> tuple[str, ...]:
        """The Celery tasks that it calls, those on a failure included."""
        return (
            *([self.call] if self.call else []),
            *(call for errback in self.on_failure for call in errback.calls),
        )

    @property
    def name(self) -> str:
        """The title, or the id if there is none."""
        return self.title or self.id

    def result(self, path: str = "") -> Reference:
        """The result of this task, as an argument of another one, which then depends on it.

        Args:
            path: The keys and places in lists that lead to a part of it, joined by dots; "": the whole.

        Example:
            >>> fetch = Task(id="fetch", call="proj.fetch")
            >>> Task(id="parse", call="proj.parse", args=[fetch.result("rows.0")]).depends_on
            ('fetch',)
        """
        return Reference(self.id, path)

    @property
    def label(self) -> str:
        """How a list names it: id and title, or the id if there is no other title."""
        return words.named(self.id, self.title)

    @property
    def weight(self) -> float:
        """Expected seconds: the estimate, or a guess from the complexity."""
        return self.complexity * MINUTES_PER_COMPLEXITY * 60.0 if self.estimate is None else self.estimate
