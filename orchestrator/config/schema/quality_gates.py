"""The section of quality gates: hooks that a task or a feature has to pass."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pydantic import Field, field_validator, model_validator

from orchestrator.config import spelling
from orchestrator.config.schema.section import PASS_ENV, PYTHON_PATTERN, Section, Variable
from orchestrator.model.fields import Seconds, Tag, Whole


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


RUN_TESTS, VALIDATE_SUMMARY = "run_tests", "validate_summary"
"""The hooks that ship."""


class SummaryRule(Section):
    """What the summary of completed work has to look like."""

    shortest: Whole = Field(default=1, ge=0, description="characters that it has at least")
    longest: Whole = Field(default=500, ge=1, description="characters that it has at most")
    matches: str | None = Field(default=None, description="a regular expression that is found in it")

    @field_validator("matches")
    @classmethod
    def _is_an_expression(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        return value


class Gate(Section):
    """One quality gate: a hook that passes or does not."""

    name: str = Field(default="", max_length=64, description="how reports call it; else as its hook")
    hook: str | None = Field(
        default=None,
        description="what to run, by its name in quality_gates.hooks; or run_tests (with `command`) or "
        "validate_summary (with `summary`), which ship",
    )
    command: tuple[str, ...] | None = Field(default=None, min_length=1, description="argument list to run")
    python: str | None = Field(
        default=None, pattern=PYTHON_PATTERN, description='callable "package.module:name" to call'
    )
    specialist: str | None = Field(
        default=None,
        description="a specialist that is an agent, such as one of another tier: it reviews the work; also as agent",
    )
    summary: SummaryRule | None = Field(
        default=None, description="of validate_summary: shortest, longest (characters), matches"
    )
    required: bool = Field(default=True, description="false: a failure warns, and lets the task through")
    pass_env: tuple[Variable, ...] = Field(default=(), description=PASS_ENV)
    timeout: Seconds = Field(default=600.0, description="a gate that takes longer has failed")
    tags: tuple[Tag, ...] = Field(default=(), description="applies to tasks with one of these; none: to all")

    @model_validator(mode="before")
    @classmethod
    def _named_as_its_hook(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        if "agent" in value and "specialist" not in value:
            value = {("specialist" if key == "agent" else key): given for key, given in value.items()}
        name = value.get("name") or value.get("hook") or value.get("specialist")
        return {**value, "name": name} if name else value

    @model_validator(mode="after")
    def _one_hook(self) -> Gate:
        ways = [self.hook, self.command, self.python, self.specialist]
        if self.hook == RUN_TESTS:
            ways.remove(self.command)
        if len(ways) - ways.count(None) != 1:
            raise ValueError(
                "needs either a command or a python callable, or a specialist, or the name of a hook"
            )
        if self.summary and self.hook != VALIDATE_SUMMARY:
            raise ValueError(f"has a summary, which only the hook {VALIDATE_SUMMARY} checks; leave it out")
        if not self.name:
            raise ValueError("needs a name, by which reports call it")
        return self

    def resolved(self, hooks: Mapping[str, Hook]) -> Gate:
        """The same gate with the command or the callable of its hook."""
        if self.hook is None:
            return self
        if self.hook not in hooks:  # one that ships
            checks = (self.summary or SummaryRule()) if self.hook == VALIDATE_SUMMARY else None
            return self.model_copy(update={"hook": None, "summary": checks})
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
        for path, gate in self._gates():
            if gate.hook is not None and gate.hook not in {*self.hooks, RUN_TESTS, VALIDATE_SUMMARY}:
                yield (*path, "hook"), gate.hook

    def without_command(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """The path of each gate that runs tests by a command that nobody named, or that two places name."""
        for path, gate in self._gates():
            if gate.hook == RUN_TESTS and not gate.command and RUN_TESTS not in self.hooks:
                yield (*path, "hook"), "needs a command: write `command: [pytest, -q]` beside it, or in hooks"
            if gate.hook == RUN_TESTS and gate.command and RUN_TESTS in self.hooks:
                yield (*path, "hook"), f"has a command here, and one in hooks.{RUN_TESTS}; keep one of them"

    def reviewers(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """The path and the name of each specialist that a gate names."""
        for path, gate in self._gates():
            if gate.specialist is not None:
                yield (*path, "specialist"), gate.specialist

    def _gates(self) -> Iterator[tuple[tuple[str, ...], Gate]]:
        for part, stages in (("task_gates", self.task_gates), ("feature_gates", self.feature_gates)):
            for stage in spelling.STAGES:
                for place, gate in enumerate(getattr(stages, stage)):
                    yield (part, stage, str(place)), gate
