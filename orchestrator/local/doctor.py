"""Checks everything that a feature needs to run, and says what is wrong and how to mend it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from orchestrator.config import urls
from orchestrator.config.settings import Settings
from orchestrator.config.urls import RedisUrl
from orchestrator.local.machine_checks import (
    check_configuration,
    check_flower,
    check_logs,
    check_names,
    check_roots,
    check_versions,
)
from orchestrator.local.redis_checks import check_binary, check_redis, from_error
from orchestrator.local.worker_checks import PATIENCE, check_app, check_broker, check_workers
from orchestrator.local.workspace_checks import check_workspaces
from orchestrator.model import errors
from orchestrator.model.finding import Finding, Level, problem, warning
from orchestrator.state import connections, embedded, refusals


def examine(settings: Settings) -> list[Finding]:
    """Check the configuration, the folders, the workspaces of tasks, Redis, the broker and the workers.

    A private redis-server that does not run is started for the checks, and stopped after them. If its folder does not
    exist yet, nothing is started and nothing is written.

    Returns:
        The findings, in the order in which a person reads them; none holds a password.

    Example:
        unwell = any(finding.level is Level.PROBLEM for finding in examine(settings))
    """
    folders = [check_logs(settings), *check_roots(settings)]
    findings = [
        check_configuration(settings),
        check_versions(),
        *check_names(settings),
        *folders,
        *check_flower(os.environ),
        *check_workspaces(settings),
    ]
    return [*findings, *_servers(settings)]


def _servers(settings: Settings) -> Iterator[Finding]:
    if memory := settings.redis.memory:
        yield warning(
            "redis",
            f"{memory.shown} lies in the memory of each process, and ends with it",
            "For features that outlive a command, set redis.url to a Redis that runs, or leave it out.",
        )
    elif settings.redis.server:
        yield from _from_redis_on(settings, settings.redis.server)
    elif settings.folder.is_dir():
        try:
            with embedded.Server(settings.folder, settings.redis_server) as server:
                yield from _from_redis_on(settings, urls.read(server.url))
        except (errors.NoRedisServer, errors.RedisDidNotStart) as error:
            yield from_error("redis", error)
    else:
        yield check_binary(settings)


def _from_redis_on(settings: Settings, server: RedisUrl) -> Iterator[Finding]:
    never = Retry(NoBackoff(), 0)
    with connections.open_client(
        server, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE, retry=never
    ) as client:
        try:
            client.ping()
            yield from check_redis(client, settings, server.shown)
        except redis.RedisError as error:
            yield _no_answer(error, server.shown)
            return
        found = check_broker(settings)
        yield found
        yield from check_app(settings)
        if found.level is not Level.PROBLEM:
            yield from check_workers(settings, client)


def _no_answer(error: redis.RedisError, url: str) -> Finding:
    told = refusals.translate(error, url)
    if isinstance(told, errors.RedisRefuses):
        return problem("redis", f"{url} refuses a command: {told.cause}", told.remedy)
    return problem(
        "redis", f"{url} does not answer: {told.cause}", "Start it, or set redis.url to one that runs."
    )
