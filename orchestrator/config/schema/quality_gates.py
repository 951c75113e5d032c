"""The section of quality gates: hooks that a task or a feature has to pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field, field_validator, model_validator

from orchestrator.config import spelling
from orchestrator.config.schema.section import PASS_ENV, PYTHON_PATTERN, Section, Variable
from orchestrator.model.fields import Seconds, Tag


class Hook(Section):
    """The work of a gate: a command, or a Python callable."""

    command: tuple[str, ...] | None = Field(default=None, min_length=1, description="argument list to run")
    python: str | None = Field(
        default=None, pattern=PYTHON_PATTERN, description='callable "package.module:name" to call'
    )

    @model_validator(mode="before")
    @classmethod
    def _in_short(cls, value: object) -> object:
        """A list is a command, a text a callable."""
        if isinstance(value, list | tuple):
            return {"command": value}
        return {"python": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_way(self) -> Hook:
        if (self.command is None) == (self.python is None):
            raise ValueError("needs either a command or a python callable")
        return self


class Gate(Section):
    """One quality gate: a hook that passes or does not."""

    name: str = Field(default="", max_length=64, description="how reports call it; else as its hook")
    hook: str | None = Field(default=None, description="what to run, by its name in quality_gates.hooks")
    command: tuple[str, ...] | None = Field(default=None, min_length=1, description="argument list to run")
    python: str | None = Field(
        default=None, pattern=PYTHON_PATTERN, description='callable "package.module:name" to call'
    )
    required: bool = Field(default=True, description="false: a failure warns, and lets the task through")
    pass_env: tuple[Variable, ...] = Field(default=(), description=PASS_ENV)
    timeout: Seconds = Field(default=600.0, description="a gate that takes longer has failed")
    tags: tuple[Tag, ...] = Field(default=(), description="applies to tasks with one of these; none: to all")

    @model_validator(mode="before")
    @classmethod
    def _named_as_its_hook(cls, value: object) -> object:
        if not isinstance(value, Mapping) or value.get("name") or not value.get("hook"):
            return value
        return {**value, "name": value["hook"]}

    @model_validator(mode="after")
    def _one_hook(self) -> Gate:
        if [self.hook, self.command, self.python].count(None) != 2:
            raise ValueError("needs either a command or a python callable, or the name of a hook")
        if not self.name:
            raise ValueError("needs a name, by which reports call it")
        return self

    def resolved(self, hooks: Mapping[str, Hook]) -> Gate:
        """The same gate with the command or the callable of its hook."""
        if self.hook is None:
            return self
        found = hooks[self.hook]
        return self.model_copy(update={"hook": None, "command": found.command, "python": found.python})


class StageGates(Section):
    """The gates of a task or a feature, by the stage that they guard."""

    testing: tuple[Gate, ...] = Field(default=(), description="to be passed while in testing")
    completion: tuple[Gate, ...] = Field(default=(), description="to be passed before completion")

    @field_validator(*spelling.STAGES, mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return spelling.as_list(value)


class QualityGates(Section):
    """Hooks that a task or a feature has to pass."""

    enabled: bool = Field(default=False, description="false: no gate runs")
    task_gates: StageGates = Field(
        default=StageGates(),
        description="of each task: name, command or python or hook, required, timeout, tags; one, or a list",
    )
    feature_gates: StageGates = Field(
        default=StageGates(), description="of a feature, once all its tasks are resolved"
    )
    hooks: Mapping[str, Hook] = Field(
        default_factory=dict,
        description="what gates name by `hook`: a list is a command, a text a Python callable",
    )

    def unknown_hooks(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """The path and the name of each hook that a gate names and nobody defined."""
        for part, stages in (("task_gates", self.task_gates), ("feature_gates", self.feature_gates)):
            for stage in spelling.STAGES:
                for place, gate in enumerate(getattr(stages, stage)):
                    if gate.hook is not None and gate.hook not in self.hooks:
                        yield (part, stage, str(place), "hook"), gate.hook
