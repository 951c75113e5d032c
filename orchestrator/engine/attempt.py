"""One attempt of one task, as the worker that runs it knows it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from orchestrator.config.schema.quality_gates import Gate
from orchestrator.config.settings import Settings
from orchestrator.model import identifiers, lifecycle
from orchestrator.model.flows import Flow
from orchestrator.model.task import Task, TaskStatus
from orchestrator.state.start_result import StartResult

AttemptId = tuple[str, str, int]
"""The feature, the task and the number of the attempt."""


def attempt_id_of(request: Any) -> AttemptId | None:
    """Read the attempt from the id of a Celery request; None for a task of another kind.

    Example:
        >>> from types import SimpleNamespace
        >>> attempt_id_of(SimpleNamespace(id="auth:T1:2:0f3a9c5e71d2"))
        ('auth', 'T1', 2)
    """
    return identifiers.attempt_named(str(request.id))


@dataclass(frozen=True)
class Attempt:
    """An attempt that a worker has started."""

    feature_id: str
    task: Task
    number: int
    specialist: str
    worker: str
    started: StartResult
    trace: str = ""
    """The `traceparent` of its message."""
    began: float = field(default_factory=time.monotonic)
    """When it began, by the clock of this process."""

    @property
    def id(self) -> AttemptId:
        """The id of the attempt."""
        return self.feature_id, self.task.id, self.number

    @property
    def is_feature_gates(self) -> bool:
        """The attempt runs the gates of the whole feature, not one of its tasks."""
        return identifiers.is_gates(self.task.id)

    @property
    def delivery(self) -> str:
        """The delivery of the message that started the attempt."""
        return str(self.started.state.get("delivery", ""))

    @property
    def title_to_learn_from(self) -> str:
        """The title of the feature if the duration of this attempt tells how long the task takes; else "".

        An attempt that only runs the gates is too short to tell.
        """
        is_work = not self.is_feature_gates and self.started.status == TaskStatus.IN_PROGRESS
        return str(self.started.head.get("title", "")) if is_work else ""

    def flow(self, settings: Settings) -> Flow:
        """The flow of statuses that the task follows."""
        return lifecycle.GATES_FLOW if self.is_feature_gates else settings.flow_for(self.task.tags)

    def gates_ahead(self, settings: Settings) -> list[tuple[str, tuple[Gate, ...]]]:
        """The stages that completed work has to pass from here and that have gates, each with its gates."""
        if not settings.quality_gates.enabled:
            return []
        if self.is_feature_gates:
            stage = "testing" if self.task.id == "@testing" else "completion"
            gates = [(stage, settings.feature_gates(stage, self.started.head["tags"]))]
        else:
            stages = lifecycle.stages_ahead(self.flow(settings), self.started.status)
            gates = [(stage, settings.task_gates(stage, self.task.tags)) for stage in stages]
        return [(stage, of_stage) for stage, of_stage in gates if of_stage]


def gates_task(task_id: str) -> Task:
    """The task that stands for the gates of a feature. No task of a feature can have its id."""
    return Task.model_construct(id=task_id, title=f"The feature's gates ({task_id.removeprefix('@')})")
