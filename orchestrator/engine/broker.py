"""The URL and the options of a Redis for Celery, kombu and Flower, each of which reads another dialect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from orchestrator.config.settings import Settings
from orchestrator.config.urls import RedisUrl, bracketed, userinfo
from orchestrator.state import connections

FOR_KOMBU = (
    "client_name",
    "health_check_interval",
    "max_connections",
    "retry_on_timeout",
    "socket_connect_timeout",
    "socket_keepalive",
    "socket_timeout",
)
"""The options of redis-py's URLs that kombu's Redis transport has under the same names."""

BACKEND_NAMES = {"health_check_interval": "redis_backend_health_check_interval"}


@dataclass(frozen=True)
class Address:
    """A Redis, or another broker, as Celery takes it.

    Args:
        url: The URL, with the password, and without options: Celery shows those, and refuses most of them.
        transport: Options of kombu's transport.
        tls: The options of TLS; None: no TLS.
    """

    url: str = field(repr=False)
    transport: Mapping[str, Any] = field(default_factory=dict, repr=False)
    tls: Mapping[str, Any] | None = field(default=None, repr=False)


def address(server: RedisUrl) -> Address:
    """A Redis as Celery takes it.

    Example:
        >>> from orchestrator.config import urls
        >>> address(urls.read("unix:///run/redis.sock?db=1")).url
        'redis+socket:///run/redis.sock?virtual_host=1'
        >>> address(urls.read("sentinel://a,b/mymaster/2")).url
        'sentinel://a:26379/2;sentinel://b:26379/2'
    """
    transport = {name: value for name, value in server.options.items() if name in FOR_KOMBU}
    # Unlike redis-py, kombu checks no certificate by default.
    tls = {"ssl_cert_reqs": "required", **server.tls} if server.has_tls else None
    account = userinfo(server)
    if server.is_in_memory:
        return Address("memory://")
    if server.path:
        database = f"?virtual_host={server.db}" if server.db else ""
        return Address(f"redis+socket://{account}{quote(server.path)}{database}", transport)
    scheme = "sentinel" if server.has_sentinels else server.scheme
    url = ";".join(f"{scheme}://{account}{bracketed(host)}:{port}/{server.db}" for host, port in server.hosts)
    if server.has_sentinels:
        transport = {"socket_connect_timeout": 2.0, **transport}
        transport |= {
            "master_name": server.service,
            "min_other_sentinels": server.sentinels.get("min_other_sentinels", 0),
            "sentinel_kwargs": connections.sentinel_options(server),
        }
    return Address(url, transport, tls)


def find(settings: Settings) -> Address:
    """Celery's broker: the Redis of the state, unless the settings name another one."""
    url = settings.broker.url
    if url is None:
        return address(connections.redis_url(settings))
    server = settings.broker.server
    return address(server) if server else Address(url.get_secret_value())


def is_redis(settings: Settings) -> bool:
    """Whether Celery's broker is a Redis: the one of the state, or another one."""
    return settings.broker.url is None or settings.broker.server is not None


def broker_settings(broker: Address) -> dict[str, Any]:
    """Celery's settings for a broker, without `broker_transport_options`."""
    return {"broker_url": broker.url, **({"broker_use_ssl": dict(broker.tls)} if broker.tls else {})}


def result_settings(state: Address, prefix: str) -> dict[str, Any]:
    """Celery's settings for a result backend, whose keys all begin with the prefix."""
    if state.url == "memory://":
        return {"result_backend": "cache+memory://"}
    sentinel_options = ("master_name", "min_other_sentinels", "sentinel_kwargs")
    transport = {name: value for name, value in state.transport.items() if name in sentinel_options}
    options = {
        BACKEND_NAMES.get(name, f"redis_{name}"): value
        for name, value in state.transport.items()
        if name not in sentinel_options
    }
    return {
        "result_backend": state.url,
        **options,
        **({"redis_backend_use_ssl": dict(state.tls)} if state.tls else {}),
        "result_backend_transport_options": {"global_keyprefix": prefix, **transport},
    }
