"""Sections about specialists: how each works, the models behind tiers, and which tag goes to whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from orchestrator.config import spelling
from orchestrator.config.schema.agents import AgentSettings, TaskBudget
from orchestrator.config.schema.section import PASS_ENV, PYTHON_PATTERN, Section, Variable
from orchestrator.model.fields import Seconds, Tag, Whole
from orchestrator.model.rate import MOST, check_rate


class SpecialistSettings(Section):
    """One specialist: how it works, and where."""

    title: str | None = Field(default=None, description="the name people read; else made from the key")
    description: str = Field(default="", description="what it is good at")
    command: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="program and arguments that do the work"
    )
    python: str | None = Field(
        default=None,
        pattern=PYTHON_PATTERN,
        description="callable that does the work, such as package.module:function",
    )
    agent: AgentSettings | None = Field(default=None, description="an agent does the work")
    budget: TaskBudget | None = Field(
        default=None, description="of an agent: what it may use for one task, all its attempts together"
    )
    env: Mapping[str, SecretStr] = Field(
        default_factory=dict, description="environment variables of the command; never shown"
    )
    pass_env: tuple[Variable, ...] = Field(default=(), description=PASS_ENV)
    user: str | None = Field(
        default=None,
        pattern=r"^[a-z_][a-z0-9_\-]{0,31}$",
        description="user of this machine that its commands run as; only where the worker is root",
    )
    timeout: Seconds | None = Field(default=None, description="an attempt is ended after this, such as 30m")
    workdir: Literal["task", "project"] = Field(
        default="task", description="where the command runs: a folder of the task's own, or the project's"
    )
    queue: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,99}$",
        description="Celery queue of its tasks; else its name",
    )
    rate: Annotated[str, AfterValidator(check_rate)] | None = Field(
        default=None,
        description="attempts that all workers together start, such as 30/m, or 30/m burst 5; also as rate_limit",
    )
    concurrency: Whole | None = Field(
        default=None,
        ge=1,
        le=MOST,
        description="its tasks of all features together that run at the same time",
    )
    model_tier: str | None = Field(
        default=None, description="the tier of its model, one of `tiers`: a hint for agents"
    )

    @model_validator(mode="before")
    @classmethod
    def _by_one_name(cls, value: object) -> object:
        """Celery's rate_limit means rate. Celery's own limit would hold up all other tasks of the worker too."""
        return spelling.by_one_name(value, spelling.SPECIALIST)

    @model_validator(mode="after")
    def _one_way_to_work(self) -> SpecialistSettings:
        if self.command and self.python:
            raise ValueError("has both a command and a python callable; keep one of them")
        if self.agent and (self.command or self.python):
            raise ValueError("has an agent beside a command or a python callable; keep one of them")
        if self.budget and not self.agent:
            raise ValueError("has a budget and no agent, which alone reports what it uses; leave budget out")
        if self.user and self.agent:
            raise ValueError(
                "has a user and an agent, which works in files of the worker; confine it by agent.sandbox, or leave "
                "user out"
            )
        if self.user and self.python:
            raise ValueError(
                "has a user and a python callable, which runs in the worker; make it a command, or leave user out"
            )
        return self


SHIPPED_SPECIALISTS: Mapping[str, Mapping[str, str]] = {
    "implementation-specialist": {
        "title": "Implementation Specialist",
        "description": "Builds what is well understood: backend, frontend, database, tests, documentation.",
        "model_tier": "haiku",
    },
    "senior-engineer": {
        "title": "Senior Engineer",
        "description": "Takes bugs, errors, blockers and whatever is complex.",
        "model_tier": "sonnet",
    },
    "feature-architect": {
        "title": "Feature Architect",
        "description": "Turns an idea into a feature.",
        "model_tier": "opus",
    },
    "planning-specialist": {
        "title": "Planning Specialist",
        "description": "Breaks a feature down into tasks.",
        "model_tier": "sonnet",
    },
}

Tier = Mapping[str, str] | str | None
"""The models of a tier: of each runtime, or one for all. None: the name says enough."""

SHIPPED_TIERS: Mapping[str, Tier] = {
    "haiku": {"claude": "haiku"},
    "sonnet": {"claude": "sonnet"},
    "opus": {"claude": "opus"},
}

SHIPPED_MAPPING: Mapping[str, str] = {
    "bug": "senior-engineer",
    "error": "senior-engineer",
    "blocker": "senior-engineer",
    "complex": "senior-engineer",
    "feature-creation": "feature-architect",
    "planning": "planning-specialist",
    "task-breakdown": "planning-specialist",
    "database": "implementation-specialist",
    "backend": "implementation-specialist",
    "frontend": "implementation-specialist",
    "testing": "implementation-specialist",
    "documentation": "implementation-specialist",
}


class SpecialistRouting(Section):
    """Which tag goes to which specialist. `tag_priority` decides for a task with several matching tags."""

    mapping: Mapping[Tag, str] = Field(
        default_factory=lambda: dict(SHIPPED_MAPPING), description="tag: specialist, by name or title"
    )
    tag_priority: tuple[Tag, ...] = Field(
        default=tuple(SHIPPED_MAPPING), description="of several matching tags, the first of these decides"
    )
    fallback: Literal["use_default", "ask_user"] = Field(
        default="use_default",
        description="where no tag matches: use_default, or ask_user (the task waits for `assign`); also as "
        "fallback_behavior",
    )
    default: str = Field(
        default="implementation-specialist",
        description="the specialist of use_default, by name or title; also as default_specialist",
    )

    @model_validator(mode="before")
    @classmethod
    def _by_one_name(cls, value: object) -> object:
        return spelling.by_one_name(value, spelling.ROUTING)
