"""An outcome: how one attempt of a task ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, Self

from pydantic import (
    Field,
    JsonValue,
    PrivateAttr,
    TypeAdapter,
)

from orchestrator.model.fields import Model, Seconds, Whole
from orchestrator.model.raised import Raised

if TYPE_CHECKING:
    from orchestrator.model.task import Task


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
    STALLED = "stalled"
    NO_OUTCOME = "no-outcome"


class BlockKind(StrEnum):
    """The kind of obstacle that a blocked task met."""

    EXTERNAL = "external-dependency"
    TECHNICAL = "technical"
    INFORMATION = "missing-information"
    WORKER_LOST = "worker-lost"
    BUDGET = "budget"
    PERMISSION = "permission"
    CONFLICT = "conflict"


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
    handoff: str = Field(default="", description="what those who go on from here have to know")
    tail: str = Field(default="", description="the last lines of output")
    gates: tuple[GateResult, ...] = Field(
        default=(), description="the quality gates it passed, or was let through"
    )

    @property
    def warnings(self) -> list[str]:
        """The findings of gates that did not pass and are not required."""
        return [gate.said for gate in self.gates if not gate.passed]


class Blocked(Model):
    """The work cannot go on until somebody removes an obstacle."""

    status: Literal["blocked"] = "blocked"
    kind: BlockKind = BlockKind.TECHNICAL
    reason: str
    tail: str = ""
    budget: str = Field(default="", description="the budget that is used up, if one is: task or feature")

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            kind: BlockKind | str = BlockKind.TECHNICAL,
            reason: str,
            tail: str = "",
            budget: str = "",
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
    raised: Raised | None = Field(default=None, description="what a called Celery task raised")
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
        """The exception that the work raised, in its own process; it is not stored."""
        return self._error

    def because_of(self, error: BaseException) -> Self:
        """The same failure, with what was raised."""
        self._error = error
        return self


class NextCall(Model):
    """The next attempt of a called task: other arguments, or the work of another Celery task."""

    call: str
    args: tuple[JsonValue, ...] = ()
    kwargs: Mapping[str, JsonValue] = Field(default_factory=dict)
    moves: bool = Field(default=False, description="it is another Celery task than before")
    since: Whole = Field(default=0, description="retries before it: it counts its own from here")
    eta: float | None = Field(default=None, description="when it was to begin; seconds since 1970")
    gives: JsonValue = Field(
        default=None,
        description="its result, of those of the tasks that a canvas has put in its place; null: it calls something",
    )


class Replaced(NamedTuple):
    """The replacement of a task (`self.replace`): new tasks, and the task itself, which depends on them."""

    task: Task
    added: tuple[Task, ...]


class RetryLater(Model):
    """Nothing is wrong, but now is not the time: try again after `after` seconds."""

    status: Literal["retry-later"] = "retry-later"
    after: Seconds = 60.0
    reason: str = ""
    tail: str = ""
    next: NextCall | None = Field(default=None, description="what is called then; null: the same as now")
    limit: str = Field(
        default="",
        description="the model whose limit is reached: its limit closes for all tasks until then, and this is no retry",
    )
    _replaced: Replaced | None = PrivateAttr(default=None)

    @property
    def replaced(self) -> Replaced | None:
        """The tasks that come into its place first. They are stored as tasks of the feature, and not with it."""
        return self._replaced

    def behind(self, replaced: Replaced) -> Self:
        """The same, after tasks that come into its place."""
        self._replaced = replaced
        return self

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            after: float | str = 60.0,
            reason: str = "",
            tail: str = "",
            next: NextCall | None = None,
            limit: str = "",
        ) -> None: ...


class Cancelled(Model):
    """The attempt was ended because somebody cancelled it."""

    status: Literal["cancelled"] = "cancelled"
    reason: str = "cancelled"
    tail: str = ""


Outcome = Annotated[Completed | Blocked | Failed | RetryLater | Cancelled, Field(discriminator="status")]


OUTCOME: TypeAdapter[Completed | Blocked | Failed | RetryLater | Cancelled] = TypeAdapter(Outcome)
"""Reads and writes any outcome: `OUTCOME.validate_json(text)`."""
