"""plan, route, graph: what would run, before anything runs. None of them needs Redis or Celery for a file."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from orchestrator import config, drawing, feature_file, planner, routing
from orchestrator.cli import connection, options, output, views
from orchestrator.config import Settings
from orchestrator.models import Feature, Plan, Route, TaskStatus
from orchestrator.report.plans import plan_facts, plan_lines


class Format(StrEnum):
    """What a graph is written as."""

    MERMAID = "mermaid"
    DOT = "dot"
    SVG = "svg"


SUFFIXES = {".svg": Format.SVG, ".dot": Format.DOT, ".gv": Format.DOT, ".mmd": Format.MERMAID}


def plan(
    file: options.File,
    strategy: options.StrategyOption = None,
    cap: options.Cap = None,
    whole: Annotated[
        bool, typer.Option("--all", help="With --json: every batch and task, also of a large feature.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Show what would run when, and who would do it. Nothing is stored.

    How long a task takes is its estimate, else the median of its earlier runs, where Redis runs and knows of some.
    """
    settings = config.load()
    feature = options.read_feature(file, settings, strategy, cap)
    feature_file.check(feature, settings.limits)
    routes = routing.route(feature, settings)
    learned = _learned(feature, routes, settings)
    planned = planner.plan(feature, settings.parallelism.max_parallel_tasks, learned=learned)
    if as_json:
        output.write_json(plan_facts(planned, routes, whole=whole))
        return
    for line in plan_lines(planned):
        output.say(line)
    output.say()
    output.show(views.route_summary(routes))


def make_plan(feature: Feature, settings: Settings) -> Plan:
    """The plan of a feature under the cap in force. Raises as the planner does."""
    feature_file.check(feature, settings.limits)
    return planner.plan(feature, settings.parallelism.max_parallel_tasks)


def _learned(feature: Feature, routes: Mapping[str, Route], settings: Settings) -> dict[str, float]:
    """How long tasks without an estimate took before; Redis is asked only where it may know of some."""
    may_know = not settings.is_embedded or (settings.folder / "redis").exists()
    if not may_know or all(task.estimate is not None for task in feature.tasks):
        return {}
    from orchestrator import connections

    return connections.learned(settings, feature, routes)


def route(file: options.File, as_json: options.AsJson = False) -> None:
    """Show which specialist gets each task, and why."""
    settings = config.load()
    feature = options.read_feature(file, settings)
    routes = routing.route(feature, settings)
    if as_json:
        output.write_json(routes)
        return
    output.show(views.route_table(feature, routes))


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
    feature, states = _find(name)
    kind = format or SUFFIXES.get(file.suffix.lower() if file else "", Format.MERMAID)
    draw = {Format.MERMAID: drawing.mermaid, Format.DOT: drawing.dot, Format.SVG: drawing.svg}
    picture = draw[kind](feature, make_plan(feature, config.load()), states)
    if file:
        file.write_text(picture, "utf-8")
        output.tell(f"Wrote {file}")
    else:
        typer.echo(picture, nl=False)


def _find(name: str) -> tuple[Feature, Mapping[str, TaskStatus] | None]:
    looks_like_a_file = "/" in name or Path(name).suffix.lower() in (".yaml", ".yml", ".json")
    if name == "-" or looks_like_a_file or Path(name).is_file():
        return options.read_feature(name, config.load()), None
    with connection.client(looks=True) as client:
        handle = connection.find(client, name)
        progress = handle.progress()
        feature = Feature(
            **client.store.head(handle.id),
            strategy=progress.strategy,
            max_parallel_tasks=progress.cap,
            tasks=tuple(handle.tasks()),
        )
        return feature, {state.id: state.status for state in handle.states()}
