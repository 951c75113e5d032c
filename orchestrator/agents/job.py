"""A job: what an attempt by an agent's program needs to know."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from pydantic import SecretStr

from orchestrator.agents.workplace import Workplace
from orchestrator.config.schema.agent_runtimes import AgentRuntime
from orchestrator.config.schema.agents import AgentSettings, TaskBudget
from orchestrator.config.schema.specialists import SpecialistSettings
from orchestrator.config.settings import Settings
from orchestrator.model import durations
from orchestrator.model.usage import Usage, budget_of
from orchestrator.specialists import masking
from orchestrator.specialists.context import Context
from orchestrator.specialists.registry import time_limit


class Order(NamedTuple):
    """What one run of the program is told."""

    brief: str
    session: str = ""
    """The conversation to go on with, or the name of a new one; "": the program chooses one."""
    is_resumed: bool = False
    baseline: Usage | None = None
    """What the conversation had used before."""


@dataclass(frozen=True)
class Job:
    """An attempt, the agent that works on it, and where.

    Args:
        context: The attempt.
        settings: The settings.
        runtime: How the program is started, and how it speaks.
        agent: The settings of the agent.
        place: Where it works.
        written: A brief to give it instead of that of its task.
        conflicts: Files with conflict markers, which it has to resolve.
        grace: Seconds between SIGTERM and SIGKILL when it is ended.
        poll: Seconds between two questions whether it is to be ended.
        every: Seconds between two reports of progress and usage.
    """

    context: Context
    settings: Settings
    runtime: AgentRuntime
    agent: AgentSettings
    place: Workplace
    written: str = ""
    conflicts: tuple[str, ...] = ()
    grace: float = 5.0
    poll: float = 0.2
    every: float = 1.0

    @cached_property
    def specialist(self) -> SpecialistSettings:
        """The settings of the specialist."""
        return self.settings.specialists[self.context.specialist]

    @cached_property
    def tier(self) -> str:
        """The tier of this attempt."""
        return self.settings.rung(self.context.specialist, self.context.rung)

    @cached_property
    def model(self) -> str:
        """The model of this attempt."""
        return self.settings.model(self.agent.runtime, self.tier)

    @cached_property
    def budget(self) -> TaskBudget:
        """The budget of the task."""
        return self.specialist.budget or TaskBudget()

    @cached_property
    def timeout(self) -> float | None:
        """Seconds after which the attempt is ended; None: never."""
        return time_limit(self.context.specialist, self.context.task, self.settings)

    @cached_property
    def time_left(self) -> float | None:
        """Seconds that are left of the task's budget of time; None: it has none."""
        worked = sum(attempt.seconds for attempt in self.context.earlier)
        return None if self.budget.time is None else max(0.0, self.budget.time - worked)

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """The texts that are hidden: those of the specialist, and the program's own key."""
        keys = [os.environ[name] for name in self.runtime.pass_env if name in os.environ]
        return masking.secret_texts([*self.specialist.env.values(), *map(SecretStr, keys)])

    def budget_text(self, over: str, limit: float | None = None) -> str:
        """The budget that is used up, such as "$2.00 for the task".

        Args:
            over: task, feature, day, tokens, turns or time; "": none is.
            limit: That budget in dollars; None: it is none of money, or the store did not say.
        """
        budget = self.budget
        match over:
            case "time" if budget.time is not None:
                return f"{durations.write(budget.time)} for the task"
            case "turns" if budget.turns is not None:
                return f"{budget.turns:,} requests for the task"
            case "tokens" if budget.tokens is not None:
                return f"{budget.tokens:,} tokens for the task"
        if over == "task" and limit is None:
            limit = budget.cost
        return budget_of(over, limit) if over else ""
