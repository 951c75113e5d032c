"""Checks before a change is stored: does somebody do the work, and are the dependencies resolved?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from orchestrator.model import errors, words
from orchestrator.model.task import TaskStatus
from orchestrator.model.usage import dollars
from orchestrator.planning import limits, repetition

if TYPE_CHECKING:
    from orchestrator.config.settings import Settings
    from orchestrator.model.feature import Feature
    from orchestrator.model.plan import Route
    from orchestrator.model.progress import TaskState
    from orchestrator.model.task import Task
    from orchestrator.state.store import Store

NAMED = 5
"""How many tasks a refusal names."""


def check_prerequisites(feature_id: str, state: TaskState, states: Mapping[str, TaskState]) -> None:
    """Refuse to move a task forward before its dependencies are resolved.

    Raises:
        Unresolved: One of them is not.
    """
    waits_for = [dependency for dependency in state.depends_on if not states[dependency].resolved]
    if waits_for:
        raise errors.Unresolved(
            feature=feature_id, task=state.id, dependencies=words.some(waits_for, most=NAMED)
        )


def check_work(feature: Feature, routes: dict[str, Route], settings: Settings) -> None:
    """Refuse tasks that no worker could do.

    Raises:
        InlineCommandRefused: A task has a command of its own, which the settings do not allow.
        CallRefused: A task calls what the operator has not allowed.
        NothingToDo: Neither a task nor its specialist has a command or a callable.
        GatesCannotRun: A task of agents elsewhere has gates, and its flow no status in which a worker runs them.
        NoSuchResource, NotEnough: A task needs more of a resource than there is.
        BudgetTooLarge: It asks for more money than the settings allow.
    """
    limits.check_resources(feature.tasks, settings)
    allowed = settings.budgets.feature
    if allowed and feature.budget is not None and feature.budget > allowed.cost:
        raise errors.BudgetTooLarge(asked=dollars(feature.budget), most=dollars(allowed.cost))
    inline = [task.id for task in feature.tasks if task.run]
    if inline and not settings.inline_commands:
        raise errors.InlineCommandRefused(tasks=words.some(inline, most=NAMED))
    check_calls(feature.tasks, settings, from_file=feature.is_from_file)
    idle: dict[str, list[str]] = defaultdict(list)
    for task in feature.tasks:
        if not (task.run or task.call):
            idle[routes[task.id].specialist].append(task.id)
    idle.pop("", None)  # they wait for a person to assign one
    for specialist, tasks in idle.items():
        if not has_work(specialist, settings):
            raise errors.NothingToDo(tasks=words.some(tasks, most=NAMED), specialist=specialist)
        if specialist in settings.pulled:
            named = set(tasks)
            check_gates([task for task in feature.tasks if task.id in named], specialist, settings)


def check_gates(tasks: Sequence[Task], specialist: str, settings: Settings) -> None:
    """Refuse tasks of agents elsewhere whose gates nobody could run.

    Raises:
        GatesCannotRun: There is one.
    """
    refused: dict[str, list[str]] = {}
    for task in tasks:
        flow = settings.flow_for(task.tags)
        if not flow.has(TaskStatus.TESTING) and settings.task_gates("completion", task.tags):
            refused.setdefault(flow.name, []).append(task.id)
    for flow_name, ids in refused.items():
        raise errors.GatesCannotRun(tasks=words.some(ids, most=NAMED), specialist=specialist, flow=flow_name)


def check_calls(tasks: Sequence[Task], settings: Settings, *, from_file: bool) -> None:
    """Refuse calls that the operator has not allowed.

    Raises:
        CallRefused: There is one.
    """
    refused: dict[str, list[str]] = {}
    for task in tasks:
        for call in task.calls if task.call else ():
            if not settings.may_call(call, from_file=from_file):
                refused.setdefault(call, []).append(task.id)
    for call, ids in refused.items():
        raise errors.CallRefused(tasks=words.some(ids, most=NAMED), call=call)


def has_work(specialist: str, settings: Settings) -> bool:
    """Whether a specialist has a command or a callable."""
    from orchestrator.specialists import has_work

    try:
        return has_work(specialist, settings)
    except errors.CannotImport:
        return True  # it may be installed where the workers are, and not here


def check_repetition(
    store: Store, key: str, feature: Feature, content: Mapping[str, str], feature_id: str
) -> None:
    """Refuse a feature whose idempotency key stands for another one.

    Args:
        store: Where that one lies.
        key: The idempotency key.
        feature: The feature.
        content: The content that is enqueued under the key (see `repetition.content`).
        feature_id: The feature for which the key stands.

    Raises:
        KeyTaken: Its content is another one.
    """
    earlier = store.features.content(feature_id)
    differ = [f"id ({feature.id})"] if feature.id not in (None, feature_id) else []
    if earlier is not None and earlier != content:
        differ += repetition.differences(content, earlier, feature.tasks, store.tasks.all(feature_id))
    if differ:
        raise errors.KeyTaken(key=key, feature=feature_id, differences=", ".join(differ))
