"""Watches one run of an agent: passes on what it says and what it has used, and decides when it is ended."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.agents.classification import Stopped
from orchestrator.agents.ledger import Ledger
from orchestrator.agents.stream import StreamReader
from orchestrator.model import errors
from orchestrator.model.usage import Usage, UsageVerdict
from orchestrator.specialists import masking
from orchestrator.specialists.attempt_log import AttemptLog
from orchestrator.specialists.cancellation import ask_whether_cancelled
from orchestrator.specialists.context import Context

EVERY = 1.0
"""Seconds between two reports of progress, of usage, and two questions whether the attempt is cancelled."""

LONGEST_ERROR_LINE = 10_000


@dataclass(frozen=True)
class Caps:
    """What ends a run.

    Args:
        idle: Seconds without an event that is no error; None: it is silent by nature.
        linger: Seconds between its result and its end.
        deadline: The moment (of time.monotonic) at which the attempt is over.
        is_time_budget: That moment is where the task's budget of time ends, and not a timeout.
        cost: Dollars that the attempt may use; None: no limit.
        tokens: Tokens that it may use.
        turns: Requests that it may make.
    """

    idle: float | None = None
    linger: float = 10.0
    deadline: float = float("inf")
    is_time_budget: bool = False
    cost: float | None = None
    tokens: int | None = None
    turns: int | None = None


def append(log: AttemptLog, data: bytes) -> None:
    """Write into the log. What a full disk does not take is left out: the outcome says so."""
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(log.fileno(), data) :]


@dataclass
class AgentWatcher:
    """The watcher of one run (see `process.Watcher`).

    Args:
        context: The attempt.
        reader: Reads the output.
        ledger: Adds the usage of the runs before it.
        log: The log of the attempt.
        caps: What ends the run.
        name_session: Called with the name of the conversation, as soon as the program says it.
        session: The name of the conversation that is known already.
        every: Seconds between two reports.
        secrets: Texts to hide in notes of progress.
    """

    context: Context
    reader: StreamReader
    ledger: Ledger
    log: AttemptLog
    caps: Caps
    name_session: Callable[[str], None]
    session: str = ""
    every: float = EVERY
    secrets: tuple[str, ...] = ()
    verdict: UsageVerdict | None = None
    over: str = ""
    """The budget that ended the run: task, feature, day, tokens, turns or time."""

    _signs: int = 0
    _heard: float = field(default_factory=time.monotonic)
    _ended: float | None = None
    _asked: float = field(default_factory=time.monotonic)
    _is_cancelled: bool | None = False
    _note: str = ""
    _noted: float = 0.0
    _reported: float = 0.0
    _usages: tuple[Usage, ...] = ()
    _error_line: bytes = b""
    _is_warned: bool = False

    def hear(self, data: bytes) -> None:
        """Take a piece of the output."""
        if progress := self.reader.feed(data):
            self._note = str(progress)
        self._after_reading()

    def hear_error(self, data: bytes) -> None:
        """Take a piece of the error output."""
        append(self.log, data)
        *lines, rest = (self._error_line + data).split(b"\n")
        for line in lines:
            self.reader.note(line[:LONGEST_ERROR_LINE])
        self._error_line = rest[:LONGEST_ERROR_LINE]

    def reason_to_stop(self) -> Stopped | None:
        """Why the run is to be ended now; None: it goes on."""
        now = time.monotonic()
        self._tell(now)
        if now - self._asked >= self.every:
            self._asked = now
            self._is_cancelled = ask_whether_cancelled(self.context, self._is_cancelled)
        if self._is_cancelled:
            return Stopped.CANCELLED
        if self._ended is not None:
            return Stopped.LINGERED if now - self._ended >= self.caps.linger else None
        if self._find_what_is_over():
            return Stopped.OVER_BUDGET
        if now >= self.caps.deadline:
            self.over = "time" if self.caps.is_time_budget else ""
            return Stopped.OVER_BUDGET if self.over else Stopped.TIMED_OUT
        if self.caps.idle is not None and now - self._heard >= self.caps.idle:
            return Stopped.SILENT
        return None

    def close(self) -> None:
        """Read what is left, and report everything, once the run has ended."""
        if self._error_line:
            self.reader.note(self._error_line)
        if progress := self.reader.close():
            self._note = str(progress)
        self._after_reading()
        self._tell(float("inf"))
        self._report(self.ledger.close_run(self.reader.usages))

    # What it does with it

    def _after_reading(self) -> None:
        seen = self.reader.seen
        if seen.signs != self._signs:  # not the same error again and again
            self._signs, self._heard = seen.signs, time.monotonic()
        if seen.session and seen.session != self.session:
            self.session = seen.session
            self.name_session(seen.session)
        if seen.is_final and self._ended is None:
            self._ended = time.monotonic()
        self._tell(time.monotonic())

    def _tell(self, now: float) -> None:
        """Report progress and usage, each at most once in `every` seconds."""
        if self._note and now - self._noted >= self.every:
            note, self._note, self._noted = self._note, "", now
            self.context.progress(note=masking.hide(note, self.secrets))
        if now - self._reported >= self.every and (usages := self.reader.usages) != self._usages:
            self._usages, self._reported = usages, now
            self._report(self.ledger.keep(usages))

    def _report(self, usages: tuple[Usage, ...]) -> None:
        try:
            self.verdict = self.context.report_usage(usages)
        except errors.OrchestratorError as error:
            if not self._is_warned:
                self.context.logger.warning("cannot report its usage; it is reported later: %s", error)
            self._is_warned, self._usages = True, ()

    def _find_what_is_over(self) -> bool:
        """Whether a budget is used up. The store says so; where it does not answer, what was left at the start."""
        caps, used = self.caps, self.ledger.with_run(self.reader.usages)
        costs = [each.cost for each in used if each.cost is not None]
        if self.verdict and self.verdict.is_over:
            self.over = self.verdict.which or "task"
        elif caps.cost is not None and sum(costs) >= caps.cost and costs:
            self.over = "task"
        elif caps.tokens is not None and sum(each.tokens for each in used) >= caps.tokens:
            self.over = "tokens"
        elif caps.turns is not None and sum(each.requests for each in used) > caps.turns:
            self.over = "turns"
        return bool(self.over)
