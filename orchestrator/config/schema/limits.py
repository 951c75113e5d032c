"""Sections that bound: how much runs at once, and how large a feature may be."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from orchestrator.config.schema.section import Section
from orchestrator.model.fields import Seconds, Whole
from orchestrator.model.rate import MOST


class Take(Section):
    """How long a process of a worker goes on by itself, before Celery gives it a message again."""

    seconds: Seconds = Field(default=1.0, description="it takes no more after this time")
    count: Whole = Field(default=100, ge=1, description="it takes no more after this many tasks")


class Parallelism(Section):
    """How many tasks run at once."""

    max_parallel_tasks: Whole = Field(
        default=5, ge=1, le=10_000, description="tasks of one feature that run at the same time"
    )
    max_parallel_total: Whole | None = Field(
        default=None, ge=1, le=MOST, description="tasks of all features together that run at the same time"
    )
    take: Take | Literal[False] = Field(
        default=Take(),
        description="a process takes its next task in the step that commits the last; false: Celery brings each",
    )
    auto_launch: bool = Field(
        default=True, description="when a task completes, the tasks that waited for it start"
    )
    respect_dependencies: bool = Field(
        default=True, description="always true: a task waits for its dependencies"
    )

    @field_validator("respect_dependencies")
    @classmethod
    def _cannot_be_turned_off(cls, value: bool) -> bool:
        if not value:
            raise ValueError(
                "cannot be false: a task that starts before its dependencies works on what is not there yet. "
                "Remove the dependency from the feature if it is not a real one"
            )
        return value


class Limits(Section):
    """The largest feature that is accepted, and how much is kept."""

    tasks: Whole = Field(default=100_000, ge=1, description="tasks in a feature")
    dependencies: Whole = Field(
        default=1_000_000, ge=0, description="dependencies in a feature, all tasks together"
    )
    text: Whole = Field(default=100_000, ge=100, description="characters in a description")
    params: Whole = Field(
        default=100_000, ge=100, description="characters of a task's params, run, args and kwargs, as JSON"
    )
    file: Whole = Field(default=64_000_000, ge=1_000, description="bytes of a feature file")
    result: Whole = Field(default=1_000_000, ge=100, description="characters of a result, as JSON")
    tail: Whole = Field(default=4_000, ge=100, description="characters of output kept in an outcome")
    events: Whole = Field(
        default=1_000_000,
        ge=100,
        description="events kept for each feature, about; a task has three or more",
    )
