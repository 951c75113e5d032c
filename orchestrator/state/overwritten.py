"""Finds keys of ours that another program has overwritten with a value of another type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import redis
from kombu.transport.redis import Channel

from orchestrator.config.settings import Settings
from orchestrator.state.keys import OF_FEATURE, TYPES, FeatureKeys, Keys

MOST_FEATURES = 1_000
"""How many features are checked."""

MOST_KEYS = 20
"""How many keys are reported."""

EXCHANGES = ("orchestrator", "celeryev", "celery.pidbox", "reply.celery.pidbox")


class Overwritten(NamedTuple):
    """A key that has another type than ours."""

    key: str
    found: str
    wanted: str


def find(client: redis.Redis, settings: Settings) -> list[Overwritten]:
    """Check the keys of the project, of its queues, and of its active features.

    Args:
        client: A client that decodes responses.
        settings: Name the queues, and whether this Redis is the broker.

    Example:
        for key, found, wanted in find(client, settings): print(key)
    """
    keys = Keys(settings.redis.prefix)
    wanted = dict(_of_project(keys))
    if not settings.broker.url:
        wanted |= dict(_of_broker(settings, keys))
    for feature_id in _active(client, keys):
        wanted |= _of_feature(keys.feature(feature_id))
    with client.pipeline(transaction=False) as pipeline:
        for key in wanted:
            pipeline.type(key)
        types = pipeline.execute(raise_on_error=False)
    found = zip(wanted.items(), types, strict=True)
    wrong = [
        Overwritten(key, kind, one)
        for (key, one), kind in found
        if isinstance(kind, str) and _differ(kind, one)
    ]
    return wrong[:MOST_KEYS]


def quoted(key: str) -> str:
    """A key in double quotes, as redis-cli reads it: kombu's keys for priorities have control characters.

    Example:
        >>> quoted("to:celery:reviewer\\x06\\x163")
        '"to:celery:reviewer\\\\x06\\\\x163"'
    """
    plain = key.replace("\\", "\\\\").replace('"', '\\"')
    escaped = "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in plain)
    return f'"{escaped}"'


def _differ(found: str, wanted: str) -> bool:
    return found not in ("none", wanted)


def _active(client: redis.Redis, keys: Keys) -> list[str]:
    try:
        return sorted(map(str, client.smembers(keys.active)))[:MOST_FEATURES]
    except redis.ResponseError:  # it is a finding itself
        return []


def _of_project(keys: Keys) -> Iterator[tuple[str, str]]:
    for name, value in vars(Keys).items():
        if isinstance(value, property) and name != "wake":  # a channel
            yield getattr(keys, name), TYPES.get(name, "string")


def _of_feature(keys: FeatureKeys) -> dict[str, str]:
    return {getattr(keys, name): TYPES[name] for name in OF_FEATURE}


def _of_broker(settings: Settings, keys: Keys) -> Iterator[tuple[str, str]]:
    steps, separator = Channel.priority_steps, Channel.sep
    for name in {settings.queue(specialist) for specialist in settings.specialists}:
        for step in steps:
            yield keys.queue(f"{name}{separator}{step}" if step else name), "list"
    for exchange in EXCHANGES:
        yield keys.queue(f"_kombu.binding.{exchange}"), "set"
        yield keys.queue(f"_kombu.binding_permanent.{exchange}"), "set"
    yield keys.queue("_kombu.binding_deadlines"), "zset"
    yield keys.queue("unacked"), "hash"
    yield keys.queue("unacked_index"), "zset"
    yield keys.queue("unacked_mutex"), "string"
