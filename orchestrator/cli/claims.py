"""claim and report: an agent that is a shell script gets a task, and says how it ended."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from orchestrator.cli import connection, options, output
from orchestrator.cli.asked import Asked, reports
from orchestrator.contract.task_answers import ClaimAnswer
from orchestrator.model import durations
from orchestrator.model.outcome import Blocked, BlockKind, Completed, Failed, Outcome
from orchestrator.model.usage import Usage

if TYPE_CHECKING:
    from orchestrator.client.claim import Claim

NOTHING = 4
"""The exit code of a claim that got no task, as of a wait that was too short."""


@reports()
def claim(
    specialist: Annotated[
        str, typer.Option("--specialist", help="Whose task; else of any whose runtime is pull.")
    ] = "",
    feature: Annotated[
        str,
        typer.Option("--feature", metavar="ID", help="Of this feature alone.", callback=options.normal_id),
    ] = "",
    wait: Annotated[
        str | None, typer.Option("--wait", metavar="DURATION", help="The longest wait for a task; else none.")
    ] = None,
    worker: Annotated[
        str, typer.Option("--worker", metavar="NAME", help="Your name, as `status` shows it.")
    ] = "",
    *,
    asked: Asked,
) -> None:
    """Get a task that waits for an agent: the claim on the first line, then what is to be done.

    It is yours while you `report` within the lease. Exit code: 0 there is one, 4 there was none.
    """
    try:
        seconds = durations.parse(wait) if wait else 0.0
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--wait") from None
    with connection.client() as client:
        found = client.claim(specialist, feature=feature, wait=seconds, worker=worker)
        if asked.as_json:
            asked.answer(_answer(found, brief=found.brief) if found else ClaimAnswer())
        elif found:
            output.say(found.token)
            output.say(found.brief)
        else:
            output.tell("No task waits for an agent.")
    if not found:
        raise typer.Exit(NOTHING)


@reports()
def report(
    token: Annotated[str, typer.Argument(metavar="CLAIM", help="The first line that `claim` printed.")],
    note: Annotated[str, typer.Option("--note", help="How far the work is.")] = "",
    percent: Annotated[float | None, typer.Option("--percent", min=0, max=100)] = None,
    completed: Annotated[
        str | None, typer.Option("--completed", metavar="SUMMARY", help="The work is done.")
    ] = None,
    blocked: Annotated[
        str | None, typer.Option("--blocked", metavar="REASON", help="Somebody has to remove an obstacle.")
    ] = None,
    failed: Annotated[
        str | None, typer.Option("--failed", metavar="REASON", help="The work went wrong.")
    ] = None,
    usage: Annotated[
        str | None,
        typer.Option(
            "--usage",
            metavar="JSON",
            help='Used since the claim: {"model": "m", "input": 9, "output": 2, "cost": 0.01}.',
        ),
    ] = None,
    released: Annotated[bool, typer.Option("--released", help="It is undone, for the next agent.")] = False,
    kind: Annotated[BlockKind, typer.Option("--kind", help="Of the obstacle.")] = BlockKind.TECHNICAL,
    handoff: Annotated[
        str, typer.Option("--handoff", help="With --completed: what those who go on have to know.")
    ] = "",
    result: Annotated[
        str | None, typer.Option("--result", metavar="JSON", help="With --completed: for programs.")
    ] = None,
    *,
    asked: Asked,
) -> None:
    """Report on a claimed task: that the work goes on, which renews the lease, or how it ended."""
    ends: list[Outcome] = []
    if completed is not None:
        ends.append(Completed(summary=completed, handoff=handoff, result=_json(result)))
    if blocked is not None:
        ends.append(Blocked(kind=kind, reason=blocked))
    if failed is not None:
        ends.append(Failed(reason=failed))
    used = _usages(usage)
    if len(ends) + released > 1:
        raise typer.BadParameter("give one of --completed, --blocked, --failed and --released")
    with connection.client() as client:
        found = client.claimed(token)
        if used:
            found.use(*used)
        if released:
            found.release()
            status = "pending"
        elif ends:
            status = found.end(ends[0])
        else:
            found.progress(percent, note)
            status = "in-progress"
        if asked.as_json:
            asked.answer(_answer(found, status=status))
        else:
            output.say(f"{found.task.id} is {status}.")


def _answer(found: Claim, *, brief: str = "", status: str = "in-progress") -> ClaimAnswer:
    return ClaimAnswer(
        claim=found.token,
        feature=found.feature,
        task=found.task.id,
        title=found.task.title,
        status=status,
        attempt=found.attempt,
        specialist=found.specialist,
        worker=found.worker,
        lease=found.lease,
        brief=brief,
    )


def _usages(text: str | None) -> list[Usage]:
    """What an agent has used, of one model or of several."""
    found = _json(text, "--usage")
    try:
        usages = TypeAdapter(list[Usage]).validate_python(
            found if isinstance(found, list) else [found] if found else []
        )
    except ValidationError as error:
        raise typer.BadParameter(str(error), param_hint="--usage") from None
    return [one if one.cost is None else one.model_copy(update={"source": "reported"}) for one in usages]


def _json(text: str | None, option: str = "--result") -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"it is no JSON: {error}", param_hint=option) from None
