"""Headers that what instruments Celery puts on an enqueue travel with each message of the feature."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import celery
import pytest
from celery import signals

from orchestrator.engine import tracing
from orchestrator.engine.dispatcher import Dispatcher
from orchestrator.model import errors
from orchestrator.planning import planner, routing
from orchestrator.state.store import Store
from tests.engine.brokers import app_with, messages
from tests.model import factories
from tests.model.factories import task

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def told() -> Iterator[list[str]]:
    """What an instrument sees, one line each; it puts a trace on what it sees before it is published."""
    seen: list[str] = []

    def before(sender: str, headers: dict[str, Any], **_: Any) -> None:
        seen.append(f"before {sender} {headers['id']} {sender in celery.current_app.tasks}")
        headers["traceparent"] = TRACE
        headers["sent"] = 1764.2

    def after(sender: str, headers: dict[str, Any], **_: Any) -> None:
        seen.append(f"after {sender} {headers['id']} {sender in celery.current_app.tasks}")

    signals.before_task_publish.connect(before)
    signals.after_task_publish.connect(after)
    yield seen
    signals.before_task_publish.disconnect(before)
    signals.after_task_publish.disconnect(after)


def test_an_enqueue_is_published_between_the_two_signals(told: list[str]) -> None:
    app, before = app_with("memory://"), celery.current_app.tasks

    def put(trace: Mapping[str, Any]) -> str:
        told.append(f"stored with {dict(trace)}")
        return "stored"

    assert tracing.publish_enqueue(app, "auth", put) == "stored"
    assert told == [
        "before orchestrator.enqueue auth True",
        f"stored with {{'traceparent': '{TRACE}'}}",
        "after orchestrator.enqueue auth True",
    ]
    assert celery.current_app.tasks is before
    assert messages() == []


def test_an_enqueue_that_is_refused_ends_what_instruments_began(told: list[str]) -> None:
    def refuse(trace: Mapping[str, Any]) -> None:
        raise errors.FeatureExists(feature="auth")

    with pytest.raises(errors.FeatureExists):
        tracing.publish_enqueue(app_with("memory://"), "auth", refuse)
    assert [line.split()[0] for line in told] == ["before", "after"]


def test_headers_that_are_too_long_for_every_message_stay_behind(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "orchestrator")
    assert tracing.trace_headers({"baggage": "x" * 4_000}) == {}
    assert "trace is not passed on" in caplog.text
    assert tracing.trace_headers({"a\nb": "x", "c": "line\nbreak", "d": {}, "e": ["x"], "f": "fine"}) == {
        "f": "fine"
    }


def test_a_message_of_another_broker_has_it_too(store: Store) -> None:
    app = app_with("memory://")
    feature = factories.feature(task("T1"))
    routes = routing.route(feature, app.settings)
    store.enqueue("auth", planner.plan(feature), routes, trace={"traceparent": TRACE})
    Dispatcher(app, store, pooled=True).publish("auth", store.schedule("auth").launched)

    (sent,) = messages()
    assert sent.headers["traceparent"] == TRACE
