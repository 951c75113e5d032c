"""Where Redis and the broker are, and how to reach them."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import redis
from redis.backoff import EqualJitterBackoff, NoBackoff
from redis.connection import HiredisRespSerializer
from redis.retry import Retry
from redis.sentinel import Sentinel

from orchestrator import broker, embedded, errors, forks, refusals, urls
from orchestrator.config import Settings
from orchestrator.keys import Keys
from orchestrator.models import Feature, Route
from orchestrator.store import Store
from orchestrator.urls import RedisUrl

CONNECT_SECONDS = 2.0
LOOK_SECONDS = 1.0
"""What only would be good to know is not waited for any longer."""

RETRY = Retry(EqualJitterBackoff(cap=0.5, base=0.1), retries=2)
"""Enough for a connection that a restart has cut. Who can wait for longer does it by itself (see `outage`)."""


class Packer(HiredisRespSerializer):
    """Writes commands, with numbers as texts.

    hiredis 3.5 ends the process (SIGSEGV) where the handler of a signal raises while it writes a number, as Ctrl-C
    does, and SIGTERM in a process of a pool: Python looks for signals there (`SIGCHECK` in `Objects/longobject.c`).
    """

    def pack(self, *args: Any) -> Any:
        """The bytes of a command."""
        texts: Any = [str(arg) if isinstance(arg, int | float) else arg for arg in args]
        return super().pack(*texts)


def redis_url(settings: Settings) -> RedisUrl:
    """The Redis that holds the state. Where none is configured the folder's own is started.

    Raises:
        NoRedisServer, RedisDidNotStart: There is no way to run one here.
    """
    return settings.redis.server or urls.read(embedded.connect(settings))


def broker_address(settings: Settings) -> broker.Address:
    """Celery's broker: the Redis of the state, unless another one is configured."""
    url = settings.broker.url
    if url is None:
        return broker.address(redis_url(settings))
    server = settings.broker.server
    return broker.address(server) if server else broker.Address(url.get_secret_value())


def has_redis_broker(settings: Settings) -> bool:
    """Whether Celery's broker is a Redis: that of the state, or another one."""
    return settings.broker.url is None or settings.broker.server is not None


def open_client(server: RedisUrl, **options: Any) -> redis.Redis:
    """A client of a Redis. Its connections are opened when they are needed; those to a master that is one no more end.

    Args:
        server: Where it is.
        options: What goes before the options of its URL, as redis-py's connections take them.

    Example:
        client = open_client(urls.read("sentinel://a,b,c/mymaster"))
    """
    given: dict[str, Any] = {
        "decode_responses": True,
        "socket_connect_timeout": CONNECT_SECONDS,
        "health_check_interval": 30,
        "retry": RETRY,
        "command_packer": Packer(),
        "db": server.db,
        **server.account,
        **server.options,
        **server.tls,
        **options,
    }
    most = {"max_connections": given.pop("max_connections")} if "max_connections" in given else {}
    if server.has_sentinels:
        sentinels: Any = Sentinel(  # type: ignore[no-untyped-call]
            server.hosts,
            min_other_sentinels=server.sentinels.get("min_other_sentinels", 0),
            sentinel_kwargs={**broker.sentinel_options(server), "retry": Retry(NoBackoff(), 0)},
        )
        found: redis.Redis = sentinels.master_for(server.service, ssl=server.has_tls, **given, **most)
        return found
    if server.path:
        given |= {"connection_class": redis.UnixDomainSocketConnection, "path": server.path}
    else:
        ((given["host"], given["port"]),) = server.hosts
        given["connection_class"] = redis.SSLConnection if server.has_tls else redis.Connection
    return redis.Redis.from_pool(redis.ConnectionPool(**given, **most))


def open_store(settings: Settings) -> Store:
    """A store on the Redis in force. Its connections are opened when they are needed.

    Raises:
        NoRedisServer, RedisDidNotStart: There is no way to run one here.
    """
    server = redis_url(settings)
    make_client = functools.partial(open_client, server)
    client = make_client()
    forks.own_connections_in_children(client, make_client)
    return Store(
        client,
        Keys(settings.redis.prefix),
        events_kept=settings.limits.events,
        url=server.shown,
        queues=settings.queues if is_broker(settings) else None,
        replicas=settings.redis.replicas,
    )


def learned(settings: Settings, feature: Feature, routes: Mapping[str, Route]) -> dict[str, float] | None:
    """What the Redis in force knows of how long tasks take, as `Store.learned`; None where it does not answer."""
    at_once = {
        "socket_connect_timeout": LOOK_SECONDS,
        "socket_timeout": LOOK_SECONDS,
        "retry": Retry(NoBackoff(), 0),
    }
    try:
        with contextlib.closing(open_client(redis_url(settings), **at_once)) as client:
            return Store(client, Keys(settings.redis.prefix)).learned(feature, routes)
    except (redis.RedisError, errors.NoRedisServer, errors.RedisDidNotStart):
        return None


def is_broker(settings: Settings) -> bool:
    """Whether the store publishes what it launches: the Redis of the state is Celery's broker too.

    Not where messages are signed, for a script in Redis has no key to sign with.
    """
    return settings.broker.url is None and settings.broker.signing is None


@contextlib.contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn redis-py's errors into ours.

    Raises:
        RedisUnreachable: Redis did not answer.
        RedisRefuses: It answered that it does not do what was asked of it.
    """
    try:
        yield
    except redis.DataError:  # it was not asked at all
        raise
    except redis.RedisError as error:
        raise refusals.translate(error, url) from None
