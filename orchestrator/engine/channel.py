"""The channels of a connection to Redis: they read messages, and skip keys that are not queues.

A key of another type may have the name of a queue, of one of its priorities, or of a key that kombu keeps beside them.
Kombu would end the worker. Here the key is skipped, and the log says so once; the doctor names it and the remedy.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from queue import Empty
from typing import Any

from kombu.transport import redis
from kombu.utils.encoding import bytes_to_str
from redis.exceptions import ResponseError

from orchestrator.engine.message_format import UNUSABLE, is_readable
from orchestrator.engine.message_validation import quoted
from orchestrator.engine.qos import QoS
from orchestrator.state import refusals

logger = logging.getLogger("orchestrator")

RECHECK_SECONDS = 2.0
"""Skipped keys are checked this often: one may have become a queue."""

_warned: set[str] = set()
"""The skipped keys that the log has named, for all channels of this process. A key that became a queue is named again
when it is overwritten once more."""


class Channel(redis.Channel):
    """Kombu's channel, which skips keys of another type than it expects."""

    QoS = QoS
    connection: Any  # kombu's stubs leave these out
    active_queues: Any
    client: Any
    global_keyprefix: str
    brpop_timeout: Any
    conn_or_acquire: Any
    priority_steps: Any
    _q_for_pri: Any
    _queue_cycle: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.skipped: set[str] = set()
        """Keys that stand in the place of a queue."""
        self._checked_at = 0.0
        super().__init__(*args, **kwargs)

    def try_step(self, step: Callable[[], object], key: str) -> bool:
        """Take a step; False, and a line in the log, if a key is of another type than kombu expects.

        Raises:
            ResponseError: Redis refuses the step for another reason.
        """
        try:
            step()
        except ResponseError as error:
            if not _is_of_wrong_type(error):
                raise
            self._warn_once(key)
            return False
        return True

    def _warn_once(self, key: str) -> None:
        if self.global_keyprefix + key not in _warned:
            _warned.add(self.global_keyprefix + key)
            logger.warning(
                "%s%s is skipped: somebody has stored something else there. `orchestrator doctor` says what to do.",
                self.global_keyprefix,
                quoted(key)[1:-1],
            )

    def _keys(self, queue: str) -> list[str]:
        return [self._q_for_pri(queue, priority) for priority in self.priority_steps]

    def _lengths(self, keys: list[str]) -> list[int | None]:
        """The number of messages under each key; None if the key is of another type."""
        with self.conn_or_acquire() as client, client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.llen(key)
            answers = pipe.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, Exception) and not _is_of_wrong_type(answer):
                raise answer
        return [None if isinstance(answer, Exception) else int(answer) for answer in answers]

    def _size(self, queue: str) -> int:
        return sum(length or 0 for length in self._lengths(self._keys(queue)))

    def _queue_bind(self, exchange: str, *args: Any) -> None:
        bind: Any = super()._queue_bind  # type: ignore[misc]
        self.try_step(lambda: bind(exchange, *args), self.keyprefix_queue % (exchange,))

    def _delete(self, queue: str, exchange: str, *args: Any, **kwargs: Any) -> None:
        delete: Any = super()._delete
        self.try_step(lambda: delete(queue, exchange, *args, **kwargs), self.keyprefix_queue % (exchange,))

    def maybe_refresh_binding_expiry(self) -> None:
        """Called from time to time."""
        refresh: Any = super().maybe_refresh_binding_expiry  # type: ignore[misc]
        self.try_step(refresh, self.keyprefix_queue % ("*",))

    def sweep_bindings(self, *args: Any, **kwargs: Any) -> None:
        """Called from time to time."""
        sweep: Any = super().sweep_bindings  # type: ignore[misc]
        self.try_step(lambda: sweep(*args, **kwargs), self.keyprefix_queue % ("*",))

    def _check_keys(self, keys: list[str]) -> None:
        self.skipped = {key for key, length in zip(keys, self._lengths(keys), strict=True) if length is None}
        self._checked_at = time.monotonic()
        _warned.difference_update(self.global_keyprefix + key for key in keys if key not in self.skipped)
        for key in sorted(self.skipped):
            self._warn_once(key)

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Kombu's own, without the skipped keys: BRPOP refuses all of its keys because of one."""
        if self.skipped and time.monotonic() - self._checked_at > RECHECK_SECONDS:
            self._check_keys([key for queue in self.active_queues for key in self._keys(queue)])
        if not self.skipped:
            super()._brpop_start(timeout)  # type: ignore[misc]
            return
        queues = self._queue_cycle.consume(len(self.active_queues))
        keys = [self._q_for_pri(queue, priority) for priority in self.priority_steps for queue in queues]
        keys = [key for key in keys if key not in self.skipped]
        if keys:
            self._in_poll = self.client.connection
            self._brpop_sent_at = time.monotonic()
            seconds = self.brpop_timeout if timeout is None else timeout
            command = ["BRPOP", *keys, seconds or 0]
            sent = self.client._prefix_args(command) if self.global_keyprefix else command
            self.client.connection.send_command(*sent)

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]
        except ResponseError as error:
            if not _is_of_wrong_type(error):
                raise
            self._check_keys([key for queue in self.active_queues for key in self._keys(queue)])
            raise Empty from None
        except UNUSABLE:
            self.connection._deliver(None, next(iter(self.active_queues)))
            return True

    def _handle_message(self, client: Any, response: Any) -> Any:
        """Called with a message of a pub/sub channel. Kombu would log a traceback for one that it cannot read."""
        received: Any = super()._handle_message(client, response)  # type: ignore[misc]
        is_message = bytes_to_str(received["type"]).endswith("message")
        if is_message and not is_readable(received["data"]):
            logger.warning(
                "A message on the channel %s is dropped: it is not a Celery message",
                quoted(bytes_to_str(received["channel"])),
            )
            received["data"] = None
        return received

    def _receive_one(self, client: Any) -> Any:
        try:
            return super()._receive_one(client)  # type: ignore[misc]
        except UNUSABLE:
            raise Empty from None


class SentinelChannel(Channel, redis.SentinelChannel):
    """The same, to the master that sentinels name."""


def _is_of_wrong_type(error: Exception) -> bool:
    return isinstance(error, ResponseError) and refusals.code(error) == "WRONGTYPE"
