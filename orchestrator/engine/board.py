"""The board on which the main process of a worker writes what its pool processes may take by themselves."""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Mapping, Sequence

SIZE = 65_536
"""Bytes of the shared memory. A permission that does not fit allows nothing."""

TRIES = 5
"""So often a process reads again, if the main process writes at that moment."""

Permission = Mapping[str, Sequence[str]]
"""The queues to take from, in Celery's order, each with the specialists whose messages may be taken from it."""

NOTHING: Permission = {}


class Board:
    """Shared memory with the permission. The main process makes it before the pool forks, and alone writes to it.

    It holds a version, a length, and the permission as JSON. The version is odd while the main process writes.

    Example:
        >>> board = Board()
        >>> board.write({"writer": ["writer"]})
        >>> board.read()
        {'writer': ['writer']}
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, SIZE)  # anonymous, and shared with the processes that are forked
        self._version = 0
        self._written: Permission = NOTHING
        self._seen = 0
        self._permission: Permission = NOTHING

    def write(self, permission: Permission) -> None:
        """Set what may be taken from now on."""
        if permission == self._written:
            return
        text = json.dumps(permission).encode()
        if len(text) > SIZE - _HEAD.size:
            text = b"{}"
        self._memory[: _HEAD.size] = _HEAD.pack(self._version + 1, 0)
        self._memory[_HEAD.size : _HEAD.size + len(text)] = text
        self._memory[: _HEAD.size] = _HEAD.pack(self._version + 2, len(text))
        self._version += 2
        self._written = permission

    def close(self) -> None:
        """Allow nothing. It may be called in the handler of a signal."""
        self.write(NOTHING)

    def read(self) -> Permission:
        """Read what may be taken now."""
        for _ in range(TRIES):
            version, length = _HEAD.unpack_from(self._memory)
            if version == self._seen:
                return self._permission
            text = self._memory[_HEAD.size : _HEAD.size + length]
            if version % 2 == 0 and _HEAD.unpack_from(self._memory) == (version, length):
                self._seen, self._permission = version, json.loads(text) if length else NOTHING
        return NOTHING if self._seen != version else self._permission


_HEAD = struct.Struct("QQ")
