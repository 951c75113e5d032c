"""The Celery app: a task and a queue for each specialist, and Celery's configuration."""

from __future__ import annotations

import functools
from typing import Any

from celery import Celery

from orchestrator.config.settings import Settings
from orchestrator.engine import (
    broker,
    canvas,
    canvas_task,
    installation,
    queues,
    signing,
    tasks,
    tracing,
    transport,
)
from orchestrator.engine.celery_settings import CelerySettings
from orchestrator.engine.installation import Installation
from orchestrator.engine.maintenance import Maintenance
from orchestrator.engine.respawn import Respawn
from orchestrator.engine.results import Result
from orchestrator.engine.taken_attempts import TakenAttempts
from orchestrator.engine.taking import Taking
from orchestrator.state import connections
from orchestrator.state.keys import Keys


class App(Celery):
    """A Celery app made from our settings."""

    control_cls = "orchestrator.engine.remote:Control"
    log_cls = "orchestrator.engine.worker_log:Logging"
    amqp_cls = "orchestrator.engine.queues:AMQP"
    events_cls = "orchestrator.engine.events:Events"
    loader_cls = "orchestrator.engine.loader:Loader"

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return installation.of(self).settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        """Change the settings, as tests do."""
        installation.of(self).given = settings

    @property
    def signer(self) -> signing.Signer | None:
        """Signs messages and verifies their signatures; None if messages are not signed."""
        return installation.of(self).signer

    @property
    def taken_attempts(self) -> TakenAttempts | None:
        """The attempts that this worker's processes took by themselves; only in its main process."""
        return installation.of(self).taken_attempts

    @functools.cached_property
    def AsyncResult(self) -> Any:
        """Celery's class of results, which reads ours from the store (see `results`)."""
        return self.subclass_with_self(Result, reverse="AsyncResult")

    def on_init(self) -> None:
        """Called by Celery: ignore settings of another Celery app in the environment."""
        object.__setattr__(self.conf, "__class__", CelerySettings)  # an assignment would become a setting

    def connection_for_read(self, url: str | None = None, **kwargs: Any) -> Any:
        """The connection over which a worker takes messages."""
        return transport.use(super().connection_for_read(url, **kwargs))


def create(settings: Settings) -> App:
    """Make the app: a Celery task and a queue for each specialist.

    Celery's configuration is made at first use, so that an import neither looks for a Redis nor starts one.

    Args:
        settings: The settings.

    Example:
        app = create(configuration.load())
    """
    # The app does not become the current one of the process: a program may have a Celery app of its own.
    app = App("orchestrator", set_as_current=False)
    Installation(app, settings).attach()
    app.add_defaults(lambda: celery_configuration(settings))
    for specialist in settings.specialists:
        tasks.register(app, specialist)
        canvas_task.register(app, settings, specialist)
    app.task(name=canvas.BARRIER, base=canvas_task.CanvasTask, shared=False, ignore_result=False)(
        canvas.gather
    )
    tracing.register(app)
    app.steps["worker"].update((Maintenance, Respawn, Taking))
    return app


def celery_configuration(settings: Settings) -> dict[str, Any]:
    """Celery's configuration for these settings.

    Raises:
        NoRedisServer, RedisDidNotStart: No Redis is configured, and none can be started here.
        CannotSign: Messages are to be signed, and cannot be.
    """
    messages = broker.find(settings)
    state = broker.address(connections.redis_url(settings))
    prefix = Keys(settings.redis.prefix).celery()
    return {
        **queues.configuration(settings),
        **broker.broker_settings(messages),
        # Only Plan.canvas() needs results: Celery has no chord without a backend.
        **broker.result_settings(state, prefix),
        "task_ignore_result": True,
        "result_expires": 86_400,
        "task_serializer": "json",
        "result_serializer": "json",
        "event_serializer": "json",
        # A signed message becomes JSON in the consumer, which lets no unsigned one so far (see consumer, remote).
        "accept_content": [signing.NAME, "json"] if settings.broker.signing else ["json"],
        "result_accept_content": ["json"],
        "task_default_queue": settings.queue(settings.specialist_routing.default),
        "task_routes": {
            name(specialist): {"queue": settings.queue(specialist)}
            for specialist in settings.specialists
            for name in (canvas.celery_task, canvas.canvas_task)
        },
        "worker_consumer": "orchestrator.engine.consumer:Consumer",
        "worker_concurrency": settings.parallelism.max_parallel_tasks,
        # A worker takes a message only for a free process, and acknowledges it only when the task has ended.
        "worker_prefetch_multiplier": 1,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_track_started": True,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": 1_000,  # above an hour: see transport.RECONNECT
        "broker_transport_options": {
            "global_keyprefix": prefix,
            "fanout_prefix": True,
            "fanout_patterns": True,
            # So that a peer that is gone without a word (a failover, a cable) is noticed in the end.
            "socket_keepalive": True,
            # A publisher gets an error within a second or two if the broker is away, and the sweep publishes later. A
            # worker that takes messages waits as long as broker_connection_max_retries says.
            "max_retries": 1,
            "interval_start": 0.2,
            **messages.transport,
        },
        "worker_cancel_long_running_tasks_on_connection_loss": False,
    }
