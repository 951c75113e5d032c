"""Agents as specialists: the programs that they are, what such a program says, and what becomes of it.

Nothing is imported here before it is needed: a configuration with an agent in it is checked by `runtimes` alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.config.schema.agents import AgentSettings
    from orchestrator.config.schema.quality_gates import Gate
    from orchestrator.config.settings import Settings
    from orchestrator.model.outcome import Completed, GateResult, Outcome
    from orchestrator.specialists.context import Context


def perform(
    context: Context, settings: Settings, timeouts: tuple[type[BaseException], ...] = (TimeoutError,)
) -> Outcome:
    """Do the work of a task by an agent, and return its outcome; what it left in its worktree is committed.

    Args:
        context: The attempt, of a specialist that has an agent.
        settings: The settings of the worker.
        timeouts: The exceptions that the worker raises in the work at its time limit.
    """
    from orchestrator.agents import work

    return work.perform(context, settings, timeouts)


def check_gates(
    gates: Iterable[Gate], stage: str, context: Context, settings: Settings, outcome: Completed
) -> list[GateResult]:
    """Run gates on completed work, as `specialists.gates.check`: commands run where an agent worked, agents review.

    Args:
        gates: The gates.
        stage: What they guard: "testing" or "completion".
        context: The attempt, of any specialist.
        settings: The settings of the worker.
        outcome: The work.
    """
    from orchestrator.agents import work

    return work.check_gates(gates, stage, context, settings, outcome)


def settle(context: Context, settings: Settings, outcome: Outcome) -> Outcome:
    """Integrate the work of an agent once it has passed its gates; completed is only what is integrated.

    Args:
        context: The attempt, of any specialist.
        settings: The settings of the worker.
        outcome: The outcome after the gates.

    Returns:
        The same outcome, or that of a conflict: RetryLater once for each tier, then Blocked.
    """
    from orchestrator.agents import work

    return work.settle(context, settings, outcome)


def where_its_work_lies(feature: str, task: str, agent: AgentSettings) -> str:
    """The command that shows what an agent has done at a task; "" if it works in no worktree.

    Example:
        >>> from orchestrator.config.schema.agents import AgentSettings
        >>> where_its_work_lies("auth", "T1", AgentSettings())
        'its work: git diff to/auth/integration...to/auth/t/T1'
    """
    from orchestrator.workspaces import names

    if agent.works_in != "worktree":
        return ""
    integration, branch = names.short(names.integration(feature)), names.short(names.task(feature, task))
    return f"its work: git diff {integration}...{branch}"
