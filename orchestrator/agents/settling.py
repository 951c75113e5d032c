"""What becomes of an agent's work in a git worktree: it is committed, checked for protected files, and integrated."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.config.settings import Settings
from orchestrator.model.outcome import Blocked, BlockKind, Completed, Outcome, RetryLater
from orchestrator.model.words import one_line, some
from orchestrator.specialists.context import Context
from orchestrator.workspaces import Conflict, Workspace, integrate, protected_changes

CONFLICT = "conflict with the work of others: "
"""How the reason of an outcome begins that a conflict with the integration branch has ended."""

SOON = 0.1
"""Seconds to the attempt that resolves a conflict."""


def trailers(context: Context, settings: Settings) -> dict[str, str]:
    """The facts at the end of the message of each commit: attempt, tier and model."""
    agent = settings.agent(context.specialist)
    tier = settings.rung(context.specialist, context.rung)
    model = settings.model(agent.runtime, tier) if agent else ""
    return {"Attempt": str(context.attempt), "Tier": tier, "Model": model, "Specialist": context.specialist}


def commit(workspace: Workspace, context: Context, settings: Settings, outcome: Outcome) -> Outcome:
    """Commit what the agent left, and see to it that nothing in it is protected: the outcome, or what goes before it.

    Raises:
        OrchestratorError: git could not.
    """
    subject = one_line(context.task.title or context.task.id, 70)
    left = workspace.commit_leftovers(trailers(context, settings), subject)
    if not isinstance(outcome, Completed):
        return outcome
    if isinstance(left, Conflict):
        return conflict(left.files, context, settings)
    agent = settings.agent(context.specialist)
    files = protected_changes(workspace, agent.protect if agent else ())
    return refuse(files, workspace, context) if files else outcome


def refuse(files: Sequence[str], workspace: Workspace, context: Context) -> Blocked:
    """The outcome of work that changes protected files: a person decides."""
    onto = workspace.integration.removeprefix("refs/heads/")
    reason = (
        f"it changed {some(files, most=10)}, which agent.protect of {context.specialist} keeps for people. To undo "
        f"that: `git -C {workspace.folder} checkout {onto} -- FILE` (a new file: `git rm`); to allow it, change "
        "agent.protect. Then unblock the task"
    )
    return Blocked(kind=BlockKind.PERMISSION, reason=reason)


def settle(workspace: Workspace, context: Context, settings: Settings, outcome: Completed) -> Outcome:
    """Integrate work that has passed its gates: the outcome, or that of a conflict.

    Raises:
        OrchestratorError: git could not.
    """
    subject = one_line(f"{context.task.id}: {context.task.title or outcome.summary}", 70)
    done = integrate(workspace, subject, trailers(context, settings))
    if isinstance(done, Conflict):
        return conflict(done.files, context, settings)
    return outcome


def conflict(files: Sequence[str], context: Context, settings: Settings) -> Outcome:
    """The outcome of a conflict: its owner resolves it, once for each tier; then the next tier; then a person."""
    reason = f"{CONFLICT}{some(files, most=20)}"
    rungs = settings.rungs(context.specialist)
    tier = settings.rung(context.specialist, context.rung)
    tried = [each for each in context.earlier if each.tier == tier and each.reason.startswith(CONFLICT)]
    if not tried:
        return RetryLater(after=SOON, reason=reason)
    if context.rung + 1 < len(rungs):
        return Blocked(kind=BlockKind.TECHNICAL, reason=reason)
    return Blocked(kind=BlockKind.CONFLICT, reason=f"{reason}; no tier is left that could resolve it")


def is_conflicted(context: Context) -> bool:
    """The attempt before this one ended in a conflict, which this one is to resolve."""
    return bool(context.earlier) and context.earlier[-1].reason.startswith(CONFLICT)
