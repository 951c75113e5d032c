"""Arguments and options that several commands have, and the feature that they name."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.model import errors, identifiers
from orchestrator.model.feature import Feature, Strategy

if TYPE_CHECKING:
    from orchestrator.config.settings import Settings


def normal_id(value: str | None) -> str | None:
    """An id as it is stored, however its accents were typed."""
    return value if value is None else identifiers.normal(value)


File = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="Feature file, YAML or JSON; - is standard input; MODULE:NAME is a canvas of Celery's.",
    ),
]
FeatureId = Annotated[
    str, typer.Argument(metavar="ID", help="Id of an enqueued feature.", callback=normal_id)
]
MaybeFeature = Annotated[
    str | None, typer.Argument(metavar="[ID]", help="Id of an enqueued feature.", callback=normal_id)
]
TaskId = Annotated[str, typer.Argument(metavar="TASK", help="Id of a task, such as T3.", callback=normal_id)]
StrategyOption = Annotated[
    Strategy | None, typer.Option("--strategy", help="Overrides the strategy of the file.")
]
Cap = Annotated[
    int | None,
    typer.Option("--cap", min=1, max=10_000, help="How many tasks may run at once; overrides the file."),
]
NewId = Annotated[str | None, typer.Option("--id", help="Id of the feature; made up if it is left out.")]
Key = Annotated[
    str | None,
    typer.Option(
        "--key", help="Idempotency key: the same key and content within a week give the same feature again."
    ),
]
StopBefore = Annotated[
    list[int] | None,
    typer.Option(
        "--stop-before", min=1, help="Wait for `launch` before this batch; may be given several times."
    ),
]
Remember = Annotated[
    bool,
    typer.Option("--remember", help="Write the specialist that was chosen for a tag into the configuration."),
]
MaybeTask = Annotated[
    str | None,
    typer.Argument(metavar="[TASK]", help="Id of a task; without it, the whole feature.", callback=normal_id),
]
Reason = Annotated[str, typer.Option("--because", "--note", help="Why; kept in the feature's events.")]
Note = Annotated[
    str, typer.Option("--note", help="Kept in the feature's events, and handed to the specialist.")
]


def read_feature(
    file: str,
    settings: Settings,
    strategy: Strategy | None = None,
    cap: int | None = None,
    feature_id: str | None = None,
) -> Feature:
    """The feature of a file, with what the options lay over it.

    Raises:
        InvalidFeature: It cannot be read, or has mistakes, or the id is none.
    """
    feature = _read(file, settings)
    if feature_id is not None:
        feature_id = identifiers.normal(feature_id)
        if wrong := identifiers.trouble_of_feature(feature_id):
            from orchestrator.feature_file.document import quoted

            raise errors.InvalidFeature(
                source="--id", count="1 mistake", mistakes=f"  {quoted(feature_id)}: {wrong}", them="it"
            )
    given = {"strategy": strategy, "max_parallel_tasks": cap, "id": feature_id}
    return feature.model_copy(update={name: value for name, value in given.items() if value is not None})


def is_canvas(file: str) -> bool:
    """Whether it names a canvas, and no file."""
    return re.fullmatch(r"[\w.]+:[\w.]+", file) is not None and not Path(file).exists()


def _read(file: str, settings: Settings) -> Feature:
    from orchestrator.feature_file import reader

    if is_canvas(file):
        from orchestrator.cli import adoption

        return adoption.read(file)
    if file != "-":
        return reader.read(Path(file), settings.limits)
    return reader.parse(sys.stdin.buffer.read(settings.limits.file + 1), settings.limits, "Standard input")
