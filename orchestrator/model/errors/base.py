"""The base of every error. The docstring of a class is its message.

The words in braces are filled in from the facts given when the error is raised, and stay readable as attributes:
`raise NoSuchFeature(feature="auth")` reads "No feature has the id auth. …" and has `.feature`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class OrchestratorError(Exception):
    """Something went wrong."""

    exit_code: ClassVar[int] = 1

    told: ClassVar[tuple[str, ...]] = ()
    """Facts that are text for the message alone: a program has them as data."""

    def __init__(self, *, actions: Sequence[Mapping[str, Any]] = (), **facts: Any) -> None:
        self.facts = facts
        self.actions = tuple(actions)
        """The ways out as data, if there are others than the commands in the text."""
        texts = {name: _text(value) for name, value in facts.items()}
        super().__init__(inspect.cleandoc(type(self).__doc__ or "").format(**texts))

    @property
    def summary(self) -> str:
        """The message for a program: without the parts that it gets as data."""
        text = str(self)
        return text.split("\n", 1)[0].rstrip(":") if self.told else text

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["facts"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.facts, self.actions)


def _text(fact: Any) -> Any:
    """A fact as it stands in a message."""
    return ", ".join(map(str, fact)) if isinstance(fact, list | tuple) else fact


def _rebuild(
    kind: type[OrchestratorError], facts: dict[str, Any], actions: Sequence[Mapping[str, Any]] = ()
) -> OrchestratorError:
    return kind(actions=actions, **facts)


class UsageError(OrchestratorError):
    """The request cannot be carried out as it was made."""

    exit_code = 2


class Unexpected(OrchestratorError):
    """An unexpected error: {cause}.
    Set {variable}=1 to see where it happened, and report it."""
