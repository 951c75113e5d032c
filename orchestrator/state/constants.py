"""The constants of the Lua scripts: statuses and transitions, rendered from the enums of `model`."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.model import flows, identifiers, lifecycle
from orchestrator.model.feature import OVER
from orchestrator.model.flows import Flow, TaskEvent
from orchestrator.model.task import OPEN_TO_DEPENDENCIES, TaskStatus

COUNTED = [status for status in TaskStatus if status is not TaskStatus.PENDING]
"""The statuses that are counted; a task in none of them is pending."""

AWAIT_A_PERSON = (
    TaskStatus.FAILED,
    TaskStatus.BLOCKED,
    TaskStatus.ON_HOLD,
    TaskStatus.DEFERRED,
    TaskStatus.IN_REVIEW,
)
"""The statuses of a task that stays where it is until a person acts."""

# These transitions are the same in every flow, so a script can use them before it knows the task and its flow.
_ANY_FLOW = Flow("any", ("backlog", "pending", "in-progress", "testing", "completed"))

BEGINNINGS = {
    status: f"{event} {target}"
    for event in (TaskEvent.WORK_STARTED, TaskEvent.GATES_STARTED)
    for status, target in _ANY_FLOW.table[event].items()
}
"""The event of the start of an attempt, and the status of its task then, by its status before."""

LOSSES = {
    event: _ANY_FLOW.table[event]
    for event in (
        TaskEvent.WORKER_LOST,
        TaskEvent.WORK_HANDED_BACK,
        TaskEvent.BLOCKER_DETECTED,
        TaskEvent.WORK_FAILED,
    )
}
"""The status of a task whose worker was lost or shut down: for each event, the new status by the one before."""

LUA: Mapping[str, object] = {
    "AWAIT_A_PERSON": AWAIT_A_PERSON,
    "BEGINNINGS": BEGINNINGS,
    "COUNTED": COUNTED,
    "GATES": identifiers.GATES,
    "LOSSES": LOSSES,
    "OPEN_TO_DEPENDENCIES": frozenset(OPEN_TO_DEPENDENCIES),
    "OVER": frozenset(OVER),
    "RESOLVED": lifecycle.RESOLVED,
    "STOPPED": frozenset(flows.STOPPED),
    "TAKEN_UP": frozenset(flows.TAKEN_UP),
}
"""The constants that a script may name: a set becomes {member = true}, a sequence a list, a mapping a table."""


def render(value: object) -> str:
    """A value as Lua source.

    Example:
        >>> render(frozenset({"done"})), render({"a": ["b", "c"]})
        ("{ ['done'] = true }", "{ ['a'] = { 'b', 'c' } }")
    """
    match value:
        case str():
            return f"'{value}'"
        case Mapping():
            return f"{{ {', '.join(f'[{render(key)}] = {render(one)}' for key, one in value.items())} }}"
        case frozenset():
            return f"{{ {', '.join(f'[{render(one)}] = true' for one in sorted(value))} }}"
        case list() | tuple():
            return f"{{ {', '.join(map(render, value))} }}"
    raise TypeError(f"{value!r} has no form in Lua")
