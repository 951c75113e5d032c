"""Celery brokers for tests: one in memory, whose messages can be looked at, and one that does not answer."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from kombu.transport import memory

from orchestrator.config.schema.operation import Trust
from orchestrator.config.schema.servers import BrokerSettings, RedisSettings
from orchestrator.config.settings import Settings
from orchestrator.engine.app import App, create

NOWHERE = "redis://:secret@127.0.0.1:1/0"


def app_with(broker: str, **settings: Any) -> App:
    """An app on this broker. Its Redis does not exist: the tests bring their own store."""
    memory.Channel.queues.clear()
    given = {"redis": RedisSettings(url="redis://127.0.0.1:1"), "trust": Trust(canvas=True), **settings}
    app = create(Settings(broker=BrokerSettings(url=broker), **given))
    # A test that waits for a broker in vain need not wait for long.
    app.conf.broker_transport_options = {"max_retries": 1, "interval_start": 0, "interval_step": 0}
    return app


@dataclass(frozen=True)
class Message:
    """A message as it lies in the broker."""

    queue: str
    size: int
    headers: dict[str, Any]
    body: list[Any]


def messages() -> list[Message]:
    """Take every message out of the broker in memory, oldest first in each queue."""
    found = []
    for name, queue in memory.Channel.queues.items():
        while not queue.empty():
            raw = queue.get_nowait()
            body = json.loads(base64.b64decode(raw["body"]))
            found.append(Message(name, len(json.dumps(raw)), raw["headers"], body))
    return found
