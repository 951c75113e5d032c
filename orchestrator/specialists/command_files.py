"""The files of an attempt that a program works on: what it is given, its log, and the outcome that it writes."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError
from pydantic_core import from_json

from orchestrator.config import private
from orchestrator.config.schema.limits import Limits
from orchestrator.model.outcome import OUTCOME, Completed, Failed, FailureCause, Outcome
from orchestrator.specialists.account import Account
from orchestrator.specialists.attempt_log import AttemptLog
from orchestrator.specialists.python import outcome_of
from orchestrator.specialists.text import as_text

if TYPE_CHECKING:
    from orchestrator.specialists.context import Context

WRITABLE_STATUSES = ("completed", "blocked", "failed", "retry-later")
"""The statuses that a program may write into its outcome file."""


@dataclass(frozen=True)
class CommandFiles:
    """The files of one attempt. Only the user that runs the program may read them, and only the worker its log."""

    task: Path
    outcome: Path
    log: AttemptLog
    account: Account | None

    @classmethod
    def prepare(cls, context: Context, content: bytes, account: Account | None) -> CommandFiles:
        """Make the files, of which the task file has `content`.

        Raises:
            OSError: They cannot be written, or another user put something in their place.
        """
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

    def variables(self, context: Context, project: Path) -> dict[str, str]:
        """The environment variables by which a program learns what it works on."""
        return {
            **context.trace,
            "ORCHESTRATOR_FEATURE_ID": context.feature.id,
            "ORCHESTRATOR_TASK_ID": context.task.id,
            "ORCHESTRATOR_ATTEMPT": str(context.attempt),
            "ORCHESTRATOR_PROJECT": str(project),
            "ORCHESTRATOR_TASK_FILE": str(self.task),
            "ORCHESTRATOR_OUTCOME_FILE": str(self.outcome),
        }

    def read_outcome(self, limits: Limits) -> Outcome | None:
        """Read the outcome that the program wrote; None if it wrote none.

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

    def outcome_text(self, most: int) -> str | None:
        """The text of the outcome file, as far as `most` bytes; None if there is none that can be read."""
        try:
            found = self._read(most)
        except (OSError, ValueError):
            return None
        return None if found is None else found.decode(errors="replace")

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


def task_file_content(context: Context) -> bytes:
    """The content of the task file, as JSON."""
    return json.dumps(
        {
            "feature": context.feature.model_dump(mode="json", exclude={"base"}),
            "task": context.task.model_dump(mode="json"),
            "attempt": context.attempt,
            "specialist": context.specialist,
            "remarks": list(context.remarks),
            "dependencies": {
                task_id: outcome.model_dump(mode="json") for task_id, outcome in context.dependencies.items()
            },
            **({"outcome": context.outcome.model_dump(mode="json")} if context.outcome else {}),
        },
        ensure_ascii=False,
        indent=2,
    ).encode(errors="replace")


def cannot_write(error: OSError, context: Context) -> Failed:
    """The failure of an attempt whose files cannot be written."""
    # An error of `write` names no file; only the task file, in `workdir`, is written.
    folder = Path(error.filename).parent if error.filename else context.workdir
    reason = f"cannot write into the folder {folder}: {error.strerror or error}"
    return Failed(cause=FailureCause.DEPENDENCY, reason=as_text(reason))


def _mistakes(error: ValidationError) -> str:
    lines = error.errors(include_url=False, include_context=False, include_input=False)
    # The first part of `loc` repeats the status: pydantic chose the kind of outcome by it.
    return "; ".join(f"{'.'.join(map(str, line['loc'][1:]))}: {line['msg']}" for line in lines)
