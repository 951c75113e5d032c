"""What a specialist is given to work with: one attempt at a task."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from orchestrator.model.fields import FeatureId, Model, Tag
from orchestrator.model.outcome import Completed
from orchestrator.model.sanitizer import as_line
from orchestrator.model.task import Task
from orchestrator.specialists import output


class FeatureHead(Model):
    """What a specialist sees of the feature that its task belongs to."""

    id: FeatureId
    title: str
    description: str = ""
    tags: tuple[Tag, ...] = ()


class ReportProgress(Protocol):
    """Tells whoever watches how far the work is."""

    def __call__(self, percent: float | None = None, note: str = "") -> None:
        """Report `percent` done (0 to 100), a `note`, or both."""


def no_progress(percent: float | None = None, note: str = "") -> None:
    """Nobody watches."""


def not_cancelled() -> bool:
    """Nobody cancels."""
    return False


@dataclass(frozen=True)
class Context:
    """One attempt at a task: what a specialist is given to work with.

    Args:
        task: The task itself, with its `params`.
        feature: The head of the feature it belongs to.
        attempt: The number of this attempt, from 1.
        specialist: The name of the specialist that the task was routed to.
        title: That name as people read it.
        workdir: A folder for this attempt alone. It may not exist yet.
        log_file: Where its full output goes.
        remarks: What people said of the attempts before: changes requested, blockers resolved, newest last.
        dependencies: The outcomes of the tasks it depends on, by id. May be read from the store when asked for.
        progress: Tells whoever watches how far the work is.
        is_cancelled: Asks whether the work is not wanted any more. May be called about once a second; raises
            an OrchestratorError where the answer cannot be had.

    Example:
        >>> context = Context(
        ...     task=Task(id="T1"), feature=FeatureHead(id="auth", title="Login"), attempt=1,
        ...     specialist="reviewer", title="Reviewer", workdir=Path("work"), log_file=Path("T1.log"),
        ... )
        >>> context.progress(50, "half way")
    """

    task: Task
    feature: FeatureHead
    attempt: int
    specialist: str
    title: str
    workdir: Path
    log_file: Path
    remarks: tuple[str, ...] = ()
    dependencies: Mapping[str, Completed] = field(default_factory=dict)
    progress: ReportProgress = no_progress
    is_cancelled: Callable[[], bool] = not_cancelled

    @cached_property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """Writes log lines that say which feature, task and attempt they are about, in text and as attributes.

        They go into the log of the attempt from INFO on, and into the worker's as its --loglevel says.
        """
        facts = {"feature": self.feature.id, "task": self.task.id, "attempt": self.attempt}
        return _TaskLogger(logging.getLogger(f"orchestrator.specialists.{self.specialist}"), facts)


class _TaskLogger(logging.LoggerAdapter[logging.Logger]):
    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        is_for_the_worker = self.isEnabledFor(level)
        if not is_for_the_worker and level < logging.INFO:
            return
        with contextlib.suppress(
            TypeError, ValueError, LookupError
        ):  # left as they are, logging says what is wrong
            msg, args = _in_one_line(msg, args), ()
        if not is_for_the_worker:
            text, given = self.process(msg, {})
            name, extra = self.logger.name, given["extra"]
            output.write_record(self.logger.makeRecord(name, level, "", 0, text, args, None, extra=extra))
        super().log(level, msg, *args, **kwargs)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        facts = self.extra or {}
        kwargs["extra"] = {**(kwargs.get("extra") or {}), **facts}
        return f"{output.prefix(dict(facts))}{msg}", kwargs


def _in_one_line(msg: object, args: tuple[object, ...]) -> str:
    """The text of a record on one line: what a specialist says must not look like a line of somebody else's."""
    return as_line(logging.LogRecord("", logging.INFO, "", 0, msg, args, None).getMessage())
