"""From our words to Celery's: the group of one launch, and a whole plan as a chain of groups."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from celery import Signature, chain, group

from orchestrator.model import errors, identifiers, words
from orchestrator.model.lifecycle import Launch
from orchestrator.model.plan import Plan, Route
from orchestrator.planning import limits, routing

if TYPE_CHECKING:
    from orchestrator.config.settings import Settings
    from orchestrator.engine.app import App


def celery_task(specialist: str) -> str:
    """The name of the Celery task by which a specialist works on enqueued features."""
    return specialist


def standalone_task(specialist: str) -> str:
    """The name of the Celery task by which a specialist works from its own arguments, without our state."""
    return f"{specialist}.standalone"


def message_id(feature_id: str, launch: Launch) -> str:
    """A Celery id for a message of a launch, as parts/publish.lua makes it too: what Flower shows.

    Its last part is another one each time a message is sent. Nobody can revoke what is not sent yet, and what was
    revoked is in nobody's way. Each part of it is encoded.

    Example:
        >>> message_id("auth", Launch("T2", 1, "senior-engineer")).rpartition(":")[0]
        'auth:T2:1'
    """
    return f"{identifiers.of_attempt(feature_id, launch.task, launch.attempt)}:{secrets.token_hex(6)}"


BARRIER = "orchestrator.barrier"
"""The Celery task after each group of `chain_of_groups` (see `gather`)."""

MOST_NAMED = 8
"""A refusal names so many tasks."""


def shown(*ids: str | int) -> str:
    """How logs and monitors show the arguments of a message: the ids alone, as Python writes a tuple of them.

    Example:
        >>> shown("auth", "T1", 1)
        "('auth', 'T1', 1)"
    """
    return repr(ids)


class Message(NamedTuple):
    """One member of a Celery group, ready to be sent."""

    name: str
    queue: str
    content: Any


def group_of(app: App, feature_id: str, launches: Iterable[Launch]) -> list[Message]:
    """The Celery group that publishes what schedule.lua launched: its messages, which share a group id.

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


def chain_of_groups(plan: Plan, app: App) -> Signature[Any]:
    """A plan as plain Celery: a group for each batch (for each sub-batch, where it is wider than the cap), chained.

    After each group stands a task that gathers: it gives the outcomes that are still needed to all that come next, as
    the first argument. Without such a task, Celery 5.7 hangs the third of three groups on every member of the second,
    and so runs each of its tasks as often as the second has members (celery#5958); and whoever waits for a chain that
    ends in a group waits for ever where a task before it fails (celery#4004). So a last group is gathered, too.

    Args:
        plan: The plan.
        app: The app to run it on.

    Raises:
        NoSpecialist, UnknownSpecialist: A task has nobody to do it.
        CanvasesAreOff: The configuration has not turned them on.
        NotInACanvas: The plan relies on something that only an enqueued feature has.
    """
    settings = app.settings
    if not settings.takes_canvases:
        raise errors.CanvasesAreOff(title=plan.feature.title)
    routes = routing.route(plan.feature, settings)
    unrouted = [task for task in plan.feature.tasks if not routes[task.id].specialist]
    if unrouted:
        raise routing.no_specialist(unrouted, settings)
    lost = list(what_is_lost(plan, routes, settings))
    if lost:
        raise errors.NotInACanvas(title=plan.feature.title, lost="\n".join(f"  - {line}" for line in lost))
    parts = list(_parts(plan))
    needed = _needed_after(plan, parts)
    order = [task for part in parts for task in part]
    steps: list[Signature[Any]] = []
    for number, part in enumerate(parts):
        queue = routes[part[0]].queue
        before = needed[number - 1] if number else frozenset()
        members = [_work(app, plan, task, routes[task], is_first=not number) for task in part]
        handed_on = needed[number] & before
        if handed_on:
            members.insert(0, _gather(app, queue))
        steps.append(group(members) if len(members) > 1 else members[0])
        names = ["", *part] if handed_on else list(part)
        if number + 1 < len(parts):
            steps.append(_gather(app, queue, names, [task for task in order if task in needed[number]]))
        elif handed_on:
            steps.append(_gather(app, queue, names, None))
        elif len(members) > 1:
            steps.append(_gather(app, queue))
    return chain(*steps)


def gather(
    results: Any, names: Sequence[str] | None = None, needed: Sequence[str] | None = None
) -> dict[str, Any] | list[Any]:
    """What the Celery task between two groups does.

    Args:
        results: What the step before returned: that of each member, or of the one task that it is.
        names: The task of each result; "": it is what an earlier step gathered. None: the results stay as they are.
        needed: The tasks whose outcomes later ones ask for. None: nothing comes later, and whoever waits gets them all.

    Example:
        >>> gather([{"T1": "one"}, "two"], ["", "T2"], ["T1", "T2"])
        {'T1': 'one', 'T2': 'two'}
    """
    if names is None:
        return results  # type: ignore[no-any-return]
    known: dict[str, Any] = {}
    for name, result in zip(names, results if isinstance(results, list) else [results], strict=True):
        known.update({name: result} if name else result)
    return list(known.values()) if needed is None else {task: known[task] for task in needed}


def _work(app: App, plan: Plan, task_id: str, route: Route, *, is_first: bool) -> Signature[Any]:
    head = plan.feature.model_dump(mode="json", include={"title", "description", "tags"})
    head["id"] = plan.feature.id or "standalone"
    return app.signature(
        standalone_task(route.specialist),
        args=(head, plan.feature.task(task_id).model_dump(mode="json", exclude_defaults=True)),
        immutable=is_first,
        queue=route.queue,
        argsrepr=shown(head["id"], task_id),
    )


def _gather(app: App, queue: str, *args: Any) -> Signature[Any]:
    return app.signature(BARRIER, args=args, queue=queue, argsrepr=shown())


def _parts(plan: Plan) -> Iterator[tuple[str, ...]]:
    """The tasks that may run side by side: never more than the cap."""
    for batch in plan.batches:
        yield from (batch.tasks[start : start + plan.cap] for start in range(0, len(batch.tasks), plan.cap))


def _needed_after(plan: Plan, parts: Sequence[Sequence[str]]) -> list[frozenset[str]]:
    """For each part: the tasks up to it whose outcomes later parts ask for, or who waits for the last batch."""
    depends_on = {task.id: task.depends_on for task in plan.feature.tasks}
    needed: list[frozenset[str]] = []
    asked = frozenset(plan.batches[-1].tasks).difference(parts[-1])
    for part in reversed(parts):
        needed.append(asked)
        asked = (asked - frozenset(part)).union(*(depends_on[task] for task in part))
    return needed[::-1]


def what_is_lost(plan: Plan, routes: Mapping[str, Route], settings: Settings) -> Iterator[str]:
    """What a plan relies on that a canvas cannot carry: it needs the state that only an enqueued feature has."""
    tasks = plan.feature.tasks
    told: dict[str, list[str]] = {
        "resources": [task.id for task in tasks if task.resources],
        "idempotent: false": [task.id for task in tasks if not task.idempotent],
        "a review": [task.id for task in tasks if settings.flow_for(task.tags).has("in-review")],
        "quality gates": [
            task.id
            for task in tasks
            if any(settings.task_gates(stage, task.tags) for stage in ("testing", "completion"))
        ],
    }
    for what, found in told.items():
        if found:
            yield f"{what}: {words.some(found, MOST_NAMED)}"
    if any(settings.feature_gates(stage, plan.feature.tags) for stage in ("testing", "completion")):
        yield "quality gates of the feature"
    if not settings.parallelism.auto_launch:
        yield "parallelism.auto_launch: false"
    names = {route.specialist for route in routes.values()}
    known = {limits.TOTAL, *map(limits.specialist, names), *map(limits.rate, names)}
    yield from (f"the limit {limit}" for limit in limits.configured(settings) if limit in known)
