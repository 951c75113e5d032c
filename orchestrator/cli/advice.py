"""recommend: which specialist gets one task."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli import connection, options, output
from orchestrator.cli.asked import Asked, reports
from orchestrator.config import configuration
from orchestrator.model import errors
from orchestrator.planning import routing
from orchestrator.report import json_plans
from orchestrator.report.routes import recommendation_lines


@reports()
def recommend(
    feature_id: options.MaybeFeature = None,
    task_id: Annotated[
        str | None,
        typer.Argument(metavar="[TASK]", help="Id of one of its tasks.", callback=options.normal_id),
    ] = None,
    tags: Annotated[
        str | None, typer.Option("--tags", help="Of a task that is not enqueued, such as backend,bug.")
    ] = None,
    *,
    asked: Asked,
) -> None:
    """Say which specialist gets one task, and why: who does an enqueued task, or who would do one with these tags."""
    settings = configuration.load()
    given: list[str] = []
    if tags is not None and feature_id is None:
        given = [tag.strip().lower() for tag in tags.split(",") if tag.strip()]
        route = routing.by_tags(given, settings)
    elif feature_id is None or task_id is None or tags is not None:
        raise errors.NoTaskNamed
    else:
        with connection.client(looks=True) as client:
            handle = connection.find(client, feature_id)
            route = client.recommend(handle.id, task_id)
            if route.rule in ("default", "nobody"):
                given = list(client.store.tasks.find(handle.id, task_id).tags)
    domains, near = routing.domains(settings), routing.near(given, settings)
    if asked.as_json:
        asked.answer(json_plans.recommended(route, domains, near))
        return
    for line in recommendation_lines(route, domains, near):
        output.say(line)
