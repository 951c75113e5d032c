"""How commands reach Redis and Celery. Both are imported only when a command asks for them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestrator import config

if TYPE_CHECKING:
    from orchestrator.client import Client, Handle


@contextlib.contextmanager
def client(*, looks: bool = False) -> Iterator[Client]:
    """A client of the settings in force, with connection errors turned into ours.

    Args:
        looks: The command only looks, so it starts no program that the folder's own configuration names.

    Raises:
        InvalidConfiguration, NoRedisServer, RedisDidNotStart, RedisUnreachable: As they say.
    """
    from orchestrator import connections
    from orchestrator.client import Client

    settings = config.load()
    with (
        Client(settings.for_looking() if looks else settings) as opened,
        connections.translated(opened.store.url),
    ):
        yield opened


@contextlib.contextmanager
def feature(feature_id: str) -> Iterator[Handle]:
    """An enqueued feature, by a client of its own.

    Raises:
        NoSuchFeature: No feature has this id.
        InvalidConfiguration, NoRedisServer, RedisDidNotStart, RedisUnreachable: As they say.
    """
    with client() as opened:
        yield opened.feature(feature_id)
