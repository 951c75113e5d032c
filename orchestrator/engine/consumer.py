"""Celery's consumer, which validates each message. Refused messages are logged and counted."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from celery.app.utils import filter_hidden_settings
from celery.worker import consumer
from celery.worker.consumer import connection
from kombu.exceptions import ContentDisallowed
from kombu.serialization import dumps
from kombu.utils.url import maybe_sanitize_url

from orchestrator.engine import canvas, installation, message_validation, pools, signing, tracing
from orchestrator.engine.attempt_runner import count_refusal
from orchestrator.engine.message_format import ENCODINGS, UNUSABLE
from orchestrator.engine.message_validation import Reason, Refusal
from orchestrator.engine.shutdown import in_process_attempts
from orchestrator.model import identifiers

if TYPE_CHECKING:
    from orchestrator.engine.app import App

logger = logging.getLogger("orchestrator")


HEARTBEAT_SECONDS = 5.0
"""Between two events by which Flower knows a worker, where --heartbeat-interval names no other time. They are the
larger part of what an idle worker does with Celery's own 2 s. Flower calls a worker offline after twice the time.
"""


class Consumer(consumer.Consumer):
    """Takes messages from the queues.

    Celery's own logs a traceback and the whole message for most that it cannot use, keeps a result for a task that it
    does not know, and ends the worker over some, such as headers of another type
    (celery/worker/consumer/consumer.py, `create_task_handler`; celery/worker/strategy.py).
    """

    app: App
    strategies: Any  # Celery's stubs leave these out
    connection_errors: Any
    gossip: Any
    blueprint: Any
    pool: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["heartbeat_interval"] = kwargs.get("heartbeat_interval") or HEARTBEAT_SECONDS
        super().__init__(*args, **kwargs)
        self._guard_gossip()
        self._hide_passwords()

    def _hide_passwords(self) -> None:
        """Hide the passwords of the connection in `inspect stats`, and so in Flower.

        Celery's own hides one field (celery/worker/consumer/connection.py, `info`), but the password of a unix socket
        is a part of the host name, and that of sentinels an option of the transport.
        """
        step: Any = next(step for step in self.blueprint.order if isinstance(step, connection.Connection))
        original_info = step.info

        def info(parent: Any) -> dict[str, Any]:
            shown: dict[str, Any] = original_info(parent)
            of_broker = shown.get("broker")
            if isinstance(of_broker, dict):
                host = maybe_sanitize_url(of_broker.get("hostname") or "")
                shown["broker"] = {**filter_hidden_settings(of_broker), "hostname": host}
            return shown

        step.info = info

    def _guard_gossip(self) -> None:
        """Take no part in Celery's elections, whose winner sends any message that an event names. Drop bad events."""
        gossip = self.gossip
        gossip.event_handlers.clear()
        take = gossip.on_message

        def take_or_drop(prepare: Any, message: Any) -> None:
            try:
                take(prepare, message)
            except UNUSABLE as error:
                logger.warning("An event of another worker is dropped (%s)", type(error).__name__)
                logger.debug("Dropped", exc_info=True)

        gossip.on_message = take_or_drop

    def on_close(self) -> None:
        """Called by Celery when it stops taking messages: at the end, and before a new connection."""
        pools.accept_given_jobs(self.pool)
        super().on_close()

    def cancel_active_requests(self) -> None:
        """Called by Celery at a cold shutdown, in the handler of a signal.

        Celery's own ends the process of each task, and raises if there is none. Then it waits in the handler for the
        pool: with threads that never ends, and with greenlets it must not happen.
        """
        if pools.has_processes(type(self.pool)):
            super().cancel_active_requests()
        else:
            in_process_attempts.close()  # the maintenance waits for them
            self.pool = None

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """The function that Celery calls with each message."""
        handle = super().create_task_handler(*args, **kwargs)

        def validate_and_handle(message: Any) -> None:
            if in_process_attempts.is_closed:  # this worker ends, and the message came before Celery stopped
                message.reject_log_error(logger, self.connection_errors, requeue=True)
                return
            refusal = self._validate(message)
            taking = installation.of(self.app).taking
            if taking:
                taking.wake()
            if refusal is None:
                message.headers.update(self._shown_arguments(message))
                try:
                    handle(message)
                except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError) as error:
                    if message.acknowledged:
                        raise
                    refusal = Refusal(Reason.MALFORMED, f"Celery cannot use it ({type(error).__name__})")
            if refusal is not None:
                self.refuse(message, refusal)

        return validate_and_handle

    def update_strategies(self) -> None:
        """Called by Celery at the start: make a handler for the messages of each task."""
        super().update_strategies()
        del self.strategies[tracing.ENQUEUE]

    def _validate(self, message: Any) -> Refusal | None:
        signer = self.app.signer
        wanted = signing.CONTENT_TYPE if signer else "application/json"
        if message.content_type != wanted or message.content_encoding not in ENCODINGS:
            kind = Reason.UNSIGNED if signer else Reason.CONTENT_TYPE
            return Refusal(
                kind, f"its content type is {message_validation.quoted(message.content_type)}, not {wanted}"
            )
        try:
            if signer:
                self._replace_by_signed(message, signer)
        except signing.SignatureRejected as error:
            return Refusal(Reason.UNSIGNED, str(error))
        refusal = (
            message_validation.check_name(message.headers, self.strategies)
            or message_validation.check_headers(message.headers)
            or message_validation.check_body(message)
        )
        if refusal:
            return refusal
        payload = message.payload
        check = self._checks.get(message.headers["task"])
        if not check:
            return None
        refusal = check(message.headers, payload)
        if refusal or check is message_validation.check_attempt:
            return refusal
        return message_validation.check_route(message.delivery_info or {}, payload)

    def _replace_by_signed(self, message: Any, signer: signing.Signer) -> None:
        """Replace the headers and the body of a message by those that were signed.

        Raises:
            SignatureRejected: It is not signed, or came to another queue than it was signed for.
        """
        verified = signer.verify(message.body, "task")
        info, headers = message.delivery_info or {}, verified.purpose["headers"]
        for place in ("queue", "routing_key"):
            if info.get(place, verified.purpose["queue"]) != verified.purpose["queue"]:
                raise signing.SignatureRejected("it was signed for another queue")
        if changed := [name for name in headers if message.headers.get(name) != headers[name]]:
            raise signing.SignatureRejected(
                f"its header {message_validation.quoted(changed[0])} is not the one that was signed"
            )
        if self._checks.get(headers.get("task")) != message_validation.check_attempt:
            # The store starts an attempt once. A task of a canvas starts once by its nonce (`canvas_task`).
            headers["nonce"] = verified.nonce
            if verified.age > signing.CANVAS_SECONDS:
                raise signing.SignatureRejected(f"it was signed {verified.age:.0f} s ago")
        message.headers = headers
        message.content_type, message.content_encoding, message.body = dumps(verified.body, serializer="json")

    def _shown_arguments(self, message: Any) -> dict[str, str]:
        """The arguments as Celery's log, its events and Flower show them. The sender has no say in it."""
        name, args = message.headers["task"], message.payload[0]
        match self._checks.get(name):
            case message_validation.check_attempt:
                ids = args
            case message_validation.check_canvas_task:
                head, task = args[-2:]
                ids = [part["id"] for part in (head, task) if identifiers.is_id(part.get("id"))]
            case message_validation.check_barrier:
                ids = []
            case _:
                return message_validation.shown(message.headers)
        return {"argsrepr": canvas.shown_arguments(*ids), "kwargsrepr": "{}"}

    @functools.cached_property
    def _checks(self) -> Mapping[str, Callable[[Any, Any], Refusal | None]]:
        """The check for the messages of each of our tasks. Tasks that an operator adds have none."""
        specialists, is_on = list(self.app.settings.specialists), self.app.settings.takes_canvases
        check_canvas = message_validation.check_canvas_task if is_on else message_validation.refuse_canvas
        return {
            **dict.fromkeys(map(canvas.celery_task, specialists), message_validation.check_attempt),
            **dict.fromkeys(map(canvas.canvas_task, specialists), check_canvas),
            canvas.BARRIER: message_validation.check_barrier if is_on else message_validation.refuse_canvas,
        }

    def refuse(self, message: Any, refusal: Refusal) -> None:
        """Drop a message for good, log one line, and count it."""
        queue = message_validation.quoted((message.delivery_info or {}).get("routing_key"))
        logger.warning("A message on the queue %s is refused (%s): %s", queue, refusal.reason, refusal.text)
        message.reject_log_error(logger, self.connection_errors)
        count_refusal(self.app, refusal.reason)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Called by kombu and by Celery with a message that cannot be decoded."""
        reason = Reason.CONTENT_TYPE if isinstance(exc, ContentDisallowed) else Reason.MALFORMED
        self.refuse(message, Refusal(reason, f"it cannot be read ({type(exc).__name__})"))

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """Called by Celery with a message that is not of its own form."""
        self.refuse(message, Refusal(Reason.MALFORMED, "it is not a Celery message"))

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Called by Celery with a message for a task that it does not know."""
        self.refuse(message, Refusal(Reason.UNKNOWN_TASK, "its task does not run here"))

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Called by Celery with arguments or headers that it cannot use."""
        self.refuse(message, Refusal(Reason.MALFORMED, f"Celery cannot use it ({type(exc).__name__})"))
