"""The reports of pool processes to the main process of their worker, about attempts that they took by themselves."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import pickle  # nosec B403  # a worker reads what its own pool processes write, as Celery's pool does
import select
import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

logger = logging.getLogger("orchestrator")

PIPE_BYTES = 1_048_576
"""The size of the pipe that is asked for: some thousand reports."""

LONGEST_ID = 500
LONGEST_TEXT = 250
"""Characters of an id and of a text in a report. So each report fits into a record."""

Answer = tuple[Any, Any, Any]
"""The answer of Celery's tracer: whether the task failed, its result as text or its exception, its seconds."""


class Began(NamedTuple):
    """A process began an attempt that it took by itself."""

    message_id: str
    task: str
    """The name of the Celery task."""
    message: str
    """The message, as it stood in the queue."""
    queue: str
    at: float
    """The moment, by the clock `time.monotonic`."""


class Ended(NamedTuple):
    """An attempt ended, and its process goes on."""

    message_id: str
    answer: Answer
    at: float


class Report(NamedTuple):
    """An attempt that ended, the one that the process began next, or both."""

    pid: int
    ended: Ended | None = None
    began: Began | None = None


class Reporter(Protocol):
    """Takes reports."""

    def send(self, report: Report) -> bool:
        """Send a report. False: there is little room left, so the sender should take no more."""


class DirectReporter:
    """Gives each report at once to the function that handles it: the attempts run in the main process.

    Args:
        handle: Handles a report.
    """

    def __init__(self, handle: Callable[[Report], None]) -> None:
        self.handle = handle

    def send(self, report: Report) -> bool:
        """Handle the report."""
        self.handle(report)
        return True


class ReportPipe:
    """A pipe from the pool processes to the main process, which makes it before the pool forks.

    The kernel writes a record of at most PIPE_BUF bytes in one piece, so that all processes can write to one pipe.
    """

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self.writer, False)
        with contextlib.suppress(
            OSError, AttributeError
        ):  # not every system, and not every user, may resize it
            fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._rest = b""

    def send(self, report: Report) -> bool:
        """Send a report, and wait for room if there is none."""
        record = record_of(report)
        try:
            os.write(self.writer, record)
        except BlockingIOError:
            while not _write(self.writer, record):
                select.select([], [self.writer], [])
            return False
        return True

    def read(self) -> Iterator[Report]:
        """Read the reports that have come."""
        while True:
            try:
                found = os.read(self.reader, PIPE_BYTES)
            except BlockingIOError:
                return
            data, at = self._rest + found, 0
            while len(data) - at >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(data, at)
                if len(data) - at - _LENGTH.size < length:
                    break
                at += _LENGTH.size
                pid, ended, began = pickle.loads(data[at : at + length])  # nosec B301  # see the import
                yield Report(pid, ended and Ended(*ended), began and Began(*began))
                at += length
            self._rest = data[at:]
            if not found:
                return


def _write(writer: int, record: bytes) -> bool:
    try:
        os.write(writer, record)
    except BlockingIOError:
        return False
    return True


def record_of(report: Report) -> bytes:
    """A report as it stands in the pipe: its length, and itself.

    Raises:
        ValueError: It does not fit into a record.
    """
    # As plain tuples: to name the classes takes longer than all the rest.
    data = pickle.dumps(
        (report.pid, report.ended and tuple(report.ended), report.began and tuple(report.began))
    )
    if len(data) > select.PIPE_BUF - _LENGTH.size:
        raise ValueError(f"a report of {len(data)} bytes does not fit")  # see above, and parts/messages.lua
    return _LENGTH.pack(len(data)) + data


_LENGTH = struct.Struct("I")
