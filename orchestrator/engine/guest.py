"""The engine as a guest in a Celery app that exists already (`install`).

The app stays as it is. It gets our Celery tasks beside its own, steps for its workers, and our broker if it names none.
Our messages go through its broker: to our own queues, or to those of the tasks that are called.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from celery import bootsteps, signals
from celery.app.utils import find_app
from kombu import Queue
from pydantic import SecretStr

from orchestrator import specialists
from orchestrator.config import configuration
from orchestrator.config.settings import Settings
from orchestrator.engine import (
    broker,
    calls,
    canvas_of_calls,
    flower_config,
    installation,
    pools,
    shared_broker,
    tasks,
    tracing,
)
from orchestrator.engine.installation import ATTRIBUTE, Installation
from orchestrator.engine.maintenance import Maintenance
from orchestrator.engine.respawn import Respawn
from orchestrator.engine.shared_broker import AppQueues
from orchestrator.engine.taking import Taking
from orchestrator.engine.visibility import SpecialistTask
from orchestrator.model import errors
from orchestrator.model.calls import called_by, specialist_of
from orchestrator.specialists.registry import describe_exception
from orchestrator.state.keys import Keys

if TYPE_CHECKING:
    from celery import Celery
    from celery.worker import WorkController

STRATEGY = "orchestrator.engine.strategy:validated"
"""The function that receives our messages in a worker of theirs, as Celery names it."""


class Guest(Installation):
    """The engine in a Celery app of somebody else.

    Args:
        app: The Celery app.
        settings: The settings, without what the app decides: the broker, and where the messages of its tasks go.
    """

    is_guest = True

    def __init__(self, app: Celery, settings: Settings) -> None:
        super().__init__(app, settings)
        self._brought: str | None = None
        """The URL of the broker that the app got from us; None if it named one when it was configured."""

    @property
    def brings_broker(self) -> bool:
        """The app has our broker. It may have named one of its own since it was configured."""
        url: Any = self.app.conf.broker_url  # this configures the app, if nothing has yet
        return self._brought is not None and url == self._brought

    @functools.cached_property
    def _in_force(self) -> Settings:
        """The settings with the broker and the routes of the app, which are known when its configuration is read."""
        found = self.given
        if not self.brings_broker:
            url = SecretStr(installation.broker_url(self.app))
            section = found.broker.model_copy(update={"url": url})
            found = found.model_copy(update={"broker": section})
        own = {specialist: self.queues[found.queue(specialist)].name for specialist in found.specialists}
        shared = None if self.apart else AppQueues(self.app, own)
        return found.routed(self._queue_of_call, shared)

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._in_force

    @functools.cached_property
    def queues(self) -> dict[str, Queue]:
        """Our own queues, by the name that people use. Where the broker is theirs, a prefix keeps them apart."""
        start = "" if self.brings_broker else f"{self.given.redis.prefix}."
        names = dict.fromkeys(self.given.queue(specialist) for specialist in self.given.specialists)
        return {
            name: Queue(f"{start}{name}", routing_key=f"{start}{name}", alias=name if start else None)
            for name in names
        }

    def destination(self, specialist: str) -> dict[str, Any]:
        """Celery's options for sending the messages of a specialist."""
        called = called_by(specialist)
        if called is not None:
            return calls.destination(self.app, called)
        # Without an exchange: the default one delivers to a queue by its name, although nothing is bound to it.
        return {"queue": self.queues[self.settings.queue(specialist)]}

    @property
    def apart(self) -> str:
        """See `shared_broker.why_not`."""
        return shared_broker.why_not(self)

    def specialists_of(self, queue: str) -> Sequence[str]:
        """Those of a queue: ours, and tasks of the app that are called."""
        queues = self.settings.celery_queues
        return queues.specialists_of(queue) if isinstance(queues, AppQueues) else ()

    def _queue_of_call(self, name: str) -> str:
        destination = calls.destination(self.app, name)
        queue = destination.get("queue")
        return str(getattr(queue, "name", queue) or destination.get("routing_key") or name)

    def check_names(self) -> None:
        """Refuse to start if a task of the app has the name of a specialist: it would get messages meant for that.

        Raises:
            SystemExit: There is one.
        """
        for specialist in self.settings.specialists:
            task = self.app.tasks[specialist]
            if not isinstance(task, SpecialistTask):
                place = f"the task {task.name} of the Celery app {self.app.main}"
                error = errors.SpecialistExists(
                    specialist=specialist, first="the configuration", second=place
                )
                print(f"The worker does not start. {error}", file=sys.stderr)
                raise SystemExit(error.exit_code)

    def bring_broker(self, source: Any, **_: object) -> None:
        """Called by Celery when the app is configured: if it names no broker, it gets ours."""
        if source.broker_url:
            return
        messages = broker.find(self.given)
        self._brought = messages.url
        prefix = Keys(self.given.redis.prefix).celery()
        source.add_defaults(
            {
                **broker.broker_settings(messages),
                "broker_transport_options": {
                    "global_keyprefix": prefix,
                    "fanout_prefix": True,
                    "fanout_patterns": True,
                    **messages.transport,
                },
                "broker_connection_retry_on_startup": True,
            }
        )

    def on_worker_init(self, instance: Any = None, **_: object) -> None:
        """Called by Celery when a worker of some app begins, before it chooses its queues by their names (`-Q`)."""
        if instance is not None and instance.app is self.app:
            self.add_queues()

    def add_queues(self) -> None:
        """Let a worker know our queues, and take from them if it is not given queues by name (`-Q`)."""
        for queue in self.queues.values():
            if queue.name not in self.app.amqp.queues:
                self.app.amqp.queues.select_add(queue)


def install(app: Celery[Any], settings: Settings | None = None) -> Guest:
    """Let the workers of a Celery app run features too, beside its own tasks.

    `celery -A proj worker` then runs the tasks of the app as before, and those of features. Nothing of the app
    changes: not its tasks, settings, serializer, routes, signals, classes or result backend. If it names no broker, it
    gets ours.

    Args:
        app: The Celery app.
        settings: The settings; None: those of the working folder.

    Raises:
        InvalidConfiguration: The settings cannot be used.
        InstalledTwice: The app has the engine already.
        NotForGuests: Messages are to be signed, which another app's workers could not do.

    Example:
        app = Celery("proj", broker="redis://…")
        orchestrator.install(app)
    """
    if getattr(app, ATTRIBUTE, None) is not None:
        raise errors.InstalledTwice(app=app.main or "this app")
    given = configuration.load() if settings is None else settings
    if given.broker.signing:
        raise errors.NotForGuests(
            setting="broker.signing", reason="their other messages would have to be signed too"
        )
    engine = Guest(app, given).attach()
    if getattr(app, "configured"):  # noqa: B009 (Celery's stubs leave it out)
        engine.bring_broker(app.conf)
    else:
        app.on_after_configure.connect(engine.bring_broker)
    for specialist in given.specialists:
        tasks.register(app, specialist, **OPTIONS)
    tracing.register(app)
    canvas_of_calls.register(app)
    app.steps["worker"].update((Arrival, Maintenance, Respawn, Taking))
    signals.celeryd_init.connect(engine.on_worker_init)
    flower_config.bring_pages()
    return engine


def find(name: str, settings: Settings) -> Installation:
    """The engine in the project's own Celery app, which is imported with the modules of its tasks.

    Args:
        name: The app, as `celery -A` takes it.
        settings: The settings: they say where the project lies.

    Raises:
        CannotImport: It cannot be imported.
        NotInstalled: It does not run features.
    """
    project = str(settings.folder.parent)
    if project not in sys.path:
        sys.path.append(project)
    try:
        app = find_app(name)
        app.loader.import_default_modules()  # a task may say which queue it has
    except Exception as error:
        raise errors.CannotImport(
            reference=name, setting="app", cause=describe_exception(error), project=project
        ) from error
    return installation.of(app)


def app_of(settings: Settings) -> Celery:
    """The app of these settings: the project's own if they name one, else one of ours.

    Raises:
        As `find`.
    """
    from orchestrator.engine.app import create  # late: it is not needed in a project's own app

    return find(settings.app, settings).app if settings.app else create(settings)


class Arrival(bootsteps.StartStopStep):
    """A Celery worker bootstep that prepares the worker for features, before the pool forks its processes."""

    def __init__(self, parent: WorkController, **_: Any) -> None:
        super().__init__(parent)
        app: Any = parent.app
        engine = installation.of(app)
        assert isinstance(engine, Guest)  # nosec B101  # for mypy: only `install` adds this step
        try:
            specialists.import_all(engine.settings)
        except errors.CannotImport as error:
            print(f"The worker does not start. {error}", file=sys.stderr)
            raise SystemExit(error.exit_code) from None
        engine.add_queues()
        add_calls(app)
        engine.check_names()

    def start(self, parent: WorkController) -> None:
        """Called after the pool has started: before a flush, let it accept the jobs that it has."""
        pool: Any = parent.pool
        flush = getattr(pool, "flush", None)
        if flush:

            def accept_and_flush() -> None:
                pools.accept_given_jobs(pool)
                flush()

            pool.flush = accept_and_flush


def add_calls(app: Celery) -> None:
    """Register a Celery task of ours for each task of an app: it runs that one as a task of a feature."""
    app.finalize()
    for name in list(shared_broker.tasks_of(app)):
        task, specialist = app.tasks[name], specialist_of(name)
        if specialist in app.tasks:
            continue
        limits = {each: getattr(task, each) for each in ("rate_limit", "time_limit", "soft_time_limit")}
        tasks.register(app, specialist, **limits, **OPTIONS)


OPTIONS: dict[str, Any] = {
    "Strategy": STRATEGY,
    "acks_late": True,
    "acks_on_failure_or_timeout": True,
    "acks_on_failure": True,  # these two and the next but one are of Celery 5.7
    "acks_on_timeout": True,
    "reject_on_worker_lost": True,
    "retry_on_worker_lost": False,
    "track_started": True,
    "ignore_result": True,
    "store_errors_even_if_ignored": False,
    "serializer": "json",
}
"""The options that our own app sets for all its tasks. In an app of somebody else each of our tasks sets them."""
