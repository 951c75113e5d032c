"""The argument of every specialist: one attempt at a task."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, cast

from orchestrator.model.agent_history import AgentSession, EarlierAttempt
from orchestrator.model.fields import FeatureId, Model, Tag
from orchestrator.model.outcome import Completed, NextCall
from orchestrator.model.sanitizer import as_line
from orchestrator.model.task import Task
from orchestrator.model.usage import NO_BUDGET, Usage, UsageVerdict
from orchestrator.specialists import output


class FeatureHead(Model):
    """The part of a feature that the specialists of its tasks see."""

    id: FeatureId
    title: str
    description: str = ""
    tags: tuple[Tag, ...] = ()
    base: str = ""
    """The commit that its agents start from, as it was at the enqueue; "": that of the first agent's start."""


class ReportProgress(Protocol):
    """Reports how far the work is, for `status` and `watch`."""

    def __call__(self, percent: float | None = None, note: str = "") -> None:
        """Report `percent` done (0 to 100), a `note`, or both."""


def no_usage(usages: Sequence[Usage]) -> UsageVerdict:
    """Report nothing; there is no budget."""
    return NO_BUDGET


def no_session(session: AgentSession) -> None:
    """Store nothing."""


def no_limit(model: str, seconds: float) -> None:
    """Close nothing."""


def no_progress(percent: float | None = None, note: str = "") -> None:
    """Report nothing."""


def not_cancelled() -> bool:
    """The attempt is never cancelled."""
    return False


T = TypeVar("T")


class Late(Generic[T]):
    """A field of a dataclass that may be given as a function, which makes the value when it is first asked for.

    Args:
        default: Makes the value where none is given; None: one has to be given.
    """

    def __init__(self, default: Callable[[], T] | None = None) -> None:
        self.default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type) -> T:
        if instance is None:
            if self.default is None:
                raise AttributeError(self.name)  # so that the field has no default
            return cast("T", self.default)  # for `__set__`
        value = instance.__dict__[self.name]
        if callable(value):
            value = instance.__dict__[self.name] = value()
        made: T = value
        return made

    def __set__(self, instance: object, value: T | Callable[[], T]) -> None:
        instance.__dict__[self.name] = value


@dataclass(frozen=True)
class Context:
    """One attempt at a task.

    Args:
        task: The task itself, with its `params`.
        feature: The head of its feature.
        attempt: The number of this attempt, from 1.
        specialist: The name of the specialist that the task was routed to.
        title: That name as people read it.
        workdir: A folder for this attempt alone. It may not exist yet.
        log_file: The file for its whole output.
        remarks: Notes of people on earlier attempts (changes requested, blockers resolved), newest last.
        dependencies: The outcomes of the tasks it depends on, by id. Some are read from the store only on access.
        progress: Reports how far the work is.
        is_cancelled: Whether a person has cancelled the attempt. Call it about once a second; it raises an
            OrchestratorError if the store does not answer.
        continues: The call that an earlier attempt asked for, in place of the task's own.
        retries: How many earlier attempts ended so that the task was tried again, as a failure or later.
        trace: Variables by which a command joins the trace of the attempt.
        owner: The identity of the state that marks the folders of the feature on this machine.
        rung: The place of an agent's tier on its ladder, from 0.
        earlier: The attempts before this one, the oldest first.
        session: The conversation of an earlier attempt, if an agent can go on with it.
        save_session: Stores the conversation of this attempt, before its first request.
        report_usage: Reports what the attempt has used so far, and answers what is left.
        left: What the attempt may use, at its start.
        close_model: Closes a model for all, because its limit is reached, for so many seconds.
        outcome: Of a gate: the completed work that it judges.

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
    workdir: Late[Path] = Late()
    log_file: Late[Path] = Late()
    remarks: tuple[str, ...] = ()
    dependencies: Mapping[str, Completed] = field(default_factory=dict)
    progress: ReportProgress = no_progress
    is_cancelled: Callable[[], bool] = not_cancelled
    retries: int = 0
    continues: NextCall | None = None
    trace: Late[Mapping[str, str]] = Late(dict)
    owner: str = ""
    rung: int = 0
    earlier: tuple[EarlierAttempt, ...] = ()
    session: AgentSession | None = None
    save_session: Callable[[AgentSession], None] = no_session
    report_usage: Callable[[Sequence[Usage]], UsageVerdict] = no_usage
    left: UsageVerdict = NO_BUDGET
    close_model: Callable[[str, float], None] = no_limit
    outcome: Completed | None = None

    @cached_property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose lines name the feature, task and attempt, in their text and as attributes.

        Lines from INFO up go into the log of the attempt; the worker's --loglevel decides about the worker's log.
        """
        facts = {"feature": self.feature.id, "task": self.task.id, "attempt": self.attempt}
        return _TaskLogger(logging.getLogger(f"orchestrator.specialists.{self.specialist}"), facts)


_current: ContextVar[Context | None] = ContextVar("context", default=None)


def current_context() -> Context | None:
    """The attempt that runs here; None outside of one. For code that is not handed it, such as a Celery task.

    Example:
        @app.task
        def crawl(pages):
            for page in pages:
                if (context := current_context()) and context.is_cancelled():
                    return "stopped"
    """
    return _current.get()


@contextlib.contextmanager
def entered(context: Context) -> Iterator[None]:
    """Make an attempt the current one inside the block, also for coroutines that it begins."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)


class _TaskLogger(logging.LoggerAdapter[logging.Logger]):
    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        is_for_the_worker = self.isEnabledFor(level)
        if not is_for_the_worker and level < logging.INFO:
            return
        # If the arguments do not fit the text, logging itself reports the mistake.
        with contextlib.suppress(TypeError, ValueError, LookupError):
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
    """The text of a record on one line, so that no specialist can forge a line of another."""
    return as_line(logging.LogRecord("", logging.INFO, "", 0, msg, args, None).getMessage())
