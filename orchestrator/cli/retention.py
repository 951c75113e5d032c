"""prune, forget: delete features that are over."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli import connection, options, output
from orchestrator.cli.asked import Asked, reports
from orchestrator.config import configuration
from orchestrator.contract.machine_answers import PruneAnswer
from orchestrator.model import durations, words
from orchestrator.report import json_page

MOST = 100
"""How many names of each kind an answer has; the others are counted."""


def _seconds(text: str | None) -> str | None:
    if text is not None:
        try:
            durations.parse(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
    return text


@reports()
def prune(
    older_than: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="How long a feature must have been over, such as 7d; else as retention.finished says.",
            callback=_seconds,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    *,
    asked: Asked,
) -> None:
    """Forget features that have been over for long, and remove this machine's logs and folders of what is gone."""
    kept = configuration.load().retention.finished
    if older_than is None and kept is None:
        raise typer.BadParameter("retention.finished is null, so say how old", param_hint="--older-than")
    age = durations.parse(older_than) if older_than is not None else kept or 0.0
    with connection.client() as client:
        features, folders = client.prune(age, dry_run=dry_run)
    if asked.as_json:
        asked.answer(
            PruneAnswer(
                features=tuple(features[:MOST]),
                folders=tuple(str(path) for path in folders[:MOST]),
                dry_run=dry_run,
                left_out=json_page.left_out(
                    features=max(0, len(features) - MOST), folders=max(0, len(folders) - MOST)
                ),
            )
        )
        return
    for line in (*features, *folders):
        output.say(str(line))
    done = "would be" if dry_run else "were" if len(features) != 1 else "was"
    what = f"{words.count(len(features), 'feature')} {done} forgotten"
    output.tell(f"{what}, {words.count(len(folders), 'folder')} removed.")


@reports()
def forget(feature_id: options.FeatureId, *, asked: Asked) -> None:
    """Forget a feature that is over at once: all that is stored of it, and this machine's logs and folders."""
    with connection.client() as client:
        client.forget(feature_id)
    if asked.as_json:
        asked.answer(PruneAnswer(features=(feature_id,)))
    else:
        output.say(f"{feature_id} is forgotten.")
