"""plan, route, graph: what would run, before anything runs. None of them needs Redis or Celery for a file."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from orchestrator import config, drawing, feature_file, planner, routing
from orchestrator.cli import connection, options, output
from orchestrator.config import Settings
from orchestrator.contract import views
from orchestrator.models import Feature, Plan, TaskStatus
from orchestrator.report.plans import plan_lines
from orchestrator.report.routes import route_lines, share_lines


class Format(StrEnum):
    """What a graph is written as."""

    MERMAID = "mermaid"
    DOT = "dot"
    SVG = "svg"


SUFFIXES = {".svg": Format.SVG, ".dot": Format.DOT, ".gv": Format.DOT, ".mmd": Format.MERMAID}
TEXTS = ("", ".txt", ".md", ".mermaid")
"""Suffixes that a text of Mermaid may have."""


def plan(
    file: options.File,
    strategy: options.StrategyOption = None,
    cap: options.Cap = None,
    as_json: options.AsJson = False,
    fields: options.Fields = None,
    limit: options.Limit = views.LIMIT,
    after: options.After = "",
) -> None:
    """Show what would run when, and who would do it. Nothing is stored."""
    settings = config.load()
    feature = options.read_feature(file, settings, strategy, cap)
    planned = make_plan(feature, settings)
    routes = routing.route(feature, settings)
    if as_json:
        output.answer(views.plan(planned, routes, limit, after), fields)
        return
    for line in plan_lines(planned):
        output.say(line)
    output.say()
    for line in share_lines(views.routes(feature, routes, limit)):
        output.say(line)


def make_plan(feature: Feature, settings: Settings) -> Plan:
    """The plan of a feature under the cap in force. Raises as the planner does."""
    feature_file.check(feature, settings.limits)
    return planner.plan(feature, settings.parallelism.max_parallel_tasks)


def route(
    file: options.File,
    as_json: options.AsJson = False,
    fields: options.Fields = None,
    limit: options.Limit = views.LIMIT,
    after: options.After = "",
) -> None:
    """Show which specialist gets each task, and why."""
    settings = config.load()
    feature = options.read_feature(file, settings)
    routes = routing.route(feature, settings)
    if as_json:
        output.answer(views.routes(feature, routes, limit, after), fields)
        return
    groups = views.routes(feature, routes, limit, after)
    for line in route_lines(groups):
        output.say(line)


def graph(
    name: Annotated[
        str, typer.Argument(metavar="FILE|ID", help="Feature file, or id of an enqueued feature.")
    ],
    format: Annotated[
        Format | None,
        typer.Option("--format", help="What to write; else as the output file is named, else Mermaid."),
    ] = None,
    file: Annotated[Path | None, typer.Option("-o", "--output", help="Write to this file.")] = None,
) -> None:
    """Draw the dependency graph; of an enqueued feature, with where its tasks stand."""
    kind = format or _kind(file)
    feature, states = _find(name)
    draw = {Format.MERMAID: drawing.mermaid, Format.DOT: drawing.dot, Format.SVG: drawing.svg}
    picture = draw[kind](feature, make_plan(feature, config.load()), states)
    if file:
        try:
            file.write_text(picture, "utf-8")
        except OSError as error:
            cause = f"{file} cannot be written: {error.strerror}"
            raise typer.BadParameter(cause, param_hint="--output") from None
        output.tell(f"Wrote {file}")
    else:
        typer.echo(picture, nl=False)


def _kind(file: Path | None) -> Format:
    suffix = file.suffix.lower() if file else ""
    if suffix not in SUFFIXES and suffix not in TEXTS:
        raise typer.BadParameter(
            f"{suffix} is none that can be written; choose {', '.join(SUFFIXES)}, or say --format",
            param_hint="--output",
        )
    return SUFFIXES.get(suffix, Format.MERMAID)


def _find(name: str) -> tuple[Feature, Mapping[str, TaskStatus] | None]:
    looks_like_a_file = "/" in name or Path(name).suffix.lower() in (".yaml", ".yml", ".json")
    if name == "-" or looks_like_a_file or Path(name).is_file():
        return options.read_feature(name, config.load()), None
    with connection.client(looks=True) as client:
        handle = client.feature(name)
        progress = handle.progress()
        feature = Feature(
            **client.store.head(name),
            strategy=progress.strategy,
            max_parallel_tasks=progress.cap,
            tasks=tuple(handle.tasks()),
        )
        return feature, {state.id: state.status for state in handle.states()}
