"""Events of threads: none is lost while the event loop publishes those before it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from orchestrator.engine.events import Dispatcher
from tests.engine.brokers import app_with


@pytest.mark.bounds  # Celery 5.7 loses none by itself
def test_an_event_that_a_thread_sends_while_others_are_published_is_not_lost() -> None:
    app = app_with("memory://")
    published: list[str] = []
    publishes, sender_waits = threading.Event(), threading.Event()

    class Producer:
        def publish(self, found: Any, **_: Any) -> None:
            published.extend(event["uuid"] for event in found)
            publishes.set()
            sender_waits.wait(0.2)  # the other thread sends meanwhile, or waits for the end of this

    dispatcher = app.events.Dispatcher(None, enabled=False, buffer_group=["task"])
    assert isinstance(dispatcher, Dispatcher)
    sends: Any = dispatcher
    sends.producer, sends.enabled = Producer(), True

    def send_another() -> None:
        publishes.wait()
        dispatcher.send("task-started", uuid="second")
        sender_waits.set()

    sender = threading.Thread(target=send_another)
    sender.start()
    dispatcher.send("task-started", uuid="first")
    dispatcher.flush()
    sender.join()
    dispatcher.flush()

    assert published == ["first", "second"]
