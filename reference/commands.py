"""Every command and its options, from the command line itself."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import typer.main

from orchestrator.cli import asked
from orchestrator.cli.app import app
from reference.markdown import code, head, sentence, table

ABOUT = """\
`orchestrator COMMAND --help` says the same in a terminal.

| options of many commands | |
|---|---|
| `--json` | write JSON to standard output, and nothing else: [JSON answers](json.md) |
| `--fields A,B` | with `--json`: only these fields, such as `status,tasks.task`; or `all` |
| `--limit N` | at most N of each list; the rest is counted |
| `--after CURSOR` | go on after what an answer ended with |

Exit codes: 0 done, 1 not completed, 2 a mistake in what was asked, 3 no connection; of `wait` also 4
timeout and 5 a person is needed."""

SHARED = {get_args(kind)[1].help for kind in (asked.AsJson, asked.Fields, asked.Limit, asked.After)}
"""The help texts of options that many commands have, which are explained once."""

VALUES = {str: "TEXT", int: "N", float: "NUMBER", Path: "PATH"}


def page() -> str:
    """docs/reference/commands.md."""
    lines = head("Commands", ABOUT)
    group: Any = typer.main.get_command(app)
    panels: dict[str, list[tuple[str, Any]]] = {}
    for name, command in group.commands.items():
        panels.setdefault(command.rich_help_panel or "", []).append((name, command))
    for panel, commands in panels.items():
        lines += ["", f"## {panel}"]
        for name, command in commands:
            lines += _command(name, command)
    return "\n".join(lines) + "\n"


def _command(name: str, command: Any) -> Iterator[str]:
    signature = inspect.signature(command.callback, eval_str=True)
    hints = {one.name: one.annotation for one in signature.parameters.values()}
    taken = [one for one in command.params if "--help" not in one.opts]
    arguments = [_argument(one) for one in taken if one.param_type_name == "argument"]
    yield from ["", f"### {name}", ""]
    yield from [f"    {' '.join(['orchestrator', name, *arguments])}", ""]
    yield _plain(command.help)
    own = [one for one in taken if one.help not in SHARED]
    if own:
        yield from table(["argument or option", "default", "what it is for"], _rows(own, hints))
    shared = [_shared(one) for one in taken if one.help in SHARED]
    if shared:
        yield from ["", f"{'Also' if own else 'Options:'} {', '.join(shared)}."]
    for inner, one in getattr(command, "commands", {}).items():
        yield from _command(f"{name} {inner}", one)


def _rows(taken: Sequence[Any], hints: dict[str, Any]) -> Iterator[list[str]]:
    for one in taken:
        about = sentence(_plain(one.help))
        if one.param_type_name == "argument":
            names = code(_argument(one))
        else:
            value = "" if one.is_flag else f" {one.metavar or _value(hints[one.name])}"
            about += _choices(hints[one.name])
            names = ", ".join(code(f"{name}{value}") for name in (*one.opts, *one.secondary_opts))
        has_default = isinstance(one.default, str | int | float | Enum) and one.default not in (False, "")
        default = getattr(one.default, "value", one.default)
        yield [names, code(str(default)) if has_default else "", about]


def _shared(one: Any) -> str:
    return code(one.opts[0]) + (f" ({one.default})" if one.name == "limit" else "")


def _argument(one: Any) -> str:
    name = (one.metavar or one.name.upper()).strip("[]").replace("|", "/")
    return name if one.required else f"[{name}]"


def _value(kind: Any) -> str:
    """The word that stands for the value of an option."""
    return VALUES.get(_inner(kind), "NAME")


def _choices(kind: Any) -> str:
    """A sentence with the values of an option that has only some."""
    inner = _inner(kind)
    named = (
        [one.value for one in inner]
        if isinstance(inner, type) and issubclass(inner, Enum)
        else get_args(inner)
    )
    return f" One of {', '.join(code(one) for one in named)}." if named else ""


def _inner(kind: Any) -> Any:
    """The type of one value, without what surrounds it."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated or origin is list:
        return _inner(inner[0])
    if origin in (Union, types.UnionType):
        return _inner(next(one for one in inner if one is not type(None)))
    return kind


def _plain(text: str | None) -> str:
    """A help text without the marks of rich."""
    return re.sub(r"\[/?[a-z ]+\]", "", inspect.cleandoc(text or "").replace("\b", ""))
