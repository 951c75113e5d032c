"""Who gets a task, in a line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orchestrator.models import Route, Task
from orchestrator.wording import some

TAGS_SHOWN = 4
"""Of the tags that would route."""


def route_line(route: Route) -> str:
    """Who gets a task, and why, in few words.

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
    return f"{route.specialist}{tier} ({why})"


def recommendation_lines(route: Route, domains: Mapping[str, str], near: Iterable[str] = ()) -> list[str]:
    """Who gets a task; where no tag matches, also which tags would.

    Parameters:
        domains: The specialist of each tag that says what a task is about.
        near: Mapped tags that are spelt much like the task's.
    """
    if route.rule not in ("default", "nobody"):
        return [route_line(route)]
    spelt = [f"Did you mean {some(list(near), most=TAGS_SHOWN)}?"] if near else []
    return [route_line(route), *(f"  {tag}: {who}" for tag, who in domains.items()), *spelt]


def fallback_lines(tasks: Iterable[Task], routes: Mapping[str, Route]) -> list[str]:
    """That tasks go to the default because no tag matches: a line for each cause, and not for each task.

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
