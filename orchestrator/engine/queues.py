"""What queues and exchanges are called at the broker, so that projects that share one keep apart.

On a Redis every key and channel of kombu's has a prefix (its `global_keyprefix`), and the names stay as people write
them. Any other broker has one space of names for all, so the names themselves get the prefix there, and what people
write, such as `-Q reviewer`, is Celery's alias of a queue.
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
    """What the names of queues and exchanges begin with; nothing on a Redis, where the keys do.

    Example:
        >>> from orchestrator.config.settings import Settings
        >>> prefix(Settings(broker={"url": "amqp://broker"})), prefix(Settings(broker={"url": "redis://broker"}))
        ('to.', '')
    """
    return "" if broker.is_redis(settings) else f"{settings.redis.prefix}."


def configuration(settings: Settings) -> dict[str, Any]:
    """The part of Celery's configuration that says what is called how."""
    begins = prefix(settings)
    names = dict.fromkeys(settings.queue(specialist) for specialist in settings.specialists)
    return {
        "task_queues": [_queue(name, begins) for name in names],
        "task_default_exchange": f"{begins}orchestrator",
        "event_exchange": f"{begins}celeryev",
        "event_queue_prefix": f"{begins}celeryev",
        "control_exchange": f"{begins}celery",
    }


def _queue(name: str, begins: str) -> Queue:
    return Queue(f"{begins}{name}", routing_key=f"{begins}{name}", alias=name if begins else None)


def readable(queues: Iterable[Mapping[str, Any]]) -> list[str]:
    """The queues of a worker as people name them, from its answer to `inspect active_queues`.

    Example:
        >>> readable([{"name": "to.reviewer", "alias": "reviewer"}, {"name": "writer", "alias": None}])
        ['reviewer', 'writer']
    """
    return [str(queue.get("alias") or queue["name"]) for queue in queues]


def _task(headers: Mapping[str, Any], routing_key: str) -> Mapping[str, Any] | None:
    """What the message of a task is for. An event that says that it was sent comes by the same way."""
    return {"kind": "task", "queue": routing_key, "headers": dict(headers)} if "task" in headers else None


class Queues(amqp.Queues):
    """Queues by their names at the broker, and as people name them.

    Args:
        begins: What the names at the broker begin with.
        args: As of Celery's own.
        kwargs: As of Celery's own.
    """

    def __init__(self, begins: str, *args: Any, **kwargs: Any) -> None:
        self.begins = begins
        super().__init__(*args, **kwargs)

    def new_missing(self, name: str) -> Any:
        """A queue that is not configured, such as one that only `-Q` names."""
        short = name.removeprefix(self.begins)
        queue: Any = super().new_missing(self.begins + short)
        queue.alias = short if self.begins else None
        return queue


class AMQP(amqp.AMQP):
    """Publishes to queues by either name."""

    app: App
    queues_cls: Any  # Celery calls it, and asks for no class

    def __init__(self, app: App) -> None:
        super().__init__(app)
        self.queues_cls = functools.partial(Queues, prefix(app.settings))

    def _create_task_sender(self) -> Any:
        send = super()._create_task_sender()  # type: ignore[misc]

        @functools.wraps(send)
        def send_by_name(producer: Any, name: str, message: Any, *, queue: Any = None, **given: Any) -> Any:
            # Celery's own sends to what a text says, which may be an alias.
            found = self.queues[queue] if isinstance(queue, str) else queue
            signer = self.app.signer
            if signer and name != tracing.ENQUEUE:  # which is only stored
                producer = signing.Producer(producer, signer, _task)
            return send(producer, name, message, queue=found, **given)

        return send_by_name
