"""`self.replace`: a task asks that another task, or a canvas of many, goes on in its place.

One task becomes the next attempt of the task that it replaces. The tasks of a canvas come into the feature, in front of
the task that they replace: that one waits for them, and its value is then the value of the canvas. So each task
that waits for it gets that value in the same place as before.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from celery import canvas
from celery.exceptions import Ignore, ImproperlyConfigured

from orchestrator.engine import installation
from orchestrator.model.calls import is_signature
from orchestrator.model.feature import Feature
from orchestrator.model.outcome import NextCall, Replaced, RetryLater
from orchestrator.model.task import Task

if TYPE_CHECKING:
    from celery import Celery

    from orchestrator.specialists import Context

OF_ONE_TASK = ("task_id", "countdown")
"""The options with which one task becomes the next attempt. With any other it becomes a task of its own."""

SHORTEST = 0.001
"""Seconds of the shortest wait."""

LONGEST_PREFIX = 24
"""Of a longer id only a digest stands before the names of the tasks that replace it: an id has a limit."""


class Replacing(Ignore):
    """A task asked to be replaced. It holds the signature of one task, or an outcome with the tasks of a canvas."""


def replacing(signature: Any, context: Context, app: Celery) -> Replacing:
    """The exception that ends the run of a task that asks to be replaced.

    Args:
        signature: The task or canvas that goes on in its place.
        context: Its attempt.
        app: The Celery app.

    Raises:
        ImproperlyConfigured: As Celery's own: the chain is empty, or the signature is a part of a chord.
        ValueError: It is no signature.
        NotAFeature: A part of the canvas cannot be carried over.
        InvalidFeature: A part of it is larger than `limits` allows.
    """
    if not is_signature(signature):
        raise ValueError(f"self.replace takes a signature, and no {type(signature).__name__}")
    if "chord" in signature["options"]:
        raise ImproperlyConfigured("A signature replacing a task must not be part of a chord")
    options = {name for name, value in signature["options"].items() if value}
    if not signature.get("subtask_type") and options <= set(OF_ONE_TASK):
        return Replacing(signature)
    return Replacing(_grown(signature, context, app))


def _grown(signature: Any, context: Context, app: Celery) -> RetryLater:
    # Late: few tasks are replaced.
    from orchestrator.engine import canvas_options, canvas_reader
    from orchestrator.feature_file import reader

    if isinstance(signature, canvas._chain) and not signature.tasks:
        raise ImproperlyConfigured("Cannot replace with an empty chain")
    task, prefix = context.task, _prefix(context)
    errbacks = [errback.model_dump(mode="json") for errback in task.on_failure]
    found, part = canvas_reader.read_part(signature, app, prefix, errbacks)
    depends_on = tuple(dict.fromkeys([*task.depends_on, *part.last]))
    added = tuple(map(Task.model_validate, found))
    title = f"what replaces {task.id}"
    reader.check(Feature.model_construct(title=title, tasks=added), installation.of(app).settings.limits)
    replaced = Replaced(task.model_copy(update={"depends_on": depends_on}), added)
    goes_on = context.continues.call if context.continues else str(task.call)
    following = NextCall(call=goes_on, gives=part.value)
    reason = f"goes on as {canvas_options.shown(signature)}"
    return RetryLater(after=SHORTEST, reason=reason, next=following).behind(replaced)


def _prefix(context: Context) -> str:
    """The start of the ids of the tasks: the task that they replace, and its attempt from the second on.

    An attempt that is lost before its commit is made again under another number, and adds no task twice.
    """
    name = context.task.id
    if len(name) > LONGEST_PREFIX:  # a task of a canvas was replaced by a canvas, and so on
        name = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{name}." if context.attempt == 1 else f"{name}-{context.attempt}."
