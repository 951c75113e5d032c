"""Quality gates: checks that completed work has to pass, run by the worker that did it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from orchestrator.config.schema.quality_gates import Gate
from orchestrator.config.schema.specialists import SpecialistSettings
from orchestrator.config.settings import Settings
from orchestrator.model.outcome import Completed, Failed, FailureCause, GateResult, Outcome
from orchestrator.specialists import registry
from orchestrator.specialists.context import Context


def check(gates: Iterable[Gate], stage: str, context: Context, settings: Settings) -> list[GateResult]:
    """Run all gates, one after the other; a failed one does not stop the rest, so a person sees every failure at once.

    A gate gets the same input as a specialist: a command gets the task file, a callable the context. It passes if it
    completes; a Python gate can also fail by returning False.
    """
    return [_judge(gate, stage, context, settings) for gate in gates]


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


def _judge(gate: Gate, stage: str, context: Context, settings: Settings) -> GateResult:
    outcome = _run(gate, context, settings)
    passed = isinstance(outcome, Completed) and outcome.result is not False
    reason = "" if passed else getattr(outcome, "reason", "") or "it returned False"
    if not passed:
        level = "required" if gate.required else "a warning, let through"
        context.logger.warning("The gate %s did not pass (%s): %s", gate.name, level, reason)
    return GateResult(
        name=gate.name, stage=stage, passed=passed, required=gate.required, reason=reason, tail=outcome.tail
    )


def _run(gate: Gate, context: Context, settings: Settings) -> Outcome:
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
    gated = dataclasses.replace(
        context,
        task=task,
        # Beside the specialist's folder, not in it: a link that the specialist left there could lead a gate elsewhere.
        workdir=context.workdir.with_name(f"{context.workdir.name}.gate-{gate.name}"),
        log_file=context.log_file.with_name(f"{context.log_file.stem}.gate-{gate.name}.log"),
    )
    hooked = settings.model_copy(update={"specialists": {**settings.specialists, name: hook}})
    return registry.perform(gated, hooked)
