"""From our words to Celery's: the group of one launch, and a whole plan as a chain of groups."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from celery import Celery, Signature, chain, group

from orchestrator import config, routing
from orchestrator.lifecycle import Launch
from orchestrator.models import Plan


def celery_task(specialist: str) -> str:
    """The name of the Celery task by which a specialist works on enqueued features."""
    return specialist


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


def group_of(app: Celery, feature_id: str, launches: Iterable[Launch]) -> group:
    """The Celery group that publishes what the cascade launched. Its messages have the same size in any graph."""
    return group(
        app.signature(
            celery_task(launch.specialist),
            args=(feature_id, launch.task, launch.attempt),
            task_id=message_id(feature_id, launch),
            immutable=True,
        )
        for launch in launches
    )


def chain_of_groups(plan: Plan, app: Celery | None = None) -> Signature[Any]:
    """A plan as plain Celery: a group for each batch, chained; a batch of one task is that task alone.

    Args:
        plan: The plan.
        app: The app to run it on; the orchestrator's own where it is left out.

    Raises:
        NoSpecialist, UnknownSpecialist: A task has nobody to do it.
    """
    if app is None:
        from orchestrator.celery import app as own  # the app imports this module

        app = own
    settings = getattr(app, "settings", None) or config.load()
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

    batches = [[signature(task) for task in batch.tasks] for batch in plan.batches]
    return chain(*(members[0] if len(members) == 1 else group(members) for members in batches))
