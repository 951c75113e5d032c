"""add-task, depend: a feature grows while it runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.cli import connection, options
from orchestrator.cli.asked import Asked, reports
from orchestrator.cli.decisions import tell
from orchestrator.client import checks
from orchestrator.config import configuration
from orchestrator.feature_file import reader
from orchestrator.feature_file.document import Unreadable, decode
from orchestrator.feature_file.yaml_reader import YamlDocument
from orchestrator.model import errors, identifiers, words
from orchestrator.model.task import Priority

DependsOn = Annotated[
    list[str] | None,
    typer.Option("--depends-on", help="Id of a task it waits for; may be given several times."),
]


@reports()
def add_task(
    feature_id: options.FeatureId,
    task_id: Annotated[
        str | None,
        typer.Argument(metavar="[TASK]", help="Id of the task; with --file, its own where left out."),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            "--file", help="YAML or JSON: a task, or a list of tasks; - is standard input. Options go before."
        ),
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="One line.")] = None,
    description: Annotated[str | None, typer.Option("--description", help="What it is about.")] = None,
    tags: Annotated[
        list[str] | None, typer.Option("--tag", help="Routes it; may be given several times.")
    ] = None,
    depends_on: DependsOn = None,
    priority: Annotated[Priority | None, typer.Option("--priority", help="Goes first, or last.")] = None,
    complexity: Annotated[int | None, typer.Option("--complexity", min=1, max=10, help="1 to 10.")] = None,
    estimate: Annotated[
        str | None, typer.Option("--estimate", help="Expected duration, such as 25m.")
    ] = None,
    timeout: Annotated[str | None, typer.Option("--timeout", help="It is ended after this.")] = None,
    retries: Annotated[int | None, typer.Option("--retries", min=0, max=100, help="After the first.")] = None,
    idempotent: Annotated[
        bool | None,
        typer.Option(
            "--idempotent/--not-idempotent", help="Not: a person is asked before a lost attempt runs again."
        ),
    ] = None,
    run: Annotated[str | None, typer.Option("--run", help="Inline command, where they are allowed.")] = None,
    specialist: Annotated[str | None, typer.Option("--specialist", help="Overrides the routing.")] = None,
    resources: Annotated[
        list[str] | None, typer.Option("--resource", metavar="NAME[=N]", help="May be given several times.")
    ] = None,
    params: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="NAME=VALUE", help="Data for the specialist; JSON, else a text."),
    ] = None,
    note: options.Note = "",
    *,
    asked: Asked,
) -> None:
    """Add a task to a feature that runs, or several from a file. It is refused if it would close a cycle."""
    given = {
        "id": task_id,
        "title": title,
        "description": description,
        "tags": tags,
        "depends_on": depends_on,
        "priority": priority,
        "complexity": complexity,
        "estimate": estimate,
        "timeout": timeout,
        "retries": retries,
        "idempotent": idempotent,
        "run": run,
        "specialist": specialist,
        "resources": _pairs(resources, int, "1"),
        "params": _pairs(params, _value),
    }
    own = {name: value for name, value in given.items() if value not in (None, [], {})}
    written = _read(file) if file else [{}]
    if len(written) != 1 and own:
        raise typer.BadParameter(
            "there are several tasks in it, and options are for one", param_hint="--file"
        )
    wanted = [{**fields, **own} for fields in written]
    tasks = [reader.make_task(fields, str(fields.get("id") or "The task")) for fields in wanted]
    names = [task.id for task in tasks]
    verb = "is" if len(names) == 1 else "are"
    with connection.client() as client:
        handle = connection.find(client, feature_id)
        checks.check_calls(tasks, handle.settings, from_file=True)
        handle.add_tasks(tasks, note)
        tell(client, handle, f"{words.some(names)} {verb} added.", *names, asked=asked)


def _pairs(texts: list[str] | None, read: Callable[[str], Any], missing: str | None = None) -> dict[str, Any]:
    """NAME=VALUE, each read; without a value it is `missing`, if that is allowed."""
    pairs = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals and missing is None:
            raise typer.BadParameter(f"{text} has no value; write {name}=VALUE", param_hint="--param")
        try:
            pairs[name] = read(value if equals else missing or "")
        except ValueError:
            raise typer.BadParameter(
                f"{value} is no number; write {name}=1", param_hint="--resource"
            ) from None
    return pairs


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _read(file: str) -> list[dict[str, Any]]:
    """The tasks of a file.

    Raises:
        BadTask: It cannot be read, or holds no task.
    """
    settings = configuration.load()
    source = "Standard input" if file == "-" else file
    if file == "-":
        data = sys.stdin.buffer.read(settings.limits.file + 1)
    else:
        try:
            with Path(file).open("rb") as opened:
                data = opened.read(settings.limits.file + 1)
        except OSError as error:
            raise errors.BadTask(source=source, cause=error.strerror or str(error)) from None
    try:
        document = YamlDocument(decode(data, settings.limits), settings.limits)
    except Unreadable as error:
        raise errors.BadTask(source=source, cause=error.mistake.message) from None
    if document.mistakes:
        raise errors.BadTask(source=source, cause=document.mistakes[0].message)
    found = document.value if isinstance(document.value, list) else [document.value]
    if not found or not all(isinstance(one, dict) for one in found):
        raise errors.BadTask(source=source, cause="it is neither a mapping nor a list of mappings")
    return found


@reports()
def depend(
    feature_id: options.FeatureId,
    task_id: options.TaskId,
    on: Annotated[list[str], typer.Option("--on", help="Id of a task; may be given several times.")],
    note: options.Note = "",
    *,
    asked: Asked,
) -> None:
    """Let a task that has not started wait for others too. It is refused if it would close a cycle."""
    on = [identifiers.normal(other) for other in on]
    with connection.client() as client:
        handle = connection.find(client, feature_id)
        handle.depend(task_id, on, note)
        tell(client, handle, f"{task_id} waits for {', '.join(on)}.", task_id, asked=asked)
