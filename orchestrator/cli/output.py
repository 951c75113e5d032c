"""The output of commands. Text from outside is made inert: no markup, no control characters."""

from __future__ import annotations

import os
import sys
from typing import IO, TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.text import Text

from orchestrator.model import errors
from orchestrator.model.sanitizer import as_text

if TYPE_CHECKING:
    from orchestrator.config.settings import Settings
    from orchestrator.contract.answer import Answer

PIPE_WIDTH = 200
"""Columns of a table that goes into a pipe or a file."""


def console(stream: IO[str] | None = None) -> Console:
    """A console on standard output (or another stream) that interprets no markup in texts."""
    stream = stream or sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def inert(text: str, style: str = "") -> Text:
    """A text without control characters and markup."""
    return Text(as_text(text).replace("\t", "    "), style=style)


def show(renderable: RenderableType) -> None:
    """Write a table, or another thing that rich renders, to standard output."""
    console().print(renderable)


def say(text: str | Text = "", style: str = "") -> None:
    """Write a line to standard output. A long one stays one line."""
    console().print(text if isinstance(text, Text) else inert(text, style), soft_wrap=True)


def tell(text: str, style: str = "") -> None:
    """Write a line to standard error: a remark for people beside the output."""
    console(sys.stderr).print(inert(text, style), soft_wrap=True)


def tell_what_starts(settings: Settings) -> None:
    """Report the programs and modules that the folder's own configuration, maybe a stranger's, makes this load."""
    if settings.starts:
        tell(f"The configuration of this folder {settings.starts}.")


def answer(found: Answer, fields: str | None = None) -> None:
    """Write an answer to standard output as JSON on one line: these fields, or the usual ones."""
    from orchestrator.contract import compact

    sys.stdout.write(compact.write(compact.select(found, fields)) + "\n")
    sys.stdout.flush()


def fail(error: errors.OrchestratorError, *, as_json: bool) -> None:
    """Write an error: its message to standard error, or with --json its facts to standard output."""
    if as_json:
        from orchestrator.contract import error_codes

        answer(error_codes.of(error))
        return
    if sys.stderr.isatty():
        console(sys.stderr).print(Text("error:", style="bold red"), end=" ")
    tell(str(error))
