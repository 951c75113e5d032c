"""OpenTelemetry: a span for each attempt and for each feature, where the program has set up a tracer provider.

Only the API of OpenTelemetry is used. Spans get ids of our choice (see `trace_context`): a tracer of the SDK takes them
from its attribute `id_generator`, and this one is ours alone.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery import signals

from orchestrator.engine import trace_context
from orchestrator.engine.trace_context import Place
from orchestrator.model.feature import FeatureStatus
from orchestrator.model.outcome import Failed

if TYPE_CHECKING:
    from orchestrator.engine.attempt import Attempt
    from orchestrator.model.outcome import Outcome
    from orchestrator.state.store import Store

logger = logging.getLogger("orchestrator")

FLUSH_MS = 2_000
"""A pool process that ends spends no longer on sending its last spans."""

READER = "traces"
"""The name of the cursor."""


class ChosenIds:
    """Gives spans the ids that were chosen for them.

    Args:
        others: The generator that made the ids before. It answers everything else that the SDK may ask.
    """

    def __init__(self, others: Any) -> None:
        self._others = others
        self._chosen = threading.local()

    def choose(self, place: Place) -> None:
        """Choose the ids of the next span of this thread."""
        self._chosen.place = place

    def generate_span_id(self) -> int:
        """Called by the SDK."""
        return int(self._chosen.place.span)

    def generate_trace_id(self) -> int:
        """Called by the SDK for a span without a parent."""
        return int(self._chosen.place.trace)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._others, name)


class Tracer:
    """Begins spans with chosen ids. Without a tracer provider it begins none, and says so once."""

    def __init__(self) -> None:
        self._tracer: Any = None
        self._has_warned = False

    def begin(
        self, name: str, place: Place, parent: Place | None, attributes: Mapping[str, Any], **more: Any
    ) -> Any:
        """Begin a span; None if this process has no tracer provider.

        Args:
            name: Its name.
            place: Its ids.
            parent: Its parent.
            attributes: Its attributes, without the prefix of ours.
            more: Of OpenTelemetry's `start_span`.
        """
        tracer = self._open()
        if tracer is None:
            return None
        from opentelemetry import trace

        tracer.id_generator.choose(place)
        around = trace.NonRecordingSpan(_context(parent)) if parent else trace.INVALID_SPAN
        named = {f"task_orchestrator.{key}": value for key, value in attributes.items()}
        return tracer.start_span(name, trace.set_span_in_context(around), attributes=named, **more)

    def _open(self) -> Any:
        if self._tracer is None:
            tracer = _new_tracer()
            if tracer is None or not hasattr(tracer, "id_generator"):
                self._warn()
                return None
            tracer.id_generator = ChosenIds(tracer.id_generator)
            self._tracer = tracer
        return self._tracer

    def _warn(self) -> None:
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "tracing is on, and this process sends no spans: it has no tracer provider of OpenTelemetry's SDK. "
                "Set one in a module that the worker imports (docs/how-to/monitor.md), or start the worker by "
                "opentelemetry-instrument."
            )


def _new_tracer() -> Any:
    try:
        from opentelemetry import trace
    except ImportError:
        return None
    return trace.get_tracer("orchestrator")


def _context(place: Place) -> Any:
    from opentelemetry import trace

    return trace.SpanContext(
        place.trace, place.span, is_remote=True, trace_flags=trace.TraceFlags(place.flags)
    )


def current() -> Place | None:
    """The span that is current here, if this program uses OpenTelemetry."""
    if "opentelemetry.trace" not in sys.modules:
        return None
    from opentelemetry import trace

    found = trace.get_current_span().get_span_context()
    return Place(found.trace_id, found.span_id, int(found.trace_flags) & 1) if found.is_valid else None


def environment(message: object) -> dict[str, str]:
    """The variables by which a command joins the trace of its attempt.

    Args:
        message: The `traceparent` of the attempt's message; it serves where no span is current.
    """
    place = current() or trace_context.read(message)
    return {"TRACEPARENT": place.text} if place else {}


@dataclass
class Ended:
    """How an attempt ended; without an outcome it was handed back."""

    outcome: Outcome | None = None


class AttemptSpans:
    """A span for each attempt of this process.

    Args:
        store: The state.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._tracer = Tracer()
        signals.worker_process_shutdown.connect(_flush, weak=False)

    @contextlib.contextmanager
    def around(self, attempt: Attempt) -> Iterator[Ended]:
        """Make a span current while an attempt is done.

        Args:
            attempt: The attempt.

        Yields:
            A place for its outcome, which the span says at its end.
        """
        ended = Ended()
        feature = trace_context.read(attempt.trace)
        span = self._begin(attempt, feature) if feature else None
        if span is None:
            yield ended
            return
        from opentelemetry import trace

        try:
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                yield ended
        finally:
            _end(span, ended.outcome)

    def _begin(self, attempt: Attempt, feature: Place) -> Any:
        feature_id, task, number = attempt.id
        attributes = {
            "feature": feature_id,
            "task": task,
            "attempt": number,
            "specialist": attempt.specialist,
            "worker": attempt.worker,
        }
        name, place = f"task {attempt.specialist}", feature.of_attempt(task, number)
        return self._tracer.begin(name, place, feature, attributes, links=self._links(attempt, feature))

    def _links(self, attempt: Attempt, feature: Place) -> list[Any]:
        """A link to the last attempt of each dependency."""
        if "opentelemetry" not in sys.modules:
            return []
        from opentelemetry import trace

        names = attempt.task.depends_on
        numbers = self.store.tasks.attempts(attempt.feature_id, names) if names else {}
        return [trace.Link(_context(feature.of_attempt(name, number))) for name, number in numbers.items()]


def _end(span: Any, outcome: Outcome | None) -> None:
    from opentelemetry import trace

    span.set_attribute("task_orchestrator.outcome", outcome.status if outcome else "handed-back")
    if isinstance(outcome, Failed):  # its reason may hold private data
        span.set_attribute("task_orchestrator.cause", str(outcome.cause))
        span.set_status(trace.Status(trace.StatusCode.ERROR, str(outcome.cause)))
    span.end()


def _flush(**_: Any) -> None:
    """Send the last spans of a pool process: it ends without Python's own exit."""
    trace = sys.modules.get("opentelemetry.trace")
    flush = getattr(trace.get_tracer_provider(), "force_flush", None) if trace else None
    if flush:
        flush(FLUSH_MS)


class FeatureSpans:
    """Writes the span of each feature that has ended. Only the leader does.

    Args:
        store: The state.
        shows_titles: Spans name titles.
    """

    def __init__(self, store: Store, *, shows_titles: bool = False) -> None:
        self.store = store
        self.shows_titles = shows_titles
        self._tracer = Tracer()

    def write_spans(self) -> None:
        """Write the spans of the features that have ended since the last call of any leader.

        A leader that dies meanwhile may write one again, with the same ids.
        """
        client, keys = self.store.client, self.store.keys
        seconds, micros = client.time()
        until = int(seconds) * 1000 + int(micros) // 1000 - 1  # others may still end in this millisecond
        cursor = keys.notified(READER)
        since = client.hget(cursor, "ended")
        if since is not None:
            ended: Any = client.zrangebyscore(keys.finished, f"({int(since)}", until, withscores=True)
            for feature_id, finished in ended:
                self._write(str(feature_id), finished)
        client.hset(cursor, "ended", str(until))

    def _write(self, feature_id: str, finished: float) -> None:
        client, keys = self.store.client, self.store.keys
        stored: Any = client.hmget(
            keys.feature(feature_id).meta, ["trace", "status", "total", "strategy", "title"]
        )
        headers, status, total, strategy, title = stored
        enqueued: Any = client.zscore(keys.features, feature_id)
        trace = json.loads(headers or "{}")
        place = trace_context.read(trace.get(trace_context.PARENT))
        if place is None or enqueued is None or trace_context.CALLER not in trace:
            return
        attributes = {"feature": feature_id, "status": status, "tasks": int(total), "strategy": strategy}
        if self.shows_titles:
            attributes["title"] = title
        caller = trace_context.read(trace.get(trace_context.CALLER))
        span = self._tracer.begin(
            "feature", place, caller, attributes, start_time=round(enqueued) * 1_000_000
        )
        if span is None:
            return
        if status == FeatureStatus.FAILED:
            from opentelemetry import trace as api

            span.set_status(api.Status(api.StatusCode.ERROR))
        span.end(round(finished) * 1_000_000)
