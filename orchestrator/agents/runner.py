"""Does the work of a task by an agent's program."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.agents import runtimes
from orchestrator.agents.attempt import Attempt
from orchestrator.agents.folder_lock import FolderBusy
from orchestrator.agents.job import Job
from orchestrator.agents.workplace import Workplace
from orchestrator.config.settings import Settings
from orchestrator.model import errors
from orchestrator.model.outcome import (
    Blocked,
    BlockKind,
    Cancelled,
    Failed,
    FailureCause,
    Outcome,
    RetryLater,
)
from orchestrator.specialists import masking
from orchestrator.specialists.cancellation import ask_whether_cancelled
from orchestrator.specialists.command_files import CommandFiles, cannot_write, task_file_content
from orchestrator.specialists.context import Context
from orchestrator.specialists.text import as_text, fit_to_limits

BUSY_AFTER = 30.0
"""Seconds to the next attempt where a folder or a repository is in use by others."""


def work_on(job: Job) -> Outcome:
    """Let an agent's program work, and return its outcome. No process of it is left.

    Args:
        job: The attempt, the agent and its place.

    Example:
        work_on(Job(context, settings, runtime, agent, place)).summary
    """
    context, limits = job.context, job.settings.limits
    try:
        files = CommandFiles.prepare(context, task_file_content(context), None)
    except OSError as error:
        return cannot_write(error, context)
    with files.log:
        attempt = Attempt(job, files)
        try:
            found = attempt.perform()
        finally:
            files.log.mask(job.secrets)
        if isinstance(found, Failed) and (trouble := files.log.trouble()):
            found = found.model_copy(update={"reason": f"{found.reason}; {trouble}"})
        tail = found.tail or attempt.last_words or files.log.tail(limits.tail)
        found = masking.mask_outcome(found.model_copy(update={"tail": tail}), job.secrets)
        # Mask again: `fit_to_limits` removes what can hide a secret from the first search.
        return masking.mask_outcome(fit_to_limits(found, limits), job.secrets)


def run(
    context: Context,
    settings: Settings,
    place: Workplace,
    *,
    conflicts: tuple[str, ...] = (),
    written: str = "",
) -> Outcome:
    """Let the agent of a specialist work in a place; nothing is committed.

    Args:
        context: The attempt.
        settings: The settings.
        place: Where it works.
        conflicts: Files with conflict markers, which it has to resolve.
        written: A brief in place of that of the task.

    Raises:
        OrchestratorError: There is no such runtime, or its prompt cannot be read.
    """
    agent = settings.agent(context.specialist)
    assert agent is not None  # nosec B101  # for the types alone
    if agent.runtime == "api":
        from orchestrator.agents import api  # late: few agents are a model alone

        return api.run(context, settings, written)
    runtime = runtimes.find(agent.runtime, settings)
    return work_on(Job(context, settings, runtime, agent, place, written, conflicts))


def guarded(context: Context, work: Callable[[], Outcome]) -> Outcome:
    """The outcome of work with an agent; what hinders it becomes an outcome too."""
    try:
        return work()
    except FolderBusy as busy:
        if ask_whether_cancelled(context, False):
            return Cancelled()
        return RetryLater(after=BUSY_AFTER, reason=str(busy))
    except errors.RepositoryBusy as busy:
        return RetryLater(after=BUSY_AFTER, reason=as_text(str(busy)))
    except (errors.StrayedWorkspace, errors.BranchCheckedOut) as error:
        return Blocked(kind=BlockKind.CONFLICT, reason=as_text(str(error)))
    except errors.OrchestratorError as error:
        return Failed(cause=FailureCause.DEPENDENCY, reason=as_text(str(error)))
