"""The person or program in whose name the calls in a block are made. Their events name it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from orchestrator.model import sanitizer

LONGEST = 200
"""Characters of a name that are kept."""

_name: ContextVar[str] = ContextVar("actor", default="")


def current() -> str:
    """The name in force; "" if nobody said who it is."""
    return _name.get()


@contextlib.contextmanager
def acting(name: str) -> Iterator[None]:
    """Make the decisions of the block in somebody's name.

    Args:
        name: As it is to stand in the events (`by`).

    Example:
        >>> with acting("ops"):
        ...     current()
        'ops'
    """
    token = _name.set(sanitizer.as_line(name)[:LONGEST])
    try:
        yield
    finally:
        _name.reset(token)
