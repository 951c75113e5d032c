"""The way of commands to Redis and Celery. Both are imported only when a command asks for them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestrator.cli import output
from orchestrator.cli.imports import quick_imports
from orchestrator.config import configuration
from orchestrator.model import errors, words

if TYPE_CHECKING:
    from orchestrator.client.client import Client
    from orchestrator.client.handle import Handle


SHORTEST = 4
"""Fewer characters than this are no beginning of an id: a slip of the finger would name a feature."""

NAMED = 5
"""How many features an error names whose ids begin alike."""


@contextlib.contextmanager
def client(*, looks: bool = False) -> Iterator[Client]:
    """A client of the settings in force.

    Args:
        looks: The command only looks, so it starts no program that the folder's own configuration names.

    Raises:
        InvalidConfiguration, NoRedisServer, RedisDidNotStart, RedisUnreachable, RedisRefuses: As they
            say.
    """
    with quick_imports():
        from orchestrator.client.client import Client

        settings = configuration.load()
    if memory := settings.redis.memory:
        output.tell(f"The Redis {memory.shown} lies in this process, and ends with it.")
    with Client(settings.for_looking() if looks else settings) as opened:
        yield opened


@contextlib.contextmanager
def feature(feature_id: str) -> Iterator[Handle]:
    """An enqueued feature, by a client of its own.

    Raises:
        NoSuchFeature, AmbiguousFeature: No feature has this id, or it is not clear which one is meant (see `find`).
        InvalidConfiguration, NoRedisServer, RedisDidNotStart, RedisUnreachable, RedisRefuses: As they
            say.
    """
    with client() as opened:
        yield find(opened, feature_id)


def find(client: Client, feature_id: str) -> Handle:
    """The feature of an id, or else the only one whose id begins so.

    Raises:
        NoSuchFeature: No feature has this id, and none, or several, have one that begins so.
    """
    try:
        return client.feature(feature_id)
    except errors.NoSuchFeature:
        longer = client.store.features.starting_with(feature_id) if len(feature_id) >= SHORTEST else []
        if len(longer) > 1:
            raise errors.AmbiguousFeature(feature=feature_id, found=words.some(longer, most=NAMED)) from None
        if not longer:
            raise
        return client.feature(longer[0])
