"""Celery's queues on the Redis of the state: there the scripts publish what they launch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from types import MappingProxyType

NONE: Mapping[str, str | None] = MappingProxyType({})


class Queues:
    """The queues of specialists, and where their messages lie.

    Args:
        prefix: The first part of the key of each queue.
        names: The queue of each specialist that has one of another name than its own. None: the caller of the script
            sends the messages of this specialist. Under `calls.CALL`: that of all called tasks that are not named.
        used: All the queues.

    Example:
        >>> Queues("to:celery:", {"reviewer": "people"}).key("people")
        'to:celery:people'
    """

    def __init__(self, prefix: str, names: Mapping[str, str | None] = NONE, used: Iterable[str] = ()) -> None:
        self.prefix = prefix
        self._names = names
        self._used = frozenset(used)

    @property
    def names(self) -> Mapping[str, str | None]:
        """As they are now."""
        return self._names

    @property
    def used(self) -> frozenset[str]:
        """All the queues, as they are now."""
        return self._used

    @cached_property
    def text(self) -> str:
        """The names as scripts take them (see publish.lua)."""
        return json.dumps({specialist: name or False for specialist, name in self.names.items()})

    def key(self, queue: str) -> str:
        """List: the messages of a queue."""
        return self.prefix + queue
