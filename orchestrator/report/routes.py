"""Who gets which tasks, as a person reads it."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.contract.shapes import RouteGroup, Routes
from orchestrator.wording import count, some

SHOWN_REASONS = 4
SHOWN_SPECIALISTS = 20


def route_lines(routes: Routes) -> list[str]:
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
    return group.specialist.title + where


def _why(group: RouteGroup) -> str:
    why = group.reason or f"tag {group.tag}"
    return f"{why}; tags that route: {', '.join(group.suggestions)}" if group.suggestions else why


def _tasks(group: RouteGroup) -> str:
    more = group.total - len(group.tasks)
    return ", ".join(group.tasks) + (f" and {more:,} more" if more > 0 else "")
