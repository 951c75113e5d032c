"""URLs of servers: read once, by the settings. A mistake is named by the part of the URL, never by its text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from pydantic import SecretStr

REDIS_PORT, SENTINEL_PORT = 6379, 26379

SCHEMES = ("redis", "rediss", "unix", "sentinel", "sentinels")
"""A Redis at a port, with TLS, at a unix socket, behind sentinels, behind sentinels with TLS."""

MEMORY = "memory"
"""The scheme of a Redis in the memory of this process, for tests and a first try."""

_LIST = re.compile(r"[;,](?=[a-z][a-z0-9+]*://)")
"""Between the URLs of a list, as kombu writes one."""


class BadUrl(ValueError):
    """A URL cannot be used. The text names the part, and quotes nothing: it may be a piece of a password."""


def _whole(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError("is a whole number")
    return int(text)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) or not float(text):
        raise ValueError("is a number of seconds")
    return float(text)


def _flag(text: str) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in words:
        raise ValueError("is true or false")
    return words[text.lower()]


def _one_of(*words: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in words:
            raise ValueError(f"is one of {', '.join(words)}")
        return text

    return check


_OPTIONS: Mapping[str, Callable[[str], Any]] = {
    "client_name": str,
    "health_check_interval": _whole,
    "max_connections": _whole,
    "protocol": lambda text: int(_one_of("2", "3")(text)),
    "retry_on_timeout": _flag,
    "socket_connect_timeout": _seconds,
    "socket_read_size": _whole,
    "socket_timeout": _seconds,
}
_OF_A_PORT: Mapping[str, Callable[[str], Any]] = {"socket_keepalive": _flag}
_OF_TLS: Mapping[str, Callable[[str], Any]] = {
    "ssl_ca_certs": str,
    "ssl_ca_path": str,
    "ssl_cert_reqs": _one_of("required", "optional", "none"),
    "ssl_certfile": str,
    "ssl_check_hostname": _flag,
    "ssl_ciphers": str,
    "ssl_keyfile": str,
    "ssl_password": str,
}
_OF_SENTINELS: Mapping[str, Callable[[str], Any]] = {
    "min_other_sentinels": _whole,
    "sentinel_password": SecretStr,
    "sentinel_username": str,
}


@dataclass(frozen=True)
class RedisUrl:
    """Where a Redis is, and how to reach it.

    Args:
        scheme: One of `SCHEMES`, or `MEMORY`.
        hosts: The server's address, or those of the sentinels.
        path: The unix socket.
        service: By what name the sentinels know the master, or the name of a Redis in memory.
        db: The number of the database.
        username: The user; "" is Redis's `default`.
        password: The user's password.
        options: How redis-py is to connect: what its URLs may say after the question mark.
        tls: The same of TLS.
        sentinels: The sentinels' own user and password, where they ask for one, and `min_other_sentinels`.
    """

    scheme: str
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    service: str = ""
    db: int = 0
    username: str = ""
    password: SecretStr | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    tls: Mapping[str, Any] = field(default_factory=dict, repr=False)
    sentinels: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_tls(self) -> bool:
        """Connections are encrypted."""
        return self.scheme in ("rediss", "sentinels")

    @property
    def has_sentinels(self) -> bool:
        """Whether sentinels name the master."""
        return self.scheme in ("sentinel", "sentinels")

    @property
    def is_in_memory(self) -> bool:
        """It lies in the memory of this process, and ends with it."""
        return self.scheme == MEMORY

    @property
    def account(self) -> dict[str, str]:
        """User and password as redis-py takes them; the password in clear."""
        given = {
            "username": self.username,
            "password": self.password.get_secret_value() if self.password else "",
        }
        return {name: value for name, value in given.items() if value}

    @property
    def sentinel_account(self) -> dict[str, str]:
        """The same for the sentinels themselves."""
        secret = self.sentinels.get("sentinel_password")
        given = {
            "username": self.sentinels.get("sentinel_username"),
            "password": secret.get_secret_value() if secret else "",
        }
        return {name: value for name, value in given.items() if value}

    @property
    def shown(self) -> str:
        """It as people may see it: the password hidden, options left out.

        Example:
            >>> read("redis://:secret@cache/2?socket_timeout=5").shown
            'redis://:**@cache:6379/2'
        """
        return self._write(f"{self.username}:**@" if self.password else self.username and f"{self.username}@")

    def _write(self, account: str) -> str:
        if self.is_in_memory:
            return f"{MEMORY}://{self.service}"
        if self.path:
            return f"unix://{account}{self.path}" + (f"?db={self.db}" if self.db else "")
        hosts = ",".join(f"{bracketed(host)}:{port}" for host, port in self.hosts)
        return f"{self.scheme}://{account}{hosts}/" + (
            f"{self.service}/{self.db}" if self.service else f"{self.db}"
        )


def bracketed(host: str) -> str:
    """A host as a URL writes it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def userinfo(server: RedisUrl) -> str:
    """User and password as they stand in a URL, percent-encoded, with the `@`; "" if there are none."""
    name, password = (quote(server.account.get(part, ""), safe="") for part in ("username", "password"))
    return (f"{name}:{password}" if password else name) + "@" if name or password else ""


def is_redis(url: str) -> bool:
    """The URL is one of a Redis, of those that redis-py or kombu's Redis transport documents.

    Example:
        >>> is_redis("unix:///run/redis.sock"), is_redis("amqp://rabbit")
        (True, False)
    """
    return url.partition("://")[0] in (*SCHEMES, "redis+socket")


def read(url: str) -> RedisUrl:
    """Read the URL of a Redis, in any form that redis-py documents, one of sentinels, or `memory://`.

    Raises:
        BadUrl: It cannot be used.

    Example:
        >>> read("rediss://cache:6380/2").hosts
        (('cache', 6380),)
        >>> read("sentinel://a,b:26380/mymaster/1").service
        'mymaster'
    """
    scheme, _, rest = url.partition("://")
    if scheme == MEMORY and re.fullmatch(r"[A-Za-z0-9_.\-]{0,64}", rest):
        return RedisUrl(MEMORY, service=rest)
    if not is_redis(url) or not rest:
        raise BadUrl(
            "is no Redis URL; write redis://host:6379/0, rediss://… for TLS, unix:///path, "
            "sentinel://host:26379/mymaster, or memory:// for one in this process"
        )
    parts = _split(_as_one(url) if scheme.startswith("sentinel") else url)
    try:
        return _at_a_socket(parts) if scheme in ("unix", "redis+socket") else _at_ports(parts)
    except BadUrl:
        _refuse_a_password_in_clear(parts)
        raise


def check(url: str, *, schemes: tuple[str, ...] = ()) -> None:
    """Check a URL of another kind: of another broker (or a list of such), or of a webhook.

    Raises:
        BadUrl: It cannot be used.
    """
    for one in [url] if schemes else _LIST.split(url):
        if "://" not in one:
            raise BadUrl(f"scheme: write {' or '.join(schemes) or 'amqp'}://…")
        parts = _split(one)
        if not re.fullmatch(r"[a-z][a-z0-9+.\-]*", parts.scheme) or (schemes and parts.scheme not in schemes):
            raise BadUrl(f"scheme: write {' or '.join(schemes) or 'amqp'}://…")
        try:
            _, hosts = _account(parts)
            for host in [hosts] if schemes else hosts.split(","):
                _host(host, 0)
            if schemes and not hosts:
                raise BadUrl("host: is missing")
        except BadUrl:
            _refuse_a_password_in_clear(parts)
            raise
        _refuse_a_password_in_clear(parts, only_where_it_hides_the_host=True)


def safe_url(url: str) -> str:
    """Any URL as it may be shown: the password hidden, options left out.

    kombu's `sanitize_url` raises on a list of URLs, and shows passwords with a "/" that is not quoted.

    Example:
        >>> safe_url("amqp://user:secret@localhost:5672//?heartbeat=5")
        'amqp://user:**@localhost:5672//'
    """
    return ";".join(map(_safe, re.split(r";(?=[a-z+]+://)", url)))


def _safe(url: str) -> str:
    scheme, slashes, rest = url.partition("://")
    account, at, place = rest.partition("@")
    if not at:
        return url.split("?")[0]
    user = re.split(r"[:/?#]", account)[0]
    return f"{scheme}{slashes}{user}:**@{place.split('?')[0].rpartition('@')[2]}"


def _split(url: str) -> SplitResult:
    if re.search(r"[\s\x00-\x1f\x7f]", url):
        raise BadUrl("holds a space, a line break or a control character; percent-encode it (%20, %0A)")
    try:
        return urlsplit(url)
    except ValueError:  # its text quotes what may be a password
        raise BadUrl("host: the brackets of an IPv6 address do not match, or it cannot be read") from None


def _as_one(url: str) -> str:
    """A list of sentinels' URLs, as kombu writes it, as one URL with a list of hosts.

    Example:
        >>> _as_one("sentinel://:pw@a:1;sentinel://:pw@b:2/mymaster")
        'sentinel://:pw@a:1,b:2/mymaster'
    """
    first, *others = _LIST.split(url)
    if not others:
        return url
    split = [_split(one) for one in (first, *others)]
    accounts = {_account(one)[0] for one in split} - {""}
    tails = {(one.path.rstrip("/"), one.query) for one in split} - {("", "")}
    if len(accounts) > 1 or len(tails) > 1 or len({one.scheme for one in split}) > 1:
        raise BadUrl(
            "the sentinels' URLs differ in more than their hosts; write one: sentinel://a,b,c/mymaster"
        )
    path, query = tails.pop() if tails else ("", "")
    account = "".join(f"{one}@" for one in accounts)
    hosts = ",".join(_account(one)[1] for one in split)
    return f"{split[0].scheme}://{account}{hosts}{path}" + (f"?{query}" if query else "")


def _account(parts: SplitResult) -> tuple[str, str]:
    account, _, hosts = parts.netloc.rpartition("@")
    return account, hosts


def _refuse_a_password_in_clear(parts: SplitResult, *, only_where_it_hides_the_host: bool = False) -> None:
    rest = parts.path + parts.fragment + parts.query.split("=")[0]
    is_cut = "@" in rest and ":" in parts.netloc
    if is_cut or (not only_where_it_hides_the_host and "@" in rest):
        raise BadUrl(
            "password: percent-encode what is special in it (/ as %2F, ? as %3F, # as %23, @ as %40)"
        )


def _host(text: str, default: int) -> tuple[str, int]:
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%a-z0-9]+)\]|([^:\[\]]*))(?::(.*))?", text)
    if not found:
        raise BadUrl("host: it cannot be read; an IPv6 address stands in brackets")
    name = unquote(found[1] or found[2] or "localhost")
    if not found[3]:
        return name, default
    if not re.fullmatch(r"[0-9]{1,5}", found[3]) or not 0 < int(found[3]) < 65_536:
        raise BadUrl("port: is a number from 1 to 65535")
    return name, int(found[3])


def _database(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise BadUrl("database: is a whole number, such as 0")
    return int(text)


def _options(parts: SplitResult, known: Mapping[str, Callable[[str], Any]]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in known:
            word = (
                f"{name} is none of them" if re.fullmatch(r"[a-z_]{2,40}", name) else "one of them is unknown"
            )
            raise BadUrl(f"options: {word}; there are {', '.join(sorted(known))}")
        try:
            given.setdefault(name, known[name](value))
        except BadUrl:
            raise
        except ValueError as error:
            raise BadUrl(f"option {name}: {error}") from None
    return given


_IDENTITY: Mapping[str, Callable[[str], Any]] = {"db": _database, "password": SecretStr, "username": str}


def _identity(parts: SplitResult, options: dict[str, Any]) -> dict[str, Any]:
    """Database, user and password. Those of the query are taken out of the options; those before the `@` go first."""
    if parts.fragment:
        raise BadUrl("holds a #, which no part of it needs; in a password percent-encode it (%23)")
    account, _ = _account(parts)
    name, _, password = (unquote(part) for part in account.partition(":"))
    found = {part: options.pop(part) for part in _IDENTITY if part in options}
    if name:
        found["username"] = name
    if password:
        found["password"] = SecretStr(password)
    return found


def _at_ports(parts: SplitResult) -> RedisUrl:
    has_sentinels = parts.scheme.startswith("sentinel")
    has_tls = parts.scheme in ("rediss", "sentinels")
    known = {**_OPTIONS, **_OF_A_PORT, **_IDENTITY}
    known |= _OF_TLS if has_tls else {}
    known |= _OF_SENTINELS if has_sentinels else {}
    hosts = _account(parts)[1].split(",")
    if len(hosts) > 1 and not has_sentinels:
        raise BadUrl("host: is one; a list of them is for sentinel://a,b,c/mymaster")
    port = SENTINEL_PORT if has_sentinels else REDIS_PORT
    addresses = tuple(_host(host, port) for host in hosts)
    steps = parts.path.strip("/").split("/") if parts.path.strip("/") else []
    service = unquote(steps.pop(0)) if has_sentinels and steps else ""
    if has_sentinels and not service:
        raise BadUrl("master: its name is missing; write sentinel://host:26379/mymaster")
    if len(steps) > 1:
        raise BadUrl("database: is a whole number, such as 0")
    in_path = {"db": _database(steps[0])} if steps else {}
    options = _options(parts, known)
    identity = {**in_path, **_identity(parts, options)}
    tls = {name: options.pop(name) for name in _OF_TLS if name in options}
    sentinels = {name: options.pop(name) for name in _OF_SENTINELS if name in options}
    return RedisUrl(
        parts.scheme, addresses, service=service, options=options, tls=tls, sentinels=sentinels, **identity
    )


def _at_a_socket(parts: SplitResult) -> RedisUrl:
    account, host = _account(parts)
    if host or (account and "@" not in parts.netloc):
        raise BadUrl("path: begins with a slash; write unix:///path, or unix://user:password@/path")
    if not parts.path.strip("/"):
        raise BadUrl("path: is missing; write unix:///path")
    # kombu calls the database of a socket its virtual host.
    options = _options(parts, {**_OPTIONS, **_IDENTITY, "virtual_host": _database})
    number = options.pop("virtual_host", None)
    if number is not None:
        options.setdefault("db", number)
    return RedisUrl("unix", path=unquote(parts.path), **_identity(parts, options), options=options)
