"""Translates to Celery: the messages of one launch as a group, and a whole plan as a chain of groups."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from celery import Celery, Signature, chain, group

from orchestrator.engine import canvas_of_calls, installation
from orchestrator.model import errors, identifiers, words
from orchestrator.model.commands import Launch
from orchestrator.model.plan import Plan, Route
from orchestrator.planning import limits, routing

if TYPE_CHECKING:
    from orchestrator.config.settings import Settings


def celery_task(specialist: str) -> str:
    """The name of the Celery task by which a specialist does tasks of enqueued features."""
    return specialist


def canvas_task(specialist: str) -> str:
    """The name of the Celery task by which a specialist does tasks of a canvas."""
    return f"{specialist}.standalone"


def message_id(feature_id: str, launch: Launch) -> str:
    """The Celery id of a launch's message, as publish.lua makes it too. Flower shows it.

    Its last part is random each time: nobody can revoke a message before it is sent, and a revoked message does not
    stop a later one. Each part is encoded.

    Example:
        >>> message_id("auth", Launch("T2", 1, "senior-engineer")).rpartition(":")[0]
        'auth:T2:1'
    """
    return f"{identifiers.of_attempt(feature_id, launch.task, launch.attempt)}:{secrets.token_hex(6)}"


BARRIER = "orchestrator.barrier"
"""The Celery task after each group of `chain_of_groups` (see `gather`)."""

MOST_NAMED = 8
"""A refusal names this many tasks."""


def shown_arguments(*ids: str | int) -> str:
    """The arguments of a message as logs and monitors show them: the ids alone, as a Python tuple.

    Example:
        >>> shown_arguments("auth", "T1", 1)
        "('auth', 'T1', 1)"
    """
    return repr(ids)


class Message(NamedTuple):
    """One message of a Celery group, ready to be sent."""

    name: str
    destination: Mapping[str, Any]
    """Celery's options for sending it."""
    content: Any


def group_of(
    app: Celery,
    feature_id: str,
    launches: Iterable[Launch],
    options: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> list[Message]:
    """The messages of launches, as a Celery group: they share a group id.

    Args:
        app: The Celery app.
        feature_id: The feature.
        launches: The launches.
        options: Options of Celery's for sending the messages of some tasks, by task id.

    Their size does not depend on the graph. They are made without `celery.group`, whose `apply_async` makes a result
    for every member and subscribes to it, over a connection that nobody reads (celery/canvas.py, GroupResult's
    barrier).
    """
    group_id = uuid.uuid4().hex
    return [
        Message(
            celery_task(launch.specialist),
            {**installation.of(app).destination(launch.specialist), **options.get(launch.task, {})},
            app.amqp.as_task_v2(
                message_id(feature_id, launch),
                celery_task(launch.specialist),
                (feature_id, launch.task, launch.attempt),
                ignore_result=True,
                group_id=group_id,
            ),
        )
        for launch in launches
    ]


def chain_of_groups(plan: Plan, app: Celery) -> Signature[Any]:
    """A plan as plain Celery: a chain with a group for each batch. A batch that is wider than the cap is split.

    A gathering task stands after each group. It passes the outcomes that are still needed to the next tasks, as their
    first argument. Without it, Celery 5.7 attaches the third of three groups to every member of the second, and so runs
    each of its tasks as often as the second has members (celery#5958). And if a chain ends in a group, a caller waits
    for ever when a task before the group fails (celery#4004). So the last group is gathered too.

    Args:
        plan: The plan.
        app: The Celery app to run it with.

    Raises:
        NoSpecialist, UnknownSpecialist: No specialist does one of the tasks.
        CanvasesAreOff: The configuration has not turned canvases on.
        NotInACanvas: The plan needs something that only an enqueued feature has.
    """
    settings = installation.of(app).settings
    calls = [task.call is not None for task in plan.feature.tasks]
    # Messages that name a task of the app are no more than what the app is sent in any case.
    if not all(calls) and not settings.takes_canvases:
        raise errors.CanvasesAreOff(title=plan.feature.title)
    routes = routing.route(plan.feature, settings)
    unrouted = [task for task in plan.feature.tasks if not routes[task.id].specialist]
    if unrouted:
        raise routing.no_specialist(unrouted, settings)
    lost = list(unsupported(plan, routes, settings))
    if lost:
        raise errors.NotInACanvas(title=plan.feature.title, lost="\n".join(f"  - {line}" for line in lost))
    parts = list(_parts(plan))
    if all(calls):
        return canvas_of_calls.lead_through(plan, parts, app)
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
    """Gather the results of a group: the body of the Celery task after it.

    Args:
        results: The results of the group's members, or the result of the one task in its place.
        names: The task of each result; "" for a result that an earlier step gathered. None: return the results as
            they are.
        needed: The tasks whose outcomes later tasks need. None: no task comes later, so return them all.

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


def _work(app: Celery, plan: Plan, task_id: str, route: Route, *, is_first: bool) -> Signature[Any]:
    head = plan.feature.model_dump(mode="json", include={"title", "description", "tags"})
    head["id"] = plan.feature.id or "standalone"
    return app.signature(
        canvas_task(route.specialist),
        args=(head, plan.feature.task(task_id).model_dump(mode="json", exclude_defaults=True)),
        immutable=is_first,
        queue=route.queue,
        argsrepr=shown_arguments(head["id"], task_id),
    )


def _gather(app: Celery, queue: str, *args: Any) -> Signature[Any]:
    return app.signature(BARRIER, args=args, queue=queue, argsrepr=shown_arguments())


def _parts(plan: Plan) -> Iterator[tuple[str, ...]]:
    """The groups of tasks that run side by side, none larger than the cap."""
    for batch in plan.batches:
        yield from (batch.tasks[start : start + plan.cap] for start in range(0, len(batch.tasks), plan.cap))


def _needed_after(plan: Plan, parts: Sequence[Sequence[str]]) -> list[frozenset[str]]:
    """For each group: the tasks up to it whose outcomes later groups, or the caller of the canvas, need."""
    depends_on = {task.id: task.depends_on for task in plan.feature.tasks}
    needed: list[frozenset[str]] = []
    asked = frozenset(plan.batches[-1].tasks).difference(parts[-1])
    for part in reversed(parts):
        needed.append(asked)
        asked = (asked - frozenset(part)).union(*(depends_on[task] for task in part))
    return needed[::-1]


def unsupported(plan: Plan, routes: Mapping[str, Route], settings: Settings) -> Iterator[str]:
    """The parts of a plan that need the state of an enqueued feature, so that no canvas can carry them."""
    tasks = plan.feature.tasks
    called = [task.id for task in tasks if task.call]
    features: dict[str, list[str]] = {
        "calls beside other tasks": called if len(called) < len(tasks) else [],
        "a moment to begin or to expire": [
            task.id for task in tasks if task.options and (task.options.eta or task.options.expires)
        ],
        "retries, or the errbacks of a chord": [
            task.id for task in tasks if task.call and not canvas_of_calls.is_carried(task)
        ],
        "resources": [task.id for task in tasks if task.resources],
        "touches": [task.id for task in tasks if task.touches],
        "agents": [task.id for task in tasks if settings.agent(routes[task.id].specialist) and not task.run],
        "idempotent: false": [task.id for task in tasks if not task.idempotent],
        "a review": [task.id for task in tasks if settings.flow_for(task.tags).has("in-review")],
        "quality gates": [
            task.id
            for task in tasks
            if any(settings.task_gates(stage, task.tags) for stage in ("testing", "completion"))
        ],
    }
    for what, found in features.items():
        if found:
            yield f"{what}: {words.some(found, MOST_NAMED)}"
    if any(settings.feature_gates(stage, plan.feature.tags) for stage in ("testing", "completion")):
        yield "quality gates of the feature"
    if not settings.parallelism.auto_launch:
        yield "parallelism.auto_launch: false"
    names = {route.specialist for route in routes.values()}
    known = {limits.TOTAL, *map(limits.specialist, names), *map(limits.rate, names)}
    yield from (f"the limit {limit}" for limit in limits.configured(settings) if limit in known)
