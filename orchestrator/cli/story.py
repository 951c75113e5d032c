"""events: what happened to a feature."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import connection, options, output
from orchestrator.cli.asked import Asked, reports
from orchestrator.client import event_log
from orchestrator.model import words
from orchestrator.model.event import Event
from orchestrator.report import json_page, json_tasks
from orchestrator.report.events import event_line, gone_line

if TYPE_CHECKING:
    from orchestrator.contract.task_answers import EventsAnswer

SHOWN = 60
"""How many events an answer has without --limit."""


@reports()
def events(
    feature_id: options.FeatureId,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow", "-f", help="Go on until nothing more happens; with --json, a line for each."
        ),
    ] = False,
    task: Annotated[
        str | None, typer.Option("--task", help="Only those of this task.", callback=options.normal_id)
    ] = None,
    last: Annotated[int | None, typer.Option("--last", min=1, help="Only the last N events.")] = None,
    after: Annotated[str, typer.Option("--after", metavar="CURSOR", help="Only those after this one.")] = "",
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help=f"The most events; without it {SHOWN}. The rest is counted."),
    ] = None,
    *,
    asked: Asked,
) -> None:
    """Print the events of a feature, oldest first."""
    with connection.client(looks=True) as client:
        handle = connection.find(client, feature_id)
        gone = handle.events_gone()
        if gone and not asked.as_json:
            output.tell(gone_line(gone, client.settings.limits.events))
        found = handle.follow(after or "-") if follow else event_log.read(handle, after)
        if task is not None:
            client.store.tasks.find(handle.id, task)
            found = (event for event in found if event.task == task)
        if asked.as_json and not follow:
            asked.answer(answer(handle.id, found, last=last, limit=limit, gone=gone))
        elif asked.as_json:
            for event in found:
                output.answer(
                    json_tasks.event_line(event),
                    asked.fields or "id,time,event,task,status,attempt,cause,note,batch",
                )
        else:
            _tell(found, last=last, limit=None if follow and not limit else limit or last or SHOWN)


def answer(
    feature_id: str,
    found: Iterator[Event],
    *,
    last: int | None = None,
    limit: int | None = None,
    gone: int = 0,
) -> EventsAnswer:
    """Some events, how many more there are, and where they go on."""
    from orchestrator.contract.task_answers import EventsAnswer

    limit = limit or last or SHOWN
    events = list(deque(found, last) if last else itertools.islice(found, limit))
    left = 0 if last else sum(1 for _ in found)
    return EventsAnswer(
        feature=feature_id,
        events=tuple(json_tasks.event_line(event) for event in events[-limit:]),
        gone=gone,
        left_out=json_page.left_out(events=left + max(0, len(events) - limit)),
        after=events[-1].id if events else "",
    )


def _tell(found: Iterator[Event], *, last: int | None, limit: int | None) -> None:
    if last:
        found = iter(deque(found, last))
    day = after = ""
    for event in itertools.islice(found, limit):
        if (today := time.strftime("%Y-%m-%d", time.localtime(event.time))) != day:
            output.say(day := today)
        output.say(line(event))
        after = event.id
    if left := sum(1 for _ in found) if limit else 0:
        output.tell(f"and {words.count(left, 'more event')}; they go on with --after {after}")


def line(event: Event) -> str:
    """An event on one line, with its time of day."""
    moment = time.strftime("%H:%M:%S", time.localtime(event.time))
    if event.event in ("batch_overdue", "at_capacity"):
        return f"{moment} {event.event} {event_line(event)}"
    shown = json_tasks.event_line(event)
    facts = {
        "batch": shown.batch,
        "attempt": shown.attempt if shown.attempt > 1 else 0,
        "specialist": shown.specialist.name if shown.specialist else "",
        "cause": shown.cause,
        "percent": shown.percent,
        "note": shown.note,
        "by": shown.by,
        "worker": shown.worker,
    }
    told = [f"{name}={words.one_line(str(value))}" for name, value in facts.items() if value]
    where = [f"→ {shown.status}"] if shown.status else []
    return " ".join(filter(None, [moment, event.event, event.task, *where, *told]))
