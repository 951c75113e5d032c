"""Carries out the commands of the lifecycle: publishes messages through Celery, and writes to the log."""

from __future__ import annotations

import contextlib
import json
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import redis
from kombu import Producer
from kombu.exceptions import OperationalError

from orchestrator.config import urls
from orchestrator.engine import canvas, installation, tracing
from orchestrator.engine.message_format import TRANSIENT
from orchestrator.model import errors
from orchestrator.model.call_options import CallOptions
from orchestrator.model.calls import called_by
from orchestrator.model.commands import Command, Launch, LogProgress, PublishTasks, ScheduleFeature, follow_up
from orchestrator.state import forks, refusals
from orchestrator.state.store import Store

if TYPE_CHECKING:
    from celery import Celery

    from orchestrator.engine.installation import Installation
    from orchestrator.state.memory import Server

logger = logging.getLogger("orchestrator")


class Dispatcher:
    """Carries out commands.

    Args:
        app: The Celery app to publish through.
        store: Holds the launches. The dispatcher does not publish those that its scripts publish (`queues`).
        pooled: Publish through the app's connection pool, as workers do. False: open a connection for each launch,
            and close it after that.
    """

    is_in_process = False
    """This process does the work itself."""

    def __init__(self, app: Celery, store: Store, *, pooled: bool) -> None:
        self.app = app
        self.store = store
        self.pooled = pooled

    def send(self, commands: Iterable[Command]) -> None:
        """Carry out commands in their order, and the commands that follow from them.

        Raises:
            BrokerUnreachable: The broker takes no messages. The sweep publishes them later; all else is done.
        """
        to_do, unreachable = deque(commands), None
        while to_do:
            forks.let_one_through()
            match to_do.popleft():
                case PublishTasks(feature, launches):
                    if left := tuple(each for each in launches if each.is_left or not self.store.queues):
                        try:
                            self.publish(feature, left)
                        except errors.BrokerUnreachable as error:
                            unreachable = error
                case LogProgress(feature, batch):
                    if logger.isEnabledFor(logging.INFO):
                        logger.info("[%s] %s", feature, batch.line())
                case ScheduleFeature(feature):
                    # A feature that this version cannot read is left to workers that can.
                    with contextlib.suppress(errors.NoSuchFeature, errors.UnreadableFeature, errors.Outdated):
                        to_do.extend(follow_up(self.store.schedule(feature)))
        if unreachable:
            raise unreachable

    def wake(self, feature_ids: Iterable[str]) -> None:
        """Launch the ready tasks of features.

        Raises:
            BrokerUnreachable: As of `send`.
        """
        self.send([ScheduleFeature(feature_id) for feature_id in feature_ids])

    def publish(self, feature_id: str, launches: tuple[Launch, ...]) -> None:
        """Publish launches as one Celery group.

        Raises:
            BrokerUnreachable: The broker takes no messages. The sweep publishes them later.
        """
        options = self._options_of_calls(feature_id, launches)
        messages = canvas.group_of(self.app, feature_id, launches, options)
        trace = self.store.trace(feature_id)
        try:
            self.deliver(messages, trace)
        except (OperationalError, OSError, redis.RedisError) as error:
            url = urls.safe_url(installation.broker_url(self.app))
            raise errors.BrokerUnreachable(
                url=url, cause=refusals.describe(error), feature=feature_id
            ) from None

    def _options_of_calls(self, feature_id: str, launches: Sequence[Launch]) -> dict[str, dict[str, Any]]:
        """The options with which tasks say that the messages of their calls are sent, by task id."""
        calls = [launch.task for launch in launches if called_by(launch.specialist)]
        if not calls:
            return {}
        stored: Any = self.store.client.hmget(self.store.keys.feature(feature_id).tasks, calls)
        tasks = {task: json.loads(text) for task, text in zip(calls, stored, strict=True) if text}
        given = {
            task: CallOptions.model_validate(of["options"]) for task, of in tasks.items() if of.get("options")
        }
        return {task: options.sent_as for task, options in given.items()}

    def deliver(self, messages: Sequence[canvas.Message], trace: Mapping[str, Any]) -> None:
        """Send messages, with the headers of a trace."""
        with tracing.as_current(self.app), self._producer() as producer:
            for message in messages:
                self.app.amqp.send_task_message(
                    producer,
                    message.name,
                    message.content,
                    **message.destination,
                    serializer="json",
                    headers=trace,
                    delivery_mode=TRANSIENT,
                    retry=False,
                )

    @contextlib.contextmanager
    def _producer(self) -> Iterator[Producer]:
        if self.pooled:
            with self.app.producer_pool.acquire(block=True) as producer:
                yield producer
        else:
            with self.app.connection_for_write() as connection:
                yield self.app.amqp.Producer(connection)


class InProcessDispatcher(Dispatcher):
    """Gives launches to the worker of this process, in whose memory the state lies.

    Args:
        app, store: As of `Dispatcher`.
        server: The Redis in memory.
    """

    is_in_process = True

    def __init__(self, app: Celery, store: Store, server: Server) -> None:
        super().__init__(app, store, pooled=False)
        self.server = server

    def publish(self, feature_id: str, launches: tuple[Launch, ...]) -> None:
        """Let the worker of this process have launches."""
        self.server.launched.extend((feature_id, launch) for launch in launches)


def open_dispatcher(
    engine: Installation, store: Store, *, pooled: bool, kind: type[Dispatcher] = Dispatcher
) -> Dispatcher:
    """The dispatcher of an engine.

    Args:
        engine: The engine.
        store, pooled: As of `Dispatcher`.
        kind: The class of one that sends messages.
    """
    if server := engine.settings.redis.memory:
        from orchestrator.state import memory  # late: only tests need it

        return InProcessDispatcher(engine.app, store, memory.find(server.service))
    return kind(engine.app, store, pooled=pooled)
