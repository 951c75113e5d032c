"""Cancels attempts that remote control revokes while their messages wait in a queue.

Celery drops a revoked message when it takes it. But a process that takes its next message by itself asks the store, and
not Celery: so the store has to know.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import redis

from orchestrator.engine.attempt_runner import runner
from orchestrator.model import errors, identifiers

if TYPE_CHECKING:
    from celery import Celery

logger = logging.getLogger("orchestrator")

REVOKED = "revoked through Celery's remote control (celery control, or Revoke in Flower)"


def cancel_queued(app: Celery, message_ids: Any) -> None:
    """Cancel the attempts of messages that wait in a queue.

    A message that is not there is passed over: nobody can revoke an attempt whose message he does not know.

    Args:
        app: The Celery app.
        message_ids: The id, or the ids, that a command of remote control names.
    """
    ids = message_ids if isinstance(message_ids, list | tuple) else [message_ids]
    for message_id in ids:
        attempt = identifiers.attempt_named(str(message_id))
        if attempt:
            try:
                _cancel_if_queued(app, str(message_id), attempt)
            except (errors.OrchestratorError, redis.RedisError) as error:
                logger.error("[%s] %s is revoked, but not cancelled: %s", attempt[0], attempt[1], error)


def _cancel_if_queued(app: Celery, message_id: str, attempt: tuple[str, str, int]) -> None:
    store = runner(app).store
    if store.recovery.is_queued(message_id):
        runner(app).recorder.cancel(*attempt, note=REVOKED, running=False)
