"""The Celery tasks that run the attempts of enqueued features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import Task as CeleryTask

from orchestrator.config.settings import Settings
from orchestrator.engine import canvas
from orchestrator.engine.attempt_runner import runner
from orchestrator.engine.visibility import SpecialistTask

if TYPE_CHECKING:
    from orchestrator.engine.app import App

CELERY_OPTIONS: dict[str, Any] = {
    "bind": True,
    "base": SpecialistTask,
    "shared": False,  # one process may hold apps of several settings
}
"""Celery's options for the tasks of specialists."""


def register(app: App, settings: Settings, specialist: str) -> None:
    """Give a specialist its Celery task for enqueued features."""

    @app.task(name=canvas.celery_task(specialist), **CELERY_OPTIONS)
    def run(self: CeleryTask[Any, Any], feature_id: str, task_id: str, attempt: int) -> str:
        worker, message = self.request.hostname or "", self.request.id or ""
        return runner(app).run(specialist, feature_id, task_id, attempt, worker, message)
