"""Runs a command: an argument list, never a shell. When the attempt is over, no process that it started is left."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import SecretStr

from orchestrator.config import private
from orchestrator.config.schema.limits import Limits
from orchestrator.model.outcome import (
    Cancelled,
    Completed,
    Failed,
    FailureCause,
    Outcome,
    RetryLater,
)
from orchestrator.specialists import environment, masking
from orchestrator.specialists.account import Account
from orchestrator.specialists.cancellation import ask_whether_cancelled
from orchestrator.specialists.command_files import CommandFiles, cannot_write, task_file_content
from orchestrator.specialists.processes import Tree
from orchestrator.specialists.start_failure import start_failure
from orchestrator.specialists.text import as_text, fit_to_limits, last_line, shorten

if TYPE_CHECKING:
    from orchestrator.specialists.context import Context

RETRY_AFTER = 60.0

# The summary lines of pytest ("== 3 failed, 1 passed in 0.2s ==", without == for -q) and of unittest.
_FAILING_TESTS = re.compile(
    r"^(?:=+ )?\d+ failed\b.* in [\d.]+s|^=+ \d+ failed\b|^FAILED \(\w+", re.MULTILINE
)


@dataclass(frozen=True)
class CommandRunner:
    """A specialist that is a command.

    The command's environment has the worker's variables that `environment.filter_environment` lets through, those of
    the specialist, and

    - ORCHESTRATOR_FEATURE_ID, ORCHESTRATOR_TASK_ID, ORCHESTRATOR_ATTEMPT, ORCHESTRATOR_PROJECT;
    - ORCHESTRATOR_TASK_FILE, a JSON file with feature, task, attempt, specialist, and the outcomes of its dependencies;
    - ORCHESTRATOR_OUTCOME_FILE, where the command may write its outcome, such as
      `{"status": "blocked", "reason": "…"}`, or a JSON value without a status: the result of a completed task.

    Args:
        command: The argument list.
        limits: The largest sizes of an outcome.
        project: The folder of the project.
        in_project: Run in the project's folder instead of the task's own.
        folder: And instead of the project's folder, here.
        pass_env: Names of further variables of the worker that the command gets.
        user: The user of this machine that the command runs as; None: the worker's own.
        env: The specialist's variables. Their values are masked in the output once the command has ended.
        timeout: Seconds after which the command is ended; None: never.
        grace: Seconds between SIGTERM and SIGKILL when its processes are ended.
        poll: Seconds between two checks whether the attempt is cancelled.

    Example:
        CommandRunner(("make", "test"), Limits(), project=Path.cwd()).perform(context).summary
    """

    writes_log: ClassVar[bool] = True
    """The log of the attempt is written here, not by `registry.carry_out`."""

    command: tuple[str, ...]
    limits: Limits
    project: Path
    in_project: bool = False
    folder: Path | None = None
    env: Mapping[str, SecretStr] = field(default_factory=dict)
    pass_env: tuple[str, ...] = ()
    user: str | None = None
    timeout: float | None = None
    grace: float = 5.0
    poll: float = 1.0

    def perform(self, context: Context) -> Outcome:
        """Run the command to its end and return its outcome."""
        if self.user is None:
            return self._perform(context, None)
        try:
            account = Account.find(self.user)
            with account.folder_for(context.workdir) as folder:
                return self._perform(dataclasses.replace(context, workdir=folder), account)
        except ValueError as error:
            return Failed(cause=FailureCause.DEPENDENCY, reason=as_text(str(error)))
        except OSError as error:
            return cannot_write(error, context)

    def _perform(self, context: Context, account: Account | None) -> Outcome:
        content = task_file_content(context)
        try:
            files = CommandFiles.prepare(context, content, account)
        except private.NotOurs as error:
            reason = f"cannot write {error.filename}: {error.strerror}"
            return Failed(cause=FailureCause.DEPENDENCY, reason=as_text(reason))
        except OSError as error:
            return cannot_write(error, context)
        with files.log:
            try:
                tree = self._start(context, files)
            except (OSError, ValueError) as error:
                return start_failure(error, self.command[0], self._folder(context))
            try:
                ended_early = self._wait(tree, context)
            except TimeoutError:
                if not self.timeout:
                    raise
                ended_early = self._timed_out()  # the worker keeps the time too, and was first by a moment
            finally:
                tree.end(self.grace)
                files.log.mask(self._secrets)
            tail = masking.hide(files.log.tail(self.limits.tail), self._secrets)
            outcome = ended_early or self._judge(tree.wait(), tail, files)
            if isinstance(outcome, Failed) and (trouble := files.log.trouble()):
                outcome = outcome.model_copy(update={"reason": f"{outcome.reason}; {trouble}"})
            outcome = masking.mask_outcome(
                outcome.model_copy(update={"tail": outcome.tail or tail}), self._secrets
            )
            # Mask again: `fit_to_limits` removes what can hide a secret from the first search, such as colour codes.
            return masking.mask_outcome(fit_to_limits(outcome, self.limits), self._secrets)

    @cached_property
    def _secrets(self) -> tuple[str, ...]:
        return masking.secret_texts(self.env.values())

    def _start(self, context: Context, files: CommandFiles) -> Tree:
        with Path(os.devnull).open("rb") as nothing:
            return Tree(
                self.command,
                cwd=self._folder(context),
                env=self._environment(context, files),
                stdin=nothing,
                stdout=files.log.file,
                stderr=files.log.file,
                account=files.account,
            )

    def _folder(self, context: Context) -> Path:
        return (self.folder or self.project) if self.in_project else context.workdir

    def _environment(self, context: Context, files: CommandFiles) -> dict[str, str]:
        return {
            **environment.filter_environment(os.environ, self.pass_env),
            **(files.account.variables if files.account else {}),
            **{name: value.get_secret_value() for name, value in self.env.items()},
            **files.variables(context, self.project),
        }

    def _wait(self, tree: Tree, context: Context) -> Outcome | None:
        """Wait for the command. Returns an outcome if the attempt timed out or was cancelled, else None."""
        deadline = time.monotonic() + self.timeout if self.timeout else float("inf")
        is_cancelled: bool | None = False
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                tree.wait(timeout=max(0.0, min(self.poll, deadline - time.monotonic())))
                return None
            if time.monotonic() >= deadline:
                return self._timed_out()
            is_cancelled = ask_whether_cancelled(context, is_cancelled)
            if is_cancelled:
                return Cancelled()

    def _timed_out(self) -> Failed:
        return Failed(cause=FailureCause.TIMEOUT, reason=f"timed out after {self.timeout:.10g} s")

    def _judge(self, code: int, tail: str, files: CommandFiles) -> Outcome:
        """The outcome of a command that ended by itself, from its exit code and its outcome file."""
        try:
            written = files.read_outcome(self.limits)
        except ValueError as error:
            said = masking.hide(str(error), self._secrets)
            wrong = shorten(f"the outcome file cannot be used: {said}", 1_000)
            because = f"; the command ended with {_ending(code)}" if code else ""
            return Failed(cause=FailureCause.CODE, reason=as_text(wrong + because))
        if written is None:
            return by_exit_code(code, tail)
        if code and isinstance(written, Completed):
            failed = _failure(code, tail)
            return failed.model_copy(
                update={"reason": f"{failed.reason}; yet its outcome file says completed"}
            )
        return written


def by_exit_code(code: int, tail: str) -> Completed | Failed | RetryLater:
    """The outcome of a command that wrote none: judged by its exit code, described by the last line it printed.

    0 is completed, 75 (EX_TEMPFAIL of sysexits.h, "try again later") is retried in a minute, all others are failures.

    Example:
        >>> by_exit_code(2, "reading\\nno such file").reason
        'exit code 2: no such file'
    """
    if code == 0:
        return Completed(summary=last_line(tail))
    if code == os.EX_TEMPFAIL:
        return RetryLater(after=RETRY_AFTER, reason=last_line(tail) or f"exit code {code}")
    return _failure(code, tail)


def _failure(code: int, tail: str) -> Failed:
    line = last_line(tail)
    reason = _ending(code) + (f": {line}" if line else "")
    if code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return Failed(cause=FailureCause.OUT_OF_MEMORY, reason=reason)
    tests = code > 0 and _FAILING_TESTS.search(tail)
    return Failed(cause=FailureCause.TESTS if tests else FailureCause.CODE, reason=reason)


def _ending(code: int) -> str:
    killer = "; often this is the kernel, which is out of memory"
    if code == 128 + signal.SIGKILL:  # a shell's way to say that its child was killed
        return f"exit code {code} (killed by signal 9{killer})"
    if code >= 0:
        return f"exit code {code}"
    if code == -signal.SIGKILL:
        return f"killed by signal 9 (SIGKILL{killer})"
    try:
        return f"killed by signal {-code} ({signal.Signals(-code).name})"
    except ValueError:  # a real-time signal has no name
        return f"killed by signal {-code}"
