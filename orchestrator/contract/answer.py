"""The base class of all answers, and the values that appear in several of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from orchestrator.model.fields import Model

Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
LeftOut = Annotated[Mapping[str, int], Field(description="how many of each list are not in the answer")]
After = Annotated[str, Field(description="what --after takes to go on from here")]


class Answer(Model):
    """An object of an answer."""

    model_config = ConfigDict(defer_build=True)  # a command fills one of them, and starts sooner

    rare: ClassVar[frozenset[str]] = frozenset()
    """Fields that are only there if --fields asks for them."""


# Specialists and tasks


class Specialist(Answer):
    """Who does a task."""

    name: str = Field(description="as it is configured")
    title: str = ""


class Argument(Answer):
    """A value that an action takes."""

    type: Literal["string", "integer"] = Field(description="of its value")
    choices: tuple[str, ...] = Field(default=(), description="its values, if it has only these")
    required: bool = True


class Action(Answer):
    """A command that a person or a program may run about something."""

    action: str = Field(description="the command, such as retry")
    task: str = ""
    arguments: Mapping[str, Argument] = Field(default_factory=dict)
    command: str = Field(default="", description="as it is typed, if a command does it")


NeedKind = Literal[
    "failed", "blocked", "review", "specialist", "on-hold", "deferred", "cancelled", "gates", "feature-review",
    "paused", "launch", "overdue",
]  # fmt: skip


class Need(Answer):
    """Something that a person or a program has to do before a feature can go on."""

    need: NeedKind
    task: str = Field(default="", description="the task; absent if the feature waits")
    title: str = Field(default="", description="of the task, if it has one of its own")
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
