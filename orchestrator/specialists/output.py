"""Writes the output of a Python specialist (print, logging, warnings) into the log of its attempt.

All threads of a process share `sys.stdout` and `sys.stderr`. So while attempts run, both are replaced by routers: they
send the output of an attempt into its log, and all other output where it went before. An attempt and its greenlets are
recognised by their context (`contextvars`). Threads do not inherit a context; if an attempt runs in the main thread of
its process (the pools prefork and solo), all threads that start after it count as its own.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from orchestrator.specialists.attempt_log import AttemptLog

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

LOGGERS = (logging.getLogger(), logging.getLogger("celery.task"))
"""The loggers that all records reach: the root, and Celery's own for `get_task_logger`, which does not propagate."""

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

STDERR = 2


class Output:
    """The output of one attempt. Its log is opened at the first output, so an attempt without output has no log.

    Args:
        find_path: Answers where the attempt's log is.
        secrets: Texts to hide in it in the end.
        owner: The identity that marks its folder.
    """

    def __init__(self, find_path: Callable[[], Path], secrets: tuple[str, ...] = (), owner: str = "") -> None:
        self.find_path = find_path
        self.owner = owner
        self.secrets = secrets
        self.log: AttemptLog | None = None
        self.trouble = ""
        self.is_over = False
        is_main = threading.current_thread() is threading.main_thread()
        self.strangers = frozenset(thread.ident for thread in threading.enumerate()) if is_main else None

    @cached_property
    def stream(self) -> TextIO:
        """The stream that writes into the log."""
        buffer = io.BufferedWriter(_File(self))
        return io.TextIOWrapper(buffer, encoding="utf-8", errors="backslashreplace", line_buffering=True)

    def opened(self) -> AttemptLog:
        """The log, opened at the first call.

        Raises:
            OSError: It cannot be written.
        """
        if self.log is None:
            self.log = AttemptLog.open(self.find_path(), self.owner)
        return self.log

    def owns(self, thread: int) -> bool:
        """Whether a thread belongs to the attempt: it started after the attempt did."""
        return self.strangers is not None and thread not in self.strangers

    def tail(self, limit: int) -> str:
        """The last `limit` characters, with secrets hidden."""
        self._settle()
        return self.log.tail(limit) if self.log else ""

    def close(self) -> None:
        """End the output and close the log."""
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
    """The log as a file. A write to a full disk does not raise: a `print` must not make the work fail."""

    def __init__(self, output: Output) -> None:
        self.output = output

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.output.opened().fileno()

    def write(self, data: ReadableBuffer) -> int:
        view = memoryview(data)
        try:
            # The output of a thread that outlives its attempt goes into the worker's log.
            return os.write(STDERR if self.output.is_over else self.fileno(), view)
        except TimeoutError:  # the alarm of the time limit can go off here too (see python.py)
            raise
        except OSError as error:
            self.output.trouble = (
                f"cannot write into its log {self.output.find_path()}: {error.strerror or error}"
            )
            return len(view)


_current: ContextVar[Output | None] = ContextVar("output", default=None)


class _Captures:
    """The outputs of the attempts that run in this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.outputs: list[Output] = []
        self.streams: tuple[_Routed, _Routed] | None = None
        self.handler = _Handler()
        self.keepers = 0
        """Runs that keep the routing between their attempts."""

    def of_this_thread(self) -> Output | None:
        """The output of the attempt that calls; None if no attempt does."""
        output = _current.get()
        if output is None:
            thread = threading.get_ident()
            output = next((each for each in self.outputs if each.owns(thread)), None)
        return None if output and output.is_over else output

    def begin(self, output: Output) -> None:
        """Add an output. The first one starts the routing."""
        with self.lock:
            self.outputs = [*self.outputs, output]
            if len(self.outputs) == 1 and not self._is_routed():
                self._route()

    def end(self, output: Output) -> None:
        """Remove an output. The last one ends the routing."""
        with self.lock:
            self.outputs = [each for each in self.outputs if each is not output]
            self._end_if_unused()

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Let the routing stay in the block, once it has begun."""
        with self.lock:
            self.keepers += 1
        try:
            yield
        finally:
            with self.lock:
                self.keepers -= 1
                self._end_if_unused()

    def _is_routed(self) -> bool:
        """Whether the routing stands: the attempt before may have replaced a stream, or removed the handler."""
        return (
            self.streams is not None
            and self.streams == (sys.stdout, sys.stderr)
            and all(self.handler in logger.handlers for logger in LOGGERS)
        )

    def _route(self) -> None:
        self.streams = _Routed(sys.stdout), _Routed(sys.stderr)
        sys.stdout, sys.stderr = cast("tuple[TextIO, TextIO]", self.streams)
        for logger in LOGGERS:
            logger.addHandler(self.handler)

    def _end_if_unused(self) -> None:
        if self.outputs or self.keepers or not self.streams:
            return
        # If other code has replaced the streams meanwhile, its replacement stays.
        (out, err), self.streams = self.streams, None
        sys.stdout = out.usual if cast("Any", sys.stdout) is out else sys.stdout
        sys.stderr = err.usual if cast("Any", sys.stderr) is err else sys.stderr
        for logger in LOGGERS:
            logger.removeHandler(self.handler)


class _Routed:
    """`sys.stdout` or `sys.stderr` while attempts run: the stream of the attempt that writes, else the usual one."""

    def __init__(self, usual: TextIO) -> None:
        self.usual = usual

    def __getattr__(self, name: str) -> Any:
        output = _captures.of_this_thread()
        return getattr(output.stream if output else self.usual, name)


class _Formatter(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # as logging calls it
        record.message = message_without_prefix(record)
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


def kept() -> contextlib.AbstractContextManager[None]:
    """Let the routing stay in the block, because one attempt follows another: to begin and end it takes a while."""
    return _captures.kept()


def message_without_prefix(record: logging.LogRecord) -> str:
    """The message of a record without the prefix that repeats its fields feature, task and attempt.

    Example:
        >>> facts = {"feature": "auth", "task": "T1", "attempt": 2}
        >>> message_without_prefix(logging.makeLogRecord({"msg": "[auth/T1 attempt 2] slow", **facts}))
        'slow'
    """
    return record.getMessage().removeprefix(prefix(record.__dict__))


def prefix(facts: dict[str, Any]) -> str:
    """The prefix of a line in the worker's log that names its attempt; "" if that is not known.

    Example:
        >>> prefix({"feature": "auth", "task": "T1", "attempt": 2})
        '[auth/T1 attempt 2] '
    """
    if "feature" not in facts or "attempt" not in facts:
        return ""
    return f"[{facts['feature']}/{facts['task']} attempt {facts['attempt']}] "


def write_record(record: logging.LogRecord) -> None:
    """Write a record into the log of the attempt that calls, and nowhere else."""
    _captures.handler.handle(record)


@contextlib.contextmanager
def capture(
    find_path: Callable[[], Path], secrets: tuple[str, ...] = (), owner: str = ""
) -> Iterator[Output]:
    """Write the output of the block into an attempt's log.

    Args:
        find_path: Answers where the log is. It is asked at the first output.
        secrets: Texts to hide in it in the end (see `masking.secret_texts`).
        owner: The identity that marks its folder, if this makes it.

    Example:
        with capture(lambda: context.log_file) as output:
            print("hello")
            print(output.tail(4_000), file=sys.__stdout__)
    """
    output = Output(find_path, secrets, owner)
    token = _current.set(output)
    _captures.begin(output)
    try:
        yield output
    finally:
        _current.reset(token)
        _captures.end(output)
        output.close()
