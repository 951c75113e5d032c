"""plan, route, graph: what would run, before anything runs. None of them needs Redis or Celery for a file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli import connection, options, output
from orchestrator.cli.asked import Asked, reports
from orchestrator.config import configuration
from orchestrator.config.settings import Settings
from orchestrator.feature_file import reader
from orchestrator.model import errors, identifiers
from orchestrator.model.feature import Feature
from orchestrator.model.plan import Plan, Route
from orchestrator.model.task import TaskStatus
from orchestrator.planning import planner, routing
from orchestrator.report import graphviz, json_page, json_plans, mermaid, picture, svg
from orchestrator.report.picture import Picture
from orchestrator.report.plan_text import plan_lines
from orchestrator.report.routes import route_lines, share_lines


class Format(StrEnum):
    """The formats of a graph."""

    MERMAID = "mermaid"
    DOT = "dot"
    SVG = "svg"


SUFFIXES = {".svg": Format.SVG, ".dot": Format.DOT, ".gv": Format.DOT, ".mmd": Format.MERMAID}
TEXTS = ("", ".txt", ".md", ".mermaid")
"""Suffixes that a text of Mermaid may have."""


@reports(limit=json_page.LIMIT)
def plan(
    file: options.File, strategy: options.StrategyOption = None, cap: options.Cap = None, *, asked: Asked
) -> None:
    """Show what would run when, and who would do it. Nothing is stored.

    Of a canvas, the last line says how often Celery itself would run its tasks.

    How long a task takes is its estimate, else the median of its earlier runs, if there were some.
    """
    settings = configuration.load()
    feature = options.read_feature(file, settings, strategy, cap)
    reader.check(feature, settings.limits)
    routes = routing.route(feature, settings)
    learned = _learned(feature, routes, settings)
    planned = planner.plan(feature, settings.parallelism.max_parallel_tasks, learned=learned)
    if asked.as_json:
        answer = json_plans.plan(planned, routes, asked.limit, asked.after)
        if options.is_canvas(file):
            from orchestrator.cli import adoption

            answer = answer.model_copy(update={"celery": adoption.celery_runs_of(feature, file)})
        asked.answer(answer)
        return
    for line in plan_lines(planned):
        output.say(line)
    output.say()
    for line in share_lines(json_plans.route_groups(routes)):
        output.say(line)
    if options.is_canvas(file):
        from orchestrator.cli import adoption

        output.say()
        for line in adoption.celery_lines_of(feature, file):
            output.say(line)


def make_plan(feature: Feature, settings: Settings) -> Plan:
    """The plan of a feature under the cap in force. Raises as the planner does."""
    reader.check(feature, settings.limits)
    return planner.plan(feature, settings.parallelism.max_parallel_tasks)


def _learned(feature: Feature, routes: Mapping[str, Route], settings: Settings) -> dict[str, float]:
    """How long tasks without an estimate took before. Redis is asked only if it may know of any.

    A private Redis that was never started knows none, so it is not started.
    """
    may_know = not settings.is_embedded or (settings.folder / "redis").exists()
    if not may_know or all(task.estimate is not None for task in feature.tasks):
        return {}
    from orchestrator.state import connections

    found = connections.learned(settings.for_looking(), feature, routes)
    if found is None:
        output.tell(
            "How long tasks took before is not known: Redis does not answer. See `orchestrator doctor`."
        )
    return found or {}


@reports(limit=json_page.LIMIT)
def route(file: options.File, *, asked: Asked) -> None:
    """Show which specialist gets each task, and why."""
    settings = configuration.load()
    feature = options.read_feature(file, settings)
    routes = routing.route(feature, settings)
    groups = json_plans.routes(routes, asked.limit, asked.after)
    if asked.as_json:
        asked.answer(groups)
        return
    for line in route_lines(groups):
        output.say(line)


@reports()
def graph(
    name: Annotated[
        str, typer.Argument(metavar="FILE|ID", help="Feature file, or id of an enqueued feature.")
    ],
    format: Annotated[
        Format | None,
        typer.Option("--format", help="What to write; else as the output file is named, else Mermaid."),
    ] = None,
    file: Annotated[Path | None, typer.Option("-o", "--output", help="Write to this file.")] = None,
    around: Annotated[
        str | None, typer.Option("--around", metavar="TASK", help="This task, and what is near it.")
    ] = None,
    depth: Annotated[int, typer.Option("--depth", min=1, max=100, help="How near, for --around.")] = 1,
    critical: Annotated[
        bool, typer.Option("--critical", help="The critical path, and what is beside it.")
    ] = False,
    batches: Annotated[bool, typer.Option("--batches", help="A box for each batch.")] = False,
    whole: Annotated[bool, typer.Option("--all", help="Fold nothing, however large it gets.")] = False,
    *,
    asked: Asked,
) -> None:
    """Draw the dependency graph; of an enqueued feature, with where its tasks stand.

    Of a large graph, wide batches are folded to a box with a count. Of one with cycles, these are red.
    """
    if sum((around is not None, critical, batches)) > 1:
        raise typer.BadParameter("choose one of --around, --critical and --batches")
    if asked.as_json and (format or file):
        raise typer.BadParameter(
            "--json is a format, and goes to standard output: leave --format and --output out"
        )
    feature, states = _find(name)
    kind = format or _kind(file)
    full, keep = _picture(feature, states, around, depth, critical=critical, batches=batches)
    fold = mermaid.fitted if kind is Format.MERMAID and not asked.as_json else picture.folded
    found = full if whole else fold(full, keep=keep)
    if asked.as_json:
        asked.answer(json_plans.graph(found))
        return
    text = {Format.MERMAID: mermaid.mermaid, Format.DOT: graphviz.dot, Format.SVG: svg.svg}[kind](found)
    for note in found.notes:
        output.tell(f"{note}.")
    if found is not full:
        output.tell("--around TASK draws a part of it, and --all draws all.")
    if kind is Format.MERMAID and (
        len(found.arrows) > picture.MOST_ARROWS or len(text) > mermaid.LONGEST_TEXT
    ):
        limits = f"{picture.MOST_ARROWS} arrows and {mermaid.LONGEST_TEXT:,} characters"
        has = f"{len(found.arrows):,} and {len(text):,}"
        output.tell(f"Mermaid draws at most {limits}; this has {has}. Raise its maxEdges and maxTextSize.")
    if file:
        file.write_text(text, "utf-8")
        output.tell(f"Wrote {file}")
    else:
        typer.echo(text, nl=False)


def _picture(
    feature: Feature,
    states: Mapping[str, TaskStatus] | None,
    around: str | None,
    depth: int,
    *,
    critical: bool,
    batches: bool,
) -> tuple[Picture, Collection[str]]:
    """The parts of the graph to draw, and those that are not folded."""
    if around is not None and around not in {task.id for task in feature.tasks}:
        raise errors.NoSuchTask(feature=feature.id or feature.title, task=around)
    try:
        planned = make_plan(feature, configuration.load())
    except errors.CircularDependency:
        if critical or batches:
            raise  # a cycle has neither, and the error shows it
        return picture.cyclic(feature, around, depth), [around or ""]
    levels = [batch.tasks for batch in planned.batches]
    if around is not None:
        return picture.around(feature, levels, around, depth, states), [around]
    if critical:
        return picture.critical(planned, states), planned.critical_path
    if batches:
        return picture.by_batches(planned, states), ()
    return picture.whole(feature, levels, states), ()


def _kind(file: Path | None) -> Format:
    suffix = file.suffix.lower() if file else ""
    if suffix not in SUFFIXES and suffix not in TEXTS:
        raise typer.BadParameter(
            f"{suffix} is none that can be written; choose {', '.join(SUFFIXES)}, or say --format",
            param_hint="--output",
        )
    return SUFFIXES.get(suffix, Format.MERMAID)


def _find(name: str) -> tuple[Feature, Mapping[str, TaskStatus] | None]:
    looks_like_a_file = Path(name).suffix.lower() in (".yaml", ".yml", ".json")
    if name == "-" or looks_like_a_file or Path(name).is_file():
        return options.read_feature(name, configuration.load()), None
    name = identifiers.normal(name)
    with connection.client(looks=True) as client:
        handle = connection.find(client, name)
        progress = handle.progress()
        feature = Feature(
            **client.store.features.head(handle.id),
            strategy=progress.strategy,
            max_parallel_tasks=progress.cap,
            tasks=tuple(handle.tasks()),
        )
        return feature, {state.id: state.status for state in handle.states()}
