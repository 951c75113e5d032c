"""Celery's events, sent by several threads."""

from __future__ import annotations

import threading
from typing import Any

from celery.app import events
from celery.events import dispatcher


class Dispatcher(dispatcher.EventDispatcher):
    """Celery's, which loses no event of a pool thread.

    Celery keeps the events of tasks until the event loop publishes them. Before 5.7 it then empties the list, with
    the events that threads of the pool have added meanwhile (celery/events/dispatcher.py, `flush`).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._buffering = threading.RLock()
        super().__init__(*args, **kwargs)

    def send(self, *args: Any, **kwargs: Any) -> Any:
        """Send an event, or keep it until the event loop publishes it with others."""
        with self._buffering:
            return super().send(*args, **kwargs)

    def flush(self, *args: Any, **kwargs: Any) -> None:
        """Publish the events that were kept."""
        with self._buffering:
            super().flush(*args, **kwargs)


class Events(events.Events):
    """Celery's, with our dispatcher."""

    dispatcher_cls = f"{Dispatcher.__module__}:{Dispatcher.__qualname__}"
