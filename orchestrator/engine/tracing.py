"""Lets a trace (OpenTelemetry, Sentry, or another) go on from an enqueue to every task of the feature.

What instruments Celery puts its headers on a message while it is published: in a handler of `before_task_publish`, or
around `apply_async`. Most messages of a feature are published later, by a Lua script. So an enqueue is published once,
as a message of the task `orchestrator.enqueue` whose transport is the store: the signals fire, and the headers that
were put on it are kept with the feature and go out with each of its messages.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from celery import Task as CeleryTask
from celery import _state

from orchestrator.engine import message_validation

if TYPE_CHECKING:
    from orchestrator.engine.app import App

    PlainTask = CeleryTask[Any, Any]
else:
    PlainTask = CeleryTask  # Celery 5.6 knows no type arguments when it runs

logger = logging.getLogger("orchestrator")

ENQUEUE = "orchestrator.enqueue"
"""The Celery task as which an enqueue is published. No worker takes one up."""

LONGEST = 4_000
"""Characters of the headers of one feature, as JSON."""

T = TypeVar("T")


class Enqueue(PlainTask):
    """The Celery task of an enqueue."""

    def AsyncResult(self, task_id: str, **_: object) -> Any:
        """No result: Celery's own would open the result backend."""
        return SimpleNamespace(id=task_id)


def nobody_runs_this(feature_id: str) -> None:
    """An enqueue, as what instruments Celery sees it."""


def published(app: App, feature_id: str, put: Callable[[Mapping[str, Any]], T]) -> T:
    """Store a feature as if it were the publishing of a Celery message.

    Args:
        app: The app, which knows the task `ENQUEUE`.
        feature_id: The feature.
        put: Stores it; is given the headers that its messages are to have.

    Returns:
        What `put` returns.
    """
    transport = _Store(app, feature_id, put)
    with as_current(app):
        app.tasks[ENQUEUE].apply_async(
            (feature_id,),
            task_id=feature_id,
            producer=cast("Any", transport),
            ignore_result=True,
            add_to_parent=False,
        )
    return transport.answer()


class _Store(Generic[T]):
    """The producer of that message."""

    def __init__(self, app: App, feature_id: str, put: Callable[[Mapping[str, Any]], T]) -> None:
        self.app = app
        self.feature_id = feature_id
        self.put = put
        self.connection = SimpleNamespace(_reraise_as_library_errors=contextlib.nullcontext)
        self.answer: Callable[[], T]

    def publish(self, body: object, headers: Mapping[str, Any], **_: object) -> None:
        """Called by Celery between its two signals.

        An error waits until the second was sent: OpenTelemetry ends its span there, and never if it is not.
        """
        bare = self.app.amqp.create_task_message(self.feature_id, ENQUEUE, (self.feature_id,)).headers
        try:
            stored = self.put(kept({name: value for name, value in headers.items() if name not in bare}))
        except Exception as error:
            self.answer = _raising(error)
        else:
            self.answer = lambda: stored


def _raising(error: Exception) -> Callable[[], Any]:
    def answer() -> Any:
        raise error

    return answer


def kept(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the headers that every message of a feature can have: texts, as the context of a trace is one.

    Others say something of one moment, such as when a message was sent.

    Example:
        >>> kept({"traceparent": "00-1f-2e-01", "sent": 1764.2, "headers": {"baggage": "a=1", "sent": 1764.2}})
        {'traceparent': '00-1f-2e-01', 'headers': {'baggage': 'a=1'}}
    """
    found: dict[str, Any] = {}
    for name, value in headers.items():
        inner = kept(value) if name == "headers" and isinstance(value, Mapping) else value
        if (
            isinstance(inner, str | dict)
            and inner
            and message_validation.is_plain(name)
            and message_validation.is_plain(inner)
        ):
            found[name] = inner
    if len(json.dumps(found)) > LONGEST:
        logger.warning("The trace is not passed on: its headers have more than %s characters", LONGEST)
        return {}
    return found


@contextlib.contextmanager
def as_current(app: App) -> Iterator[None]:
    """Make an app the current one of this thread: whoever handles a signal looks its sender up there, by its name."""
    state: Any = _state  # what Celery keeps to itself is in no stubs
    before, state._tls.current_app = state._tls.current_app, app
    try:
        yield
    finally:
        state._tls.current_app = before
