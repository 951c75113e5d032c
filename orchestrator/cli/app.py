"""The commands, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import orchestrator
from orchestrator import errors
from orchestrator.cli import (
    advice,
    decisions,
    features,
    growing,
    limits,
    logs,
    machine,
    options,
    output,
    plans,
    retention,
    runs,
)


class Commands(TyperGroup):
    """The group of all commands: turns our errors into a message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except errors.OrchestratorError as error:
            output.fail(error, as_json=bool(ctx.meta.get(options.JSON_ASKED)))
            raise typer.Exit(error.exit_code) from None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"orchestrator {orchestrator.__version__}")
        raise typer.Exit


@app.callback()
def start(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Runs features (tasks with dependencies) as Celery chains of groups, with the truth in Redis."""


PANELS: Mapping[str, tuple[Callable[..., None], ...]] = {
    "Before a run": (plans.plan, plans.route, advice.recommend, plans.graph),
    "Run": (runs.run, runs.enqueue, runs.watch),
    "See": (features.status, features.explain, features.events, logs.logs),
    "Answer what stopped": (decisions.retry, decisions.unblock, decisions.skip, decisions.assign),
    "Review": (decisions.approve, decisions.request_changes, decisions.advance),
    "Hold and give up": (
        decisions.hold,
        decisions.resume,
        decisions.defer,
        decisions.cancel,
        decisions.fail,
    ),
    "Steer": (decisions.pause, decisions.launch, decisions.cap, growing.add_task, growing.depend),
    "Tidy up": (retention.prune, retention.forget),
    "This machine": (machine.up, machine.doctor, machine.init, machine.config),
}
for panel, commands in PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
app.add_typer(limits.app, name="limits", rich_help_panel="Steer")
