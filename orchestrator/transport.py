"""kombu's Redis transport, without the bookkeeping that our leases make needless, and safe from what is no message.

kombu notes in Redis every message that it hands out (`unacked`), takes the note away when the message is acknowledged,
and hands the message out again after an hour, the visibility timeout (celery#5935, kombu#337). The messages of enqueued
features need none of that: the store knows what was launched and who holds it, and the sweep sends again what was lost.
They are marked as transient, in AMQP's word. All other messages are treated as kombu does.

A list in Redis takes anything. What is no JSON, or not of kombu's form, ends kombu's event loop and with it the worker
(kombu/transport/redis.py, `_brpop_read`; kombu/transport/virtual/base.py, `Message`). Here an empty message takes its
place, which the consumer refuses as it refuses others.

So does a key of another type under the name of a queue, of one of its priorities, or of what kombu keeps beside them.
It is passed over here, and told once; the doctor names it and the remedy.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from queue import Empty
from typing import Any

from kombu import Connection
from kombu.exceptions import ContentDisallowed, SerializationError
from kombu.transport import redis, virtual
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads
from redis.exceptions import ResponseError

from orchestrator import refusals, signing
from orchestrator.admission import quoted

logger = logging.getLogger("orchestrator")

UNUSABLE = (
    ArithmeticError,
    AttributeError,
    ContentDisallowed,
    LookupError,
    RecursionError,
    SerializationError,
    TypeError,
    ValueError,
)
"""What reading a text that somebody else wrote may raise."""

CONTENT_TYPES = ("application/json", signing.CONTENT_TYPE)
"""As it is, and signed."""

ENCODINGS = ("utf-8", "utf8")
"""Any codec of Python's could be named, such as bz2, which makes gigabytes of a few letters."""

LONGEST = 1_000
"""Characters of a delivery tag or a routing key."""

RECONNECT: Mapping[str, float] = {"interval_start": 0.5, "interval_step": 0.5, "interval_max": 5.0}
"""Seconds between two tries of a worker to reach its broker. Celery's own are 2, 4, … 30: late after a failover."""

TRANSIENT = 1
"""AMQP's `delivery_mode` of a message that the broker may lose."""


CREDIT_SECONDS = 0.5
"""A worker that may take no message now looks at its other channels after so long."""


LOOK_SECONDS = 2.0
"""Between two looks whether a key that is passed over has become a queue."""


class Poller(redis.MultiChannelPoller):
    """Waits for messages.

    kombu's own, where it may take none because of the prefetch count, waits on to the end of its 2 s, whatever is
    acknowledged meanwhile (celery/worker/loops.py, `synloop`, which the pools gevent and eventlet use).
    """

    _channels: Any  # what kombu keeps to itself is in no stubs

    def __init__(self) -> None:
        super().__init__()
        self.credit = threading.Event()

    def get(self, callback: Any, timeout: float | None = None) -> Any:
        """Take what is there, or wait for it."""
        self.credit.clear()
        if all(channel.qos.can_consume() for channel in self._channels):
            return super().get(callback, timeout)
        self.credit.wait(CREDIT_SECONDS if timeout is None else min(timeout, CREDIT_SECONDS))
        return super().get(callback, timeout=0)


class QoS(redis.QoS):
    """Keeps transient messages in mind, for the prefetch count and an orderly end, and nowhere else."""

    channel: Any  # what kombu keeps to itself is in no stubs
    _delivered: Any
    _flush: Any

    def append(self, message: Any, delivery_tag: str) -> None:
        """Take note of a message that was handed out."""
        if _is_transient(message) or not self._noted(lambda: super(QoS, self).append(message, delivery_tag)):
            virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Forget a message that was acknowledged."""
        if self._is_ours(delivery_tag) or not self._noted(lambda: super(QoS, self).ack(delivery_tag)):
            virtual.QoS.ack(self, delivery_tag)
        self._tell_of_credit()

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Forget a message that was refused, or put it back: it came when this worker took nothing any more, or its
        process was lost. Where its task runs already, or is to run no more, the store says so to whoever takes it.
        """
        if self._is_ours(delivery_tag):
            if requeue:
                with self._at_best():
                    self._put_back([delivery_tag])
            virtual.QoS.ack(self, delivery_tag)
        elif not self._noted(lambda: super(QoS, self).reject(delivery_tag, requeue)):
            virtual.QoS.ack(self, delivery_tag)
        self._tell_of_credit()

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Called from time to time: put back what was handed out long ago."""
        self._noted(lambda: super(QoS, self).restore_visible(*args, **kwargs))

    def _noted(self, note: Callable[[], object]) -> bool:
        return bool(self.channel.is_done(note, f"{self.unacked_key} or {self.unacked_index_key}"))

    def _tell_of_credit(self) -> None:
        if self.channel.connection:
            self.channel.connection.cycle.credit.set()

    def _is_ours(self, delivery_tag: str) -> bool:
        """It is a transient message, or one that was put back when the connection broke.

        The latter's task may end long after, and then kombu would go to the broker over a channel that is closed: the
        AttributeError ends the worker.
        """
        message = self._delivered.get(delivery_tag)
        return message is None or _is_transient(message)

    def restore_unacked(self, client: Any = None) -> None:
        """Put back what was handed out and not begun: another worker takes it at once.

        Where the broker is gone, it stays out until the sweep sends it again. An error would end the worker: Celery
        expects none but those of a connection here (celery/worker/consumer/consumer.py, `ignore_errors`), and kombu has
        others, such as an AttributeError where it has let go of the connection already.
        """
        self._flush()
        with self._at_best():
            self._put_back(
                [tag for tag, message in self._delivered.items() if _is_transient(message)], client
            )
            super().restore_unacked(client)
        self._delivered.clear()

    @contextlib.contextmanager
    def _at_best(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            logger.warning("The broker is gone; what it handed out will be sent again: %s", error)

    def _put_back(self, tags: list[str], client: Any = None) -> None:
        with self.channel.conn_or_acquire(client) as connection:
            for tag in tags:
                message = self._delivered.pop(tag, None)
                if message is not None:  # else it was put back when the connection broke
                    info = message.delivery_info
                    self.channel._do_restore_message(
                        message._raw, info["exchange"], info["routing_key"], connection, leftmost=False
                    )


_told: set[str] = set()
"""Keys that are passed over, by any channel of this process. One that is wrong again is told again."""


class Channel(redis.Channel):
    """A channel of this transport."""

    QoS = QoS
    connection: Any  # what kombu keeps to itself is in no stubs
    active_queues: Any
    client: Any
    global_keyprefix: str
    brpop_timeout: Any
    conn_or_acquire: Any
    priority_steps: Any
    _q_for_pri: Any
    _queue_cycle: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.no_queues: set[str] = set()
        """Keys that are passed over."""
        self._looked_at = 0.0
        super().__init__(*args, **kwargs)

    def is_done(self, step: Callable[[], object], key: str) -> bool:
        """Whether a step was done; else a key is of another type than kombu asks for, which is told once.

        Raises:
            ResponseError: Redis refuses it for another reason.
        """
        try:
            step()
        except ResponseError as error:
            if not _is_of_wrong_type(error):
                raise
            self._tell(key)
            return False
        return True

    def _tell(self, key: str) -> None:
        if self.global_keyprefix + key not in _told:
            _told.add(self.global_keyprefix + key)
            logger.warning(
                "%s%s is passed over: somebody has stored something else there. `orchestrator doctor` says what to do.",
                self.global_keyprefix,
                quoted(key)[1:-1],
            )

    def _keys(self, queue: str) -> list[str]:
        return [self._q_for_pri(queue, priority) for priority in self.priority_steps]

    def _lengths(self, keys: list[str]) -> list[int | None]:
        """How many messages there are under keys; None where something else is."""
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
        self.is_done(lambda: bind(exchange, *args), self.keyprefix_queue % (exchange,))

    def _delete(self, queue: str, exchange: str, *args: Any, **kwargs: Any) -> None:
        delete: Any = super()._delete
        self.is_done(lambda: delete(queue, exchange, *args, **kwargs), self.keyprefix_queue % (exchange,))

    def maybe_refresh_binding_expiry(self) -> None:
        """Called from time to time."""
        refresh: Any = super().maybe_refresh_binding_expiry  # type: ignore[misc]
        self.is_done(refresh, self.keyprefix_queue % ("*",))

    def sweep_bindings(self, *args: Any, **kwargs: Any) -> None:
        """Called from time to time."""
        sweep: Any = super().sweep_bindings  # type: ignore[misc]
        self.is_done(lambda: sweep(*args, **kwargs), self.keyprefix_queue % ("*",))

    def _look_for_queues(self, keys: list[str]) -> None:
        self.no_queues = {
            key for key, length in zip(keys, self._lengths(keys), strict=True) if length is None
        }
        self._looked_at = time.monotonic()
        _told.difference_update(self.global_keyprefix + key for key in keys if key not in self.no_queues)
        for key in sorted(self.no_queues):
            self._tell(key)

    def _brpop_start(self, timeout: float | None = None) -> None:
        """kombu's own, without the keys that are no queues: BRPOP refuses all of its keys for one of them."""
        if self.no_queues and time.monotonic() - self._looked_at > LOOK_SECONDS:
            self._look_for_queues([key for queue in self.active_queues for key in self._keys(queue)])
        if not self.no_queues:
            super()._brpop_start(timeout)  # type: ignore[misc]
            return
        queues = self._queue_cycle.consume(len(self.active_queues))
        keys = [self._q_for_pri(queue, priority) for priority in self.priority_steps for queue in queues]
        keys = [key for key in keys if key not in self.no_queues]
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
            self._look_for_queues([key for queue in self.active_queues for key in self._keys(queue)])
            raise Empty from None
        except UNUSABLE:
            self.connection._deliver(None, next(iter(self.active_queues)))
            return True

    def _handle_message(self, client: Any, response: Any) -> Any:
        """Called with what came on a channel. kombu tells of what it cannot read with a traceback."""
        received: Any = super()._handle_message(client, response)  # type: ignore[misc]
        is_message = bytes_to_str(received["type"]).endswith("message")
        if is_message and not _is_readable(received["data"]):
            logger.warning(
                "A message on the channel %s is dropped: it is none of Celery's",
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
    """A channel to the master that sentinels name."""


class Transport(redis.Transport):
    """The transport."""

    Channel = Channel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cycle = Poller()

    def _deliver(self, message: Any, queue: str | None) -> None:
        given = message if _is_message(message) else _nothing(queue)
        given["properties"]["delivery_info"]["queue"] = queue  # where it was found, whatever it says
        try:
            super()._deliver(given, queue)
        except UNUSABLE as error:  # one that is not for the consumer, such as an event of another worker
            logger.warning("A message on %s is dropped (%s)", queue, type(error).__name__)
            logger.debug("Dropped", exc_info=True)


class SentinelTransport(Transport, redis.SentinelTransport):
    """The same, behind sentinels."""

    Channel = SentinelChannel


NAME = f"{Transport.__module__}:{Transport.__name__}"
SENTINEL_NAME = f"{SentinelTransport.__module__}:{SentinelTransport.__name__}"
NAMES = {"redis": NAME, "rediss": NAME, "sentinel": SENTINEL_NAME}
Connection.resolve_aliases.update({NAME: "redis", SENTINEL_NAME: "sentinel"})
"""What `celery inspect stats`, Flower and logs are told: a text that they know."""


def use(connection: Any) -> Any:
    """Let a connection that is not open yet take its messages by this transport, if it is one to a Redis.

    The URL stays as it is: Flower and others read it.
    """
    if connection.transport_cls in NAMES:
        connection.transport_cls = NAMES[connection.transport_cls]
        connection.ensure_connection = functools.partial(connection.ensure_connection, **RECONNECT)
        # kombu would go on to the next URL of a list, and come back to its own transport with it.
        connection.cycle = None
    return connection


def _is_transient(message: Any) -> bool:
    return bool(message.properties.get("delivery_mode") == TRANSIENT)


def _is_of_wrong_type(error: Exception) -> bool:
    return isinstance(error, ResponseError) and refusals.code(error) == "WRONGTYPE"


def _is_readable(text: Any) -> bool:
    """It is a message as workers and remote control publish it."""
    try:
        message = loads(bytes_to_str(text))
    except UNUSABLE:
        return False
    return (
        _is_message(message)
        and message.get("content-type") in CONTENT_TYPES
        and message.get("content-encoding") in ENCODINGS
    )


def _is_message(message: Any) -> bool:
    """It has the form that kombu gives to a message, and is not compressed: a few letters could become gigabytes."""
    match message:
        case {
            "body": str(body),
            "headers": dict(headers),
            "properties": {
                "delivery_tag": str(tag),
                "delivery_info": {"exchange": str(exchange), "routing_key": str(key)},
                **properties,
            },
        }:
            are_plain = all(len(text) <= LONGEST and text.isascii() for text in (tag, exchange, key))
            return (
                are_plain
                and not headers.get("compression")
                and _is_text(body, properties.get("body_encoding"))
            )
    return False


def _is_text(body: str, encoding: Any) -> bool:
    if encoding == "base64":
        try:
            base64.b64decode(body)
        except ValueError:
            return False
    return encoding in (None, "base64", "utf-8")


def _nothing(queue: str | None) -> dict[str, Any]:
    return {
        "body": "null",
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {},
        "properties": {
            "delivery_mode": TRANSIENT,
            "delivery_tag": uuid.uuid4().hex,
            "delivery_info": {"exchange": "", "routing_key": queue},
        },
    }
