"""A feature: tasks with dependencies, and how they are to run."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import (
    Field,
    JsonValue,
    ModelWrapValidatorHandler,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from orchestrator.model import calls, identifiers, words
from orchestrator.model.fields import FeatureId, Line, Model, Number, Tag, Text, Whole
from orchestrator.model.garbage import collector_paused
from orchestrator.model.task import Task
from orchestrator.model.usage import MOST_MONEY

if TYPE_CHECKING:
    from celery import Signature

SUGGESTIONS = 20
"""How many unknown dependencies of a feature get a "did you mean"; each costs a search through all ids."""


MOST_TO_SEARCH = 2_000
"""Among more ids no "did you mean" is looked for: the search is quadratic."""

NAMED = 8
"""How many ids are named if none is similar."""


MOST_MISTAKES = 1_000
"""How many mistakes of a feature are named; a text of a few megabytes can have millions."""


class Strategy(StrEnum):
    """How a plan turns a dependency graph into batches, and whether a task waits for the batch before its own."""

    SEQUENTIAL = "sequential"
    PARALLEL = "parallel"
    BATCHED = "batched"
    RESOURCE_AWARE = "resource_aware"
    DATAFLOW = "dataflow"
    AUTO = "auto"


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


class Feature(Model):
    """A set of tasks with dependencies, run as one.

    All the mistakes of a feature are reported together: those of single fields, and those between tasks
    (duplicate ids, unknown dependencies, a task that depends on itself).

    Example:
        >>> feature = Feature(title="Login", tasks=[Task(id="T1"), Task(id="T2", depends_on=["T1"])])
        >>> [task.id for task in feature.tasks]
        ['T1', 'T2']
    """

    id: FeatureId | None = Field(default=None, description="made up at enqueue if it is left out")
    title: Line = Field(min_length=1, max_length=200)
    description: Text = ""
    tags: tuple[Tag, ...] = Field(default=(), max_length=32)
    strategy: Strategy = Strategy.BATCHED
    max_parallel_tasks: Whole | None = Field(default=None, ge=1, le=10_000, description="cap of this feature")
    budget: Annotated[Number, Field(gt=0, le=MOST_MONEY)] | None = Field(
        default=None,
        description="dollars that its agents may spend together, at most budgets.feature; else that",
    )
    tasks: tuple[Task, ...] = Field(min_length=1)
    result: JsonValue = Field(
        default=None, description="what Handle.result gives: a value with {result: T1} in place of results"
    )

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
            budget: float | None = None,
            tasks: Iterable[Any],
            result: Any = None,
        ) -> None: ...

    def canvas(self, app: Any = None) -> Signature[Any]:
        """The feature as a plain canvas of Celery's: `plan(feature).canvas(app)`, which says what it raises.

        Example:
            feature.canvas(app).apply_async()
        """
        from orchestrator import plan  # late: a door to Celery, as `Plan.canvas` is

        return plan(self).canvas(app)

    @field_validator("tasks", mode="before")
    @classmethod
    def _signatures_are_tasks(cls, value: object) -> object:
        return calls.with_ids(value)

    @model_validator(mode="wrap")
    @classmethod
    def _report_all_mistakes_at_once(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(data, cls):  # a feature on its way into a plan has been checked already
            return data
        mistakes: list[InitErrorDetails] = []
        feature = None
        try:
            with collector_paused():
                feature = handler(data)
        except ValidationError as error:
            mistakes += [
                _mistake(line["type"], line["msg"], line["loc"], line["input"])
                for line in error.errors(include_url=False, include_context=False)[:MOST_MISTAKES]
                if line["type"] != "too_short" or not line["input"]  # short only of what was refused in it
            ]
        if not (feature and _are_consistent(feature.tasks)) and (feature or isinstance(data, Mapping)):
            between = _mistakes_between(feature.tasks if feature else data.get("tasks"))
            mistakes += itertools.islice(between, MOST_MISTAKES)
        if mistakes:
            raise ValidationError.from_exception_data(cls.__name__, mistakes)
        assert feature is not None  # nosec B101  # for mypy: there would be mistakes
        return feature

    @property
    def is_from_file(self) -> bool:
        """Its author wrote a file, and no program of the operator's (see `trust.calls`)."""
        return bool(self.__dict__.get("is_of_file"))

    def as_of_file(self) -> Self:
        """The same feature, marked as one that a file brought."""
        self.__dict__["is_of_file"] = True  # beside the fields: it is no part of what the feature says
        return self

    def __repr__(self) -> str:
        name = f"{self.title!r}, id={self.id!r}" if self.id else f"{self.title!r}"
        return f"Feature({words.one_line(name)}, {words.count(len(self.tasks), 'task')})"

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


def _are_consistent(tasks: Sequence[Task]) -> bool:
    """Whether each id is there once, and each dependency is the id of another task."""
    ids = {task.id for task in tasks}
    return len(ids) == len(tasks) and all(
        task.id not in task.depends_on and ids.issuperset(task.depends_on)
        for task in tasks
        if task.depends_on
    )


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
    can_suggest = len(first) <= MOST_TO_SEARCH
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
                known = first if can_suggest and unknown <= SUGGESTIONS else ()
                others = f"; the tasks are {words.some(list(first), NAMED)}"
                hint = words.did_you_mean(dependency, known, others)
                yield _mistake("unknown_dependency", f"no task has this id{hint}", where, dependency)


def _id(value: object) -> object:
    return identifiers.normal(value) if isinstance(value, str) else value


def _raw(task: object, key: str) -> object:
    return task.get(key) if isinstance(task, dict) else getattr(task, key, None)


def _mistake(kind: str, text: str, where: tuple[str | int, ...], value: object) -> InitErrorDetails:
    return InitErrorDetails(type=PydanticCustomError(kind, "{text}", {"text": text}), loc=where, input=value)
