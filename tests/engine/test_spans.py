"""Spans of features and attempts, in the exporter in memory of OpenTelemetry's SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.engine import spans, trace_context
from orchestrator.engine.attempt import Attempt
from orchestrator.engine.spans import AttemptSpans, FeatureSpans
from orchestrator.engine.trace_context import CALLER, PARENT, Place
from orchestrator.model.outcome import Completed, Failed
from orchestrator.state.start_result import StartResult
from orchestrator.state.store import Store
from tests.model import factories as features
from tests.state import factories

pytest.importorskip("opentelemetry.sdk")

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

CALLER_PLACE = Place(trace=0xA1, span=0xB2)
SECRET = "sentinel-4711"


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """The spans that this test's own provider exports."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield exporter
    provider.shutdown()


def attempt_at(name: str, headers: dict[str, Any], *, number: int = 1, **fields: Any) -> Attempt:
    task = features.task(name, title=SECRET, **fields)
    return Attempt("auth", task, number, "writer", "w1@host", StartResult("started"), headers[PARENT])


def by_name(exporter: InMemorySpanExporter) -> dict[str, Any]:
    return {
        str(span.attributes.get("task_orchestrator.task", "feature")): span  # type: ignore[union-attr]
        for span in exporter.get_finished_spans()
    }


class TestTraceContext:
    def test_a_feature_is_a_child_of_the_span_that_enqueued_it(self) -> None:
        headers = trace_context.begin({}, CALLER_PLACE)
        place = trace_context.read(headers[PARENT])
        assert place
        assert place.trace == CALLER_PLACE.trace
        assert place.span != CALLER_PLACE.span
        assert headers[CALLER] == CALLER_PLACE.text

    def test_a_span_in_the_headers_goes_before_the_current_one(self) -> None:
        given = {PARENT: Place(7, 8, 0).text, "headers": {PARENT: Place(7, 8, 0).text, "baggage": "a=1"}}
        headers = trace_context.begin(given, CALLER_PLACE)
        assert headers[CALLER] == given[PARENT]
        assert headers["headers"] == {PARENT: headers[PARENT], "baggage": "a=1"}
        assert trace_context.read(headers[PARENT]).flags == 0  # type: ignore[union-attr]

    def test_without_a_caller_a_trace_begins(self) -> None:
        one, other = (trace_context.begin({}, None) for _ in range(2))
        assert one[PARENT] != other[PARENT]
        assert one[CALLER] == trace_context.NOBODY

    def test_each_attempt_has_a_span_of_its_own_that_anybody_can_name(self) -> None:
        feature = Place(1, 2)
        places = [feature.of_attempt(task, number) for task in ("T1", "T2") for number in (1, 2)]
        assert len({place.span for place in places}) == 4
        assert places[0] == Place(1, 2).of_attempt("T1", 1)

    @pytest.mark.parametrize(
        "text", ["", "junk", None, 7, Place(0, 1).text, Place(1, 0).text, f"{Place(1, 2).text}\nX=1"]
    )
    def test_what_is_no_traceparent_is_none(self, text: object) -> None:
        assert trace_context.read(text) is None


class TestAttempts:
    def test_are_children_of_the_feature_and_linked_to_what_they_depend_on(
        self, store: Store, exported: InMemorySpanExporter
    ) -> None:
        # Given a feature whose first task took two attempts
        run = factories.launched(
            store, features.task("T1"), features.task("T2", depends_on=["T1"]), feature_id="auth"
        )
        run.do("T1", Failed(reason="once"), retries=1)
        run.make_due("T1")
        run.schedule()
        headers = trace_context.begin({}, CALLER_PLACE)
        made = AttemptSpans(store)
        # When its attempts are done under their spans
        for attempt in (
            attempt_at("T1", headers, number=1),
            attempt_at("T1", headers, number=2),
            attempt_at("T2", headers, depends_on=["T1"]),
        ):
            with made.around(attempt) as ended:
                ended.outcome = Completed()
        # Then all are children of the feature, and the link leads to the last attempt
        first, second, last = exported.get_finished_spans()
        feature = trace_context.read(headers[PARENT])
        for span in (first, second, last):
            assert feature
            assert span.parent
            assert (span.parent.trace_id, span.parent.span_id) == (feature.trace, feature.span)
            assert span.name == "task writer"
        (link,) = last.links
        assert second.context
        assert link.context.span_id == second.context.span_id
        assert not second.links

    def test_say_how_they_ended_and_nothing_that_a_task_says(
        self, store: Store, exported: InMemorySpanExporter
    ) -> None:
        headers, made = trace_context.begin({}, None), AttemptSpans(store)
        with made.around(attempt_at("good", headers)) as ended:
            ended.outcome = Completed(summary=SECRET)
        with made.around(attempt_at("bad", headers)) as ended:
            ended.outcome = Failed(reason=SECRET)
        with pytest.raises(RuntimeError), made.around(attempt_at("gone", headers)):
            raise RuntimeError(SECRET)
        found = by_name(exported)
        outcomes = {name: span.attributes["task_orchestrator.outcome"] for name, span in found.items()}
        assert outcomes == {"good": "completed", "bad": "failed", "gone": "handed-back"}
        assert found["good"].status.is_ok
        assert not found["bad"].status.is_ok
        assert not [span for span in found.values() if SECRET in span.to_json()]

    def test_are_current_while_the_work_is_done_and_commands_join_them(
        self, store: Store, exported: InMemorySpanExporter
    ) -> None:
        headers = trace_context.begin({}, None)
        attempt = attempt_at("T1", headers)
        with AttemptSpans(store).around(attempt):
            variables = spans.environment(attempt.trace)
        feature = trace_context.read(headers[PARENT])
        assert feature
        assert variables == {"TRACEPARENT": feature.of_attempt("T1", 1).text}

    def test_a_command_gets_the_span_of_its_message_where_no_other_is_current(self) -> None:
        assert spans.environment(CALLER_PLACE.text) == {"TRACEPARENT": CALLER_PLACE.text}
        assert spans.environment("junk") == {}

    def test_without_a_provider_the_work_goes_on_and_the_log_says_why_there_are_no_spans(
        self, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(trace, "get_tracer", trace.NoOpTracerProvider().get_tracer)
        made, headers = AttemptSpans(store), trace_context.begin({}, None)
        for _ in range(2):
            with made.around(attempt_at("T1", headers)) as ended:
                ended.outcome = Completed()
        assert caplog.text.count("tracer provider") == 1

    def test_a_tracer_of_others_keeps_its_ids(self, store: Store, exported: InMemorySpanExporter) -> None:
        # Given a tracer of the same provider
        other = trace.get_tracer("somebody")
        # When a span of ours was begun
        attempt = attempt_at("T1", trace_context.begin({}, None))
        with AttemptSpans(store).around(attempt), other.start_as_current_span("theirs") as theirs:
            pass
        # Then the other's span is a child of it, with an id of its own
        ours = by_name(exported)["T1"]
        assert theirs.parent.span_id == ours.context.span_id  # type: ignore[attr-defined]
        assert theirs.get_span_context().span_id != ours.context.span_id


class TestFeatures:
    def traced(self, store: Store, feature_id: str, headers: dict[str, Any]) -> factories.Run:
        return factories.launched(
            store, features.task("T1"), feature_id=feature_id, title=SECRET, stored_with={"trace": headers}
        )

    def ended(self, store: Store) -> None:
        """The features that have ended until now lie in the past, as they do a millisecond later."""
        ended: Any = store.client.zrange(store.keys.finished, 0, -1, withscores=True)
        for feature, score in ended:
            store.client.zadd(store.keys.finished, {feature: score - 5})

    def test_are_written_once_when_they_have_ended(
        self, store: Store, exported: InMemorySpanExporter
    ) -> None:
        # Given a traced feature, one without a trace of its own, and one that goes on
        made = FeatureSpans(store)
        made.write_spans()
        store.client.hset(store.keys.notified(spans.READER), "ended", "1")
        headers = trace_context.begin({}, CALLER_PLACE)
        run = self.traced(store, "auth", headers)
        self.traced(store, "other", {PARENT: CALLER_PLACE.text}).complete("T1")
        self.traced(store, "open", trace_context.begin({}, None))
        run.complete("T1")
        self.ended(store)
        # When the leader looks, and another one after it
        made.write_spans()
        FeatureSpans(store).write_spans()
        # Then one span was written, with the place that its tasks know, under that of the caller
        (span,) = exported.get_finished_spans()
        place = trace_context.read(headers[PARENT])
        assert place
        assert span.context
        assert (span.context.trace_id, span.context.span_id) == (place.trace, place.span)
        assert span.parent
        assert span.parent.span_id == CALLER_PLACE.span
        assert span.attributes
        assert span.attributes["task_orchestrator.feature"] == "auth"
        assert span.attributes["task_orchestrator.status"] == "completed"
        assert span.start_time
        assert span.end_time
        assert span.start_time <= span.end_time + 5_000_000
        assert SECRET not in span.to_json()

    def test_one_without_a_caller_is_the_root_of_its_trace(
        self, store: Store, exported: InMemorySpanExporter
    ) -> None:
        store.client.hset(store.keys.notified(spans.READER), "ended", "1")
        headers = trace_context.begin({}, None)
        self.traced(store, "auth", headers).complete("T1")
        self.ended(store)
        FeatureSpans(store, shows_titles=True).write_spans()
        (span,) = exported.get_finished_spans()
        assert span.parent is None
        assert span.context
        assert Place(span.context.trace_id, span.context.span_id).text == headers[PARENT]
        assert span.attributes
        assert span.attributes["task_orchestrator.title"] == SECRET

    def test_those_that_ended_before_anybody_traced_are_left_out(
        self, store: Store, exported: InMemorySpanExporter
    ) -> None:
        self.traced(store, "auth", trace_context.begin({}, None)).complete("T1")
        self.ended(store)
        made = FeatureSpans(store)
        made.write_spans()
        made.write_spans()
        assert exported.get_finished_spans() == ()
