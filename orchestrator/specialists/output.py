"""What a Python specialist puts out (print, logging, warnings) becomes the log of its attempt.

`sys.stdout` and `sys.stderr` are one object for all threads of a process, so while attempts run they are routed: what
an attempt writes goes into its log, all else to where it went before. An attempt is known by its context
(`contextvars`), and so is what it runs in a greenlet of its own. Threads do not inherit that: where an attempt runs in
the main thread of its process (the pools prefork and solo), the threads that came after it are its own.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from orchestrator.specialists.attempt_log import AttemptLog

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

LOGGERS = ("", "celery.task")
"""The loggers that all others hand their records to; of `get_task_logger` those go no further than Celery's own."""

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

STDERR = 2


class Output:
    """What one attempt puts out. Its log is opened with the first of it, so that whoever says nothing has none.

    Args:
        path: The attempt's log.
        secrets: What is hidden in it in the end.
    """

    def __init__(self, path: Path, secrets: tuple[str, ...] = ()) -> None:
        self.path = path
        self.secrets = secrets
        self.log: AttemptLog | None = None
        self.trouble = ""
        self.is_over = False
        is_main = threading.current_thread() is threading.main_thread()
        self.strangers = frozenset(thread.ident for thread in threading.enumerate()) if is_main else None

    @cached_property
    def stream(self) -> TextIO:
        """Where it is written."""
        buffer = io.BufferedWriter(_File(self))
        return io.TextIOWrapper(buffer, encoding="utf-8", errors="backslashreplace", line_buffering=True)

    def opened(self) -> AttemptLog:
        """Its log.

        Raises:
            OSError: It cannot be written.
        """
        if self.log is None:
            self.log = AttemptLog.open(self.path)
        return self.log

    def owns(self, thread: int) -> bool:
        """A thread that came after the attempt is the attempt's."""
        return self.strangers is not None and thread not in self.strangers

    def tail(self, limit: int) -> str:
        """The last `limit` characters of it, without the secrets."""
        self._settle()
        return self.log.tail(limit) if self.log else ""

    def close(self) -> None:
        """Write nothing more."""
        self._settle()
        self.is_over = True
        if self.log:
            self.log.file.close()

    def _settle(self) -> None:
        if "stream" in self.__dict__:
            self.stream.flush()
        if self.log:
            with contextlib.suppress(OSError):
                self.log.mask(self.secrets)


class _File(io.RawIOBase):
    """The log as a file. A disk that is full is no reason to fail for work that only wanted to say something."""

    def __init__(self, output: Output) -> None:
        self.output = output

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.output.opened().fileno()

    def write(self, data: ReadableBuffer) -> int:
        view = memoryview(data)
        try:
            # What a thread says that outlives its attempt is the worker's to keep.
            return os.write(STDERR if self.output.is_over else self.fileno(), view)
        except TimeoutError:  # the alarm of the time limit rings here, too (see python.py)
            raise
        except OSError as error:
            self.output.trouble = f"cannot write into its log {self.output.path}: {error.strerror or error}"
            return len(view)


_current: ContextVar[Output | None] = ContextVar("output", default=None)


class _Captures:
    """The attempts of this process that are under way."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.outputs: list[Output] = []
        self.streams: tuple[_Routed, _Routed] | None = None
        self.handler = _Handler()

    def of_this_thread(self) -> Output | None:
        """The output of whoever asks; None where it is no attempt's."""
        output = _current.get()
        if output is None:
            thread = threading.get_ident()
            output = next((each for each in self.outputs if each.owns(thread)), None)
        return None if output and output.is_over else output

    def begin(self, output: Output) -> None:
        """Route what is put out, from the first attempt on."""
        with self.lock:
            self.outputs = [*self.outputs, output]
            if len(self.outputs) == 1:
                self.streams = _Routed(sys.stdout), _Routed(sys.stderr)
                sys.stdout, sys.stderr = cast("tuple[TextIO, TextIO]", self.streams)
                for name in LOGGERS:
                    logging.getLogger(name).addHandler(self.handler)

    def end(self, output: Output) -> None:
        """Leave all as it was, after the last attempt."""
        with self.lock:
            self.outputs = [each for each in self.outputs if each is not output]
            if not self.outputs and self.streams:
                # What somebody else has put in their place stays.
                out, err = self.streams
                sys.stdout = out.usual if cast("Any", sys.stdout) is out else sys.stdout
                sys.stderr = err.usual if cast("Any", sys.stderr) is err else sys.stderr
                for name in LOGGERS:
                    logging.getLogger(name).removeHandler(self.handler)


class _Routed:
    """`sys.stdout` or `sys.stderr` while attempts run: a stream of the attempt that asks, else the usual one."""

    def __init__(self, usual: TextIO) -> None:
        self.usual = usual

    def __getattr__(self, name: str) -> Any:
        output = _captures.of_this_thread()
        return getattr(output.stream if output else self.usual, name)


class _Formatter(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # as logging calls it
        record.message = plain(record)
        return super().formatMessage(record)


class _Handler(logging.Handler):
    """Writes the records of an attempt into its log."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(_Formatter(FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        output = _captures.of_this_thread()
        if output:
            try:
                line = self.format(record)
            except (TypeError, ValueError, LookupError):  # arguments that do not fit the text
                self.handleError(record)
            else:
                output.stream.write(f"{line}\n")


_captures = _Captures()


def plain(record: logging.LogRecord) -> str:
    """The message of a record without the words for feature, task and attempt that it has as fields.

    Example:
        >>> facts = {"feature": "auth", "task": "T1", "attempt": 2}
        >>> plain(logging.makeLogRecord({"msg": "[auth/T1 attempt 2] slow", **facts}))
        'slow'
    """
    return record.getMessage().removeprefix(prefix(record.__dict__))


def prefix(facts: dict[str, Any]) -> str:
    """How a line of the worker's log says which attempt it is about; "" where that is not known.

    Example:
        >>> prefix({"feature": "auth", "task": "T1", "attempt": 2})
        '[auth/T1 attempt 2] '
    """
    if "feature" not in facts or "attempt" not in facts:
        return ""
    return f"[{facts['feature']}/{facts['task']} attempt {facts['attempt']}] "


def write_record(record: logging.LogRecord) -> None:
    """Write a record into the log of the attempt that asks, and nowhere else."""
    _captures.handler.handle(record)


@contextlib.contextmanager
def captured(path: Path, secrets: tuple[str, ...] = ()) -> Iterator[Output]:
    """Have what the block puts out written into an attempt's log.

    Args:
        path: The log.
        secrets: What is hidden in it in the end (see `masking.texts_of`).

    Example:
        with captured(context.log_file) as output:
            print("hello")
            print(output.tail(4_000), file=sys.__stdout__)
    """
    output = Output(path, secrets)
    token = _current.set(output)
    _captures.begin(output)
    try:
        yield output
    finally:
        _current.reset(token)
        _captures.end(output)
        output.close()
