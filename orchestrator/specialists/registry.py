"""What a specialist is, which one a task gets, and how its work becomes an outcome that is never an exception."""

from __future__ import annotations

import importlib
import re
import sys
import traceback
from collections.abc import Callable
from functools import cache
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, entry_points
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol, TypeVar, overload

from orchestrator.config.schema.specialists import SpecialistSettings
from orchestrator.config.settings import Settings
from orchestrator.config.spelling import NAME_PATTERN
from orchestrator.model import errors
from orchestrator.model.outcome import Failed, FailureCause, Outcome
from orchestrator.model.task import Task
from orchestrator.specialists import masking, output
from orchestrator.specialists.command import CommandRunner
from orchestrator.specialists.context import Context
from orchestrator.specialists.python import PythonRunner
from orchestrator.specialists.text import as_text, shorten

ENTRY_POINTS = "orchestrator.specialists"
"""The entry point group in which an installed package offers specialists."""

Work = TypeVar("Work", bound=Callable[["Context"], Any])

_registered: dict[str, Callable[[Context], Any]] = {}


class Specialist(Protocol):
    """Does the work of a task."""

    def perform(self, context: Context) -> Outcome:
        """Do the work, and say how it ended."""


@overload
def specialist(name: Work) -> Work: ...
@overload
def specialist(name: str) -> Callable[[Work], Work]: ...
def specialist(name: str | Work) -> Work | Callable[[Work], Work]:
    """Register a function of a `Context` as the specialist `name`.

    The function returns an outcome, a text (the summary), a dict or another JSON value (the result), or None.
    Without a name it is registered under its own, with hyphens for underscores.

    Raises:
        InvalidSpecialistName: The name cannot be one.
        SpecialistExists: Another callable has the name.

    Example:
        @specialist("reviewer")
        def review(context: Context) -> str:
            return f"{context.task.name} is reviewed"
    """
    if isinstance(name, str):
        return lambda function: _register(name, function)
    return _register(getattr(name, "__name__", "").replace("_", "-"), name)


def _register(name: str, function: Work) -> Work:
    if not re.fullmatch(NAME_PATTERN, name):
        raise errors.InvalidSpecialistName(name=name, source=_place(function))
    first = _registered.setdefault(name, function)
    if first is not function:
        # A module that is imported again makes its functions anew; only a nameless one cannot be told apart.
        if _place(first) != _place(function) or "<" in _place(function):
            raise errors.SpecialistExists(specialist=name, first=_place(first), second=_place(function))
        _registered[name] = function
    return function


def _place(function: object) -> str:
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}:{getattr(named, '__qualname__', '')}"


def resolve(name: str, task: Task, settings: Settings) -> Specialist:
    """Find what does the work of a task that was routed to the specialist `name`.

    In this order: the task's own `run`, the command or the Python callable of the configuration, a function
    registered with `@specialist`, an entry point of the group `orchestrator.specialists`.

    Raises:
        InlineCommandRefused: The task has a `run`, which the configuration does not allow.
        NothingToDo: None of these exists.
        CannotImport: What the configuration or an entry point names is not there, or breaks when imported.
        IsCeleryTask: It is a Celery task, and no function of a Context.
        SpecialistExists: Two callables claim the name.
        RunsInTheWorker: A user is set for what is no command.
    """
    given = _given(name, settings)
    if task.run:
        if not settings.inline_commands:
            raise errors.InlineCommandRefused(tasks=f"Task {task.id}")
        return _command(task.run, settings.trust.inline_workdir, name, task, settings)
    if given.command:
        return _command(given.command, given.workdir, name, task, settings)
    function = _callable(name, settings)
    if function is None:
        raise errors.NothingToDo(tasks=f"Task {task.id}", specialist=name)
    if given.user:
        raise errors.RunsInTheWorker(specialist=name, user=given.user)
    return PythonRunner(function, settings.limits, time_limit(name, task, settings))


def has_work(name: str, settings: Settings) -> bool:
    """Whether the specialist `name` has a command or a callable, so that a task without `run` would do something.

    Nothing is imported for it but the modules of `imports`.

    Raises:
        CannotImport: One of them is not there, or breaks when imported.
    """
    given = _given(name, settings)
    if given.command or given.python:
        return True
    import_all(settings)
    return name in _registered or name in _offered()


def time_limit(name: str, task: Task, settings: Settings) -> float | None:
    """Seconds after which an attempt is ended: the task's own timeout, else the specialist's, else None."""
    return task.timeout or _given(name, settings).timeout


def _given(name: str, settings: Settings) -> SpecialistSettings:
    return settings.specialists.get(name) or SpecialistSettings()


def _command(
    command: tuple[str, ...], workdir: str, name: str, task: Task, settings: Settings
) -> CommandRunner:
    return CommandRunner(
        command=command,
        limits=settings.limits,
        project=settings.folder.parent,
        in_project=workdir == "project",
        env=_given(name, settings).env,
        pass_env=_given(name, settings).pass_env,
        user=_given(name, settings).user,
        timeout=time_limit(name, task, settings),
    )


def _callable(name: str, settings: Settings) -> Callable[[Context], Any] | None:
    import_all(settings)
    function: Callable[[Context], Any] | None = _registered.get(name)
    if reference := _given(name, settings).python:
        function = _load(reference, f"specialists.{name}.python", settings)
    elif not function and (offered := _offered().get(name)):
        function = _load(offered.value, f"the entry point {name} of {_package(offered)}", settings)
    return function


def import_all(settings: Settings) -> None:
    """Import the modules of `imports`, in which functions register themselves as specialists.

    Raises:
        CannotImport: One of them is not there, or breaks when imported.
    """
    for module in settings.imports:
        _load(module, "imports", settings)


def _load(reference: str, setting: str, settings: Settings) -> Any:
    """Import "package.module", or "package.module:attribute", which has to be callable."""
    module, _, attribute = reference.partition(":")
    project = settings.folder.parent
    if str(project) not in sys.path:
        sys.path.append(str(project))  # last, so that a project's file hides nothing that is installed
    try:
        found = importlib.import_module(module)
        loaded = attrgetter(attribute)(found) if attribute else found
        if attribute and not callable(loaded):
            raise TypeError(f"{attribute} is a {type(loaded).__name__}, which cannot be called")
    except Exception as error:
        raise errors.CannotImport(
            reference=reference,
            setting=setting,
            cause=said(error) + _hidden(module, project),
            project=project,
        ) from error
    if attribute and _is_celery_task(loaded):
        raise errors.IsCeleryTask(reference=reference, setting=setting)
    return loaded


def _is_celery_task(loaded: object) -> bool:
    """Also one that `shared_task` made, which says so only when asked for its class."""
    return any(
        (kind.__module__, kind.__name__) == ("celery.app.task", "Task") for kind in loaded.__class__.__mro__
    )


def _hidden(module: str, project: Path) -> str:
    """Says so where the project has a module of this name, and another one was found in its place."""
    top = module.partition(".")[0]
    theirs = PathFinder.find_spec(top, [str(project)])
    found = getattr(sys.modules.get(top), "__file__", None)
    if not theirs or not theirs.origin or not found or Path(found).resolve() == Path(theirs.origin).resolve():
        return ""
    return f" ({found} hides {theirs.origin}: give that another name)"


@cache  # a scan of everything that is installed takes milliseconds, and does not change under a running worker
def _offered() -> dict[str, EntryPoint]:
    offered: dict[str, EntryPoint] = {}
    for entry in entry_points(group=ENTRY_POINTS):
        first = offered.setdefault(entry.name, entry)
        if first.value != entry.value:
            raise errors.SpecialistExists(
                specialist=entry.name,
                first=f"{first.value} of {_package(first)}",
                second=f"{entry.value} of {_package(entry)}",
            )
    return offered


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "an installed package"


def perform(
    context: Context, settings: Settings, timeouts: tuple[type[BaseException], ...] = (TimeoutError,)
) -> Outcome:
    """Do the work of a task, and say how it ended. Whatever goes wrong is an outcome too.

    Args:
        context: The attempt.
        settings: The settings in force where the work is done.
        timeouts: What the shell raises in the midst of the work at its time limit.

    Raises:
        BaseException: What ends the process, such as KeyboardInterrupt and SystemExit.

    Example:
        outcome = perform(context, settings)
        print(outcome.status, outcome.summary)
    """
    try:
        worker = resolve(context.specialist, context.task, settings)
    except errors.OrchestratorError as error:
        return _failed(FailureCause.DEPENDENCY, str(error), error, settings, error.__cause__)
    if not isinstance(worker, PythonRunner):
        return _carry_out(worker, context, settings, timeouts)
    secrets = masking.texts_of_all(settings)
    with output.captured(context.log_file, secrets) as said:
        outcome = _carry_out(worker, context, settings, timeouts)
        if outcome.tail:  # the story of an error, or what the specialist says itself
            said.stream.write(outcome.tail.rstrip("\n") + "\n")
        tail = said.tail(settings.limits.tail) or outcome.tail
        if said.trouble:
            context.logger.warning("%s", said.trouble)
    return masking.masked(outcome.model_copy(update={"tail": tail}), secrets)


def _carry_out(
    worker: Specialist, context: Context, settings: Settings, timeouts: tuple[type[BaseException], ...]
) -> Outcome:
    try:
        return worker.perform(context)
    except timeouts as error:
        limit = time_limit(context.specialist, context.task, settings)
        reason = said(error) + (f"; the time limit is {limit:.10g} s" if limit and not error.args else "")
        return _failed(FailureCause.TIMEOUT, reason, error, settings, error)
    except MemoryError as error:
        return _failed(FailureCause.OUT_OF_MEMORY, said(error), error, settings, error)
    except Exception as error:
        return _failed(FailureCause.CODE, said(error), error, settings, error)


def _failed(
    cause: FailureCause,
    reason: str,
    error: BaseException,
    settings: Settings,
    told: BaseException | None,
) -> Failed:
    """A failure, with the story of what was raised; None: the reason says all."""
    story = "".join(traceback.format_exception(told)) if told else ""
    failed = Failed(cause=cause, reason=as_text(reason), tail=as_text(story, settings.limits.tail))
    return failed.because_of(error)


def said(error: BaseException) -> str:
    """An exception in one short text, such as "ValueError: no such colour".

    Its class alone where it says nothing, or fails to say it.
    """
    try:
        text = str(error)
    except Exception:
        text = ""
    name = type(error).__name__
    return shorten(f"{name}: {text}", 500) if text else name
