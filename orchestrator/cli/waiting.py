"""wait: wait until something happens to a feature, for at most a given time."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import connection, live, options, output
from orchestrator.cli.asked import Asked, reports
from orchestrator.client import answers
from orchestrator.contract.feature_answers import EndedBy, FeatureAnswer
from orchestrator.contract.needs import STOPPED
from orchestrator.model import durations
from orchestrator.model.event import Event
from orchestrator.report import next_steps, status_text

if TYPE_CHECKING:
    from orchestrator.client.handle import Handle
    from orchestrator.model.progress import Progress

LOOK_SECONDS = 1.0
EXIT_CODES = {"completed": 0, "batch": 0, "change": 0, "over": 1, "stopped": 1, "timeout": 4, "person": 5}
"""Fields that tell the ends of a wait apart."""


class Until(StrEnum):
    """The condition of a wait."""

    OVER = "over"
    STOPPED = "stopped"
    BATCH = "batch"
    CHANGE = "change"


@reports()
def wait(
    feature_id: options.FeatureId,
    until: Annotated[
        Until,
        typer.Option(
            "--for",
            help="over: nothing happens any more; stopped: nothing happens unless somebody acts; "
            "batch: the next one opens; change: anything happens.",
        ),
    ] = Until.STOPPED,
    timeout: Annotated[str, typer.Option("--timeout", metavar="DURATION", help="The longest wait.")] = "50s",
    after: Annotated[
        str, typer.Option("--after", metavar="CURSOR", help="Batches and changes count from this event on.")
    ] = "",
    *,
    asked: Asked,
) -> None:
    """Wait for a feature, at most for a given time, and say where it stands.

    Exit code: 0 completed (or the batch or change has come), 1 stopped, cancelled or given up, 4 timeout, 5 it needs a
    person's decision (a review, a launch, a specialist, a resume).
    """
    try:
        seconds = durations.parse(timeout)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--timeout") from None
    with connection.client(looks=True) as client:
        handle = connection.find(client, feature_id)
        after = after or client.store.events.last(handle.id)
        with live.patience(client, handle):
            reason = _await(handle, until, time.monotonic() + seconds, after)
            found = answers.concluded(client, handle)
    ended_by = _ended_by(found, reason)
    found = found.model_copy(update={"ended_by": ended_by})
    if asked.as_json:
        asked.answer(found)
    else:
        _tell(found, handle)
    raise typer.Exit(EXIT_CODES[ended_by])


def _await(handle: Handle, until: Until, deadline: float, after: str) -> EndedBy | None:
    """Return why the wait is over; None if the feature is settled."""
    while True:
        progress = handle.progress()  # read before the events, so that none is missed
        left = deadline - time.monotonic()
        is_last = _is_reached(progress, until) or left <= 0
        events = handle.events(after, block=None if is_last else min(LOOK_SECONDS, left))
        if until is Until.CHANGE and events:
            return "change"
        if until is Until.BATCH and any(_opens_a_batch(event) for event in events):
            return "batch"
        if events:
            after = events[-1].id
        elif _is_reached(progress, until):
            return None
        elif left <= 0:
            return "timeout"


def _is_reached(progress: Progress, until: Until) -> bool:
    return progress.status.is_over if until is Until.OVER else progress.is_settled


def _opens_a_batch(event: Event) -> bool:
    return event.event == "batch_opened"


def _ended_by(found: FeatureAnswer, reason: EndedBy | None) -> EndedBy:
    if reason is not None:
        return reason
    if found.status in ("completed", "archived"):
        return "completed"
    if found.status in ("cancelled", "failed"):
        return "over"
    return "stopped" if any(need.need in STOPPED for need in found.needs) else "person"


def _tell(found: FeatureAnswer, handle: Handle) -> None:
    output.say(status_text.progress_line(handle.progress()))
    for warning in found.warnings:
        output.say(next_steps.warning_line(warning))
    if found.standstill:
        output.say(next_steps.standstill_line(found.standstill))
    for need in found.needs:
        output.say(next_steps.need_line(need))
    for name, number in found.left_out.items():
        output.say(f"and {number:,} more {name}")
