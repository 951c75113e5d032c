"""The brief of a claimed task: all that an agent elsewhere needs to do it, and no log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from orchestrator.contract import compact
from orchestrator.model import durations
from orchestrator.model.outcome import Completed, Outcome
from orchestrator.model.words import one_line
from orchestrator.specialists.text import shorten

if TYPE_CHECKING:
    from orchestrator.config.schema.quality_gates import Gate
    from orchestrator.config.settings import Settings
    from orchestrator.engine.attempt import Attempt

DESCRIPTION = 4_000
"""Characters of a description; `task` gives all of it."""

SAID = 300
"""Characters of the outcome of a dependency."""

TAIL = 2_000
"""Characters of the output of the attempt before."""


def brief(attempt: Attempt, outcomes: Mapping[str, Outcome], settings: Settings) -> str:
    """Say what is to be done, on what it builds, what persons have remarked, and when it counts as done.

    Args:
        attempt: The claimed attempt.
        outcomes: Of what the task depends on, and of its own attempt before this one.
        settings: They have the gates.
    """
    return "\n".join(_lines(attempt, outcomes, settings))


def _lines(attempt: Attempt, outcomes: Mapping[str, Outcome], settings: Settings) -> Iterator[str]:
    task, head = attempt.task, attempt.started.head
    of = f"of feature {attempt.feature_id}" + (f" ({head['title']})" if head.get("title") else "")
    yield f"Task {task.id}, {of}" + (f": {task.title}" if task.title else "")
    if task.description:
        yield shorten(task.description, DESCRIPTION)
    if task.params:
        yield f"params: {compact.write(dict(task.params))}"
    if attempt.started.wait >= 1:
        yield f"Begin in {durations.write(attempt.started.wait)}: its specialist has a rate."
    built = [(one, outcomes[one]) for one in task.depends_on if one in outcomes]
    if built:
        yield "It builds on:"
        yield from (f"- {one}: {_said(outcome)}" for one, outcome in built)
    if remarks := attempt.started.state.get("remarks"):
        yield "Remarks of persons, the newest last:"
        yield from (f"- {one_line(remark)}" for remark in remarks)
    before = outcomes.get(task.id)
    if attempt.number > 1 and before and not isinstance(before, Completed):
        yield f"The attempt before ended {before.status}: {_said(before)}"
        if before.tail:
            yield before.tail[-TAIL:]
    gates = [gate for _, of_stage in attempt.gates_ahead(settings) for gate in of_stage]
    if gates:
        yield f"Done when these pass: {'; '.join(map(_shown, gates))}"


def _said(outcome: Outcome) -> str:
    said = outcome.summary if isinstance(outcome, Completed) else outcome.reason
    handoff = f" {outcome.handoff}" if isinstance(outcome, Completed) and outcome.handoff else ""
    return f"{shorten(one_line(said), SAID) or 'done'}{handoff}"


def _shown(gate: Gate) -> str:
    return " ".join(gate.command) if gate.command else gate.name
