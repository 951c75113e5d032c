"""Takes the messages of our tasks in a worker of another app: each is validated first, and refused if it is bad.

A worker of our own app validates all messages (see `consumer`). Here the messages of other tasks are none of our
business, so our tasks have a strategy of their own, as Celery calls it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from celery.worker import strategy

from orchestrator.engine import canvas, installation, message_validation
from orchestrator.engine.attempt_runner import count_refusal
from orchestrator.engine.message_format import ENCODINGS
from orchestrator.engine.message_validation import Reason, Refusal
from orchestrator.engine.shutdown import in_process_attempts

if TYPE_CHECKING:
    from celery import Celery

logger = logging.getLogger("orchestrator")


def validated(task: Any, app: Celery, consumer: Any, **options: Any) -> Callable[..., Any]:
    """The function that Celery calls with each message of one of our tasks."""
    take = strategy.default(task, app, consumer, **options)

    def validate_and_take(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any, **more: Any) -> Any:
        if in_process_attempts.is_closed:  # this worker ends, and the message came before Celery stopped
            return message.reject_log_error(logger, consumer.connection_errors, requeue=True)
        refusal = _refusal(message)
        if taking := installation.of(app).taking:
            taking.wake()
        if refusal is None:
            message.headers.update(
                {"argsrepr": canvas.shown_arguments(*message.payload[0]), "kwargsrepr": "{}"}
            )
            return take(message, body, ack, reject, callbacks, **more)
        queue = message_validation.quoted((message.delivery_info or {}).get("routing_key"))
        logger.warning("A message on the queue %s is refused (%s): %s", queue, refusal.reason, refusal.text)
        message.reject_log_error(logger, consumer.connection_errors)
        count_refusal(app, refusal.reason)
        return None

    return validate_and_take


def _refusal(message: Any) -> Refusal | None:
    if message.content_type != "application/json" or message.content_encoding not in ENCODINGS:
        kind = message_validation.quoted(message.content_type)
        return Refusal(Reason.CONTENT_TYPE, f"its content type is {kind}, not application/json")
    return (
        message_validation.check_headers(message.headers)
        or message_validation.check_body(message)
        or message_validation.check_attempt(message.headers, message.payload)
    )
