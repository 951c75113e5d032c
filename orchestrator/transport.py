"""kombu's Redis transport, without the bookkeeping that our leases make needless.

kombu notes in Redis every message that it hands out (`unacked`), takes the note away when the message is acknowledged,
and hands the message out again after an hour, the visibility timeout (celery#5935, kombu#337). The messages of enqueued
features need none of that: the store knows what was launched and who holds it, and the sweep sends again what was lost.
They are marked as transient, in AMQP's word. All other messages are treated as kombu does.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import redis, virtual

TRANSIENT = 1
"""AMQP's `delivery_mode` of a message that the broker may lose."""


class QoS(redis.QoS):
    """Keeps transient messages in mind, for the prefetch count and an orderly end, and nowhere else."""

    channel: Any  # what kombu keeps to itself is in no stubs
    _delivered: Any
    _flush: Any

    def append(self, message: Any, delivery_tag: str) -> None:
        """Take note of a message that was handed out."""
        if _is_transient(message):
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Forget a message that was acknowledged."""
        if _is_transient(self._delivered.get(delivery_tag)):
            virtual.QoS.ack(self, delivery_tag)
        else:
            super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Forget a message that was refused. Whether its task is to run again, the store decides."""
        if _is_transient(self._delivered.get(delivery_tag)):
            virtual.QoS.ack(self, delivery_tag)
        else:
            super().reject(delivery_tag, requeue)

    def restore_unacked(self, client: Any = None) -> None:
        """Put back what was handed out and not begun: another worker takes it at once."""
        self._flush()
        kept = {tag: message for tag, message in self._delivered.items() if _is_transient(message)}
        with self.channel.conn_or_acquire(client) as connection:
            for tag, message in kept.items():
                info = message.delivery_info
                self.channel._do_restore_message(
                    message._raw, info["exchange"], info["routing_key"], connection, leftmost=False
                )
                del self._delivered[tag]
        super().restore_unacked(client)


class Channel(redis.Channel):
    """A channel of this transport."""

    QoS = QoS


class Transport(redis.Transport):
    """The transport."""

    Channel = Channel


def use(connection: Any) -> Any:
    """Let a connection that is not open yet take its messages by this transport, if it is one to a Redis.

    The URL stays as it is: Flower and others read it.
    """
    if connection.transport_cls in ("redis", "rediss"):
        connection.transport_cls = Transport
    return connection


def _is_transient(message: Any) -> bool:
    return message is not None and message.properties.get("delivery_mode") == TRANSIENT
