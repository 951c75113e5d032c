"""The work of a task by an agent: it works in its place, what it left is committed, judged and integrated."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from orchestrator.agents import integration_checkout, reviewing, settling, workplace
from orchestrator.agents.folder_lock import FolderBusy
from orchestrator.agents.runner import guarded, run
from orchestrator.agents.workplace import Workplace
from orchestrator.config.schema.quality_gates import Gate
from orchestrator.config.settings import Settings
from orchestrator.model import errors, identifiers
from orchestrator.model.outcome import Cancelled, Completed, GateResult, Outcome
from orchestrator.specialists import gates as gates_of_all
from orchestrator.specialists import registry
from orchestrator.specialists.cancellation import ask_whether_cancelled
from orchestrator.specialists.context import Context
from orchestrator.specialists.text import as_text
from orchestrator.workspaces import Conflict, bring_conflict


@dataclass(frozen=True)
class AgentSpecialist:
    """A specialist that is an agent.

    Args:
        settings: The settings, which name its runtime.
    """

    settings: Settings
    writes_log: ClassVar[bool] = True

    def perform(self, context: Context) -> Outcome:
        """Let the agent work, and commit what it left."""
        return guarded(context, lambda: self._perform(context))

    def _perform(self, context: Context) -> Outcome:
        with workplace.opened(context, self.settings) as place:
            conflicts = self._take_over(context, place)
            outcome = run(context, self.settings, place, conflicts=conflicts)
            if place.workspace is None:
                return outcome
            return settling.commit(place.workspace, context, self.settings, outcome)

    def _take_over(self, context: Context, place: Workplace) -> tuple[str, ...]:
        """Commit what an earlier attempt left behind, and bring the conflict in which it ended: its files."""
        if place.workspace is None:
            return ()
        left = place.workspace.commit_leftovers({}, f"Work in progress on {context.task.id}")
        if isinstance(left, Conflict):
            return left.files
        if settling.is_conflicted(context) and (found := bring_conflict(place.workspace)):
            return found.files
        return ()


def perform(
    context: Context, settings: Settings, timeouts: tuple[type[BaseException], ...] = (TimeoutError,)
) -> Outcome:
    """Do the work of a task by an agent, as `specialists.perform` does it by a command."""
    return registry.carry_out(AgentSpecialist(settings), context, settings, timeouts)


def check_gates(
    gates: Iterable[Gate], stage: str, context: Context, settings: Settings, outcome: Completed
) -> list[GateResult]:
    """Run gates on the work of an agent, where it was done; gates that name a specialist let it review."""
    gates = tuple(gates)
    try:
        with _judged_at(context, settings) as place:
            review = partial(reviewing.review, place=place)
            return gates_of_all.check(
                gates, stage, context, settings, outcome=outcome, folder=place.folder, review=review
            )
    except (FolderBusy, errors.OrchestratorError) as error:
        reason = as_text(str(error))
        return [
            GateResult(name=gate.name, stage=stage, passed=False, required=gate.required, reason=reason)
            for gate in gates
        ]


@contextlib.contextmanager
def _judged_at(context: Context, settings: Settings) -> Iterator[Workplace]:
    """Where gates run: where the agent worked, for those of a feature in its integrated work, else in the project."""
    if identifiers.is_gates(context.task.id):
        with integration_checkout.opened(context, settings) as folder:
            yield Workplace(folder or settings.project)
    else:
        with workplace.opened(context, settings) as place:
            yield place


def settle(context: Context, settings: Settings, outcome: Outcome) -> Outcome:
    """Integrate the work of an agent that has passed its gates: only then is it completed."""
    if not isinstance(outcome, Completed) or not workplace.has_worktree(context, settings):
        return outcome
    if ask_whether_cancelled(context, None):  # what nobody wants any more stays on its own branch
        return Cancelled()

    def integrate() -> Outcome:
        with workplace.opened(context, settings) as place:
            assert place.workspace is not None  # nosec B101  # for the types alone
            return settling.settle(place.workspace, context, settings, outcome)

    return guarded(context, integrate)
