"""Celery's consumer, which takes up nothing but what `admission` allows. What it refuses is logged and counted."""

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

from orchestrator.engine import canvas, message_validation, pools, signing, tasks, tracing
from orchestrator.engine.message_validation import Reason, Refusal
from orchestrator.engine.shutdown import residents
from orchestrator.engine.transport import ENCODINGS, UNUSABLE
from orchestrator.model import identifiers

if TYPE_CHECKING:
    from orchestrator.engine.app import App

logger = logging.getLogger("orchestrator")


class Consumer(consumer.Consumer):
    """Takes messages from the queues.

    Celery's own drops most of what it cannot use, with a traceback and with all of the message in the log, keeps a
    result for a task that it does not know, and ends the worker over what it did not expect, such as headers of
    another type (celery/worker/consumer/consumer.py, `create_task_handler`; celery/worker/strategy.py).
    """

    app: App
    strategies: Any  # what Celery keeps to itself is in no stubs
    connection_errors: Any
    gossip: Any
    blueprint: Any
    pool: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._guard_gossip()
        self._keep_passwords()

    def _keep_passwords(self) -> None:
        """Tell `inspect stats`, and so Flower, of the connection without the passwords in it.

        Celery's own leaves out one field (celery/worker/consumer/connection.py, `info`): the password of a unix socket
        is a part of the host's name, and that of sentinels an option of the transport.
        """
        step: Any = next(step for step in self.blueprint.order if isinstance(step, connection.Connection))
        told = step.info

        def info(parent: Any) -> dict[str, Any]:
            shown: dict[str, Any] = told(parent)
            of_broker = shown.get("broker")
            if isinstance(of_broker, dict):
                host = maybe_sanitize_url(of_broker.get("hostname") or "")
                shown["broker"] = {**filter_hidden_settings(of_broker), "hostname": host}
            return shown

        step.info = info

    def _guard_gossip(self) -> None:
        """Take no part in elections: whoever wins one sends what the event says. Drop events that cannot be used."""
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
        """Called by Celery when nothing more is taken up: at the end, and before a new connection."""
        pools.keep_what_was_taken(self.pool)
        super().on_close()

    def cancel_active_requests(self) -> None:
        """Called by Celery at a cold shutdown, in the handler of a signal.

        Celery's own ends each task by the process that it runs in, and raises where there is none. Then it waits in
        the handler for the pool, which cannot be where tasks run in threads, and must not be where they are greenlets.
        """
        if pools.has_processes(type(self.pool)):
            super().cancel_active_requests()
        else:
            residents.close()  # the keeper sees to the rest
            self.pool = None

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """What is called with each message."""
        handle = super().create_task_handler(*args, **kwargs)

        def admit(message: Any) -> None:
            if residents.is_closed:  # this worker ends, and took it before Celery knew
                message.reject_log_error(logger, self.connection_errors, requeue=True)
                return
            refusal = self._judge(message)
            if refusal is None:
                message.headers.update(self._shown(message))
                try:
                    handle(message)
                except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError) as error:
                    if message.acknowledged:
                        raise
                    refusal = Refusal(Reason.MALFORMED, f"Celery cannot use it ({type(error).__name__})")
            if refusal is not None:
                self.refuse(message, refusal)

        return admit

    def update_strategies(self) -> None:
        """Called by Celery at the start: how the messages of each task are taken up."""
        super().update_strategies()
        del self.strategies[tracing.ENQUEUE]

    def _judge(self, message: Any) -> Refusal | None:
        signer = self.app.signer
        wanted = signing.CONTENT_TYPE if signer else "application/json"
        if message.content_type != wanted or message.content_encoding not in ENCODINGS:
            kind = Reason.UNSIGNED if signer else Reason.CONTENT_TYPE
            return Refusal(
                kind, f"its content type is {message_validation.quoted(message.content_type)}, not {wanted}"
            )
        try:
            if signer:
                self._unseal(message, signer)
        except signing.Unsigned as error:
            return Refusal(Reason.UNSIGNED, str(error))
        refusal = message_validation.check_name(
            message.headers, self.strategies
        ) or message_validation.check_headers(message.headers)
        if refusal:
            return refusal
        try:
            payload = message.payload
        except Exception as error:  # a decoder may raise anything
            return Refusal(Reason.MALFORMED, f"its body cannot be read ({type(error).__name__})")
        refusal = message_validation.check_payload(payload)
        check = self._checks.get(message.headers["task"])
        if refusal or not check:
            return refusal
        refusal = check(message.headers, payload)
        if refusal or check is message_validation.check_attempt:
            return refusal
        return message_validation.check_route(message.delivery_info or {}, payload)

    def _unseal(self, message: Any, signer: signing.Signer) -> None:
        """Make of a signed message the one that was signed, and nothing that came beside it.

        Raises:
            Unsigned: It is none, or came another way than it was signed for.
        """
        opened = signer.open(message.body, "task")
        info, headers = message.delivery_info or {}, opened.about["headers"]
        for place in ("queue", "routing_key"):
            if info.get(place, opened.about["queue"]) != opened.about["queue"]:
                raise signing.Unsigned("it was signed for another queue")
        if changed := [name for name in headers if message.headers.get(name) != headers[name]]:
            raise signing.Unsigned(
                f"its header {message_validation.quoted(changed[0])} is not the one that was signed"
            )
        if self._checks.get(headers.get("task")) != message_validation.check_attempt:
            # An attempt starts once, whenever its message comes. Of others the nonce is remembered (`standalone`).
            headers["nonce"] = opened.nonce
            if opened.age > signing.CANVAS_SECONDS:
                raise signing.Unsigned(f"it was signed {opened.age:.0f} s ago")
        message.headers = headers
        message.content_type, message.content_encoding, message.body = dumps(opened.body, serializer="json")

    def _shown(self, message: Any) -> dict[str, str]:
        """How Celery's log and events, and so Flower, are to show the arguments. The sender is not asked."""
        name, args = message.headers["task"], message.payload[0]
        match self._checks.get(name):
            case message_validation.check_attempt:
                ids = args
            case message_validation.check_standalone:
                head, task = args[-2:]
                ids = [part["id"] for part in (head, task) if identifiers.is_id(part.get("id"))]
            case message_validation.check_barrier:
                ids = []
            case _:
                return message_validation.shown(message.headers)
        return {"argsrepr": canvas.shown(*ids), "kwargsrepr": "{}"}

    @functools.cached_property
    def _checks(self) -> Mapping[str, Callable[[Any, Any], Refusal | None]]:
        """What each of our tasks asks of its messages. Tasks that an operator adds look after themselves."""
        specialists, is_on = list(self.app.settings.specialists), self.app.settings.takes_canvases
        work = message_validation.check_standalone if is_on else message_validation.refuse_canvas
        return {
            **dict.fromkeys(map(canvas.celery_task, specialists), message_validation.check_attempt),
            **dict.fromkeys(map(canvas.standalone_task, specialists), work),
            canvas.BARRIER: message_validation.check_barrier if is_on else message_validation.refuse_canvas,
        }

    def refuse(self, message: Any, refusal: Refusal) -> None:
        """Drop a message for good, with one line in the log, and count it."""
        queue = message_validation.quoted((message.delivery_info or {}).get("routing_key"))
        logger.warning("A message on the queue %s is refused (%s): %s", queue, refusal.reason, refusal.text)
        message.reject_log_error(logger, self.connection_errors)
        tasks.count_refusal(self.app, refusal.reason)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Called by kombu where the message could not be made ready, and by Celery where it is not what it says."""
        reason = Reason.CONTENT_TYPE if isinstance(exc, ContentDisallowed) else Reason.MALFORMED
        self.refuse(message, Refusal(reason, f"it cannot be read ({type(exc).__name__})"))

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """Called by Celery with what is no message of its own."""
        self.refuse(message, Refusal(Reason.MALFORMED, "it is no message of Celery's"))

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Called by Celery where no task has the name."""
        self.refuse(message, Refusal(Reason.UNKNOWN_TASK, "its task is none that runs here"))

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Called by Celery with arguments or headers that no task can have."""
        self.refuse(message, Refusal(Reason.MALFORMED, f"Celery cannot use it ({type(exc).__name__})"))
