"""The command `orchestrator`: finds the command that was typed, and tells its errors."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn, cast

import typer
from typer.core import TyperGroup

import orchestrator
from orchestrator.cli import TRACEBACK, commands
from orchestrator.model import errors
from orchestrator.model.sanitizer import as_line

Usage: Any = typer.BadParameter.__mro__[2]
"""The error of a command that was typed wrongly (ClickException); Typer names only its children."""


OF_THE_OUTPUT = (errno.EBADF, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC, errno.EPIPE)
"""Errors after which nothing more can be written, neither as text nor as JSON."""


JSON_ASKED = "orchestrator.json"
"""The key of the context that says that --json was given, for errors."""


class Group(TyperGroup):
    """All commands: imports the one that runs, and turns our errors into a message and an exit code."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**{**attributes, "commands": None})
        self.commands = cast("Any", commands.Commands())
        self._is_listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all commands, in the order of the help."""
        return list(self.commands)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command by name; None if there is none."""
        if cmd_name not in self.commands:
            return None
        return commands.listed(cmd_name) if self._is_listing else self.commands[cmd_name]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help. It lists the commands, and imports none."""
        self._is_listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._is_listing = False

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
        from orchestrator.cli import output

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
            from orchestrator.cli import output
            from orchestrator.contract import error_codes

            context = getattr(error, "ctx", None)
            name = context.info_name if context is not None and context.parent is not None else ""
            output.answer(error_codes.usage(error.format_message(), name or ""))
            sys.exit(error.exit_code)


app = typer.Typer(
    cls=Group,
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
