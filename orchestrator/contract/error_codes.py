"""The codes of errors, and an error as an answer."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import JsonValue

from orchestrator.contract import needs
from orchestrator.contract.answer import Action, Argument
from orchestrator.contract.machine_answers import Code, CodesAnswer, ErrorAnswer
from orchestrator.model import errors

USAGE = "wrong-usage"
"""The code of a command that was typed in a way that it does not take."""

SUBJECTS = ("feature", "task", "specialist", "resource", "name", "file", "source", "url", "setting", "field")
"""Facts that say what an error is about."""

LINES = ("mistakes", "lost", "tail")
"""Facts that are a list, one of a single line too."""

_COMMAND = re.compile(r"`(?:orchestrator )([^`]+)`")
_PLACE = re.compile(r"\{(\w+)")


def code(kind: type[errors.OrchestratorError]) -> str:
    """The code of a kind of error: its name in small letters with hyphens.

    Example:
        >>> code(errors.NoSuchFeature)
        'no-such-feature'
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind.__name__).lower()


def kinds() -> Iterator[type[errors.OrchestratorError]]:
    """Every kind of error that a person can meet."""
    for kind in vars(errors).values():
        is_error = isinstance(kind, type) and issubclass(kind, errors.OrchestratorError)
        if is_error and kind not in (errors.OrchestratorError, errors.UsageError):
            yield kind


def codes() -> CodesAnswer:
    """Every code, with its exit code and message."""
    found = [
        Code(code=code(kind), exit_code=kind.exit_code, message=inspect.cleandoc(kind.__doc__ or ""))
        for kind in kinds()
    ]
    usage = Code(code=USAGE, exit_code=2, message="{message}")
    return CodesAnswer(codes=tuple(sorted([*found, usage], key=lambda one: one.code)))


def of(error: errors.OrchestratorError) -> ErrorAnswer:
    """An error as an answer: what its text says is data beside it, if that is known.

    Example:
        >>> of(errors.NoSuchFeature(feature="auth")).actions[0].command
        'orchestrator status'
    """
    return ErrorAnswer(
        code=code(type(error)),
        message=error.summary,
        cause=str(error.facts.get("cause", error.facts.get("reason", ""))),
        subject={name: str(error.facts[name]) for name in SUBJECTS if error.facts.get(name)},
        actions=tuple(_actions(error)),
        facts={
            name: _lines(value) if name in LINES else _plain(value)
            for name, value in error.facts.items()
            if name not in error.told
        },
    )


def usage(message: str, command: str = "") -> ErrorAnswer:
    """The answer to a command that was typed in a way that it does not take."""
    help_ = " ".join(["orchestrator", *([command] if command else []), "--help"])
    return ErrorAnswer(
        code=USAGE,
        message=message,
        subject={"command": command} if command else {},
        actions=(Action(action="help", command=help_),),
    )


def _actions(error: errors.OrchestratorError) -> Iterator[Action]:
    """The ways out that the error brings as data, else the commands that its text names."""
    if error.actions:
        for way in error.actions:
            arguments = {
                name: Argument.model_validate(given) for name, given in way.get("arguments", {}).items()
            }
            yield Action(**{**way, "arguments": arguments})
        return
    if isinstance(error, errors.RefusedTransition):
        yield from needs.by_events(error.feature, error.task, error.allowed)
        return
    text = str(error)
    for command in dict.fromkeys(_COMMAND.findall(text)):
        words = command.split()
        task = str(error.facts.get("task", ""))
        yield Action(
            action=words[0],
            task=task if task in words else "",
            arguments={word: Argument(type="string") for word in words[1:] if word.isupper()},
            command=f"orchestrator {command}",
        )


def _plain(value: Any) -> JsonValue:
    """A fact as JSON has it."""
    match value:
        case str() if "\n" in value:
            return _lines(value)
        case None | bool() | int() | float() | str():
            return str(value) if isinstance(value, str) else value
        case Mapping():
            return {str(name): _plain(inner) for name, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(inner) for inner in value]
    return str(value)


def _lines(value: Any) -> JsonValue:
    return [line.strip() for line in value.splitlines()] if isinstance(value, str) else _plain(value)


def facts(kind: type[errors.OrchestratorError]) -> list[str]:
    """The names of the facts that the message of a kind of error is filled with."""
    return list(dict.fromkeys(_PLACE.findall(inspect.cleandoc(kind.__doc__ or ""))))
