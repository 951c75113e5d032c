"""Tracks the messages that a worker has taken and not acknowledged yet."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

from kombu.transport import redis, virtual

from orchestrator.engine.message_format import is_transient

logger = logging.getLogger("orchestrator")


class QoS(redis.QoS):
    """Kombu's QoS, which tracks transient messages in memory alone: for the prefetch count and an orderly end.

    The store knows what was launched and who holds it, so the broker need not know it too (see `transport`).
    """

    channel: Any  # kombu's stubs leave these out
    _delivered: Any
    _flush: Any

    def append(self, message: Any, delivery_tag: str) -> None:
        """Track a message that was delivered."""
        if is_transient(message) or not self._try(lambda: super(QoS, self).append(message, delivery_tag)):
            virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Drop a message that was acknowledged."""
        if self._is_in_memory_only(delivery_tag) or not self._try(lambda: super(QoS, self).ack(delivery_tag)):
            virtual.QoS.ack(self, delivery_tag)
        self._wake_poller()

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Drop a message that was refused, or put it back into its queue.

        It is put back if it came after this worker stopped taking messages, or if its pool process was lost. A worker
        that takes it again asks the store whether its task is still to run.
        """
        if self._is_in_memory_only(delivery_tag):
            if requeue:
                with self._broker_may_be_gone():
                    self._put_back([delivery_tag])
            virtual.QoS.ack(self, delivery_tag)
        elif not self._try(lambda: super(QoS, self).reject(delivery_tag, requeue)):
            virtual.QoS.ack(self, delivery_tag)
        self._wake_poller()

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Called from time to time: put back messages that were delivered long ago."""
        self._try(lambda: super(QoS, self).restore_visible(*args, **kwargs))

    def restore_unacked(self, client: Any = None) -> None:
        """Put back the messages that were delivered and not started, so that another worker takes them at once.

        If the broker is gone, the sweep sends them again later. An error here would end the worker: Celery expects
        only connection errors (celery/worker/consumer/consumer.py, `ignore_errors`), and kombu raises others, such as
        an AttributeError after it has let go of the connection.
        """
        self._flush()
        with self._broker_may_be_gone():
            self._put_back([tag for tag, message in self._delivered.items() if is_transient(message)], client)
            super().restore_unacked(client)
        self._delivered.clear()

    def _try(self, step: Callable[[], object]) -> bool:
        return bool(self.channel.try_step(step, f"{self.unacked_key} or {self.unacked_index_key}"))

    def _wake_poller(self) -> None:
        if self.channel.connection:
            self.channel.connection.cycle.credit.set()

    def _is_in_memory_only(self, delivery_tag: str) -> bool:
        """Whether a message is transient, or was put back when the connection broke.

        A task may end long after its message was put back. Kombu would then use a channel that is closed, and its
        AttributeError would end the worker.
        """
        message = self._delivered.get(delivery_tag)
        return message is None or is_transient(message)

    @contextlib.contextmanager
    def _broker_may_be_gone(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            logger.warning(
                "The broker is gone: %s. The messages that this worker took and did not begin are sent again",
                error,
            )

    def _put_back(self, tags: list[str], client: Any = None) -> None:
        with self.channel.conn_or_acquire(client) as connection:
            for tag in tags:
                message = self._delivered.pop(tag, None)
                if message is not None:  # else it was put back when the connection broke
                    info = message.delivery_info
                    self.channel._do_restore_message(
                        message._raw, info["exchange"], info["routing_key"], connection, leftmost=False
                    )
