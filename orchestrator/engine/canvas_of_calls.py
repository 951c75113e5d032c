"""A plan of calls as plain Celery: its batches one after the other, each a chord of the app's own tasks.

One Celery task leads through it. It replaces itself by the chord of the next batch, with itself as the body: only then
are the results known that are arguments there. At the end it returns the feature's value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from celery import chord

from orchestrator.model import references
from orchestrator.model.call_options import CallOptions, Errback
from orchestrator.model.typed_values import restored

if TYPE_CHECKING:
    from celery import Celery, Signature

    from orchestrator.model.plan import Plan
    from orchestrator.model.task import Task

LEADER = "orchestrator.canvas"
"""The Celery task that leads through a plan."""

LEFT_OUT = {"title", "description", "tags", "priority", "complexity", "estimate"}
"""Fields of a task that its messages do not need."""


def register(app: Celery) -> None:
    """Give an app the task that leads through a plan."""

    @app.task(name=LEADER, bind=True, shared=False, ignore_result=False)
    def lead(
        self: Any,
        results: Sequence[Any],
        batches: Sequence[Sequence[Mapping[str, Any]]],
        known: Mapping[str, Any],
        value: Any,
        done: Sequence[str] = (),
    ) -> Any:
        found = {**known, **dict(zip(done, results, strict=True))}

        def find(reference: references.Reference) -> Any:
            return reference.of(found[reference.task])

        if not batches:
            return references.fill(value, find)
        batch, *later = batches
        header = [_signature(app, task, find) for task in batch]
        body = self.s(later, found, value, [task["id"] for task in batch])
        return self.replace(chord(header, body))


def lead_through(plan: Plan, parts: Sequence[Sequence[str]], app: Celery) -> Signature[Any]:
    """The signature that runs a plan of calls.

    Args:
        plan: The plan. All of its tasks are calls.
        parts: Its tasks: those of a part run side by side.
        app: The Celery app, in which `install` was called.
    """
    tasks = {
        task.id: task.model_dump(mode="json", exclude_defaults=True, exclude=LEFT_OUT)
        for task in plan.feature.tasks
    }
    batches = [[tasks[name] for name in part] for part in parts]
    value = plan.feature.result
    if value is None:
        value = [references.Reference(name).written() for name in parts[-1]]
    return app.signature(LEADER, args=([], batches, {}, value), immutable=True)


def is_carried(task: Task) -> bool:
    """Whether a plain Celery message can say all that a task says."""
    return not task.retries.max and not any(errback.of for errback in task.on_failure)


def _signature(app: Celery, task: Mapping[str, Any], find: Any) -> Signature[Any]:
    """The signature of a task, with the results that it needs in their places."""
    args, kwargs = (
        restored(references.fill(task.get(name, nothing), find))
        for name, nothing in (("args", []), ("kwargs", {}))
    )
    found = app.signature(task["call"], args=tuple(args), kwargs=kwargs, immutable=True)
    options = CallOptions.model_validate(task.get("options", {}))
    sent = {**options.sent_as, "countdown": options.countdown, "soft_time_limit": task.get("timeout")}
    found.options.update({name: value for name, value in sent.items() if value is not None})
    if options.headers:
        found.options["headers"] = dict(options.headers)
    for errback in task.get("on_failure", ()):
        found.link_error(app.signature(Errback.model_validate(errback).signature))
    return found
