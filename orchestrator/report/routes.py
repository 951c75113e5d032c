"""Text for people: which specialist gets which tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orchestrator.contract.plan_answers import RouteGroup, RoutesAnswer
from orchestrator.model.plan import Route
from orchestrator.model.task import Task
from orchestrator.model.words import by_agent, count, some

SHOWN_REASONS = 4
SHOWN_SPECIALISTS = 20
TAGS_SHOWN = 4
"""Of the tags that would route."""


def route_lines(routes: RoutesAnswer) -> list[str]:
    """A line for each specialist and reason, with the tasks.

    Example:
        ['Senior Engineer (tag bug): T2', 'Implementation Specialist (default; tags that route: database): T3']
    """
    lines = [f"{_who(group)} ({_why(group)}): {_tasks(group)}" for group in routes.routes]
    more = [f"and {number:,} more" for number in routes.left_out.values()]
    return [*lines, *more]


def share_lines(routes: Iterable[RouteGroup]) -> list[str]:
    """A line for each specialist, with how many tasks there are, and why: for each reason once.

    Example:
        ['Implementation Specialist: 9 tasks (tag backend; tag testing)', 'Senior Engineer: 1 task (tag bug)']
    """
    shares: dict[str, list[RouteGroup]] = {}
    for group in routes:
        shares.setdefault(_who(group), []).append(group)
    lines = [
        f"{who}: {count(sum(group.total or len(group.tasks) for group in groups), 'task')}"
        f" ({some([_why(group) for group in groups], SHOWN_REASONS, separator='; ')})"
        for who, groups in list(shares.items())[:SHOWN_SPECIALISTS]
    ]
    more = len(shares) - len(lines)
    return lines + ([f"and {count(more, 'more specialist')}"] if more > 0 else [])


def _who(group: RouteGroup) -> str:
    if group.specialist is None:
        return "Nobody yet"
    where = f", queue {group.queue}" if group.queue else ""
    return group.specialist.title + where + by_agent(group.runtime, group.ladder)


def _why(group: RouteGroup) -> str:
    why = group.reason or f"tag {group.tag}"
    return f"{why}; tags that route: {', '.join(group.suggestions)}" if group.suggestions else why


def _tasks(group: RouteGroup) -> str:
    more = group.total - len(group.tasks)
    return ", ".join(group.tasks) + (f" and {more:,} more" if more > 0 else "")


def route_line(route: Route) -> str:
    """Say who gets a task, and why, in few words.

    Example:
        >>> route_line(Route(specialist="senior-engineer", title="", queue="", rule="tag", tag="bug", reason=""))
        'senior-engineer (tag bug)'
    """
    if not route.specialist:
        return "nobody yet (no tag matches)"
    why = {
        "task": "the task asks for it",
        "tag": f"tag {route.tag}",
        "default": "default, no tag matches",
        "escalated": "escalated",
        "assigned": "assigned",
    }[route.rule]
    tier = f" {route.model_tier}" if route.model_tier else ""
    return f"{route.specialist}{tier} ({why}){by_agent(route.runtime, route.ladder)}"


def recommendation_lines(route: Route, domains: Mapping[str, str], near: Iterable[str] = ()) -> list[str]:
    """Say who gets a task; if no tag matches, also the tags that would.

    Parameters:
        domains: The specialist of each tag that says what a task is about.
        near: Mapped tags that are spelt much like the task's.
    """
    if route.rule not in ("default", "nobody"):
        return [route_line(route)]
    spelt = [f"Did you mean {some(list(near), most=TAGS_SHOWN)}?"] if near else []
    return [route_line(route), *(f"  {tag}: {who}" for tag, who in domains.items()), *spelt]


def fallback_lines(tasks: Iterable[Task], routes: Mapping[str, Route]) -> list[str]:
    """Say that tasks go to the default because no tag matches: a line for each cause, and not for each task.

    Example:
        >>> route = Route(specialist="a", title="Ann", queue="a", rule="default", reason="", suggestions=("ui",))
        >>> fallback_lines([Task(id="T1"), Task(id="T2")], {"T1": route, "T2": route})
        ['No tags: T1, T2. The default does them: Ann. Tags that route: ui.']
    """
    fallen = [task for task in tasks if routes[task.id].rule == "default"]
    lines = []
    for some_of in ([one for one in fallen if not one.tags], [one for one in fallen if one.tags]):
        if not some_of:
            continue
        tags = list(dict.fromkeys(tag for task in some_of for tag in task.tags))
        cause = f"No mapped tag ({some(tags, most=TAGS_SHOWN)})" if tags else "No tags"
        suggested = [routes[task.id].suggestions for task in some_of]
        routing = list(dict.fromkeys(tag for near in sorted(suggested, key=len) for tag in near))
        lines.append(
            f"{cause}: {some([task.id for task in some_of])}. "
            f"The default does {'it' if len(some_of) == 1 else 'them'}: {routes[some_of[0].id].title}. "
            f"Tags that route: {some(routing, most=TAGS_SHOWN)}."
        )
    return lines
