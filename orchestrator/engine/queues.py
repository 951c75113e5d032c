"""The names of queues and exchanges at the broker, so that projects that share a broker keep apart.

On Redis, kombu puts a prefix before every key and channel (`global_keyprefix`), and the names stay as people write
them. Any other broker has one namespace for all, so there the names themselves get the prefix. The name that people
write, such as `-Q reviewer`, is then Celery's alias of the queue.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from celery.app import amqp
from kombu import Queue

from orchestrator.engine import broker, signing, tracing

if TYPE_CHECKING:
    from orchestrator.config.settings import Settings
    from orchestrator.engine.app import App


def prefix(settings: Settings) -> str:
    """The prefix of queues and exchanges. It is empty on Redis, where the keys have a prefix already.

    Example:
        >>> from orchestrator.config.settings import Settings
        >>> prefix(Settings(broker={"url": "amqp://broker"})), prefix(Settings(broker={"url": "redis://broker"}))
        ('to.', '')
    """
    return "" if broker.is_redis(settings) else f"{settings.redis.prefix}."


def configuration(settings: Settings) -> dict[str, Any]:
    """The part of Celery's configuration that names queues and exchanges."""
    start = prefix(settings)
    names = dict.fromkeys(settings.queue(specialist) for specialist in settings.specialists)
    return {
        "task_queues": [_queue(name, start) for name in names],
        "task_default_exchange": f"{start}orchestrator",
        "event_exchange": f"{start}celeryev",
        "event_queue_prefix": f"{start}celeryev",
        "control_exchange": f"{start}celery",
    }


def _queue(name: str, start: str) -> Queue:
    return Queue(f"{start}{name}", routing_key=f"{start}{name}", alias=name if start else None)


def display_names(queues: Iterable[Mapping[str, Any]]) -> list[str]:
    """The names that people use for the queues of a worker.

    Args:
        queues: The worker's answer to `inspect active_queues`.

    Example:
        >>> display_names([{"name": "to.reviewer", "alias": "reviewer"}, {"name": "writer", "alias": None}])
        ['reviewer', 'writer']
    """
    return [str(queue.get("alias") or queue["name"]) for queue in queues]


def _purpose(headers: Mapping[str, Any], routing_key: str) -> Mapping[str, Any] | None:
    """The purpose that a task's message is signed for; None for Celery's event that a message was sent."""
    return {"kind": "task", "queue": routing_key, "headers": dict(headers)} if "task" in headers else None


class Queues(amqp.Queues):
    """Celery's queues, found by the name at the broker or by the name that people use.

    Args:
        prefix: The prefix of the names at the broker.
        args: The arguments of Celery's own class.
        kwargs: The arguments of Celery's own class.
    """

    def __init__(self, prefix: str, *args: Any, **kwargs: Any) -> None:
        self.prefix = prefix
        super().__init__(*args, **kwargs)

    def new_missing(self, name: str) -> Any:
        """Make a queue that is not configured, such as one that only `-Q` names."""
        short = name.removeprefix(self.prefix)
        queue: Any = super().new_missing(self.prefix + short)
        queue.alias = short if self.prefix else None
        return queue


class AMQP(amqp.AMQP):
    """Celery's publisher, which takes either name of a queue, and signs messages if that is configured."""

    app: App
    queues_cls: Any  # Celery calls it, and asks for no class

    def __init__(self, app: App) -> None:
        super().__init__(app)
        self.queues_cls = functools.partial(Queues, prefix(app.settings))

    def _create_task_sender(self) -> Any:
        send = super()._create_task_sender()  # type: ignore[misc]

        @functools.wraps(send)
        def send_by_name(producer: Any, name: str, message: Any, *, queue: Any = None, **given: Any) -> Any:
            # Celery would take a text for the name at the broker, but it may be an alias.
            found = self.queues[queue] if isinstance(queue, str) else queue
            signer = self.app.signer
            if signer and name != tracing.ENQUEUE:  # that one is never sent, only stored
                producer = signing.Producer(producer, signer, _purpose)
            return send(producer, name, message, queue=found, **given)

        return send_by_name
