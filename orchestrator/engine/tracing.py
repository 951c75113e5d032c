"""Carries a trace (OpenTelemetry, Sentry, or another) from an enqueue to every task of the feature.

A tracing library adds its headers to a Celery message while that is published: in a handler of `before_task_publish`,
or around `apply_async`. But most messages of a feature are published later, by a Lua script. So an enqueue is published
once, as a message of the task `orchestrator.enqueue`, to the store instead of a broker: Celery's signals fire, and the
headers that a library adds are stored with the feature and sent with each of its messages.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from celery import Task as CeleryTask
from celery import _state

from orchestrator.engine import installation, message_validation, spans, trace_context

if TYPE_CHECKING:
    from celery import Celery

    PlainTask = CeleryTask[Any, Any]
else:
    PlainTask = CeleryTask  # Celery 5.6 knows no type arguments when it runs

logger = logging.getLogger("orchestrator")

ENQUEUE = "orchestrator.enqueue"
"""The name of the Celery task by which an enqueue is published. No worker runs it."""

LONGEST = 4_000
"""Characters of the headers of one feature, as JSON."""

T = TypeVar("T")


class EnqueueTask(PlainTask):
    """The Celery task of an enqueue."""

    app: Any

    @functools.cached_property
    def bare_headers(self) -> frozenset[str]:
        """The headers that Celery itself gives the message."""
        return frozenset(self.app.amqp.as_task_v2("id", ENQUEUE, ("id",)).headers)

    def AsyncResult(self, task_id: str, **_: object) -> Any:
        """No result: a real one would open the result backend."""
        return SimpleNamespace(id=task_id)


def never_run(feature_id: str) -> None:
    """The body of the task `orchestrator.enqueue`, which no worker runs."""


def register(app: Celery) -> None:
    """Give an app the Celery task by which an enqueue is published."""
    app.task(name=ENQUEUE, base=EnqueueTask, shared=False)(never_run)


def publish_enqueue(app: Celery, feature_id: str, put: Callable[[Mapping[str, Any]], T]) -> T:
    """Store a feature; tracing libraries see that as the publishing of a Celery message.

    Args:
        app: The app, which knows the task `ENQUEUE`.
        feature_id: The feature.
        put: Stores the feature, with the headers that its messages must carry.

    Returns:
        The value that `put` returns.
    """
    if app.conf.task_always_eager:  # Celery would publish nothing
        return put({})
    producer = _StoreProducer(app, feature_id, put)
    with as_current(app):
        app.tasks[ENQUEUE].apply_async(
            (feature_id,),
            task_id=feature_id,
            producer=cast("Any", producer),
            ignore_result=True,
            add_to_parent=False,
        )
    return producer.answer()


class _StoreProducer(Generic[T]):
    """Takes the place of a Celery producer, and stores instead of sending."""

    def __init__(self, app: Celery, feature_id: str, put: Callable[[Mapping[str, Any]], T]) -> None:
        self.app = app
        self.feature_id = feature_id
        self.put = put
        self.callers_app: Any = getattr(_state, "_tls").current_app  # noqa: B009 (Celery's stubs leave it out)
        self.connection = SimpleNamespace(_reraise_as_library_errors=contextlib.nullcontext)
        self.answer: Callable[[], T]

    def publish(self, body: object, headers: Mapping[str, Any], **_: object) -> None:
        """Called by Celery between its two signals.

        Celery's event that a message was sent comes here too, if its app sends those: a monitor hears of no task that
        runs. An error is kept until the second signal was sent: there OpenTelemetry ends its span.
        """
        if headers.get("task") != ENQUEUE:
            return
        bare = cast("EnqueueTask", self.app.tasks[ENQUEUE]).bare_headers
        trace = trace_headers({name: value for name, value in headers.items() if name not in bare})
        if installation.of(self.app).settings.tracing:
            trace = trace_context.begin(trace, spans.current())
        try:
            with as_current(self.callers_app):  # on an event loop others go on meanwhile
                stored = self.put(trace)
        except Exception as error:
            self.answer = _raising(error)
        else:
            self.answer = lambda: stored


def _raising(error: Exception) -> Callable[[], Any]:
    def answer() -> Any:
        raise error

    return answer


def trace_headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    """The headers that every message of a feature can carry: texts, as the context of a trace is one.

    Other headers are true of one message alone, such as the time at which it was sent.

    Example:
        >>> trace_headers({"traceparent": "00-1f-2e-01", "sent": 1764.2, "headers": {"baggage": "a=1", "sent": 1764.2}})
        {'traceparent': '00-1f-2e-01', 'headers': {'baggage': 'a=1'}}
    """
    found: dict[str, Any] = {}
    for name, value in headers.items():
        inner = trace_headers(value) if name == "headers" and isinstance(value, Mapping) else value
        if (
            isinstance(inner, str | dict)
            and inner
            and message_validation.is_plain(name)
            and message_validation.is_plain(inner)
        ):
            found[name] = inner
    if len(json.dumps(found)) > LONGEST:
        logger.warning(
            "The trace is not passed on: its headers have more than %s characters. The feature runs without it",
            LONGEST,
        )
        return {}
    return found


@contextlib.contextmanager
def as_current(app: Celery | None) -> Iterator[None]:
    """Make an app the current one of this thread: handlers of signals look up the sender there, by its name."""
    state: Any = _state  # Celery's stubs leave this out
    before, state._tls.current_app = state._tls.current_app, app
    try:
        yield
    finally:
        state._tls.current_app = before
