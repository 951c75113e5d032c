"""Errors about a Celery app of the project's own, and about calls of its tasks."""

from __future__ import annotations

from orchestrator.model.errors.base import OrchestratorError, UsageError


class NotInstalled(UsageError):
    """The Celery app {app} does not run features.
    Call orchestrator.install(app) in the module that makes it, such as proj/celery.py."""


class InstalledTwice(UsageError):
    """The Celery app {app} runs features already.
    Call orchestrator.install(app) once, in the module that makes it."""


class NotForGuests(UsageError):
    """{setting} is set, and workers of a Celery app of the project's own do not support it: {reason}.
    Leave {setting} out, or run features by workers of their own (`celery -A orchestrator worker`)."""


class NoSuchCall(OrchestratorError):
    """{task} calls {call}, and the Celery app of this worker has no task of that name{hint}.
    Correct the name, or let the worker import the module of the task (Celery's `include` or `autodiscover_tasks`)."""


class BadCall(UsageError):
    """{task} calls {call} in a way that cannot succeed: {cause}.
    Correct its args and kwargs."""


class CallRefused(UsageError):
    """{tasks} would call {call}, and the operator of this project has not allowed that to features.
    Ask for it, or, as the operator, allow it in the configuration: `calls: ["{call}"]` under `trust`."""
