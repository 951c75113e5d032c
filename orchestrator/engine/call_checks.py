"""Checks of calls before they are stored: do the arguments fit the Celery task, and the results that flow into them?

Only tasks that this program knows can be checked. If it does not know one, the modules of the app's tasks are imported.
"""

from __future__ import annotations

import functools
import inspect
import logging
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.model import errors, references
from orchestrator.model.task import Task
from orchestrator.specialists.registry import describe_exception

if TYPE_CHECKING:
    from celery import Celery

logger = logging.getLogger("orchestrator")

SIMPLE = (str, int, float, bool, list, dict)
"""The types that can be compared without a doubt."""


def check(app: Celery, tasks: Sequence[Task]) -> None:
    """Refuse calls that cannot succeed.

    Raises:
        BadCall: There is one.
    """
    if any(task.call and task.call not in app.tasks for task in tasks):
        import_tasks(app)
    calls = {task.id: (task, app.tasks[task.call]) for task in tasks if task.call and task.call in app.tasks}
    returns = {name: _hints(called).get("return") for name, (_, called) in calls.items()}
    for task, called in calls.values():
        causes = [*_misfits(task, called), *_clashes(task, called, returns)]
        if causes:
            raise errors.BadCall(task=task.id, call=task.call, cause=causes[0])


@functools.cache
def import_tasks(app: Celery) -> None:
    """Import the modules of an app's tasks, as its workers do: a task says there which queue it has. Once."""
    loader: Any = app.loader
    try:
        loader.import_default_modules()
    except Exception as error:  # a module may need what only a worker has
        logger.warning(
            "Not all tasks of the Celery app %s can be imported here: %s. Calls of others go by the routes of the app "
            "alone, also where a task has a queue of its own.",
            app.main,
            describe_exception(error),
        )


def _misfits(task: Task, called: Any) -> Iterator[str]:
    """As Celery says it where a program sends the task."""
    if called.typing:
        try:
            called.__header__(*task.args, **task.kwargs)
        except TypeError as error:
            yield str(error)


def _clashes(task: Task, called: Any, returns: Mapping[str, Any]) -> Iterator[str]:
    """Results of one type that are to be arguments of another, where both are annotated."""
    hints = _hints(called)
    try:
        given = inspect.signature(called.run).bind(*task.args, **task.kwargs).arguments
    except (TypeError, ValueError):
        return
    for name, value in given.items():
        reference = references.read(value)
        if reference is None or reference.path:
            continue
        wanted, found = _simple(hints.get(name)), _simple(returns.get(reference.task))
        if wanted and found and not (set(wanted) & set(_fitting(found))):
            yield f"{name} is to be {_named(wanted)}, and {reference.task} returns {_named(found)}"


def _hints(called: Any) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(inspect.unwrap(called.run))
    except Exception:  # it names a type that only type checkers import
        return {}


def _simple(hint: Any) -> tuple[type, ...]:
    """The types that a hint allows; none if one of them is no simple one."""
    is_union = isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
    kinds = [typing.get_origin(each) or each for each in (typing.get_args(hint) if is_union else (hint,))]
    return tuple(kinds) if all(kind in SIMPLE for kind in kinds) else ()


def _fitting(kinds: tuple[type, ...]) -> Iterator[type]:
    """The types with those that take their values too."""
    yield from kinds
    if bool in kinds:
        yield int
    if bool in kinds or int in kinds:
        yield float


def _named(kinds: tuple[type, ...]) -> str:
    return " or ".join(kind.__name__ for kind in kinds)
