"""The log of one attempt: all that it puts out, in a file that only the worker's user may read."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from orchestrator.specialists import masking
from orchestrator.specialists.text import as_text

BLOCK = 65_536
"""Bytes that a log must have room for: more than a file system may have kept for it already."""

CHUNK = 1_000_000
"""Bytes of a log that are looked through at a time."""


def open_private(file: Path, flags: int, mode: str) -> IO[bytes]:
    """Open a file that only its user may read, and make it where it is not there."""
    number = os.open(file, flags | os.O_CREAT, 0o600)
    os.fchmod(number, 0o600)  # the file may be there already, open to others
    return os.fdopen(number, mode)


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
    """Where the output of this attempt begins: a log that is there already is added to."""

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open it.

        Raises:
            OSError: It cannot be made or written.
        """
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = open_private(path, os.O_RDWR | os.O_APPEND, "a+b")
        return cls(file, path, start=file.seek(0, os.SEEK_END))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def fileno(self) -> int:
        """The number of the open file, for whatever writes into it."""
        return self.file.fileno()

    def tail(self, limit: int) -> str:
        """The last `limit` characters of the output."""
        end = self.file.seek(0, os.SEEK_END)
        self.file.seek(max(self.start, end - 4 * limit))  # a character has at most four bytes in UTF-8
        return as_text(self.file.read(4 * limit).decode(errors="replace"), limit)

    def trouble(self) -> str:
        """Why nothing more can be written into the log; "" where it can. What has failed may have failed for it."""
        end = self.file.seek(0, os.SEEK_END)
        try:
            written = os.write(self.fileno(), bytes(BLOCK))
            why = "" if written == BLOCK else os.strerror(errno.ENOSPC)
        except OSError as error:
            why = error.strerror or str(error)
        self.file.truncate(end)
        return f"nothing more can be written into its log {self.path}: {why}" if why else ""

    def mask(self, secrets: Sequence[str]) -> None:
        """Write asterisks over each secret in this attempt's output, so that nothing moves for whoever reads along."""
        if not secrets:
            return
        longest = max(len(secret.encode()) for secret in secrets)
        with self.path.open("r+b") as log:  # the other one appends, wherever it is told to write
            start, end = self.start, log.seek(0, os.SEEK_END)
            while start < end:
                log.seek(start)
                found = log.read(CHUNK)
                clean = masking.overwrite(found, secrets)
                if clean != found:
                    log.seek(start)
                    log.write(clean)
                start += max(1, len(found) - longest + 1) if start + len(found) < end else len(found)
