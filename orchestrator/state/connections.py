"""Opens connections to the Redis of the state."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import hiredis
import redis
from redis.backoff import EqualJitterBackoff, NoBackoff
from redis.connection import HiredisRespSerializer
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from orchestrator.config import urls
from orchestrator.model import errors
from orchestrator.state import embedded, forks
from orchestrator.state.keys import Keys
from orchestrator.state.redis_client import RedisClient
from orchestrator.state.store import Store

if TYPE_CHECKING:
    from orchestrator.config.settings import Settings
    from orchestrator.config.urls import RedisUrl
    from orchestrator.model.feature import Feature
    from orchestrator.model.plan import Route

CONNECT_SECONDS = 2.0
LOOK_SECONDS = 1.0
"""Seconds to wait for an answer that is useful but not necessary."""

AT_ONCE: Mapping[str, Any] = {
    "socket_connect_timeout": LOOK_SECONDS,
    "socket_timeout": LOOK_SECONDS,
    "retry": Retry(NoBackoff(), 0),
}
"""Options of a connection whose answers are useful but not necessary."""

RETRIES = 2
RETRY = Retry(EqualJitterBackoff(cap=0.5, base=0.1), RETRIES)
"""Enough for a connection that a restart has cut. `outage` handles longer outages."""


class Packer(HiredisRespSerializer):
    """Writes commands, with numbers as text.

    hiredis 3.5 crashes (SIGSEGV) if a signal handler raises while it writes a number. Ctrl-C raises, and so does
    SIGTERM in a pool process; Python runs the handlers there (`SIGCHECK` in `Objects/longobject.c`).
    """

    def pack(self, *args: Any) -> Any:
        """The bytes of a command."""
        texts: Any = [
            arg if type(arg) is str or not isinstance(arg, (int, float)) else str(arg) for arg in args
        ]
        if isinstance(args[0], str) and " " not in args[0]:
            try:
                return [hiredis.pack_command(tuple(texts))]
            except TypeError:  # redis-py's own way takes more types, and tells the wrong ones
                return super().pack(*texts)
        return super().pack(*texts)


def redis_url(settings: Settings) -> RedisUrl:
    """The Redis that holds the state. If none is configured, start the folder's own.

    Raises:
        NoRedisServer, RedisDidNotStart: No Redis can be started here.
    """
    return settings.redis.server or urls.read(embedded.connect(settings))


def open_client(server: RedisUrl, *, awaited: bool = False, **options: Any) -> RedisClient:
    """A client of a Redis. It opens connections when it needs them, and closes those to a former master.

    Args:
        server: The address of the Redis.
        awaited: Its calls are made by functions of `awaiting.run`, on an event loop.
        options: Options of redis-py's connections. They override those of the URL.

    Raises:
        NoMemoryRedis: It is to be one in memory, and fakeredis is not installed.
        NoGreenlet: Its calls are to be awaited, and greenlet is not installed.

    Example:
        client = open_client(urls.read("sentinel://a,b,c/mymaster"))
    """
    if server.is_in_memory:
        from orchestrator.state import memory  # late: only tests need it

        return _client(memory.pool(server.service), server)
    given: dict[str, Any] = {
        "decode_responses": True,
        "socket_connect_timeout": CONNECT_SECONDS,
        "health_check_interval": 30,
        "db": server.db,
        **server.account,
        **server.options,
        **server.tls,
        **options,
    }
    most = {"max_connections": given.pop("max_connections")} if "max_connections" in given else {}
    if awaited:
        from orchestrator.state import awaiting  # late: it needs greenlet

        pool = redis.ConnectionPool(
            connection_class=awaiting.AwaitedConnection,
            link=awaiting.linker(server, {**given, "retry": awaiting.once()}, sentinel_options(server)),
            decode_responses=True,
            retry=Retry(NoBackoff(), RETRIES),  # a wait between retries would stop the event loop
            **most,
        )
        return _client(pool, server)
    given = {"retry": RETRY, "command_packer": Packer(), **given}
    if server.has_sentinels:
        sentinels = Sentinel(  # type: ignore[no-untyped-call]
            server.hosts,
            min_other_sentinels=server.sentinels.get("min_other_sentinels", 0),
            sentinel_kwargs={**sentinel_options(server), "retry": Retry(NoBackoff(), 0)},
        )
        return _client(
            SentinelConnectionPool(  # type: ignore[no-untyped-call]
                server.service, sentinels, ssl=server.has_tls, **given, **most
            ),
            server,
        )
    if server.path:
        given |= {"connection_class": redis.UnixDomainSocketConnection, "path": server.path}
    else:
        ((given["host"], given["port"]),) = server.hosts
        given["connection_class"] = redis.SSLConnection if server.has_tls else redis.Connection
    return _client(redis.ConnectionPool(**given, **most), server)


def _client(pool: redis.ConnectionPool, server: RedisUrl) -> RedisClient:
    client = cast("RedisClient", RedisClient.from_pool(pool))
    client.url = server.shown
    return client


def sentinel_options(server: RedisUrl) -> dict[str, Any]:
    """The options of redis-py for the sentinels themselves, which have their own user and password."""
    tls = {"ssl": True, **server.tls} if server.has_tls else {}
    kept = ("socket_timeout", "socket_connect_timeout", "socket_keepalive")
    waits = {name: value for name, value in server.options.items() if name in kept}
    return {"socket_connect_timeout": 2.0, "socket_timeout": 2.0, **waits, **tls, **server.sentinel_account}


def open_store(settings: Settings, *, awaited: bool = False, at_once: bool = False) -> Store:
    """A store on the Redis of the settings. It opens connections when it needs them.

    Args:
        settings: The settings.
        awaited: As of `open_client`.
        at_once: Redis has to answer within a second: else a call fails.

    Raises:
        NoRedisServer, RedisDidNotStart: No Redis can be started here.
    """
    server = redis_url(settings)
    make_client = functools.partial(open_client, server, awaited=awaited, **(AT_ONCE if at_once else {}))
    client = make_client()
    forks.own_connections_in_children(client, make_client)
    return Store(
        client,
        Keys(settings.redis.prefix),
        events_kept=settings.limits.events,
        url=server.shown,
        queues=settings.celery_queues,
        replicas=settings.redis.replicas,
        pulled=settings.pulled,
    )


def learned(settings: Settings, feature: Feature, routes: Mapping[str, Route]) -> dict[str, float] | None:
    """How long tasks take, from `Store.learned`; None if Redis does not answer within a second."""
    try:
        with contextlib.closing(open_client(redis_url(settings), **AT_ONCE)) as client:
            return Store(client, Keys(settings.redis.prefix)).features.learned(feature, routes)
    except (redis.RedisError, errors.NoRedisServer, errors.RedisDidNotStart):
        return None
