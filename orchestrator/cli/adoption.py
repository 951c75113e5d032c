"""adopt: a canvas of Celery's, as a feature file."""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli import output
from orchestrator.cli.asked import Asked, reports
from orchestrator.config import configuration
from orchestrator.model import errors, words
from orchestrator.model.feature import Feature
from orchestrator.report.celery_counts import celery_lines, celery_runs

if TYPE_CHECKING:
    from orchestrator.contract.plan_answers import CeleryRuns


@reports()
def adopt(
    name: Annotated[
        str, typer.Argument(metavar="MODULE:NAME", help="A canvas, or a function that returns one.")
    ],
    args: Annotated[
        str, typer.Option("--args", metavar="JSON", help="A list of arguments for the tasks that begin it.")
    ] = "[]",
    title: Annotated[str, typer.Option("--title", help="The title of the feature.")] = "",
    *,
    asked: Asked,
) -> None:
    """Print the feature that a canvas of Celery's means, as a feature file. Nothing is stored.

    Modules are looked for in the project's folder. `trust.calls` says which tasks a file may call.
    """
    import yaml

    from orchestrator.contract.plan_answers import AdoptAnswer

    given = _arguments(args)
    feature = read(name, given, title)
    fields = feature.model_dump(mode="json", exclude_defaults=True)
    if asked.as_json:
        asked.answer(AdoptAnswer(file=fields, celery=celery_runs_of(feature, name, given)))
        return
    tasks = words.count(len(feature.tasks), "task")
    output.say(f"# {name}: {tasks}. Read by `orchestrator plan`, `run` and `enqueue`.")
    for line in celery_lines_of(feature, name, given):
        output.say(f"# {line}")
    output.say(yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=110).rstrip())


def read(name: str, args: Sequence[Any] = (), title: str = "") -> Feature:
    """The feature that the canvas of a name means. Print what may be meant otherwise."""
    from orchestrator.client.adoption import adopt

    with warnings.catch_warnings(record=True) as warned:
        feature = adopt(_find(name), args, title=title)
    for warning in warned:
        output.tell(str(warning.message))
    return feature


def celery_lines_of(feature: Feature, name: str, args: Sequence[Any] = ()) -> Iterator[str]:
    """Compare the feature that a canvas means with what Celery itself would do."""
    from orchestrator.client.adoption import rehearse

    return celery_lines(feature, rehearse(_find(name), args))


def celery_runs_of(feature: Feature, name: str, args: Sequence[Any] = ()) -> CeleryRuns:
    """Compare in the same way, as an answer."""
    from orchestrator.client.adoption import rehearse

    return celery_runs(feature, rehearse(_find(name), args))


def _find(name: str) -> Any:
    """The canvas of a name.

    Raises:
        NotACanvas: There is none.
    """
    module, _, place = name.partition(":")
    if not module or not place:
        raise errors.NotACanvas(name=name, cause="it is written as MODULE:NAME, such as proj.flows:nightly")
    project = str(configuration.load().folder.parent)
    if project not in sys.path:
        sys.path.insert(0, project)
    try:
        found: Any = importlib.import_module(module)
        for part in place.split("."):
            found = getattr(found, part)
        if callable(found) and not isinstance(found, dict):
            found = found()
    except Exception as error:
        raise errors.NotACanvas(name=name, cause=f"{type(error).__name__}: {error}") from error
    if not isinstance(found, dict):
        raise errors.NotACanvas(name=name, cause=f"it is a {type(found).__name__}")
    return found


def _arguments(text: str) -> list[Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"--args is no JSON: {error}") from None
    if not isinstance(found, list):
        raise typer.BadParameter("--args is a list, such as '[\"a.png\", 200]'")
    return found
