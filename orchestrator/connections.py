"""Where Redis and the broker are, and how to reach them."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import redis
from redis.backoff import EqualJitterBackoff
from redis.connection import HiredisRespSerializer
from redis.retry import Retry

from orchestrator import embedded, errors, forks
from orchestrator.config import Settings
from orchestrator.keys import Keys
from orchestrator.store import Store

CONNECT_SECONDS = 2.0
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


def redis_url(settings: Settings) -> str:
    """The URL of the Redis that holds the state. Where none is configured the folder's own is started.

    Raises:
        NoRedisServer, RedisDidNotStart: There is no way to run one here.
    """
    url = settings.redis.url
    return url.get_secret_value() if url else embedded.connect(settings)


def broker_url(settings: Settings) -> str:
    """The URL of Celery's broker, as kombu writes it: the Redis of the state, unless another one is configured."""
    url = settings.broker.url
    return url.get_secret_value() if url else for_celery(redis_url(settings))


def for_celery(url: str) -> str:
    """A redis-py URL as Celery wants it, for a broker and for a result backend.

    Example:
        >>> for_celery("unix:///run/redis.sock")
        'redis+socket:///run/redis.sock'
        >>> for_celery("rediss://cache:6380/0")
        'rediss://cache:6380/0?ssl_cert_reqs=required'
    """
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if parts.scheme == "unix":
        parts = parts._replace(scheme="redis+socket")
        if "db" in query:
            query["virtual_host"] = query.pop("db")
    if parts.scheme == "rediss":
        # Celery refuses a TLS URL that does not say how certificates are checked; redis-py checks them by default.
        query.setdefault("ssl_cert_reqs", "required")
    # Not urlunsplit: it writes "redis+socket:/path", with one slash, which Celery does not take for a URL.
    return f"{parts.scheme}://{parts.netloc}{parts.path}" + (f"?{urlencode(query)}" if query else "")


def _open_client(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        decode_responses=True,
        socket_connect_timeout=CONNECT_SECONDS,
        health_check_interval=30,
        retry=RETRY,
        command_packer=Packer(),
    )


def open_store(settings: Settings) -> Store:
    """A store on the Redis in force. Its connections are opened when they are needed.

    Raises:
        NoRedisServer, RedisDidNotStart: There is no way to run one here.
    """
    url = redis_url(settings)
    make_client = functools.partial(_open_client, url)
    client = make_client()
    forks.own_connections_in_children(client, make_client)
    return Store(
        client,
        Keys(settings.redis.prefix),
        events_kept=settings.limits.events,
        url=safe_url(url),
        queues=settings.queues if is_broker(settings) else None,
    )


def is_broker(settings: Settings) -> bool:
    """Whether the store publishes what it launches: the Redis of the state is Celery's broker too.

    Not where messages are signed, for a script in Redis has no key to sign with.
    """
    return settings.broker.url is None and settings.broker.signing is None


def safe_url(url: str) -> str:
    """The URL as it may be shown: the password hidden, options left out.

    kombu's `sanitize_url` raises on a list of URLs, and shows passwords with a "/" that is not quoted.

    Example:
        >>> safe_url("redis://user:secret@localhost:6379/0?timeout=5")
        'redis://user:**@localhost:6379/0'
    """
    return ";".join(
        re.sub(r"://([^:/?#@]*).*@", r"://\1:**@", one, flags=re.DOTALL).split("?")[0]
        for one in re.split(r";(?=[a-z+]+://)", url)
    )


@contextlib.contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn redis-py's connection errors into ours.

    Raises:
        RedisUnreachable: Redis did not answer.
    """
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError, redis.InvalidResponse) as error:
        raise errors.RedisUnreachable(url=url, cause=error) from None
