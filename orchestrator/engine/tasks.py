"""The Celery tasks that run the attempts of enqueued features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from celery import Task as CeleryTask

from orchestrator.engine import canvas, installation, trace_context
from orchestrator.engine.attempt_runner import runner
from orchestrator.engine.run import Tracer
from orchestrator.engine.visibility import SpecialistTask

if TYPE_CHECKING:
    from celery import Celery


class AttemptTask(SpecialistTask):
    """The base of the tasks below: after an attempt, it does those that were taken with its commit (see `run`)."""

    app: Any
    tracer: Tracer | None = None
    """Celery's tracer, which runs one attempt."""

    @property
    def __trace__(self) -> Tracer | None:
        """The function by which Celery runs the task."""
        return self._trace if self.tracer else None

    @__trace__.setter
    def __trace__(self, tracer: Tracer | None) -> None:
        self.tracer = tracer

    def _trace(self, *given: Any) -> Any:
        runs = installation.of(self.app).runs
        return (
            runs.trace(cast("Tracer", self.tracer), *given) if runs else cast("Tracer", self.tracer)(*given)
        )


CELERY_OPTIONS: dict[str, Any] = {
    "bind": True,
    "base": SpecialistTask,
    "shared": False,  # one process may hold apps of several settings
}
"""Celery's options for the tasks of specialists."""


def register(app: Celery, specialist: str, **options: Any) -> None:
    """Give a specialist its Celery task for enqueued features.

    Args:
        app: The Celery app.
        specialist: The specialist.
        options: More of Celery's options for the task.
    """

    @app.task(name=canvas.celery_task(specialist), **{**CELERY_OPTIONS, "base": AttemptTask, **options})
    def run(self: CeleryTask[Any, Any], feature_id: str, task_id: str, attempt: int) -> str:
        request = self.request
        return runner(app).run(
            specialist,
            feature_id,
            task_id,
            attempt,
            request.hostname or "",
            request.id or "",
            request.get(trace_context.PARENT) or "",
        )
