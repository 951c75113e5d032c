"""Runs a command: an argument list, never a shell. When the attempt is over, no process that it started is left."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr, ValidationError
from pydantic_core import from_json

from orchestrator.config import private
from orchestrator.config.schema.limits import Limits
from orchestrator.model import errors
from orchestrator.model.outcome import (
    OUTCOME,
    Cancelled,
    Completed,
    Failed,
    FailureCause,
    Outcome,
    RetryLater,
)
from orchestrator.specialists import environment, masking
from orchestrator.specialists.account import Account
from orchestrator.specialists.attempt_log import AttemptLog
from orchestrator.specialists.processes import Tree
from orchestrator.specialists.python import outcome_of
from orchestrator.specialists.text import as_text, fit_to_limits, last_line, shorten

if TYPE_CHECKING:
    from orchestrator.specialists.context import Context

WRITABLE_STATUSES = ("completed", "blocked", "failed", "retry-later")
"""The statuses that a command may write into its outcome file."""

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
        pass_env: Names of further variables of the worker that the command gets.
        user: The user of this machine that the command runs as; None: the worker's own.
        env: The specialist's variables. Their values are masked in the output once the command has ended.
        timeout: Seconds after which the command is ended; None: never.
        grace: Seconds between SIGTERM and SIGKILL when its processes are ended.
        poll: Seconds between two checks whether the attempt is cancelled.

    Example:
        CommandRunner(("make", "test"), Limits(), project=Path.cwd()).perform(context).summary
    """

    command: tuple[str, ...]
    limits: Limits
    project: Path
    in_project: bool = False
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
            return _cannot_write(error, context)

    def _perform(self, context: Context, account: Account | None) -> Outcome:
        content = _task_file_content(context)
        try:
            files = _Files.prepare(context, content, account)
        except private.NotOurs as error:
            reason = f"cannot write {error.filename}: {error.strerror}"
            return Failed(cause=FailureCause.DEPENDENCY, reason=as_text(reason))
        except OSError as error:
            return _cannot_write(error, context)
        with files.log:
            try:
                tree = self._start(context, files)
            except (OSError, ValueError) as error:
                return self._could_not_start(error, context)
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

    def _start(self, context: Context, files: _Files) -> Tree:
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
        return self.project if self.in_project else context.workdir

    def _environment(self, context: Context, files: _Files) -> dict[str, str]:
        return {
            **environment.filter_environment(os.environ, self.pass_env),
            **(files.account.variables if files.account else {}),
            **{name: value.get_secret_value() for name, value in self.env.items()},
            **context.trace,
            "ORCHESTRATOR_FEATURE_ID": context.feature.id,
            "ORCHESTRATOR_TASK_ID": context.task.id,
            "ORCHESTRATOR_ATTEMPT": str(context.attempt),
            "ORCHESTRATOR_PROJECT": str(self.project),
            "ORCHESTRATOR_TASK_FILE": str(files.task),
            "ORCHESTRATOR_OUTCOME_FILE": str(files.outcome),
        }

    def _could_not_start(self, error: OSError | ValueError, context: Context) -> Failed:
        program, folder = self.command[0], self._folder(context)
        cause = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        if isinstance(error, OSError) and error.errno == errno.ENOEXEC:
            hint = "; its first line names no program to run it with: add one, such as #!/bin/sh"
        elif not isinstance(error, FileNotFoundError):
            hint = ""
        elif not folder.is_dir():
            hint = f"; the folder to run it in, {folder}, is not there"
        elif program.startswith("~"):
            hint = "; no shell reads the command, so ~ stays as it is: write the path of the folder"
        elif wrong := _first_line(folder, program):
            hint = f"; {wrong}"
        elif "/" in program:
            hint = f"; a relative path is looked for from {folder}"
        else:
            hint = "; install it where the worker runs, or add its folder to the worker's PATH"
        reason = f"cannot start {program}: {cause}{hint}"
        return Failed(cause=FailureCause.DEPENDENCY, reason=as_text(reason))

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
            is_cancelled = _ask_whether_cancelled(context, is_cancelled)
            if is_cancelled:
                return Cancelled()

    def _timed_out(self) -> Failed:
        return Failed(cause=FailureCause.TIMEOUT, reason=f"timed out after {self.timeout:.10g} s")

    def _judge(self, code: int, tail: str, files: _Files) -> Outcome:
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


def _first_line(folder: Path, program: str) -> str:
    """The fault in the first line of a script; "" if there is no script, or no fault."""
    found = folder / program if "/" in program else shutil.which(program)
    try:
        with Path(found or program).open("rb") as script:
            line = script.readline(1_000)
    except OSError:
        return ""
    if not line.startswith(b"#!"):
        return ""
    named = line[2:].decode(errors="replace").strip().split()
    if line.rstrip(b"\n").endswith(b"\r"):
        return "its lines end as Windows has them (CR LF), and the name of its program too: save it with LF alone"
    return f"its first line names {named[0]}, which is not there" if named else ""


def _cannot_write(error: OSError, context: Context) -> Failed:
    # An error of `write` names no file; only the task file, in `workdir`, is written.
    folder = Path(error.filename).parent if error.filename else context.workdir
    reason = f"cannot write into the folder {folder}: {error.strerror or error}"
    return Failed(cause=FailureCause.DEPENDENCY, reason=as_text(reason))


def _task_file_content(context: Context) -> bytes:
    """The content of the task file, as JSON."""
    return json.dumps(
        {
            "feature": context.feature.model_dump(mode="json"),
            "task": context.task.model_dump(mode="json"),
            "attempt": context.attempt,
            "specialist": context.specialist,
            "remarks": list(context.remarks),
            "dependencies": {
                task_id: outcome.model_dump(mode="json") for task_id, outcome in context.dependencies.items()
            },
        },
        ensure_ascii=False,
        indent=2,
    ).encode(errors="replace")


def _ask_whether_cancelled(context: Context, before: bool | None) -> bool | None:
    """Whether the attempt is cancelled; None if the store does not answer. That is logged once, not at every check."""
    try:
        return context.is_cancelled()
    except errors.OrchestratorError as error:
        # A short outage of the store must not throw away an hour of work.
        if before is not None:
            context.logger.warning("cannot ask whether the attempt is cancelled, so it goes on: %s", error)
        return None


@dataclass(frozen=True)
class _Files:
    """The files of one attempt. Only the user that runs the command may read them, and only the worker its log."""

    task: Path
    outcome: Path
    log: AttemptLog
    account: Account | None

    @classmethod
    def prepare(cls, context: Context, content: bytes, account: Account | None) -> _Files:
        task, outcome = context.workdir.absolute() / "task.json", context.workdir.absolute() / "outcome.json"
        private.make_marked_folder(context.workdir.parent, context.owner)
        private.make_folder(context.workdir)
        with private.opened(context.workdir, any_owner=True) as within:
            os.fchmod(within, private.FOLDER_MODE)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(outcome.name, dir_fd=within)  # left by an earlier delivery of the same message
            number = private.open_file(task, os.O_WRONLY | os.O_TRUNC | os.O_CREAT, within)
            with os.fdopen(number, "wb") as file:
                file.write(content)
        log = AttemptLog.open(context.log_file, context.owner)
        if account:
            account.take_ownership(task, context.workdir)
        return cls(task, outcome, log, account)

    def read_outcome(self, limits: Limits) -> Outcome | None:
        """Read the outcome that the command wrote; None if it wrote none.

        Raises:
            ValueError: The file holds no valid outcome; the message says why.
        """
        most = 4 * (limits.result + limits.tail)
        try:
            found = self._read(most)
        except OSError as error:
            raise ValueError(error.strerror or error) from None
        if found is None:
            return None
        if len(found) > most:
            raise ValueError(f"it is over limits.result ({limits.result:,} characters)")
        value = from_json(found, allow_inf_nan=False)
        if not isinstance(value, dict) or "status" not in value:
            return outcome_of(Completed(result=value), limits)
        if value["status"] not in WRITABLE_STATUSES:
            raise ValueError(
                f"the status is {value['status']!r}; write one of {', '.join(WRITABLE_STATUSES)}"
            )
        try:
            return OUTCOME.validate_python(value)
        except ValidationError as error:
            raise ValueError(_mistakes(error)) from None

    def _read(self, most: int) -> bytes | None:
        """Read the outcome file, up to one byte over the allowed size; None if there is none.

        Raises:
            OSError: It cannot be read.
            ValueError: It does not belong to the command's user. (A link could lead to a file of the worker.)
        """
        try:
            number = private.open_to_read(self.outcome)
        except FileNotFoundError:
            return None
        with os.fdopen(number, "rb") as file:
            if self.account and os.fstat(number).st_uid != self.account.uid:
                raise ValueError(f"it does not belong to {self.account.name}")
            return file.read(most + 1)


def _mistakes(error: ValidationError) -> str:
    lines = error.errors(include_url=False, include_context=False, include_input=False)
    # The first part of `loc` repeats the status: pydantic chose the kind of outcome by it.
    return "; ".join(f"{'.'.join(map(str, line['loc'][1:]))}: {line['msg']}" for line in lines)


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
