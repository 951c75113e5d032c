"""Celery's events, as Flower and other monitors hear them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from orchestrator.config.settings import Settings
from orchestrator.engine.app import create


@contextlib.contextmanager
def listening(settings: Settings, events: list[dict[str, Any]]) -> Iterator[None]:
    """Note all events while the block runs."""
    app, listens = create(settings), threading.Event()
    with app.connection_for_write() as connection:
        receiver: Any = app.events.Receiver(connection, handlers={"*": events.append})
        receiver.on_consume_ready = lambda *_, **__: listens.set()
        thread = threading.Thread(target=receiver.capture, kwargs={"limit": None, "wakeup": False})
        thread.start()
        listens.wait()
        yield
        receiver.should_stop = True
        thread.join()
