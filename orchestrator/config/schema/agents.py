"""Sections about agents: how a specialist works by one, what it may spend, and where it works."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from orchestrator.config.schema.section import PYTHON_PATTERN, Section
from orchestrator.model.fields import Number, Seconds, Whole

THOUSANDS: Mapping[str, int] = {"": 1, "k": 1_000, "m": 1_000_000}


def _tokens(value: object) -> object:
    """Read 600k as 600,000."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKmM]?)", value.strip()) if isinstance(value, str) else None
    return round(float(found[1]) * THOUSANDS[found[2].lower()]) if found else value


Tokens = Annotated[Whole, BeforeValidator(_tokens)]
Dollars = Annotated[Number, Field(gt=0)]

SHIPPED_RUNTIMES = ("claude", "codex", "gemini", "opencode")
"""Agents' programs that ship as files in `orchestrator/agents/runtimes`."""

OWN_RUNTIMES = ("api", "pull")
"""Runtimes without a program: a model's API, and agents elsewhere that ask for work."""


class AgentTools(Section):
    """The tools that an agent may use, in the words of its program."""

    allow: tuple[str, ...] = Field(default=(), description="tools it may use, such as Edit or Bash(pytest *)")
    deny: tuple[str, ...] = Field(default=(), description="tools it may not use")
    python: tuple[Annotated[str, Field(pattern=PYTHON_PATTERN)], ...] = Field(
        default=(), description="of the runtime api: callables, such as package.module:function"
    )


class AgentSettings(Section):
    """How a specialist works by an agent."""

    runtime: str = Field(
        default="claude",
        description="claude, codex, gemini, opencode, api (a model alone), pull (agents elsewhere ask for work), "
        "or one of agent_runtimes",
    )
    ladder: tuple[str, ...] = Field(
        default=(), description="tiers, the weakest first; after the last a person is asked; else model_tier"
    )
    tries_per_tier: Whole = Field(
        default=1, ge=1, description="attempts at each tier before the next one gets the task"
    )
    prompt: str | None = Field(default=None, description="a file of the project that every brief begins with")
    workspace: Literal["worktree", "folder", "none"] = Field(
        default="worktree",
        description="where it works: a git worktree of the task, an empty folder, or none: the project itself",
    )
    tools: AgentTools = AgentTools()
    protect: tuple[str, ...] = Field(
        default=(".taskorchestrator/**",),
        description="files that it must not change: a change in one goes to a person",
    )
    resume: bool = Field(default=True, description="after a lost worker, its own conversation goes on")
    idle_timeout: Seconds = Field(default=300.0, description="it is ended when it says nothing for this long")
    linger: Seconds = Field(default=10.0, description="and this long after its result, if it still runs")
    bare: bool = Field(default=True, description="of claude: false for a subscription, which needs its login")
    unsafe: bool = Field(default=False, description="true: no tool is refused; needs a sandbox")
    sandbox: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="a command that runs the agent's, such as bwrap and its arguments; {folder} is where it works",
    )

    @property
    def works_in(self) -> str:
        """worktree, folder or none: agents without a program of their own have no place, whatever `workspace` says."""
        return "none" if self.runtime in OWN_RUNTIMES else self.workspace

    @model_validator(mode="after")
    def _unsafe_in_a_sandbox(self) -> AgentSettings:
        if self.unsafe and not self.sandbox:
            raise ValueError(
                "is unsafe without a sandbox; name the command that confines it, or leave unsafe out"
            )
        return self


class TaskBudget(Section):
    """What an agent may use for one task, all attempts and tiers together."""

    cost: Dollars | None = Field(default=None, description="dollars")
    tokens: Tokens | None = Field(
        default=None, ge=1, description="tokens, such as 600k; those that come from a cache do not count"
    )
    turns: Whole | None = Field(default=None, ge=1, description="requests to the model")
    time: Seconds | None = Field(default=None, description="working time, such as 45m")


class BudgetOf(Section):
    """What agents may use together."""

    cost: Dollars = Field(description="dollars")


class Budgets(Section):
    """What agents may use for a feature, and in a day. Where it is used up, agents are ended, and tasks are blocked."""

    feature: BudgetOf | None = Field(default=None, description="for a feature: cost, in dollars")
    day: BudgetOf | None = Field(
        default=None, description="in a day (UTC), all features together: cost, in dollars"
    )
    unknown_cost: Literal["refuse", "allow"] = Field(
        default="refuse",
        description="a model whose price is not known: refuse (where a cost is limited), or allow",
    )


class Workspaces(Section):
    """Where agents that share a git repository work."""

    base: str = Field(default="HEAD", description="the branch or commit that features start from")
    folder: str | None = Field(
        default=None, description="where the worktrees lie; else worktrees in the configuration's folder"
    )
    deliver: Literal["branch", "fast-forward"] | tuple[str, ...] = Field(
        default="branch",
        description="what becomes of a completed feature: branch (it stays), fast-forward (the base moves to it), or "
        "a command",
    )
    keep: Seconds = Field(
        default=7 * 86_400.0, description="an integrated worktree is removed after this time"
    )


class Price(Section):
    """The price of a model, in dollars for a million tokens."""

    input: Number = Field(ge=0)
    output: Number = Field(ge=0)
    cache_read: Number | None = Field(default=None, ge=0, description="else as input")
    cache_write: Number | None = Field(default=None, ge=0, description="else as input")
