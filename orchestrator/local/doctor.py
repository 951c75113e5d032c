"""Looks at everything a feature needs to run, and says what is wrong and what to do about it."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import re
import stat
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import kombu
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from orchestrator.config import urls
from orchestrator.config.folder import FILE, OTHERS_WRITE, find_file
from orchestrator.config.settings import Settings
from orchestrator.config.urls import RedisUrl, safe_url
from orchestrator.engine import broker, flower_config
from orchestrator.model import errors, words
from orchestrator.model.finding import Finding, Level, ok, problem, unreadable, warning
from orchestrator.model.words import count
from orchestrator.state import (
    advisories,
    connections,
    embedded,
    fingerprint,
    overwritten,
    redis_binary,
    refusals,
    rights,
    schema,
)
from orchestrator.state.durability import _eviction, _persistence, ask
from orchestrator.state.keys import Keys
from orchestrator.state.reader import StateReader
from orchestrator.state.workers import Worker, Workers, processes

PATIENCE = 3
"""Seconds that a server has to answer."""


CLOCK_TOLERANCE = 5.0
"""Seconds that this machine's clock and that of Redis may be apart."""


OLDEST_REDIS = (6, 2)


PACKAGES = ("task-orchestrator", "celery", "kombu", "redis")


def examine(settings: Settings) -> list[Finding]:
    """Check the configuration, Redis, the broker, the workers and the log folder.

    A private redis-server that does not run is started for the look, and stopped after it; where the folder
    does not exist yet, nothing is started and nothing is written.

    Returns:
        The findings in a sensible order to read; no passwords in them.

    Example:
        unwell = any(finding.level is Level.PROBLEM for finding in examine(settings))
    """
    folders = [_logs(settings), *_roots(settings)]
    looks = [_configuration(settings), _versions(), *_hidden(settings), *folders, *_flower(os.environ)]
    return [*looks, *_servers(settings)]


def _configuration(settings: Settings) -> Finding:
    file = find_file()
    if file and file.is_file() and file.stat().st_mode & OTHERS_WRITE:
        text = f"{file} is in force, and others can write it: they could choose what workers run"
        return warning("configuration", text, f"See whether all in it is yours, then: chmod go-w {file}")
    if file:
        return ok("configuration", f"{file} is in force")
    return ok("configuration", f"the defaults are in force; there is no {settings.folder / FILE}")


def _versions() -> Finding:
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return ok("versions", f"Python {platform.python_version()}, {packages}")


def _hidden(settings: Settings) -> Iterator[Finding]:
    """Files of the project that Python finds before a package, where a worker is started with `celery -A`."""
    project = settings.folder.parent
    for name in ("orchestrator", "celery", "kombu", "redis", "pydantic", "yaml"):
        there = PathFinder.find_spec(name, [str(project)])
        installed = sys.modules.get(name) or importlib.import_module(name)
        if there and there.origin and Path(there.origin).resolve() != Path(str(installed.__file__)).resolve():
            yield problem(
                "names",
                f"{there.origin} hides the installed package {name} from `celery -A orchestrator` in {project}",
                "Give it another name, or start workers in another folder, with TASKORCHESTRATOR_CONFIG set.",
            )


def _logs(settings: Settings) -> Finding:
    folder = settings.log_folder.absolute()
    there = next(place for place in [folder, *folder.parents] if place.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return ok("logs", f"{folder} can be written")
    return problem(
        "logs",
        f"{folder} cannot be written ({there})",
        "Make it writable, or set `logs` to a folder that is.",
    )


def _roots(settings: Settings) -> Iterator[Finding]:
    """Folders of which nothing is removed, or in which others can be in the way."""
    logs, work = settings.log_folder, settings.folder / "work"
    for root in (work,) if settings.logs else (logs, work):
        if root.is_symlink():
            yield warning(
                f"folder {root.name}",
                f"{root} is a link, so nothing behind it is ever removed",
                "Make it a folder; where logs go elsewhere, name that place in `logs`.",
            )
    if logs.is_dir() and logs.stat().st_mode & stat.S_IWOTH:
        yield warning(
            "shared logs",
            f"others can write {logs}: they can keep a log from being written, by making its folder first",
            "Give the user of the workers a folder of its own in it, and name that in `logs`.",
        )


def _flower(environment: Mapping[str, str]) -> Iterator[Finding]:
    """What the environment makes of Flower, where it is started in it."""
    if environment.get("FLOWER_BASIC_AUTH") or environment.get("FLOWER_AUTH"):
        return
    address = environment.get("FLOWER_ADDRESS", "127.0.0.1")
    if not flower_config.is_loopback(address):
        yield warning(
            "flower",
            f"FLOWER_ADDRESS is {address}, and there is no password: who reaches Flower can stop workers and tasks",
            "Set FLOWER_BASIC_AUTH=user:password, or unset FLOWER_ADDRESS.",
        )
    if environment.get(flower_config.OPEN_API, "").lower() in flower_config.YES:
        yield warning(
            "flower",
            f"{flower_config.OPEN_API} is set, and there is no password: a web page can start tasks through Flower",
            f"Set FLOWER_BASIC_AUTH=user:password, or unset {flower_config.OPEN_API}.",
        )


def _servers(settings: Settings) -> Iterator[Finding]:
    if settings.redis.server:
        yield from _redis_and_all_behind_it(settings, settings.redis.server)
    elif settings.folder.is_dir():
        try:
            with embedded.Server(settings.folder, settings.redis_server) as server:
                yield from _redis_and_all_behind_it(settings, urls.read(server.url))
        except (errors.NoRedisServer, errors.RedisDidNotStart) as error:
            yield _from_error("redis", error)
    else:
        yield _binary(settings)


def _binary(settings: Settings) -> Finding:
    try:
        binary = redis_binary.find(settings.redis_server)
    except errors.NoRedisServer as error:
        return _from_error("redis", error)
    version = redis_binary.version_of(binary)
    text = f"none runs here yet; the first command starts {binary} ({_dotted(version)})"
    return ok("redis", text) if version >= OLDEST_REDIS else _too_old(text)


def _from_error(name: str, error: errors.OrchestratorError) -> Finding:
    text, _, remedy = str(error).rpartition("\n")  # by the house style an error's last line is its next step
    return problem(name, text, remedy)


def _redis_and_all_behind_it(settings: Settings, server: RedisUrl) -> Iterator[Finding]:
    never = Retry(NoBackoff(), 0)
    with connections.open_client(
        server, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE, retry=never
    ) as client:
        try:
            client.ping()
            yield from _redis(client, settings, server.shown)
        except redis.RedisError as error:
            yield _no_answer(error, server.shown)
            return
        found = _broker(settings)
        yield found
        if found.level is not Level.PROBLEM:
            yield from _workers(settings, client)


def _no_answer(error: redis.RedisError, url: str) -> Finding:
    told = refusals.translate(error, url)
    if isinstance(told, errors.RedisRefuses):
        return problem("redis", f"{url} refuses what was asked of it: {told.cause}", told.remedy)
    return problem(
        "redis", f"{url} does not answer: {told.cause}", "Start it, or set redis.url to one that runs."
    )


def _redis(client: redis.Redis, settings: Settings, url: str) -> Iterator[Finding]:
    clock = _clock(ask(client.time), time.time())
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
            "somebody else has written under our keys, and what needs them is passed over: "
            + "; ".join(f"{key} is a {one.found}, and should be a {one.wanted}" for key, one in named),
            f"Remove them: echo 'DEL {' '.join(key for key, _ in named)}' | redis-cli. And see who can write to this "
            "Redis.",
        )


def _holes(name: str, product: str) -> Iterator[Finding]:
    """Whether its Lua has holes: on a Redis that others can use too, a script of theirs reads and writes all of it."""
    found, mended = advisories.holes(name, [int(part) for part in re.findall(r"\d+", product)])
    if found:
        yield warning(
            "lua",
            f"{product} has known holes ({', '.join(found)}): whoever may run scripts there can run programs as Redis",
            f"Use {name} {mended} or newer, or a package whose distributor says that it is mended.",
        )


def _commands(client: redis.Redis, settings: Settings) -> Finding:
    """Each command that is needed is tried."""
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


def _too_old(text: str) -> Finding:
    oldest = _dotted(OLDEST_REDIS)
    return problem(
        "redis", text, f"Use Redis {oldest} or newer: older ones lack commands that are needed here."
    )


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version)) or "unknown version"


def _clock(redis_time: tuple[int, int] | None, now: float) -> Finding:
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
    records = StateReader(client, Keys(settings.redis.prefix))
    minimum, newer = ask(records.minimum), ask(records.newer)
    if minimum is None or newer is None:
        return unreadable("schema", "GET or HGET")
    if minimum > schema.VERSION:
        error = errors.Outdated(prefix=settings.redis.prefix, minimum=minimum, known=schema.VERSION)
        return _from_error("schema", error)
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
        "docs/security.md.",
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


def _broker(settings: Settings) -> Finding:
    if not settings.broker.url:
        return ok("broker", "the same Redis")
    address = broker.find(settings)
    url = address.url
    shown = settings.broker.server.shown if settings.broker.server else safe_url(url)
    remedy = "Start it, or set broker.url to one that runs, or leave it out: then Redis is the broker."
    patience = (
        {"socket_timeout": PATIENCE, "socket_connect_timeout": PATIENCE} if settings.broker.server else {}
    )
    try:
        with kombu.Connection(
            url,
            connect_timeout=PATIENCE,
            ssl=dict(address.tls) if address.tls else False,
            transport_options={**address.transport, **patience},
        ) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=PATIENCE)
    except kombu.exceptions.OperationalError as error:
        return problem("broker", f"{shown} does not answer: {refusals.said(error)}", remedy)
    except Exception as error:  # a transport may raise anything; its message may quote a part of a password
        return problem("broker", f"{shown} cannot be used ({type(error).__name__})", remedy)
    return ok("broker", f"{shown} answers")


def _workers(settings: Settings, client: redis.Redis) -> Iterator[Finding]:
    from orchestrator.engine import queues  # late: it brings all of Celery

    keys = Keys(settings.redis.prefix)
    present = ask(Workers(client, keys).present) or []
    try:
        answers = _ask_the_workers()
    except errors.OrchestratorError as error:
        yield _from_error("workers", error)
        return
    except kombu.exceptions.OperationalError as error:
        yield problem(
            "workers", f"they cannot be asked: {error}", "See what is said of Redis and the broker."
        )
        return
    except Exception as error:  # a transport may raise anything, as that of files does
        cause = f"they cannot be asked ({type(error).__name__})"
        yield problem("workers", cause, "See what is said of Redis and the broker.")
        return
    names = {*answers, *(worker.name for worker in present)}
    if not names:
        yield warning(
            "workers",
            "there is no worker, so nothing is worked on",
            "Start one: celery -A orchestrator worker. (`orchestrator run` brings its own.)",
        )
        return
    yield ok("workers", f"{len(names)} there: {', '.join(sorted(names))}")
    yield from _names(present)
    yield from _threads(present)
    yield from _hindrances(present)
    for text in fingerprint.outdated(settings, present).values():
        yield warning("worker settings", text, fingerprint.REMEDY)
    served = {name for found in answers.values() for name in queues.display_names(found)}
    served |= {queue for worker in present for queue in worker.queues}
    missing = sorted({settings.queue(name) for name in settings.specialists} - served)
    if missing:
        yield warning(
            "queues",
            f"no worker takes from {', '.join(missing)}: tasks sent there wait",
            f"Start a worker for them: celery -A orchestrator worker -Q {','.join(missing)}",
        )
    else:
        yield ok("queues", "each specialist's queue has a worker")
    yield from _processes(settings, client, present)


def _threads(present: Sequence[Worker]) -> Iterator[Finding]:
    for worker in present:
        if worker.trouble:
            yield warning(
                "worker threads",
                f"{worker.name}: {'; '.join(worker.trouble)}",
                "It was started again each time, and the worker's log says when. This is a mistake in the program: "
                "report it with that line of the log, and restart the worker.",
            )


def _hindrances(present: Sequence[Worker]) -> Iterator[Finding]:
    hindered = [f"{worker.name}: {'; '.join(worker.hindered)}" for worker in present if worker.hindered]
    if hindered:
        yield problem(
            "sweep",
            f"what workers try in each round does not succeed: {'. '.join(hindered)}",
            "See what is said here of Redis and of its keys. A feature whose keys are wrong is removed by: "
            "orchestrator forget ID.",
        )


def _names(present: Sequence[Worker]) -> Iterator[Finding]:
    counted = Counter(worker.name for worker in present)
    twice = sorted(name for name, number in counted.items() if number > 1)
    if twice:
        yield warning(
            "worker names",
            f"more than one worker is called {', '.join(twice)}: Celery's commands and Flower cannot tell them apart",
            "Start each with a name of its own: celery -A orchestrator worker -n NAME@%h",
        )


def _processes(settings: Settings, client: redis.Redis, present: Sequence[Worker]) -> Iterator[Finding]:
    """Whether the workers run as many tasks at once as the caps allow."""
    there = processes(present)
    keys = Keys(settings.redis.prefix)
    caps = {
        feature: _cap(client, keys, feature)
        for feature in sorted(ask(lambda: client.smembers(keys.active)) or ())
    }
    widest = max(caps, key=lambda feature: caps[feature], default="")
    if not there or not widest:
        return
    if caps[widest] <= there:
        yield ok("processes", f"the workers run {count(there, 'task')} at once, as many as any cap allows")
    else:
        yield warning(
            "processes",
            f"the workers run {count(there, 'task')} at once, and {widest} has a cap of {caps[widest]}: "
            "its other tasks wait for a process",
            f"Start more: celery -A orchestrator worker --concurrency {caps[widest] - there}",
        )


def _cap(client: redis.Redis, keys: Keys, feature: str) -> int:
    """At most so many tasks of the feature run at once."""
    cap, total = client.hmget(keys.feature(feature).meta, "cap", "total")
    return min(int(cap or 0), int(total or 0))


def _ask_the_workers() -> Mapping[str, Sequence[Mapping[str, object]]]:
    from celery.app.control import DuplicateNodenameWarning  # type: ignore[attr-defined]

    from orchestrator.celery import app  # late: it brings all of Celery, and reads the settings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DuplicateNodenameWarning)  # it is a finding of its own
        return app.control.inspect(timeout=1.0).active_queues() or {}
