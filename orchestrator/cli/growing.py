"""add-task, depend: a feature grows while it runs."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from pydantic import ValidationError

from orchestrator import errors, wording
from orchestrator.cli import options
from orchestrator.cli.decisions import decision
from orchestrator.models import Task

DependsOn = Annotated[
    list[str] | None,
    typer.Option("--depends-on", help="Id of a task it waits for; may be given several times."),
]


def add_task(
    feature_id: options.FeatureId,
    task_id: options.TaskId,
    title: Annotated[str, typer.Option("--title", help="One line.")] = "",
    tags: Annotated[
        list[str] | None, typer.Option("--tag", help="Routes it; may be given several times.")
    ] = None,
    depends_on: DependsOn = None,
    run: Annotated[str | None, typer.Option("--run", help="Inline command, where they are allowed.")] = None,
    specialist: Annotated[str | None, typer.Option("--specialist", help="Overrides the routing.")] = None,
    estimate: Annotated[
        str | None, typer.Option("--estimate", help="Expected duration, such as 25m.")
    ] = None,
    note: options.Note = "",
    as_json: options.AsJson = False,
) -> None:
    """Add a task to a feature that runs. It is refused where it would close a circle."""
    given = {
        "title": title,
        "tags": tags,
        "depends_on": depends_on,
        "run": run,
        "specialist": specialist,
        "estimate": estimate,
    }
    task = make_task({"id": task_id, **{name: value for name, value in given.items() if value}})
    with decision(feature_id, f"{task_id} is added.", as_json=as_json) as handle:
        handle.add_task(task, note)


def make_task(fields: dict[str, Any]) -> Task:
    """A task of these fields.

    Raises:
        InvalidFeature: It has mistakes; all of them are named.
    """
    try:
        return Task.model_validate(fields)
    except ValidationError as error:
        mistakes = [f"  {'.'.join(map(str, line['loc']))}: {line['msg']}" for line in error.errors()]
        raise errors.InvalidFeature(
            source="The task",
            count=wording.count(len(mistakes), "mistake"),
            mistakes="\n".join(mistakes),
            them="it" if len(mistakes) == 1 else "them",
        ) from None


def depend(
    feature_id: options.FeatureId,
    task_id: options.TaskId,
    on: Annotated[list[str], typer.Option("--on", help="Id of a task; may be given several times.")],
    note: options.Note = "",
    as_json: options.AsJson = False,
) -> None:
    """Let a task that has not started wait for others too. It is refused where it would close a circle."""
    with decision(feature_id, f"{task_id} waits for {', '.join(on)}.", as_json=as_json) as handle:
        handle.depend(task_id, on, note)
