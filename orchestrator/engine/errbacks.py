"""Calls who is to be called when a call has failed for good, as Celery's worker does for `link_error`."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Any

from celery.app.task import Context as Request
from celery.exceptions import ChordError

from orchestrator.model.calls import request_id, seen_id

if TYPE_CHECKING:
    from celery import Signature

    from orchestrator.engine.attempt import Attempt
    from orchestrator.engine.dispatcher import Dispatcher
    from orchestrator.model.call_options import Errback
    from orchestrator.model.outcome import Failed

logger = logging.getLogger("orchestrator")

KEPT_SECONDS = 7 * 86_400
"""How long it is known that the errback of a chord was called."""


def call(dispatcher: Dispatcher, attempt: Attempt, outcome: Failed) -> None:
    """Call the errbacks of a task whose failure is committed. Their own errors are logged.

    An errback of a chord's body is called once, however many tasks of the header fail.

    Args:
        dispatcher: Of the process that ran the attempt.
        attempt: The last attempt.
        outcome: Its outcome.
    """
    error = outcome.error or Exception(outcome.reason)
    for place, errback in enumerate(attempt.task.on_failure):
        if errback.of is not None:
            once = f"errback:{attempt.feature_id}:{errback.of}:{_in_chord(attempt, place)}"
            if not dispatcher.store.take(once, seconds=KEPT_SECONDS):
                continue
            _call(dispatcher, attempt, errback, ChordError(f"Dependency {attempt.task.id} raised {error!r}"))
        else:
            _call(dispatcher, attempt, errback, error)


def _in_chord(attempt: Attempt, place: int) -> str:
    """The name of an errback within its chord: the same for each task of the header."""
    errback = attempt.task.on_failure[place]
    digest = hashlib.sha256(errback.model_dump_json().encode()).hexdigest()[:16]
    return f"{digest}:{attempt.task.on_failure[:place].count(errback)}"


def _call(dispatcher: Dispatcher, attempt: Attempt, errback: Errback, error: BaseException) -> None:
    app, failed = dispatcher.app, attempt.task
    if errback.body is not None:
        failed = dispatcher.store.tasks.find(attempt.feature_id, errback.body)
    signature = app.signature(errback.signature)
    request = Request(
        id=seen_id(attempt.feature_id, failed),
        root_id=request_id(attempt.feature_id),
        task=failed.call,
        args=list(failed.args),
        kwargs=dict(failed.kwargs),
        errbacks=[signature],
        delivery_info={"is_eager": dispatcher.is_in_process},
        hostname=attempt.worker,
    )
    backend: Any = app.backend
    try:
        if errback.kind is not None:
            _send(signature, request)
        else:
            # Celery decides there, by its signature, whether it is called here or sent (celery/backends/base.py).
            backend._call_task_errbacks(request, error, error.__traceback__)
    except Exception:
        logger.exception(
            "[%s] %s: the errback %s was not called", attempt.feature_id, attempt.task.id, errback.call
        )


def _send(canvas: Signature[Any], request: Any) -> None:
    """Send a canvas with the id of the task that failed, as Celery does. It calls no chain (5.7), which is a fault."""
    send = canvas.apply if request.delivery_info["is_eager"] else canvas.apply_async
    send((request.id,), parent_id=request.id, root_id=request.root_id)
