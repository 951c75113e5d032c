"""Routing: which specialist gets a task, and why. Tags decide, unless the task names its specialist."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from orchestrator.model import calls, errors, words
from orchestrator.model.feature import Feature
from orchestrator.model.plan import Route
from orchestrator.model.task import Task

if TYPE_CHECKING:
    from orchestrator.config.settings import Settings
    from orchestrator.model.feature import Feature

MOST_NAMED = 8
"""How many tasks an error names; it counts the others."""

DOMAINS = ("database", "frontend", "backend")
"""Tags that are suggested first if none routes: they say what a task is about, not how hard it is."""


def recommend(task: Task, settings: Settings) -> Route:
    """The specialist for a task: the one it names, else by the first of its tags in `tag_priority`, else the default.

    Raises:
        UnknownSpecialist: The task names a specialist that is not configured.
        NoSpecialist: No tag matches, and the fallback is ask_user.

    Example:
        >>> from orchestrator.config.settings import Settings
        >>> recommend(Task(id="T1", tags=["backend", "bug"]), Settings()).reason
        'tag bug → Senior Engineer (before backend)'
    """
    route = _match(task, settings)
    if route is None:
        raise no_specialist([task], settings)
    return route


def route(feature: Feature, settings: Settings, assign: Mapping[str, str] | None = None) -> dict[str, Route]:
    """The route of every task of a feature, by task id.

    Args:
        feature: The feature.
        settings: The mapping of tags and the fallback.
        assign: Specialists that a person chose, by task id; they go before tags and fallback.

    Returns:
        A route for each task. Where no tag matches and the fallback is ask_user, it has the rule "nobody" and no
        specialist: the task waits until a person assigns one.

    Raises:
        UnknownSpecialist: A task names a specialist that is not configured.
    """
    known: dict[tuple[str | None, str | None, tuple[str, ...]], Route] = {}
    routes: dict[str, Route] = {}
    for task in feature.tasks:
        chosen = (assign or {}).get(task.id)
        if chosen is not None:
            routes[task.id] = _by_name(task, chosen, settings)
            continue
        key = (task.specialist, task.call, task.tags)
        if key not in known:
            known[key] = _match(task, settings) or _nobody(task, settings)
        routes[task.id] = known[key]
    return routes


def grouped(routes: Mapping[str, Route]) -> list[tuple[Route, list[str]]]:
    """The routes of many tasks by their reason: one route for all that have the same, with the ids of the tasks.

    Example:
        >>> from orchestrator.config.settings import Settings
        >>> from orchestrator.model.feature import Feature
        >>> login = Feature(title="Login", tasks=[Task(id="T1", tags=["backend"]), Task(id="T2", tags=["backend"])])
        >>> [(route.reason, tasks) for route, tasks in grouped(route(login, Settings()))]
        [('tag backend → Implementation Specialist', ['T1', 'T2'])]
    """
    groups: dict[tuple[str, str], tuple[Route, list[str]]] = {}
    for task, one in routes.items():
        groups.setdefault((one.specialist, one.reason), (one, []))[1].append(task)
    return list(groups.values())


def by_tags(tags: Iterable[str], settings: Settings) -> Route:
    """The route of a task with these tags; with the rule "nobody" if none matches and the fallback is ask_user.

    Raises:
        BadTags: These cannot be tags.

    Example:
        >>> from orchestrator.config.settings import Settings
        >>> by_tags(["backend", "bug"], Settings()).specialist
        'senior-engineer'
    """
    given = tuple(tags)
    try:
        task = Task(id="task", tags=given)
    except ValidationError as error:
        reason = str(error.errors(include_url=False)[0]["msg"]).removeprefix("Value error, ")
        raise errors.BadTags(tags=words.one_line(", ".join(given)), reason=reason) from None
    return _match(task, settings) or _nobody(task, settings)


def current(
    task: Task, specialist: str, settings: Settings, *, escalated: bool = False, rung: int = 0
) -> Route:
    """The route of an enqueued task: who does it, and why.

    Args:
        task: As it was enqueued.
        specialist: Its specialist, as it is stored; "": nobody yet.
        settings: Where titles and queues are.
        escalated: A technical blocker was handed on.
        rung: The place of its agent's tier on the ladder.

    Example:
        >>> from orchestrator.config.settings import Settings
        >>> current(Task(id="T1", tags=["backend"]), "senior-engineer", Settings()).reason
        'assigned by a person, or routed by other settings'
    """
    found = _current(task, specialist, settings, escalated=escalated)
    return (
        found.model_copy(update={"model_tier": settings.rung(specialist, rung) or None})
        if found.ladder
        else found
    )


def _current(task: Task, specialist: str, settings: Settings, *, escalated: bool) -> Route:
    if not specialist:
        return _nobody(task, settings)
    try:
        routed = _match(task, settings)
    except errors.UnknownSpecialist:
        routed = None
    if routed and routed.specialist == specialist:
        return routed
    if escalated and specialist == settings.error_handling.escalate_technical_to:
        rule: Literal["escalated", "assigned"] = "escalated"
        reason = "escalated: a technical blocker was handed on"
    else:
        rule, reason = "assigned", "assigned by a person, or routed by other settings"
    if specialist not in settings.specialists:
        return Route(specialist=specialist, title=specialist, queue=specialist, rule=rule, reason=reason)
    return _route(specialist, settings, rule=rule, reason=reason)


def domains(settings: Settings) -> dict[str, str]:
    """The specialist of each of the DOMAINS that is mapped."""
    mapping = settings.specialist_routing.mapping
    return {tag: mapping[tag] for tag in DOMAINS if tag in mapping}


def near(tags: Iterable[str], settings: Settings) -> tuple[str, ...]:
    """The mapped tags that are spelt most like these."""
    found = (words.nearest(tag, settings.specialist_routing.mapping) for tag in tags)
    return tuple(dict.fromkeys(filter(None, found)))


def _nobody(task: Task, settings: Settings) -> Route:
    return Route(
        specialist="",
        title="nobody yet",
        queue="",
        rule="nobody",
        reason="no tag matches, and the fallback is ask_user",
        suggestions=_suggestions(task.tags, settings),
    )


def _match(task: Task, settings: Settings) -> Route | None:
    if task.call is not None:
        return _by_call(task.call, settings)
    if task.specialist is not None:
        return _by_name(task, task.specialist, settings)
    tags = _matching_tags(task, settings)
    if tags:
        return _by_tag(tags, settings)
    return _by_default(task, settings) if settings.specialist_routing.fallback == "use_default" else None


def _by_call(call: str, settings: Settings) -> Route:
    name = calls.specialist_of(call)
    return Route(
        specialist=name,
        title=settings.title(name),
        queue=settings.queue(name),
        rule="task",
        reason=f"the task calls {call}",
    )


def _by_name(task: Task, wanted: str, settings: Settings) -> Route:
    name = settings.find_specialist(wanted)
    if name is None:
        known = list(settings.specialists)
        raise errors.UnknownSpecialist(task=task.id, specialist=wanted, known=known)
    return _route(name, settings, rule="task", reason=f"the task asks for {settings.title(name)}")


def _matching_tags(task: Task, settings: Settings) -> list[str]:
    """The task's tags that are mapped, the deciding one first."""
    routing = settings.specialist_routing
    rank = {tag: place for place, tag in enumerate(routing.tag_priority)}
    mapped = (tag for tag in task.tags if tag in routing.mapping)
    return sorted(mapped, key=lambda tag: rank.get(tag, len(rank)))  # sorted is stable: then the task's order


def _by_tag(tags: list[str], settings: Settings) -> Route:
    first, *beaten = tags
    name = settings.specialist_routing.mapping[first]
    before = f" (before {', '.join(beaten)})" if beaten else ""
    return _route(
        name, settings, rule="tag", tag=first, reason=f"tag {first} → {settings.title(name)}{before}"
    )


def _by_default(task: Task, settings: Settings) -> Route:
    name = settings.specialist_routing.default
    cause = "none of the task's tags is mapped" if task.tags else "the task has no tags"
    return _route(
        name,
        settings,
        rule="default",
        reason=f"{cause} → {settings.title(name)}, the default",
        suggestions=_suggestions(task.tags, settings),
    )


def _suggestions(tags: Iterable[str], settings: Settings) -> tuple[str, ...]:
    """Mapped tags spelt much like the task's, else all: the DOMAINS first, then those of the default."""
    routing = settings.specialist_routing
    others = sorted(routing.mapping, key=lambda tag: routing.mapping[tag] != routing.default)
    return near(tags, settings) or tuple(dict.fromkeys((*domains(settings), *others)))


def _route(
    name: str,
    settings: Settings,
    *,
    rule: Literal["task", "tag", "default", "escalated", "assigned"],
    reason: str,
    tag: str | None = None,
    suggestions: tuple[str, ...] = (),
) -> Route:
    agent, ladder = settings.agent(name), settings.ladder(name)
    return Route(
        specialist=name,
        title=settings.title(name),
        queue=settings.queue(name),
        model_tier=settings.rung(name, 0) or settings.specialists[name].model_tier,
        runtime=agent.runtime if agent else "",
        ladder=ladder.written if ladder else "",
        tag=tag,
        rule=rule,
        reason=reason,
        suggestions=suggestions,
    )


def no_specialist(tasks: list[Task], settings: Settings) -> errors.NoSpecialist:
    """The error for tasks that nobody would do, with the specialists there are to choose from."""
    names = [f"{task.id} (tags: {', '.join(task.tags) or 'none'})" for task in tasks[:MOST_NAMED]]
    more = [f"{len(tasks) - MOST_NAMED:,} more"] if len(tasks) > MOST_NAMED else []
    return errors.NoSpecialist(
        tasks=", ".join(names + more),
        choices="\n".join(_choices(settings)),
        task_ids=[task.id for task in tasks],
        specialists=list(settings.specialists),
    )


def _choices(settings: Settings) -> Iterable[str]:
    """The specialists as a numbered list."""
    for number, (name, specialist) in enumerate(settings.specialists.items(), 1):
        description = f": {specialist.description}" if specialist.description else ""
        yield f"  {number}. {settings.title(name)} ({name}){description}"
