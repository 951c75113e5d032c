"""Quality gates: checks that completed work has to pass, run by the worker that did it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from orchestrator.config.schema.quality_gates import Gate, SummaryRule
from orchestrator.config.schema.specialists import SpecialistSettings
from orchestrator.config.settings import Settings
from orchestrator.model.outcome import Completed, Failed, FailureCause, GateResult, Outcome
from orchestrator.specialists import registry
from orchestrator.specialists.context import Context

Review = Callable[[Gate, Context, Settings], Outcome]
"""Lets the specialist of a gate review the work."""


def check(
    gates: Iterable[Gate],
    stage: str,
    context: Context,
    settings: Settings,
    *,
    outcome: Completed | None = None,
    folder: Path | None = None,
    review: Review | None = None,
) -> list[GateResult]:
    """Run all gates, one after the other; a failed one does not stop the rest, so a person sees every failure at once.

    A gate gets the same input as a specialist: a command gets the task file, a callable the context. It passes if it
    completes; a Python gate can also fail by returning False.

    Args:
        gates: The gates.
        stage: What they guard: "testing" or "completion".
        context: The attempt.
        settings: The settings of the worker.
        outcome: The completed work that they judge.
        folder: Where commands run, such as the task's worktree; None: in the project's folder.
        review: Does the work of gates that name a specialist.
    """
    judged = dataclasses.replace(context, outcome=outcome)
    return [_judge(gate, stage, judged, settings, folder, review or _no_review) for gate in gates]


def failure(results: Iterable[GateResult]) -> Failed | None:
    """The failures of required gates as one; None if all of them passed.

    Example:
        >>> failure([GateResult(name="lint", stage="testing", passed=False, reason="exit code 1")]).reason
        'the gate lint did not pass: exit code 1'
    """
    results = tuple(results)
    failed = [result for result in results if result.required and not result.passed]
    if not failed:
        return None
    reason = "; ".join(result.said for result in failed)
    tail = "\n".join(result.tail for result in failed if result.tail)
    return Failed(cause=FailureCause.GATE, reason=reason, tail=tail, gates=results)


def validate_summary(summary: str, rule: SummaryRule) -> str:
    """What is wrong with the summary of completed work; "" if nothing is.

    Example:
        >>> validate_summary("done", SummaryRule(shortest=20))
        'its summary has 4 characters, and at least 20 are asked for'
    """
    length = len(summary.strip())
    if length < rule.shortest:
        return f"its summary has {length:,} characters, and at least {rule.shortest:,} are asked for"
    if length > rule.longest:
        return f"its summary has {length:,} characters, and at most {rule.longest:,} are asked for"
    if rule.matches is not None and not re.search(rule.matches, summary):
        return f"its summary does not match {rule.matches}"
    return ""


def _no_review(gate: Gate, context: Context, settings: Settings) -> Outcome:
    return Failed(reason=f"the specialist {gate.specialist} can review nothing here")


def _judge(
    gate: Gate, stage: str, context: Context, settings: Settings, folder: Path | None, review: Review
) -> GateResult:
    if gate.summary:
        said = context.outcome.summary if context.outcome else ""
        wrong = validate_summary(said, gate.summary)
        outcome: Outcome = Failed(reason=wrong) if wrong else Completed()
    elif gate.specialist:
        outcome = review(gate, context, settings)
    else:
        outcome = _run(gate, context, settings, folder)
    passed = isinstance(outcome, Completed) and outcome.result is not False
    reason = "" if passed else getattr(outcome, "reason", "") or "it returned False"
    if not passed:
        level = "required" if gate.required else "a warning, let through"
        context.logger.warning("The gate %s did not pass (%s): %s", gate.name, level, reason)
    return GateResult(
        name=gate.name, stage=stage, passed=passed, required=gate.required, reason=reason, tail=outcome.tail
    )


def _run(gate: Gate, context: Context, settings: Settings, folder: Path | None) -> Outcome:
    """Run the gate as a specialist of this one task."""
    name = context.specialist
    own = settings.specialists.get(name)
    hook = SpecialistSettings(
        command=gate.command,
        python=gate.python,
        pass_env=gate.pass_env,
        # A gate runs code that the specialist wrote, so it gets no more rights than the specialist.
        user=own.user if own and gate.command else None,
        workdir="project",
        timeout=gate.timeout,
    )
    task = context.task.model_copy(update={"run": None, "timeout": gate.timeout})
    gated = dataclasses.replace(files_of(gate, context), task=task)
    hooked = settings.model_copy(update={"specialists": {**settings.specialists, name: hook}})
    return registry.perform(gated, hooked, folder=folder)


def files_of(gate: Gate, context: Context) -> Context:
    """The context of a gate, with a folder and a log of its own."""
    return dataclasses.replace(
        context,
        # Beside the specialist's folder, not in it: a link that the specialist left there could lead a gate elsewhere.
        workdir=context.workdir.with_name(f"{context.workdir.name}.gate-{gate.name}"),
        log_file=context.log_file.with_name(f"{context.log_file.stem}.gate-{gate.name}.log"),
    )
