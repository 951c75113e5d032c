"""The thin Celery tasks: what a message asks for, told as steps."""

from __future__ import annotations

import contextlib
import functools
import logging
import random
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery import Task as CeleryTask
from celery.exceptions import SoftTimeLimitExceeded

import workers
from orchestrator import canvas, connections, errors, lifecycle
from orchestrator.config import Settings
from orchestrator.dispatcher import Dispatcher
from orchestrator.models import Completed, Outcome, RetryLater, Task
from orchestrator.store import Grant, Store

if TYPE_CHECKING:
    from orchestrator.celery import App

logger = logging.getLogger("orchestrator")

WHY_NOT = {
    "over": "its feature is cancelled",
    "stale": "this attempt has ended, or a later one exists",
    "held": "another worker holds it",
    "missing": "it is not stored here",
}


class TaskStopped(Exception):
    """How Celery (and Flower) is told that a task did not complete. Our own state knows why."""


def register(app: App, settings: Settings, specialist: str) -> None:
    """Give a specialist its two Celery tasks: for enqueued features, and for `Plan.canvas()`."""
    options: dict[str, Any] = {
        "bind": True,
        "shared": False,  # one process may hold apps of several settings
        "rate_limit": settings.specialists[specialist].rate_limit,
        "throws": (TaskStopped,),
    }

    @app.task(name=canvas.celery_task(specialist), **options)
    def run(self: CeleryTask[Any, Any], feature_id: str, task_id: str, attempt: int) -> str:
        return shell(app).attempt(specialist, feature_id, task_id, attempt, self.request.hostname or "")

    @app.task(name=canvas.standalone_task(specialist), ignore_result=False, **options)
    def standalone(
        self: CeleryTask[Any, Any], feature: dict[str, Any], task: dict[str, Any]
    ) -> dict[str, Any]:
        outcome = work_alone(
            settings, specialist, feature, Task.model_validate(task), self.request.id or "once"
        )
        match outcome:
            case Completed():
                return outcome.model_dump(mode="json")
            case RetryLater(after=after):
                raise self.retry(countdown=after, max_retries=None)
            case _:
                raise TaskStopped(f"{task['id']}: {outcome.status}: {outcome.reason}")


class Shell:
    """What a worker process needs to carry out an attempt."""

    def __init__(self, app: Celery, settings: Settings) -> None:
        self.settings = settings
        self.store = connections.open_store(settings)
        self.dispatcher = Dispatcher(app, self.store, pooled=True)

    def attempt(self, specialist: str, feature_id: str, task_id: str, attempt: int, worker: str) -> str:
        """Begin an attempt, do its work, commit the outcome, launch what follows.

        Returns:
            A line for Celery's log and Flower.

        Raises:
            TaskStopped: The task did not complete.
        """
        grant = self._begin(feature_id, task_id, attempt, worker)
        if grant.task is None:
            logger.info("[%s] %s not started: %s", feature_id, task_id, WHY_NOT[grant.code])
            return f"not started: {WHY_NOT[grant.code]}"
        outcome = self._work(specialist, feature_id, grant, attempt)
        self._conclude(feature_id, grant, attempt, outcome, worker)
        if isinstance(outcome, Completed):
            return f"{grant.task.name}: completed"
        raise TaskStopped(f"{grant.task.name}: {outcome.status}: {outcome.reason}")

    def _begin(self, feature_id: str, task_id: str, attempt: int, worker: str) -> Grant:
        lease = self.settings.recovery.lease
        grant = self.store.start(feature_id, task_id, attempt, worker=worker, lease=lease)
        if grant.feature_status == "planning":
            self._follow_up(self.store.cascade(feature_id))
        return grant

    def _work(self, specialist: str, feature_id: str, grant: Grant, attempt: int) -> Outcome:
        assert grant.task is not None
        task = grant.task
        files = Files(self.settings, feature_id, task.id, attempt)
        context = workers.Context(
            task=task,
            feature=workers.FeatureHead.model_validate(grant.head),
            attempt=attempt,
            specialist=specialist,
            title=self.settings.title(specialist),
            workdir=files.workdir,
            log_file=files.log,
            dependencies=Dependencies(self.store, feature_id, task),
            progress=functools.partial(self._note, feature_id, task.id, attempt),
            is_cancelled=functools.partial(self._is_cancelled, feature_id, task.id, attempt),
        )
        return perform(context, self.settings)

    def _conclude(self, feature_id: str, grant: Grant, attempt: int, outcome: Outcome, worker: str) -> None:
        assert grant.task is not None
        move = lifecycle.conclude(outcome, grant.task.retries, grant.retried, random.random())
        code, status, facts = self.store.finish(
            feature_id, grant.task.id, attempt, outcome, move, worker=worker
        )
        if code == "stale":
            logger.warning(
                "[%s] %s attempt %s ended %s, but it lost its lease before; nothing was changed",
                feature_id,
                grant.task.id,
                attempt,
                outcome.status,
            )
        elif code in ("refused", "missing"):
            raise lifecycle.refuse(
                f"{grant.task.id} of {feature_id}", move.event, status, lifecycle.TASK_TABLE
            )
        self._follow_up(facts)

    def _follow_up(self, facts: lifecycle.Facts) -> None:
        try:
            self.dispatcher.send(lifecycle.follow_up(facts))
        except errors.BrokerUnreachable as error:
            # The outbox keeps what was to be published, and the sweep publishes it when the broker is back.
            logger.error("%s", error)

    def _note(
        self, feature_id: str, task_id: str, attempt: int, percent: float | None = None, note: str = ""
    ) -> None:
        self.store.note(feature_id, task_id, attempt, percent, note)

    def _is_cancelled(self, feature_id: str, task_id: str, attempt: int) -> bool:
        with connections.translated(self.store.url):
            (answer,) = self.store.renew([(feature_id, task_id, attempt)], lease=self.settings.recovery.lease)
        return answer != "renewed"


class Dependencies(Mapping[str, Completed]):
    """The outcomes of a task's dependencies, read from the store when somebody looks."""

    def __init__(self, store: Store, feature_id: str, task: Task) -> None:
        self.store = store
        self.feature_id = feature_id
        self.ids = task.depends_on

    @functools.cached_property
    def _found(self) -> dict[str, Completed]:
        outcomes = self.store.outcomes(self.feature_id, self.ids)
        return {task: outcome for task, outcome in outcomes.items() if isinstance(outcome, Completed)}

    def __getitem__(self, task_id: str) -> Completed:
        return self._found[task_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


class Files:
    """Where an attempt keeps its files on this machine."""

    def __init__(self, settings: Settings, feature_id: str, task_id: str, attempt: int | str) -> None:
        self.log: Path = settings.log_folder / feature_id / f"{task_id}.{attempt}.log"
        self.workdir: Path = settings.folder / "work" / feature_id / f"{task_id}.{attempt}"


def work_alone(
    settings: Settings, specialist: str, feature: dict[str, Any], task: Task, attempt: str
) -> Outcome:
    """Do a task's work from its arguments alone, with no state kept."""
    files = Files(settings, feature["id"], task.id, attempt)
    context = workers.Context(
        task=task,
        feature=workers.FeatureHead.model_validate(feature),
        attempt=1,
        specialist=specialist,
        title=settings.title(specialist),
        workdir=files.workdir,
        log_file=files.log,
    )
    return perform(context, settings)


def perform(context: workers.Context, settings: Settings) -> Outcome:
    """Do the work under its time limit."""
    with alarm(workers.time_limit(context.specialist, context.task, settings)):
        return workers.perform(context, settings, timeouts=(TimeoutError, SoftTimeLimitExceeded))


@contextlib.contextmanager
def alarm(seconds: float | None) -> Iterator[None]:
    """Raise TimeoutError in Python code that runs longer.

    It works in a process's main thread, so in Celery's prefork and solo pools. In the threads pool Python code
    cannot be interrupted; commands have a time limit of their own in every pool.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_: object) -> None:
        raise TimeoutError(f"still running after {seconds:g} s, its time limit")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@functools.cache
def shell(app: App) -> Shell:
    """The shell of this process. A forked child inherits it, and its connections are opened anew by redis-py."""
    return Shell(app, app.settings)
