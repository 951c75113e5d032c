"""The options of every command that reports: --json and --fields; of lists also --limit and --after."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli import output
from orchestrator.cli.app import JSON_ASKED
from orchestrator.report import json_page

if TYPE_CHECKING:
    from orchestrator.contract.answer import Answer


def _remember(ctx: typer.Context, value: bool) -> bool:
    ctx.meta[JSON_ASKED] = value
    return value


AsJson = Annotated[
    bool, typer.Option("--json", help="Write JSON to standard output, and nothing else.", callback=_remember)
]
Fields = Annotated[
    str | None,
    typer.Option(
        "--fields", metavar="A,B", help="With --json: only these, such as status,tasks.task; or all."
    ),
]
Limit = Annotated[
    int,
    typer.Option("--limit", min=1, max=100_000, help="The longest a list may be; the rest is counted."),
]
After = Annotated[
    str, typer.Option("--after", metavar="CURSOR", help="Go on after what an answer ended with.")
]


@dataclass(frozen=True)
class Asked:
    """In which form a report is asked for, and how much of it."""

    as_json: bool = False
    fields: str | None = None
    limit: int = json_page.LIMIT
    after: str = ""

    def answer(self, found: Answer) -> None:
        """Write an answer as JSON, with the fields that are asked for."""
        output.answer(found, self.fields)


def reports(*, limit: int | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a command take --json and --fields, and hand them to its parameter `asked`.

    Args:
        limit: The default of --limit, for a command with lists, which takes --limit and --after too.

    Example:
        @reports(limit=10)
        def status(feature_id: options.FeatureId, *, asked: Asked) -> None: ...
    """
    taken: dict[str, tuple[Any, Any]] = {"as_json": (AsJson, False), "fields": (Fields, None)}
    if limit is not None:
        taken |= {"limit": (Limit, limit), "after": (After, "")}
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in taken.items()
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(*args: Any, **given: Any) -> None:
            command(*args, asked=Asked(**{name: given.pop(name) for name in taken}), **given)

        signature = inspect.signature(command, eval_str=True)
        own = [parameter for name, parameter in signature.parameters.items() if name != "asked"]
        typed: Any = run  # functions have these attributes, which their type does not show; Typer reads them
        typed.__signature__ = signature.replace(parameters=[*own, *added])
        typed.__annotations__ = {one.name: one.annotation for one in (*own, *added)}
        return run

    return decorate
