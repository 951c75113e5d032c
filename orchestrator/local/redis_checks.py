"""Checks of Redis: its version, its rights, its durability, its replicas, its clock, and what is stored there."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

import redis

from orchestrator.config.settings import Settings
from orchestrator.model import errors, words
from orchestrator.model.finding import Finding, ok, problem, unreadable, warning
from orchestrator.state import advisories, overwritten, redis_binary, refusals, rights, schema
from orchestrator.state.durability import _eviction, _persistence, ask
from orchestrator.state.keys import Keys
from orchestrator.state.store import Store

CLOCK_TOLERANCE = 5.0
"""Seconds that this machine's clock and that of Redis may be apart."""


OLDEST_REDIS = (6, 2)


def from_error(name: str, error: errors.OrchestratorError) -> Finding:
    """An error as a finding: its last line is the next step."""
    text, _, remedy = str(error).rpartition("\n")  # the last line of an error is its next step
    return problem(name, text, remedy)


def check_redis(client: redis.Redis, settings: Settings, url: str) -> Iterator[Finding]:
    """Everything about a Redis that answers."""
    clock = check_clock(ask(client.time), time.time())
    info = ask(client.info)
    if not info:
        yield ok("redis", f"{url} answers")
        yield _commands(client, settings)
        yield unreadable("redis version", "INFO")
        yield clock
        return
    name = "Valkey" if "valkey_version" in info else "Redis"
    product = f"{name} {info[f'{name.lower()}_version']}"
    program = f", {info['executable']}" if settings.is_embedded and info.get("executable") else ""
    text = f"{url} answers ({product}{program})"
    version = tuple(int(part) for part in re.findall(r"\d+", str(info["redis_version"]))[:2])
    yield ok("redis", text) if version >= OLDEST_REDIS else _too_old(text)
    if not settings.is_embedded:
        yield from _holes(name, product)
    yield _commands(client, settings)
    yield _eviction(info, settings)
    yield _persistence(info, client)
    yield from _replication(info, settings)
    yield clock
    yield _schema(client, settings)
    keys = Keys(settings.redis.prefix)
    yield from _overwritten(settings, client)
    yield _refused(ask(lambda: client.hgetall(keys.refused)))
    yield _replaced(ask(lambda: client.hgetall(keys.replaced)))


def _overwritten(settings: Settings, client: redis.Redis) -> Iterator[Finding]:
    found = overwritten.find(client, settings)
    if found:
        named = [(overwritten.quoted(one.key), one) for one in found]
        yield problem(
            "keys",
            "another program has written to keys of this orchestrator, and the work that needs them is skipped: "
            + "; ".join(f"{key} is a {one.found}, and should be a {one.wanted}" for key, one in named),
            f"Remove them: echo 'DEL {' '.join(key for key, _ in named)}' | redis-cli. And see who can write to this "
            "Redis.",
        )


def _holes(name: str, product: str) -> Iterator[Finding]:
    """Whether its Lua has known security holes, by which a script of another user can read and write everything."""
    found, mended = advisories.holes(name, [int(part) for part in re.findall(r"\d+", product)])
    if found:
        yield warning(
            "lua",
            f"{product} has known holes ({', '.join(found)}): a script there can run programs as Redis",
            f"Use {name} {mended} or newer, or a package whose distributor says that it is mended.",
        )


def _commands(client: redis.Redis, settings: Settings) -> Finding:
    """Whether each command that we need can be used."""
    keys = Keys(settings.redis.prefix)
    is_broker = not settings.broker.url
    lacking = rights.missing(
        client,
        keys,
        queues=sorted({settings.queue(name) for name in settings.specialists}) if is_broker else [],
        database=(settings.redis.server.db if settings.redis.server else 0) if is_broker else None,
        replicas=settings.redis.replicas,
    )
    if not lacking:
        return ok("commands", f"all {len(rights.COMMANDS)} that are needed can be used")
    renamed = [one.name for one in lacking if one.is_unknown]
    denied = [one.name for one in lacking if not one.is_unknown]
    text = "; ".join(
        [
            *([f"Redis does not know {', '.join(renamed)}"] if renamed else []),
            *([f"the user has no right to {', '.join(denied)}"] if denied else []),
        ]
    )
    remedies = [
        *(["Give them back (rename-command), or use another Redis."] if renamed else []),
        *(["Give the user in redis.url these rights: deploy/users.acl has all."] if denied else []),
    ]
    return problem("commands", text, " ".join(remedies))


def _replication(info: Mapping[str, Any], settings: Settings) -> Iterator[Finding]:
    name = "replication"
    if info.get("cluster_enabled"):
        yield problem(
            name,
            "it is a Redis Cluster, and one script of ours touches keys of several slots",
            "Use a single Redis, or one behind sentinels: sentinel://host:26379/mymaster.",
        )
    if info.get("role") in ("slave", "replica"):
        yield problem(name, "it is a replica, which takes no writes", refusals.REFUSALS["READONLY"].remedy)
        return
    there, wanted = int(info.get("connected_slaves", 0)), settings.redis.replicas
    if there < wanted:
        yield problem(
            name,
            f"{there} of {wanted} replicas are there (redis.replicas): outcomes wait for them",
            "Bring them back, or lower redis.replicas.",
        )
    elif there:
        waits = (
            f"outcomes wait for {wanted} of them" if wanted else "no outcome waits for them (redis.replicas)"
        )
        yield ok(name, f"{there} connected; {waits}")


def check_binary(settings: Settings) -> Finding:
    """Whether a redis-server is there to be started, and new enough."""
    try:
        binary = redis_binary.find(settings.redis_server)
    except errors.NoRedisServer as error:
        return from_error("redis", error)
    version = redis_binary.version_of(binary)
    text = f"none runs here yet; the first command starts {binary} ({_dotted(version)})"
    return ok("redis", text) if version >= OLDEST_REDIS else _too_old(text)


def _too_old(text: str) -> Finding:
    oldest = _dotted(OLDEST_REDIS)
    return problem(
        "redis", text, f"Use Redis {oldest} or newer: older ones lack commands that are needed here."
    )


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version)) or "unknown version"


def check_clock(redis_time: tuple[int, int] | None, now: float) -> Finding:
    """Whether the clocks of this machine and of Redis agree."""
    if redis_time is None:
        return unreadable("clock", "TIME")
    apart = now - (redis_time[0] + redis_time[1] / 1e6)
    if abs(apart) <= CLOCK_TOLERANCE:
        return ok("clock", "this machine and Redis agree")
    word = "ahead of" if apart > 0 else "behind"
    return warning(
        "clock",
        f"this machine is {abs(apart):.0f} s {word} Redis",
        "Synchronise both clocks (NTP): leases and waits are counted in the time of Redis.",
    )


def _schema(client: redis.Redis, settings: Settings) -> Finding:
    """Whether this version can read what is stored, and may work there."""
    reader = Store(client, Keys(settings.redis.prefix)).features
    minimum, newer = ask(reader.minimum), ask(reader.newer)
    if minimum is None or newer is None:
        return unreadable("schema", "GET or HGET")
    if minimum > schema.VERSION:
        error = errors.Outdated(prefix=settings.redis.prefix, minimum=minimum, known=schema.VERSION)
        return from_error("schema", error)
    if newer:
        return warning(
            "schema",
            f"a newer version wrote {words.some(newer, most=5)}; this one reads up to schema {schema.VERSION}, and "
            "leaves the rest alone",
            "Install here the version that the other workers run.",
        )
    return ok("schema", f"this version reads up to schema {schema.VERSION}, and nothing here is newer")


def _refused(counts: Mapping[str, str] | None) -> Finding:
    name = "refused messages"
    if counts is None:
        return unreadable(name, "HGETALL")
    if not counts:
        return ok(name, "workers have refused none")
    reasons = ", ".join(f"{reason} {times}" for reason, times in sorted(counts.items()))
    return warning(
        name,
        f"{sum(int(times) for times in counts.values() if times.isdecimal())} so far ({reasons})",
        "Somebody else writes to these queues, or runs another version. The workers' logs have a line for each; see "
        "docs/explanation/security.md.",
    )


def _replaced(counts: Mapping[str, str] | None) -> Finding:
    name = "pool processes"
    if counts is None:
        return unreadable(name, "HGETALL")
    if not counts:
        return ok(name, "none was replaced in the last seven days")
    workers = ", ".join(f"{worker} {times}" for worker, times in sorted(counts.items()))
    total = sum(int(times) for times in counts.values() if times.isdecimal())
    return warning(
        name,
        f"{total} took a task, did not begin it and {'was' if total == 1 else 'were'} replaced ({workers})",
        "Their tasks were sent again. Each worker's log says when: look for what stopped a process then, such as a "
        "debugger, or a lock that a thread of yours held while Celery forked.",
    )
