"""From our words to Celery's: the group of one launch, and a whole plan as a chain of groups."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from celery import Signature, chain, group

from orchestrator import routing
from orchestrator.lifecycle import Launch
from orchestrator.models import Plan

if TYPE_CHECKING:
    from orchestrator.celery import App


def celery_task(specialist: str) -> str:
    """The name of the Celery task by which a specialist works on enqueued features."""
    return specialist


def attempt_of(message_id: str) -> tuple[str, str, int] | None:
    """The (feature, task, attempt) that the id of a message names; None for a message of another kind.

    Example:
        >>> attempt_of("auth:T1:2"), attempt_of("7e0c3a9e")
        (('auth', 'T1', 2), None)
    """
    parts = message_id.split(":")
    is_ours = len(parts) == 3 and parts[2].isdecimal()
    return (parts[0], parts[1], int(parts[2])) if is_ours else None


def standalone_task(specialist: str) -> str:
    """The name of the Celery task by which a specialist works from its own arguments, without our state."""
    return f"{specialist}.standalone"


def message_id(feature_id: str, launch: Launch) -> str:
    """The Celery id of a launch: what Flower shows, and the same at every redelivery.

    Example:
        >>> message_id("auth", Launch("T2", 1, "senior-engineer"))
        'auth:T2:1'
    """
    return f"{feature_id}:{launch.task}:{launch.attempt}"


BARRIER = "orchestrator.barrier"
"""The Celery task that does nothing, between two groups of `chain_of_groups`."""


class Message(NamedTuple):
    """One member of a Celery group, ready to be sent."""

    name: str
    queue: str
    content: Any


def group_of(app: App, feature_id: str, launches: Iterable[Launch]) -> list[Message]:
    """The Celery group that publishes what the cascade launched: its messages, which share a group id.

    Their size is the same in any graph. They are made without `celery.group`, whose `apply_async` makes a result for
    every member and subscribes to it: a connection to the result backend that nobody reads (celery/canvas.py,
    GroupResult's barrier).
    """
    group_id = uuid.uuid4().hex
    return [
        Message(
            celery_task(launch.specialist),
            app.settings.queue(launch.specialist),
            app.amqp.create_task_message(
                message_id(feature_id, launch),
                celery_task(launch.specialist),
                (feature_id, launch.task, launch.attempt),
                ignore_result=True,
                group_id=group_id,
            ),
        )
        for launch in launches
    ]


def chain_of_groups(plan: Plan, app: App | None = None) -> Signature[Any]:
    """A plan as plain Celery: a group for each batch, chained; a batch of one task is that task alone.

    Between two groups stands a task that does nothing. Without it, Celery 5.7 hangs the third of three groups on every
    member of the second, and so runs each of its tasks as often as the second has members (celery#5958).

    Args:
        plan: The plan.
        app: The app to run it on; the orchestrator's own where it is left out.

    Raises:
        NoSpecialist, UnknownSpecialist: A task has nobody to do it.
    """
    if app is None:
        from orchestrator.celery import app as own  # the app imports this module

        app = own
    settings = app.settings
    routes = routing.route(plan.feature, settings)
    head = plan.feature.model_dump(mode="json", include={"title", "description", "tags"})
    head["id"] = plan.feature.id or "standalone"

    def signature(task_id: str) -> Signature[Any]:
        task = plan.feature.task(task_id)
        route = routes[task_id]
        if not route.specialist:
            raise routing.no_specialist([task], settings)
        return app.signature(
            standalone_task(route.specialist),
            args=(head, task.model_dump(mode="json", exclude_defaults=True)),
            immutable=True,
            queue=route.queue,
        )

    steps: list[Signature[Any]] = []
    for batch in plan.batches:
        members = [signature(task) for task in batch.tasks]
        if len(members) == 1:
            steps += members
            continue
        if steps and isinstance(steps[-1], group):
            steps.append(app.signature(BARRIER, immutable=True, queue=routes[batch.tasks[0]].queue))
        steps.append(group(members))
    return chain(*steps)
