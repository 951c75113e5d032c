"""Kombu's Redis transport, without the bookkeeping that leases make needless, and safe from bad messages.

Kombu records in Redis every message that it delivers (`unacked`), deletes the record when the message is acknowledged,
and delivers the message again after an hour, the visibility timeout (celery#5935, kombu#337). The messages of enqueued
features need none of that: the store knows what was launched and who holds it, and the sweep sends lost messages again.
They are marked as transient, in AMQP's word. All other messages are treated as kombu does.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Mapping
from typing import Any

from kombu import Connection
from kombu.transport import redis

from orchestrator.engine.channel import Channel, SentinelChannel
from orchestrator.engine.message_format import UNUSABLE, empty_message, is_message

logger = logging.getLogger("orchestrator")

RECONNECT: Mapping[str, float] = {"interval_start": 0.5, "interval_step": 0.5, "interval_max": 5.0}
"""Seconds between two attempts of a worker to reach its broker. Celery's own 2, 4, … 30 are late after a failover."""

CREDIT_SECONDS = 0.5
"""A worker that may take no message now looks at its other channels after this time."""


class Poller(redis.MultiChannelPoller):
    """Waits for messages.

    If the prefetch count allows none, kombu's own waits for its full 2 s, even if a message is acknowledged meanwhile
    (celery/worker/loops.py, `synloop`, which the pools gevent and eventlet use). This one ends the wait then.
    """

    _channels: Any  # kombu's stubs leave this out

    def __init__(self) -> None:
        super().__init__()
        self.credit = threading.Event()

    def get(self, callback: Any, timeout: float | None = None) -> Any:
        """Take a message, or wait for one."""
        self.credit.clear()
        if all(channel.qos.can_consume() for channel in self._channels):
            return super().get(callback, timeout)
        self.credit.wait(CREDIT_SECONDS if timeout is None else min(timeout, CREDIT_SECONDS))
        return super().get(callback, timeout=0)


class Transport(redis.Transport):
    """Kombu's transport with our channels and poller."""

    Channel = Channel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cycle = Poller()

    def _deliver(self, message: Any, queue: str | None) -> None:
        given = message if is_message(message) else empty_message(queue)
        given["properties"]["delivery_info"]["queue"] = queue  # where it was found, not where it says
        try:
            super()._deliver(given, queue)
        except (
            UNUSABLE
        ) as error:  # a message that is not for the consumer, such as an event of another worker
            logger.warning("A message on %s is dropped (%s)", queue, type(error).__name__)
            logger.debug("Dropped", exc_info=True)


class SentinelTransport(Transport, redis.SentinelTransport):
    """The same, behind sentinels."""

    Channel = SentinelChannel


NAME = f"{Transport.__module__}:{Transport.__name__}"
SENTINEL_NAME = f"{SentinelTransport.__module__}:{SentinelTransport.__name__}"
NAMES = {"redis": NAME, "rediss": NAME, "sentinel": SENTINEL_NAME}
Connection.resolve_aliases.update({NAME: "redis", SENTINEL_NAME: "sentinel"})
"""The names that `celery inspect stats`, Flower and logs show: they know no others."""


def use(connection: Any) -> Any:
    """Let a connection to a Redis that is not open yet take its messages by this transport.

    The URL stays as it is: Flower and others read it.
    """
    if connection.transport_cls in NAMES:
        connection.transport_cls = NAMES[connection.transport_cls]
        connection.ensure_connection = functools.partial(connection.ensure_connection, **RECONNECT)
        # Kombu would go on to the next URL of a list, and come back to its own transport with it.
        connection.cycle = None
    return connection
