"""The log of one attempt: its whole output, in a file that only the worker's user may read."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from orchestrator.config import private
from orchestrator.specialists import masking
from orchestrator.specialists.text import as_text

BLOCK = 65_536
"""Bytes that a log must have room for: more than a file system may have reserved for it already."""

CHUNK = 1_000_000
"""Bytes of a log that are searched at a time."""


@dataclass(frozen=True)
class AttemptLog:
    """The open log of an attempt.

    Example:
        with AttemptLog.open(context.log_file) as log:
            subprocess.run(command, stdout=log.file)
            print(log.tail(4_000))
    """

    file: IO[bytes]
    path: Path
    start: int
    """The offset at which the output of this attempt begins: it is appended to a log that already exists."""

    @classmethod
    def open(cls, path: Path, owner: str = "") -> Self:
        """Open the log, and make its folder, marked with its owner, if there is none.

        Raises:
            OSError: It cannot be made or written, or another user put something in its place.
        """
        private.make_marked_folder(path.parent, owner)
        with private.opened(path.parent) as within:
            number = private.open_file(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, within)
        file = os.fdopen(number, "a+b")
        return cls(file, path, start=file.seek(0, os.SEEK_END))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def fileno(self) -> int:
        """The file descriptor, for `subprocess` and `os.write`."""
        return self.file.fileno()

    def tail(self, limit: int) -> str:
        """The last `limit` characters of the output."""
        end = self.file.seek(0, os.SEEK_END)
        self.file.seek(max(self.start, end - 4 * limit))  # a character has at most four bytes in UTF-8
        return as_text(self.file.read(4 * limit).decode(errors="replace"), limit)

    def trouble(self) -> str:
        """Why the log cannot be written any more, which may be why the attempt failed; "" if it can."""
        end = self.file.seek(0, os.SEEK_END)
        try:
            written = os.write(self.fileno(), bytes(BLOCK))
            why = "" if written == BLOCK else os.strerror(errno.ENOSPC)
        except OSError as error:
            why = error.strerror or str(error)
        self.file.truncate(end)
        return f"nothing more can be written into its log {self.path}: {why}" if why else ""

    def mask(self, secrets: Sequence[str]) -> None:
        """Write asterisks over each secret in this attempt's output. Lengths stay, so a reader keeps its position."""
        if not secrets:
            return
        longest = max(len(secret.encode()) for secret in secrets)
        try:
            # Opened again, because the other descriptor appends and ignores `seek`.
            with private.opened(self.path.parent) as within:
                number = private.open_file(self.path, os.O_RDWR, within)
        except (FileNotFoundError, private.NotOurs):  # it was moved away: another file lies there
            return
        with os.fdopen(number, "r+b") as log:
            start, end = self.start, log.seek(0, os.SEEK_END)
            while start < end:
                log.seek(start)
                found = log.read(CHUNK)
                clean = masking.overwrite(found, secrets)
                if clean != found:
                    log.seek(start)
                    log.write(clean)
                start += max(1, len(found) - longest + 1) if start + len(found) < end else len(found)
