"""logs: the output of a task's attempt, from this machine's file or from Redis."""

from __future__ import annotations

import os
import shutil
import sys
import time
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import connection, live, options, output
from orchestrator.cli.asked import Asked, reports
from orchestrator.config import private
from orchestrator.model import errors, words
from orchestrator.model.flows import WORKING
from orchestrator.model.progress import TaskState
from orchestrator.model.sanitizer import as_text

if TYPE_CHECKING:
    from orchestrator.client.client import Client
    from orchestrator.client.handle import Handle
    from orchestrator.contract.task_answers import LogAnswer

LOOK_SECONDS = 0.5
"""Seconds between two looks for more output."""

REMEMBERED = 8_192
"""Characters of the printed output that are searched in the tail of the outcome."""

LINES = 100
"""How many lines an answer in JSON has without --tail."""


@reports()
def logs(
    feature_id: options.FeatureId,
    task_id: options.TaskId,
    attempt: Annotated[
        int | None, typer.Option("--attempt", min=1, help="Which attempt; else the last.")
    ] = None,
    tail: Annotated[int | None, typer.Option("--tail", min=0, help="Only the last N lines.")] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow", "-f", help="Go on until the attempt has ended, and wait for its start."),
    ] = False,
    *,
    asked: Asked,
) -> None:
    """Print the output of a task's attempt: all of it on the machine where it ran, its end on any other.

    With --json, the last 100 lines of it, or as many as --tail says.
    """
    if follow and asked.as_json:
        raise typer.BadParameter(
            "choose one of --follow and --json; `orchestrator events --follow --json` follows"
        )
    with connection.client(looks=True) as client:
        handle = connection.find(client, feature_id)
        feature_id = handle.id
        client.store.tasks.find(feature_id, task_id)
        if follow:
            with live.patience(client, handle):
                number = attempt or _await_start(client, handle, task_id)
                _follow(client, handle, Shown(client, feature_id, task_id, number), tail)
            return
        state = client.store.tasks.state(feature_id, task_id)
        number = attempt or max(1, _started(state))
        if number > _started(state):
            raise _not_started(feature_id, state, number)
        shown = Shown(client, feature_id, task_id, number)
        if asked.as_json:
            asked.answer(_answer(shown, state, LINES if tail is None else tail))
        else:
            _print(shown, state, tail)


def _started(state: TaskState) -> int:
    """How many attempts have started."""
    return state.attempt - (state.phase == "launched")


def _not_started(feature_id: str, state: TaskState, number: int) -> errors.NoLog:
    started = _started(state)
    reason = f"it has had {words.count(started, 'attempt')}" if started else "no attempt has started yet"
    return errors.NoLog(feature=feature_id, task=state.id, attempt=number, reason=reason)


def _runs(state: TaskState, number: int) -> bool:
    return state.attempt == number and state.status in WORKING


@dataclass
class Shown:
    """How much of an attempt's output was printed."""

    client: Client
    feature_id: str
    task_id: str
    number: int
    end: int = 0
    """Bytes of the log that were read."""
    last: str = field(default="", repr=False)
    """The end of the printed output, as text."""
    begun: bytes = b""
    """An incomplete line."""

    def __post_init__(self) -> None:
        from orchestrator.state.tails import log_file

        self.file = log_file(self.client.settings, self.feature_id, self.task_id, self.number)

    @property
    def is_here(self) -> bool:
        """The log is on this machine."""
        return self.file.is_file() and not any(path.is_symlink() for path in (self.file, self.file.parent))

    def opened(self) -> IO[bytes]:
        """Open the log, if it is on this machine. In a shared folder another user may have put a link there."""
        with private.opened(self.file.parent, any_owner=True) as within:
            return os.fdopen(private.open_to_read(self.file, within), "rb")

    def news(self) -> bytes:
        """The new output since the last look: from the file if it is here, else from Redis."""
        if self.is_here:
            with self.opened() as log:
                log.seek(self.end)
                found = log.read()
            self.end += len(found)
            return found
        kept = self.client.store.events.tail(self.feature_id, self.task_id)
        if kept is None or kept.attempt != self.number or kept.end <= self.end:
            return b""
        missed = kept.end - len(kept.data) - self.end
        if missed > 0 and self.end:
            output.tell(f"… {missed:,} bytes are not shown: so much came at once …")
        fresh, self.end = kept.data[max(0, -missed) :], kept.end
        return fresh

    def rest(self) -> str:
        """The part of the output, from the outcome, that was not printed yet, if the log is on another machine."""
        outcome = self.client.store.tasks.outcomes(self.feature_id, [self.task_id]).get(self.task_id)
        state = self.client.store.tasks.state(self.feature_id, self.task_id)
        if self.is_here or outcome is None or _started(state) != self.number:
            return ""
        return after(self.last, outcome.tail)

    def write(self, found: bytes, *, is_all: bool = False) -> None:
        """Print it: unchanged into a pipe; on a terminal line by line, without control characters."""
        self.last = as_text(self.last + found[-REMEMBERED:].decode("utf-8", "replace"), REMEMBERED)
        if not sys.stdout.isatty():
            sys.stdout.buffer.write(found)
            sys.stdout.buffer.flush()
            return
        *lines, self.begun = (self.begun + found).split(b"\n")
        for line in [*lines, self.begun] if is_all and self.begun else lines:
            output.say(line.decode("utf-8", "replace").rstrip("\r"))


def after(shown: str, tail: str) -> str:
    """The part of a tail after the text that was shown; all of it if they have nothing in common.

    Example:
        >>> after("one\\ntwo\\n", "two\\nthree\\n")
        'three\\n'
    """
    lengths = range(min(len(shown), len(tail)), 0, -1)
    return tail[next((length for length in lengths if shown.endswith(tail[:length])), 0) :]


def last_lines(found: bytes, lines: int | None) -> bytes:
    """The last lines of some output; None: all of it.

    Example:
        >>> last_lines(b"one\\ntwo\\nthree\\n", 2)
        b'two\\nthree\\n'
    """
    if lines is None:
        return found
    return b"".join(found.splitlines(keepends=True)[-lines:]) if lines else b""


def _print(shown: Shown, state: TaskState, tail: int | None) -> None:
    if shown.is_here and tail is None and not sys.stdout.isatty():
        with shown.opened() as log:
            shutil.copyfileobj(log, sys.stdout.buffer)
        return
    found = _read(shown, state)
    if not shown.is_here:
        output.tell(f"The whole log is not on this machine (it ran on {_where(state)}). Its last lines:")
    shown.write(last_lines(found, tail), is_all=True)


def _answer(shown: Shown, state: TaskState, tail: int) -> LogAnswer:
    from orchestrator.contract.task_answers import LogAnswer
    from orchestrator.report.json_page import left_out

    found = _read(shown, state)
    return LogAnswer(
        feature=shown.feature_id,
        task=shown.task_id,
        attempt=shown.number,
        worker=state.worker,
        log=as_text(last_lines(found, tail).decode("utf-8", "replace")),
        is_end=not shown.is_here,
        left_out=left_out(lines=max(0, len(found.splitlines()) - tail)),
    )


def _read(shown: Shown, state: TaskState) -> bytes:
    """The whole log if it is here; else the end of it that Redis has.

    Raises:
        NoLog: There is neither.
    """
    found = shown.news()
    if shown.is_here or found:
        return found
    if not (rest := shown.rest().encode()):
        reason = f"there is no {shown.file}; it ran on {_where(state)}, or said nothing"
        raise errors.NoLog(feature=shown.feature_id, task=shown.task_id, attempt=shown.number, reason=reason)
    return rest


def _where(state: TaskState) -> str:
    return state.worker or "a worker"


def _follow(client: Client, handle: Handle, shown: Shown, tail: int | None) -> None:
    first = True
    while True:
        state = client.store.tasks.state(
            handle.id, shown.task_id
        )  # before the output, so that none is missed
        found = shown.news()
        if not _runs(state, shown.number):
            shown.write(last_lines(found, tail if first else None))
            rest = shown.rest().encode()
            shown.write(last_lines(rest, tail if first and not found else None), is_all=True)
            return
        shown.write(last_lines(found, tail if first else None))
        first = first and not found
        time.sleep(LOOK_SECONDS)


def _await_start(client: Client, handle: Handle, task_id: str) -> int:
    """The number of the task's last attempt, or of its first one once that has started."""
    while True:
        is_settled = handle.progress().is_settled
        state = client.store.tasks.state(handle.id, task_id)
        if started := _started(state):
            return started
        if is_settled:
            raise _not_started(handle.id, state, 1)
        time.sleep(LOOK_SECONDS)
