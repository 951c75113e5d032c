"""Registers specialists, finds the one for a task, and runs it. Every exception becomes an outcome."""

from __future__ import annotations

import dataclasses
import importlib
import re
import sys
import traceback
import types
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
from orchestrator.specialists.context import Context, entered
from orchestrator.specialists.python import PythonRunner
from orchestrator.specialists.text import as_text, shorten

ENTRY_POINTS = "orchestrator.specialists"
"""The entry point group through which installed packages offer specialists."""

Work = TypeVar("Work", bound=Callable[["Context"], Any])

_registered: dict[str, Callable[[Context], Any]] = {}


class Specialist(Protocol):
    """Does the work of a task."""

    def perform(self, context: Context) -> Outcome:
        """Do the work and return its outcome."""


@overload
def specialist(name: Work) -> Work: ...
@overload
def specialist(name: str) -> Callable[[Work], Work]: ...
def specialist(name: str | Work) -> Work | Callable[[Work], Work]:
    """Register a function of a `Context` as the specialist `name`.

    The function returns an outcome, a text (the summary), a dict or another JSON value (the result), or None.
    Without a name it is registered under the function's own name, with hyphens in place of underscores.

    Raises:
        InvalidSpecialistName: The name is not allowed.
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
        # A reloaded module registers its functions again, which is fine; two lambdas cannot be told apart.
        if _place(first) != _place(function) or "<" in _place(function):
            raise errors.SpecialistExists(specialist=name, first=_place(first), second=_place(function))
        _registered[name] = function
    return function


def _place(function: object) -> str:
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}:{getattr(named, '__qualname__', '')}"


def resolve(name: str, task: Task, settings: Settings) -> Specialist:
    """Find the implementation of the specialist `name` for a task that was routed to it.

    The first of these that exists: the task's own `run`; the command or the Python callable of the configuration; a
    function registered with `@specialist`; an entry point of the group `orchestrator.specialists`.

    Raises:
        InlineCommandRefused: The task has a `run`, which the configuration does not allow.
        NothingToDo: None of these exists.
        CannotImport: The module or attribute that the configuration or an entry point names cannot be imported.
        IsCeleryTask: It is a Celery task, not a function that takes a Context.
        SpecialistExists: Two callables claim the name.
        RunsInTheWorker: A user is set for a specialist that is not a command.
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
    """Whether the specialist `name` has a command, a callable or an agent, which a task without `run` needs.

    Imports only the modules of `imports`.

    Raises:
        CannotImport: One of these modules cannot be imported.
    """
    given = _given(name, settings)
    if given.command or given.python or given.agent:
        return True
    import_all(settings)
    return name in _registered or name in _offered()


def time_limit(name: str, task: Task, settings: Settings) -> float | None:
    """Seconds after which an attempt is ended: the task's timeout, else the specialist's, else None."""
    return task.timeout or _given(name, settings).timeout


def _given(name: str, settings: Settings) -> SpecialistSettings:
    return settings.specialists.get(name) or SpecialistSettings()


def _command(
    command: tuple[str, ...], workdir: str, name: str, task: Task, settings: Settings
) -> CommandRunner:
    return CommandRunner(
        command=command,
        limits=settings.limits,
        project=settings.project,
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
        function = load(reference, f"specialists.{name}.python", settings)
    elif not function and (offered := _offered().get(name)):
        function = load(offered.value, f"the entry point {name} of {_package(offered)}", settings)
    return function


def import_all(settings: Settings) -> None:
    """Import the modules of the setting `imports`, whose functions register as specialists.

    Raises:
        CannotImport: One of these modules cannot be imported.
    """
    for module in settings.imports:
        load(module, "imports", settings)


def load(reference: str, setting: str, settings: Settings) -> Any:
    """Import "package.module" or "package.module:attribute"; the attribute has to be callable.

    Args:
        reference: What to import, from the project's folder too.
        setting: Where it is named, for the error.
        settings: The settings.

    Raises:
        CannotImport: It cannot be imported.
        IsCeleryTask: It is a Celery task.
    """
    module, _, attribute = reference.partition(":")
    project = settings.project
    known = getattr(sys.modules.get(module), attribute, None) if attribute else None
    if type(known) is types.FunctionType and str(project) in sys.path:
        return known  # it was imported before: every attempt asks
    if str(project) not in sys.path:
        sys.path.append(str(project))  # last, so that a project's file hides no installed package
    try:
        found = importlib.import_module(module)
        loaded = attrgetter(attribute)(found) if attribute else found
        if attribute and not callable(loaded):
            raise TypeError(f"{attribute} is a {type(loaded).__name__}, which cannot be called")
    except Exception as error:
        raise errors.CannotImport(
            reference=reference,
            setting=setting,
            cause=describe_exception(error) + _hidden(module, project),
            project=project,
        ) from error
    if attribute and _is_celery_task(loaded):
        raise errors.IsCeleryTask(reference=reference, setting=setting)
    return loaded


def _is_celery_task(loaded: object) -> bool:
    """Also a task that `shared_task` made: a proxy, which shows its type only through `__class__`."""
    return type(loaded) is not types.FunctionType and any(
        (kind.__module__, kind.__name__) == ("celery.app.task", "Task") for kind in loaded.__class__.__mro__
    )


def _hidden(module: str, project: Path) -> str:
    """A note for the error if another module of this name hides the project's own; else ""."""
    top = module.partition(".")[0]
    theirs = PathFinder.find_spec(top, [str(project)])
    found = getattr(sys.modules.get(top), "__file__", None)
    if not theirs or not theirs.origin or not found or Path(found).resolve() == Path(theirs.origin).resolve():
        return ""
    return f" ({found} hides {theirs.origin}: give that another name)"


@cache  # the scan takes milliseconds, and its result does not change while a worker runs
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
    context: Context,
    settings: Settings,
    timeouts: tuple[type[BaseException], ...] = (TimeoutError,),
    *,
    folder: Path | None = None,
) -> Outcome:
    """Do the work of a task and return its outcome. A failure of any kind is an outcome too.

    Args:
        context: The attempt.
        settings: The settings of the worker.
        timeouts: The exceptions that the worker raises in the work at its time limit.
        folder: Where a command runs that was to run in the project's folder; None: there.

    Raises:
        BaseException: An exception that ends the process, such as KeyboardInterrupt or SystemExit.

    Example:
        outcome = perform(context, settings)
        print(outcome.status, outcome.summary)
    """
    try:
        worker = resolve(context.specialist, context.task, settings)
    except errors.OrchestratorError as error:
        return _failed(FailureCause.DEPENDENCY, str(error), error, settings, error.__cause__)
    if isinstance(worker, CommandRunner) and folder:
        worker = dataclasses.replace(worker, folder=folder)
    return carry_out(worker, context, settings, timeouts)


def carry_out(
    worker: Specialist,
    context: Context,
    settings: Settings,
    timeouts: tuple[type[BaseException], ...] = (TimeoutError,),
) -> Outcome:
    """Let a specialist do the work of a task, as `perform` does. The output of Python code goes into the log.

    Args:
        worker: The specialist.
        context, settings, timeouts: As of `perform`.
    """
    if getattr(worker, "writes_log", False):
        return _carry_out(worker, context, settings, timeouts)
    secrets = masking.all_secret_texts(settings)
    with output.capture(lambda: context.log_file, secrets, context.owner) as captured:
        outcome = _carry_out(worker, context, settings, timeouts)
        if outcome.tail:  # a traceback, or a tail that the specialist returned
            captured.stream.write(outcome.tail.rstrip("\n") + "\n")
        tail = captured.tail(settings.limits.tail) or outcome.tail
        if captured.trouble:
            context.logger.warning("%s", captured.trouble)
    if tail != outcome.tail:
        outcome = outcome.model_copy(update={"tail": tail})
    return masking.mask_outcome(outcome, secrets)


def _carry_out(
    worker: Specialist, context: Context, settings: Settings, timeouts: tuple[type[BaseException], ...]
) -> Outcome:
    try:
        with entered(context):
            return worker.perform(context)
    except timeouts as error:
        limit = time_limit(context.specialist, context.task, settings)
        reason = describe_exception(error) + (
            f"; the time limit is {limit:.10g} s" if limit and not error.args else ""
        )
        return _failed(FailureCause.TIMEOUT, reason, error, settings, error)
    except MemoryError as error:
        return _failed(FailureCause.OUT_OF_MEMORY, describe_exception(error), error, settings, error)
    except Exception as error:
        return _failed(FailureCause.CODE, describe_exception(error), error, settings, error)


def _failed(
    cause: FailureCause,
    reason: str,
    error: BaseException,
    settings: Settings,
    raised: BaseException | None,
) -> Failed:
    """A failure whose tail is the traceback of `raised`; None: the reason says enough."""
    trace = "".join(traceback.format_exception(raised)) if raised else ""
    failed = Failed(cause=cause, reason=as_text(reason), tail=as_text(trace, settings.limits.tail))
    return failed.because_of(error)


def describe_exception(error: BaseException) -> str:
    """An exception as a short text, such as "ValueError: no such colour"; its class alone if it has no text."""
    try:
        text = str(error)
    except Exception:
        text = ""
    name = type(error).__name__
    return shorten(f"{name}: {text}", 500) if text else name
