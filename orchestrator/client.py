"""The way in from Python: enqueue a feature, and hold a handle on it."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Concatenate, ParamSpec, Self, TypeVar

from pydantic import JsonValue

from orchestrator import celery, connections, errors, feature_file, lifecycle, planner, routing
from orchestrator.celery import App, create
from orchestrator.config import Settings
from orchestrator.dispatcher import Dispatcher
from orchestrator.lifecycle import Facts, TaskEvent
from orchestrator.models import (
    Completed,
    Event,
    Feature,
    FeatureStatus,
    Outcome,
    Plan,
    Progress,
    Route,
    Task,
    TaskState,
)

WATCH_SECONDS = 1.0
"""How long one wait for events lasts. An event ends it at once."""

P = ParamSpec("P")
R = TypeVar("R")


def _translated(method: Callable[Concatenate[Client, P], R]) -> Callable[Concatenate[Client, P], R]:
    """Turn connection errors of a method into RedisUnreachable."""

    @wraps(method)
    def translating(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with connections.translated(client.store.url):
            return method(client, *args, **kwargs)

    return translating


class Client:
    """Enqueues features and reads what became of them.

    A client opens connections when it needs them. `close()`, or leaving the `with`, ends them.

    Args:
        settings: The settings; those of the working folder where they are left out.
        app: A Celery app made by `orchestrator.celery.create`, to be used instead of one made from the settings.

    Raises:
        InvalidConfiguration: The settings cannot be used.
        NoRedisServer, RedisDidNotStart: No Redis is configured, and there is no way to run one here.

    Example:
        with Client() as client:
            handle = client.enqueue(feature)
            print(handle.wait(timeout=600).status)
    """

    def __init__(self, settings: Settings | None = None, app: App | None = None) -> None:
        self.app = app or (create(settings) if settings else celery.app)
        self.settings = self.app.settings
        self.store = connections.open_store(self.settings)
        self.dispatcher = Dispatcher(self.app, self.store, pooled=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection of this client. It opens new ones if it is used again."""
        self.store.client.close()

    def plan(self, feature: Feature) -> Plan:
        """Plan a feature under the cap in force, and store nothing.

        Raises:
            InvalidFeature: It is over a limit.
            CircularDependency, NotParallel: It cannot be planned.
        """
        feature_file.check(feature, self.settings.limits)
        return planner.plan(feature, self.settings.parallelism.max_parallel_tasks)

    @_translated
    def enqueue(
        self, feature: Feature, *, idempotency_key: str | None = None, auto_launch: bool | None = None
    ) -> Handle:
        """Store a feature, start what may start, and return at once.

        Args:
            feature: What to run.
            idempotency_key: A name for this enqueue. Asked for again with the same key within a week, the feature of
                the first time is returned and nothing new is stored.
            auto_launch: False: after each batch the feature waits for `launch`. None: as configured.

        Raises:
            InvalidFeature, CircularDependency, NotParallel: It cannot be planned.
            NoSpecialist, UnknownSpecialist, NothingToDo, InlineCommandRefused: A task has nobody to do it.
            FeatureExists: Another feature has its id.
            RedisUnreachable: Nothing was stored.
            BrokerUnreachable: It is stored, and starts when the broker answers a worker.
        """
        plan = self.plan(feature)
        routes = routing.route(feature, self.settings)
        check_work(feature, routes, self.settings)
        launch = self.settings.parallelism.auto_launch if auto_launch is None else auto_launch
        code, feature_id = self.store.enqueue(
            feature.id or make_id(feature.title),
            plan,
            routes,
            auto_launch=launch,
            idempotency_key=idempotency_key,
        )
        if code == "enqueued":
            self._follow_up(self.store.cascade(feature_id))
        return Handle(feature_id, self)

    @_translated
    def feature(self, feature_id: str) -> Handle:
        """A handle on a feature that was enqueued before.

        Raises:
            NoSuchFeature: There is none of this id.
        """
        self.store.progress(feature_id)
        return Handle(feature_id, self)

    @_translated
    def features(self, newest: int = 50) -> list[Progress]:
        """The progress of the newest features, newest first."""
        return [self.store.progress(feature_id) for feature_id in self.store.features(newest)]

    def _follow_up(self, facts: Facts) -> None:
        self.dispatcher.send(lifecycle.follow_up(facts))

    # What a handle asks for. Here, so that errors of the connection are translated in one place.

    @_translated
    def _progress(self, feature_id: str) -> Progress:
        return self.store.progress(feature_id)

    @_translated
    def _states(self, feature_id: str, batches: Sequence[int] | None) -> list[TaskState]:
        states = self.store.states(feature_id, batches)
        titles = {name: self.settings.title(name) for name in self.settings.specialists}
        return [
            state.model_copy(update={"specialist": titles.get(state.specialist, state.specialist)})
            for state in states
        ]

    @_translated
    def _tasks(self, feature_id: str) -> list[Task]:
        return self.store.tasks(feature_id)

    @_translated
    def _events(self, feature_id: str, after: str, block: float | None) -> list[Event]:
        return self.store.events(feature_id, after, block)

    @_translated
    def _outcome(self, feature_id: str, task_id: str) -> Outcome | None:
        self.store.task(feature_id, task_id)
        return self.store.outcomes(feature_id, [task_id]).get(task_id)

    @_translated
    def _reopen(self, feature_id: str, task_id: str, event: TaskEvent, note: str) -> None:
        self._follow_up(self.store.reopen(feature_id, task_id, event, note))

    @_translated
    def _cancel(self, feature_id: str, note: str) -> None:
        self.store.cancel(feature_id, note)

    @_translated
    def _launch(self, feature_id: str) -> None:
        self._follow_up(self.store.release(feature_id))


class Handle:
    """A feature that was enqueued. It holds an id and a client, and reads everything anew when asked."""

    def __init__(self, feature_id: str, client: Client) -> None:
        self.id = feature_id
        self._client = client

    def __repr__(self) -> str:
        return f"Handle({self.id!r})"

    def progress(self) -> Progress:
        """How far it is, from counters: the same cost for 10 tasks and for 100,000."""
        return self._client._progress(self.id)

    def status(self) -> FeatureStatus:
        """Where it stands."""
        return self.progress().status

    def tasks(self) -> list[Task]:
        """Its tasks as they were enqueued, by batch, in launch order."""
        return self._client._tasks(self.id)

    def states(self, batches: Sequence[int] | None = None) -> list[TaskState]:
        """Where its tasks stand, by batch, in launch order: those of some batches, else all."""
        return self._client._states(self.id, batches)

    def events(self, after: str = "-", block: float | None = None) -> list[Event]:
        """The events after the one with this id, at most 1,000; `block` waits so many seconds for one."""
        return self._client._events(self.id, after, block)

    def follow(self, after: str = "-") -> Iterator[Event]:
        """Every event from the oldest, and those to come, until the feature is settled."""
        while True:
            is_settled = self.progress().is_settled  # read before the events, so that none is missed
            events = self.events(after, block=None if is_settled else WATCH_SECONDS)
            yield from events
            if events:
                after = events[-1].id
            elif is_settled:
                return

    def wait(self, timeout: float | None = None) -> Progress:
        """Wait until nothing more happens to it unless a person acts: completed, cancelled, or stopped.

        Args:
            timeout: Seconds to wait at most.

        Raises:
            WaitTimeout: It is not settled by then. It goes on running.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        after = "$"
        while not (progress := self.progress()).is_settled:
            left = WATCH_SECONDS if deadline is None else min(WATCH_SECONDS, deadline - time.monotonic())
            if left <= 0:
                raise errors.WaitTimeout(
                    feature=self.id,
                    seconds=timeout,
                    status=progress.status,
                    progress=f"{progress.completed} of {progress.total} tasks complete",
                )
            events = self.events(after, block=left)
            after = events[-1].id if events else after
        return progress

    def outcome(self, task_id: str) -> Outcome | None:
        """How the last attempt of a task ended; None where none has ended yet.

        Raises:
            NoSuchTask: The feature has no such task.
        """
        return self._client._outcome(self.id, task_id)

    def result(self, task_id: str) -> JsonValue:
        """What a completed task returned.

        Raises:
            NoSuchTask: The feature has no such task.
            NotCompleted: The task is not completed, so there is no result.
        """
        outcome = self.outcome(task_id)
        if not isinstance(outcome, Completed):
            reason = f"{outcome.status}: {outcome.reason}" if outcome else "no attempt has ended yet"
            raise errors.NotCompleted(feature=self.id, task=task_id, reason=reason)
        return outcome.result

    def cancel(self, note: str = "") -> None:
        """Cancel it: nothing more starts, and its running commands are ended within seconds.

        Raises:
            RefusedTransition: It is over already.
        """
        self._client._cancel(self.id, note)

    def launch(self) -> None:
        """Start the next batch of a feature that waits for it (`auto_launch` false).

        Raises:
            RefusedTransition: It does not wait for launch.
        """
        self._client._launch(self.id)

    def retry(self, task_id: str, note: str = "") -> None:
        """Run a failed task again.

        Raises:
            NoSuchTask: The feature has no such task.
            RefusedTransition: The task has not failed.
        """
        self._client._reopen(self.id, task_id, TaskEvent.RETRY_REQUESTED, note)

    def unblock(self, task_id: str, note: str = "") -> None:
        """Run a blocked task again, because its obstacle is gone.

        Raises:
            NoSuchTask: The feature has no such task.
            RefusedTransition: The task is not blocked.
        """
        self._client._reopen(self.id, task_id, TaskEvent.BLOCKER_RESOLVED, note)


def enqueue(
    feature: Feature, *, idempotency_key: str | None = None, settings: Settings | None = None
) -> Handle:
    """Store a feature, start what may start, and return in milliseconds, with no connection left open.

    Safe from a web request or from inside another Celery task. The handle opens a connection when it is asked.

    Raises:
        As `Client.enqueue`.

    Example:
        handle = enqueue(Feature(title="Login", tasks=[Task(id="T1", run=["make", "login"])]))
    """
    client = Client(settings)
    try:
        return client.enqueue(feature, idempotency_key=idempotency_key)
    finally:
        client.close()


def make_id(title: str) -> str:
    """An id for a feature: its title in a short form, and six random characters.

    Example:
        >>> make_id("Add user login!")[:15]
        'add-user-login-'
    """
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40].strip("-")
    return f"{words or 'feature'}-{uuid.uuid4().hex[:6]}"


def check_work(feature: Feature, routes: dict[str, Route], settings: Settings) -> None:
    """Refuse a feature with a task that no worker would do.

    Raises:
        InlineCommandRefused: It brings a command of its own, and that is not allowed.
        NothingToDo: Neither it nor its specialist says what to do.
    """
    inline = [task.id for task in feature.tasks if task.run]
    if inline and not settings.inline_commands:
        raise errors.InlineCommandRefused(tasks=some(inline))
    idle: dict[str, list[str]] = {}
    for task in feature.tasks:
        if not task.run:
            idle.setdefault(routes[task.id].specialist, []).append(task.id)
    for specialist, tasks in idle.items():
        if not _has_work(specialist, settings):
            raise errors.NothingToDo(tasks=some(tasks), specialist=specialist)


def _has_work(specialist: str, settings: Settings) -> bool:
    from workers import has_work

    try:
        return has_work(specialist, settings)
    except errors.CannotImport:
        return True  # the callables may be installed where the workers are, and not here


def some(ids: Sequence[str], most: int = 5) -> str:
    """ "T1, T2 and 7 more"."""
    return ", ".join(ids[:most]) + (f" and {len(ids) - most} more" if len(ids) > most else "")
