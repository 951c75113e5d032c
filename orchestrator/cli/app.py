"""The commands, put together."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

import orchestrator
from orchestrator.cli import (
    TRACEBACK,
    advice,
    contracts,
    decisions,
    features,
    growing,
    limits,
    logs,
    machine,
    output,
    plans,
    retention,
    runs,
    story,
    tasks,
    waiting,
)
from orchestrator.cli.asked import JSON_ASKED
from orchestrator.contract import catalogue
from orchestrator.model import errors
from orchestrator.model.sanitizer import as_line

Usage: Any = typer.BadParameter.__mro__[2]
"""The error of a command that was typed wrongly (ClickException); Typer names only its children."""


OF_THE_OUTPUT = (errno.EBADF, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC, errno.EPIPE)
"""Errors after which nothing more can be written, neither as text nor as JSON."""


class Commands(TyperGroup):
    """The group of all commands: turns our errors into a message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except errors.OrchestratorError as error:
            self._fail(ctx, error)
        except (Usage, typer.Abort, typer.Exit):
            raise
        except OSError as error:
            if error.errno in OF_THE_OUTPUT and not error.filename:
                raise
            if not error.filename:
                self._did_not_expect(ctx, error)
            self._fail(ctx, errors.CannotUseFile(file=error.filename, cause=error.strerror or str(error)))
        except Exception as error:
            self._did_not_expect(ctx, error)

    def _fail(self, ctx: Any, error: errors.OrchestratorError) -> NoReturn:
        output.fail(error, as_json=bool(ctx.meta.get(JSON_ASKED)))
        raise typer.Exit(error.exit_code) from None

    def _did_not_expect(self, ctx: Any, error: Exception) -> NoReturn:
        if os.environ.get(TRACEBACK):
            raise error
        cause = as_line(f"{type(error).__name__}: {error}")
        self._fail(ctx, errors.Unexpected(cause=cause, variable=TRACEBACK))

    def main(self, args: Sequence[str] | None = None, *more: Any, **options: Any) -> Any:
        """Run a command. With --json, a mistake in how it was typed is an object on standard output, too."""
        typed = list(sys.argv[1:] if args is None else args)
        if "--json" not in typed or not options.get("standalone_mode", True):
            return super().main(args, *more, **options)
        try:
            sys.exit(super().main(args, *more, **{**options, "standalone_mode": False}) or 0)
        except typer.Abort:
            sys.exit(1)
        except Usage as error:
            context = getattr(error, "ctx", None)
            name = context.info_name if context is not None and context.parent is not None else ""
            output.answer(catalogue.usage(error.format_message(), name or ""))
            sys.exit(error.exit_code)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
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
    """Runs features (tasks with dependencies) over Celery, with the state in Redis."""


PANELS: Mapping[str, tuple[Callable[..., None], ...]] = {
    "Before a run": (plans.plan, plans.route, advice.recommend, plans.graph, tasks.specialists),
    "Run": (runs.run, runs.enqueue, runs.watch, waiting.wait),
    "See": (features.status, features.progress, features.explain, tasks.task, story.events, logs.logs),
    "Answer what stopped": (decisions.retry, decisions.unblock, decisions.skip, decisions.assign),
    "Review": (decisions.approve, decisions.request_changes, decisions.advance),
    "Hold and give up": (
        decisions.hold,
        decisions.block,
        decisions.resume,
        decisions.defer,
        decisions.cancel,
        decisions.fail,
    ),
    "Steer": (decisions.pause, decisions.launch, decisions.cap, growing.add_task, growing.depend),
    "Tidy up": (retention.prune, retention.forget),
    "This machine": (machine.up, machine.doctor, machine.init, machine.config),
    "For programs": (contracts.schema,),
}
for panel, commands in PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
app.add_typer(limits.app, name="limits", rich_help_panel="Steer")
