"""deliver: bring the work of agents to where the project wants it."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from orchestrator.cli import connection, options, output
from orchestrator.cli.asked import Asked, reports
from orchestrator.contract.machine_answers import DeliverAnswer


@reports()
def deliver(
    feature_id: options.FeatureId,
    to: Annotated[
        Literal["branch", "fast-forward"] | None,
        typer.Option(
            help="branch: it stays where it is; fast-forward: the base moves to it. Else as configured."
        ),
    ] = None,
    *,
    asked: Asked,
) -> None:
    """Deliver what agents did for a completed feature, in this project's git repository.

    How: as the setting `workspaces.deliver` says.
    """
    from orchestrator.client import delivery

    with connection.client() as client:
        done = delivery.deliver(client, feature_id, to)
    if asked.as_json:
        asked.answer(DeliverAnswer(feature=feature_id, branch=done.branch, commit=done.commit))
    else:
        output.say(f"The work of {feature_id} is on {done.branch} ({done.commit[:10]}).")
