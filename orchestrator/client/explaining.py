"""Why a task is in its status, read from the state."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.client import answers
from orchestrator.client.listeners import listeners
from orchestrator.contract import needs
from orchestrator.model.task import TaskStatus
from orchestrator.report import explanation, json_tasks

if TYPE_CHECKING:
    from orchestrator.client.client import Client
    from orchestrator.client.handle import Handle
    from orchestrator.contract.task_answers import ExplainAnswer
    from orchestrator.model.plan import Route
    from orchestrator.model.progress import Progress, TaskState
    from orchestrator.model.task import Task
    from orchestrator.planning.sketch import Sketch
    from orchestrator.report.explanation import Explanation
    from orchestrator.state.workers import Worker


class Explained(NamedTuple):
    """An explanation, and what it was made of."""

    explanation: Explanation
    task: Task
    states: Mapping[str, TaskState]
    """The task's, and those of tasks that hold it up."""
    progress: Progress
    route: Route
    before: Sketch | None


def explain(client: Client, handle: Handle, task_id: str) -> Explained:
    """Say what a task waits for, or what went wrong, and what to do.

    Raises:
        NoSuchTask: The feature has no such task.
    """
    task = client.store.tasks.find(handle.id, task_id)
    states = {state.id: state for state in handle.around(task_id)}
    state = states[task_id]
    route = client.recommend(handle.id, task_id)
    claimed = is_claimed(client, route.specialist, task, state)
    progress, before = handle.progress(), client.store.tasks.before(handle.id, task_id)
    found = explanation.explain(
        task,
        state,
        progress,
        others=states,
        now=time.time(),
        outcome=handle.outcome(task_id),
        route=route,
        listeners=_listeners(client, route) if state.phase == "launched" and not claimed else None,
        limit=client.store.limits.find(state.limit) if state.limit else None,
        before=before,
        claimed=claimed,
    )
    return Explained(found, task, states, progress, route, before)


def is_claimed(client: Client, specialist: str, task: Task, state: TaskState) -> bool:
    """Whether an agent elsewhere does what comes next of a task (see `awaits_an_agent` in offers.lua)."""
    is_work = state.status is not TaskStatus.TESTING and not task.run
    return is_work and specialist in client.settings.pulled


def answer(client: Client, handle: Handle, found: Explained) -> ExplainAnswer:
    """An explanation as `--json` has it."""
    state = found.states[found.task.id]
    in_the_way = needs.in_the_way(found.task, state, found.progress, found.states)
    waits = answers.find_needs(client, handle, found.progress, in_the_way)
    return json_tasks.explained(found.explanation, waits, found.route, found.before)


def _listeners(client: Client, route: Route) -> Mapping[str, Sequence[Worker]] | None:
    try:
        return listeners(client, [route.queue] if route.queue else [])
    except Exception as error:
        # late: workers that announce themselves are not asked by Celery
        from kombu.exceptions import OperationalError

        if isinstance(error, OperationalError):
            return None
        raise
