"""task, specialists: one task, and who there is to do it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli import connection, options, output, story
from orchestrator.cli.asked import Asked, reports
from orchestrator.client import answers, event_log
from orchestrator.config import configuration
from orchestrator.contract import compact
from orchestrator.contract.machine_answers import SpecialistLine, SpecialistsAnswer
from orchestrator.contract.task_answers import TaskAnswer
from orchestrator.model import durations
from orchestrator.model.words import by_agent, one_line
from orchestrator.report import json_page, json_tasks, next_steps

if TYPE_CHECKING:
    from orchestrator.client.client import Client
    from orchestrator.client.handle import Handle
    from orchestrator.config.settings import Settings

LOG_LINES = 20
"""How many of the last lines of output are shown."""

LONGEST = 2_000
"""Characters of a description that are shown; `--fields all` has all of it."""


LONGEST_DIFF = 100_000
"""Characters of a patch that are shown."""


class Part(StrEnum):
    """The parts of a task's report."""

    BRIEF = "brief"
    OUTCOME = "outcome"
    LOG = "log"
    DIFF = "diff"
    EVENTS = "events"


@reports(limit=LOG_LINES)
def task(
    feature_id: options.FeatureId,
    task_id: options.TaskId,
    part: Annotated[
        Part | None,
        typer.Option(
            "--part",
            help="What it was asked, how it ended, its output, what its agents changed, or its events.",
        ),
    ] = None,
    *,
    asked: Asked,
) -> None:
    """Show one task: where it stands, and with --part one part of what is known of it."""
    with connection.client(looks=True) as client:
        found = _find(client, connection.find(client, feature_id), task_id, part, asked)
    if asked.as_json:
        asked.answer(found)
        return
    for line in _lines(found, part):
        output.say(line)


def _find(client: Client, handle: Handle, task_id: str, part: Part | None, asked: Asked) -> TaskAnswer:
    more: dict[str, Any] = {}
    match part:
        case None:
            return answers.task(client, handle, task_id, whole=True)
        case Part.BRIEF:
            brief = json_tasks.brief(client.store.tasks.find(handle.id, task_id))
            most = None if asked.fields == compact.EVERYTHING else LONGEST
            shown = brief.description[:most]
            cut = len(brief.description) - len(shown)
            more["brief"] = brief.model_copy(update={"description": shown})
            more["left_out"] = json_page.left_out(characters=cut)
        case Part.OUTCOME:
            more["outcome"] = json_tasks.outcome(handle.outcome(task_id))
        case Part.LOG:
            from orchestrator.client import task_log  # late: it brings the specialists

            lines = task_log.end(client, handle, task_id).splitlines()
            more["log"] = "\n".join(lines[-asked.limit :])
            more["left_out"] = json_page.left_out(log=max(0, len(lines) - asked.limit))
        case Part.DIFF:
            from orchestrator.client import delivery  # late: it brings git

            more["diff"] = delivery.diff(client, handle.id, task_id, LONGEST_DIFF)
        case Part.EVENTS:
            own = (event for event in event_log.read(handle, asked.after) if event.task == task_id)
            told = story.answer(handle.id, own, limit=asked.limit)
            more |= {"events": told.events, "left_out": told.left_out, "after": told.after}
    return answers.task(client, handle, task_id, **more)


def _lines(found: TaskAnswer, part: Part | None) -> list[str]:
    name = f"{found.task} {found.title}".strip()
    took = f" for {durations.write(found.seconds)}" if found.seconds is not None else ""
    head = [f"{name}: {found.status}{took}"]
    match part:
        case Part.BRIEF if found.brief:
            told = found.brief.model_dump(mode="json", exclude_defaults=True)
            return [*head, *(f"  {key}: {_text(value)}" for key, value in told.items())]
        case Part.OUTCOME:
            if found.outcome is None:
                return [*head, "  no attempt has ended yet"]
            told = found.outcome.model_dump(mode="json", exclude_defaults=True)
            tail = told.pop("tail", "")
            rest = [f"  | {line}" for line in tail.splitlines()[-next_steps.SHOWN_TAIL :]]
            return [*head, *(f"  {key}: {one_line(str(value))}" for key, value in told.items()), *rest]
        case Part.LOG:
            return found.log.splitlines() or [*head, "  no output"]
        case Part.DIFF:
            return found.diff.splitlines() or [*head, "  no agent has committed anything here"]
        case Part.EVENTS:
            return [
                f"{event.time} {event.event} {event.status} {event.cause}".rstrip() for event in found.events
            ]
    who = found.specialist.title if found.specialist else "nobody"
    where = f" on {found.worker}" if found.worker else ""
    attempt = f", attempt {found.attempt}" if found.attempt else ""
    tier = f", tier {found.tier}" if found.tier else ""
    facts = [f"  {who}{tier}, batch {found.batch}{attempt}{where}"]
    facts += [f"  conversation {found.session}"] if found.session else []
    facts += [f"  {text}" for text in (found.said, found.note) if text]
    return [*head, *facts, *(next_steps.need_line(need) for need in found.needs)]


def _text(value: Any) -> str:
    match value:
        case list():
            return ", ".join(map(str, value))
        case dict():
            return ", ".join(f"{name}={inner}" for name, inner in value.items())
    return str(value)


@reports(limit=50)
def specialists(*, asked: Asked) -> None:
    """List the specialists: what each is for, and the tags that route to it."""
    settings = configuration.load()
    part, left, cursor = json_page.page(list(settings.specialists), asked.limit, asked.after, str)
    found = SpecialistsAnswer(
        specialists=tuple(_line(name, settings) for name in part),
        left_out=json_page.left_out(specialists=left),
        after=cursor,
    )
    if asked.as_json:
        asked.answer(found)
        return
    for one in found.specialists:
        tags = ", ".join(one.tags) or "no tag"
        default = "; the default" if one.default else ""
        output.say(f"{one.name} ({one.title}): {tags}{default}{by_agent(one.runtime, one.ladder)}")
    if left:
        output.say(f"and {left:,} more")


def _line(name: str, settings: Settings) -> SpecialistLine:
    own = settings.specialists[name]
    queue = settings.queue(name)
    mapping, agent, ladder = settings.specialist_routing.mapping, settings.agent(name), settings.ladder(name)
    return SpecialistLine(
        name=name,
        title=settings.title(name),
        description=own.description,
        queue="" if queue == name else queue,
        model_tier=own.model_tier or "",
        runtime=agent.runtime if agent else "",
        ladder=ladder.written if ladder else "",
        tags=tuple(tag for tag, who in mapping.items() if who == name),
        work="command" if own.command else "python" if own.python else "agent" if agent else "",
        default=settings.specialist_routing.default == name,
    )
