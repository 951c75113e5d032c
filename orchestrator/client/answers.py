"""Answers that several commands give: they read the state, and `report.json_*` shapes it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from orchestrator.client.snapshot import Reader, gate_outcomes
from orchestrator.contract import needs
from orchestrator.contract.feature_answers import DecisionAnswer, FeatureAnswer, Standstill
from orchestrator.contract.task_answers import TaskAnswer
from orchestrator.model import flows, identifiers
from orchestrator.model.task import TaskStatus
from orchestrator.planning import graph
from orchestrator.report import json_features, json_page, next_steps, status_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.client.client import Client
    from orchestrator.client.handle import Handle
    from orchestrator.contract.answer import Need
    from orchestrator.model.outcome import Outcome
    from orchestrator.model.progress import Progress, TaskState


def titles(client: Client) -> Mapping[str, str]:
    """The title of each specialist that is configured."""
    return {name: client.settings.title(name) for name in client.settings.specialists}


def find_needs(
    client: Client, handle: Handle, progress: Progress, states: Sequence[TaskState] | None = None
) -> list[Need]:
    """The needs of a feature, with the cause and output of each task that stopped.

    Args:
        client: Brings the settings and the store.
        handle: The feature.
        progress: Where it stands.
        states: Only of these tasks; else of all that may need somebody.
    """
    if progress.status.is_over:
        return []
    found = handle.unsettled() if states is None else states
    stopped = [
        state.id for state in found if state.status in flows.STOPPED and needs.of_task(handle.id, state)
    ]
    wanted = [*stopped[: json_page.LIMIT], *([progress.gates_failed] if progress.gates_failed else [])]
    outcomes: Mapping[str, Outcome] = client.store.tasks.outcomes(handle.id, wanted) if wanted else {}
    return needs.of_feature(
        progress,
        found,
        outcomes=outcomes,
        behind=_behind(client, handle, stopped),
        specialists=client.settings.specialists,
    )


def _behind(client: Client, handle: Handle, stopped: Sequence[str]) -> dict[str, list[str]]:
    """The tasks that wait behind each of the first that stopped."""
    if not stopped:
        return {}
    followers = graph.dependents(client.store.tasks.dependencies(handle.id))
    return {task: graph.behind(task, followers) for task in stopped[: json_page.LIMIT] if task in followers}


def feature(
    client: Client,
    handle: Handle,
    *,
    whole: bool = False,
    limit: int = json_page.LIMIT,
    after: str = "",
    **more: Any,
) -> FeatureAnswer:
    """Where a feature stands: its tasks (of a large one those of the open batch), and what it waits for."""
    snapshot = Reader(client, handle, whole=whole).take()
    states = snapshot.states
    if len(states) > limit:
        states = tuple(sorted(states, key=status_text.urgency))
    return json_features.feature(
        snapshot.progress,
        time.time(),
        states=states,
        hidden=snapshot.progress.total - len(states),
        needs=find_needs(client, handle, snapshot.progress),
        said=snapshot.said,
        titles=titles(client),
        limit=limit,
        after=after,
        cursor=client.store.events.last(handle.id),
        warnings=next_steps.gate_warnings(snapshot.gates),
        standstill=snapshot.standstill,
        **more,
    )


def task(client: Client, handle: Handle, task_id: str, *, whole: bool = False, **more: Any) -> TaskAnswer:
    """Where one task stands.

    Args:
        client: Brings the settings and the store.
        handle: The feature.
        task_id: The task.
        whole: Also what it says, its worker, and what it waits for.
        more: Further fields.

    Raises:
        NoSuchTask: The feature has no such task.
    """
    state = client.store.tasks.state(handle.id, task_id)
    progress, agent = handle.progress(), client.settings.agent(state.specialist)
    session, _ = client.store.attempts.history(handle.id, task_id) if agent and whole else (None, ())
    line = json_features.task_line(state, progress.batch, time.time(), titles=titles(client))
    ended = state.status in (TaskStatus.FAILED, TaskStatus.BLOCKED, TaskStatus.COMPLETED)
    return TaskAnswer(
        feature=handle.id,
        task=task_id,
        title=line.title,
        status=line.status,
        phase=line.phase,
        batch=state.batch,
        attempt=state.attempt,
        specialist=line.specialist,
        cost=state.cost,
        tier=client.settings.rung(state.specialist, state.rung) if state.attempt else "",
        session=session.session if session else "",
        worker=line.worker if whole else "",
        seconds=line.seconds,
        percent=line.percent,
        note=line.note,
        said=status_text.reason(handle.outcome(task_id)) if whole and ended else "",
        needs=tuple(find_needs(client, handle, progress, [state])) if whole else (),
        **more,
    )


def concluded(client: Client, handle: Handle, **more: Any) -> FeatureAnswer:
    """The status of a feature without its tasks: `run`, `watch` and `enqueue` end with it."""
    progress = handle.progress()
    return json_features.feature(
        progress,
        time.time(),
        needs=find_needs(client, handle, progress),
        cursor=client.store.events.last(handle.id),
        warnings=next_steps.gate_warnings(gate_outcomes(client, progress)),
        standstill=standstill(handle, progress),
        **more,
    )


def standstill(handle: Handle, progress: Progress) -> Standstill | None:
    """The tasks that stand still because a task of the open batch has stopped."""
    return next_steps.standstill(progress, handle.states()) if progress.stopped else None


def decision(client: Client, handle: Handle, message: str, tasks: Sequence[str]) -> DecisionAnswer:
    """The answer to a decision: its tasks, and their status now."""
    progress = handle.progress()
    shown = [task for task in tasks if not identifiers.is_gates(task)][: json_page.LIMIT]
    states = [client.store.tasks.state(handle.id, task) for task in shown]
    return DecisionAnswer(
        feature=handle.id,
        status=str(progress.status),
        message=message,
        tasks=tuple(json_features.task_line(state, progress.batch, time.time()) for state in states),
        left_out=json_page.left_out(tasks=len(tasks) - len(shown) - sum(map(identifiers.is_gates, tasks))),
    )
