"""Checks of the settings of a Celery app of the project's own: which weaken a promise of ours, and what then holds.

Nothing is changed: the app may have good reasons.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from orchestrator.engine import installation
from orchestrator.engine.visibility import SpecialistTask
from orchestrator.model import words
from orchestrator.model.finding import Finding, problem, warning

if TYPE_CHECKING:
    from celery import Celery

    from orchestrator.engine.installation import Installation

OF_ONE_PROCESS = ("memory", "filesystem")
"""Transports whose messages reach no other process, or no other machine."""

JSON = {"json", "application/json"}

OURS: dict[str, Any] = {
    "acks_late": True,
    "reject_on_worker_lost": True,
    "retry_on_worker_lost": False,
    "rate_limit": None,
}
"""Options that our tasks need, and that `task_annotations` and Celery's defaults may change."""


def check_app(engine: Installation) -> Iterator[Finding]:
    """The settings of the app that weaken a promise; none if all hold.

    Args:
        engine: The engine in the app.
    """
    conf: Any = engine.app.conf
    yield from _check_messages(engine)
    if conf.task_always_eager:
        yield warning(
            "task_always_eager",
            "programs of the app run its tasks where they send them, and features in the process that enqueues them, "
            "with the state in its memory; workers get neither",
            "Set it only in tests.",
        )
    if conf.worker_prefetch_multiplier != 1:
        many = conf.worker_prefetch_multiplier or "any number of"
        yield warning(
            "worker_prefetch_multiplier",
            f"a worker holds {many} messages for each process, so a task may wait in a busy worker while another is "
            f"free; after {engine.settings.recovery.patience:g} s (recovery.patience) it gets a second message; and "
            "its processes do not take their next task by themselves",
            "Set it to 1, at least where tasks are long.",
        )
    yield from _check_our_tasks(engine.app)


def _check_messages(engine: Installation) -> Iterator[Finding]:
    app, patience = engine.app, engine.settings.recovery.patience
    transport = installation.broker_url(app).partition(":")[0]
    if transport in OF_ONE_PROCESS:
        yield problem(
            "broker_url",
            f"messages by {transport}:// reach only this process or machine, so no other worker takes up what was lost",
            "Use Redis, RabbitMQ, or another broker that the workers share.",
        )
    elif obstacle := engine.apart:
        yield warning(
            "broker_url",
            f"{obstacle}. So a message is sent after its launch is stored: if a process ends in between, it is sent "
            f"again after {patience:g} s (recovery.patience). Processes do not take their next task by themselves, and "
            "a revoked message is cancelled only when a worker meets it",
            "All else holds. Where the broker is a Redis, let redis.url name the same one, with its database and user.",
        )
    if not JSON & set(app.conf.accept_content or ()):
        yield problem(
            "accept_content",
            "it has no json, and the messages of features are JSON: workers refuse them all",
            "Add json to it. The app's own tasks are sent as before.",
        )


def _check_our_tasks(app: Celery) -> Iterator[Finding]:
    changed: dict[str, list[str]] = {}
    for name, task in app.tasks.items():
        if isinstance(task, SpecialistTask) and not name.startswith("call:"):
            for option, wanted in OURS.items():
                if getattr(task, option) != wanted:
                    changed.setdefault(option, []).append(name)
    for option, names in changed.items():
        meaning = (
            "Celery holds their messages back, which costs their workers' other tasks time too"
            if option == "rate_limit"
            else "a message is gone before its attempt has begun; it comes again after recovery.patience"
        )
        yield warning(
            "task_annotations" if option != "rate_limit" else "task_default_rate_limit",
            f"{option} is changed for {words.some(names)}: {meaning}",
            "Let the annotation name the tasks it is for, and not all (*).",
        )
