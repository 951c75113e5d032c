"""Checks at the start of a worker: its environment, its pool, its Redis, and the version that Redis asks for."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import redis

from orchestrator.config.settings import Settings
from orchestrator.engine import app_checks, celery_settings, installation, pools
from orchestrator.model import errors
from orchestrator.model.finding import Level
from orchestrator.state import refusals, schema
from orchestrator.state.durability import look_at_keeping
from orchestrator.state.store import Store

if TYPE_CHECKING:
    from celery import Celery

logger = logging.getLogger("orchestrator")


def check_memory(settings: Settings) -> None:
    """Refuse to work on a Redis in memory: nobody but this process could enqueue anything.

    Raises:
        SystemExit: The Redis of the settings is one in memory.
    """
    if memory := settings.redis.memory:
        error = errors.WorksAlone(url=memory.shown)
        logger.critical("%s", error)
        raise SystemExit(error.exit_code)


def check_environment(app: Celery) -> None:
    """Warn of variables that name another broker for Celery: a worker of ours ignores them.

    In an app of the project's own they hold; there, warn of settings of the app that weaken a promise.
    """
    engine = installation.of(app)
    if engine.is_guest:
        for found in app_checks.check_app(engine):
            logger.warning("The Celery app %s: %s: %s. %s", app.main, found.name, found.text, found.remedy)
        return
    ignored = list(celery_settings.ignored_variables(app.conf, os.environ))
    if ignored:
        logger.warning(
            "This worker ignores %s of its environment: its broker is that of its configuration (%s). "
            "To use another one, set TASKORCHESTRATOR_BROKER__URL.",
            ", ".join(ignored),
            app.connection_for_read().as_uri(),
        )


def check_pool(pool: Any, time_limit: float | None) -> None:
    """Refuse a pool that cannot keep our promises, and warn of one that ignores the worker's time limit.

    Args:
        pool: The class of the pool.
        time_limit: The worker's `--time-limit` in seconds.

    Raises:
        SystemExit: The pool is refused.
    """
    try:
        pools.check(pool)
    except errors.PoolRefused as error:
        logger.critical("%s", error)
        raise SystemExit(error.exit_code) from None
    if time_limit and not pools.keeps_time_limit(pool):
        logger.warning(
            "The pool %s does not keep the time limit of this worker (--time-limit %g). Give tasks or specialists "
            "a timeout, which each pool keeps; or use the pool prefork.",
            pool.__module__.rpartition(".")[2],
            time_limit,
        )


def check_redis(store: Store, settings: Settings) -> None:
    """Check that Redis loses no data. A Redis that cannot be reached costs only a warning.

    Raises:
        SystemExit: Redis may evict keys, and the settings do not allow that.
    """
    try:
        findings = look_at_keeping(store.client, settings)
    except redis.RedisError as error:
        logger.warning(
            "Could not check whether the Redis at %s keeps its data: %s. The worker starts; "
            "`orchestrator doctor` checks it later.",
            store.url,
            refusals.describe(error),
        )
        return
    for finding in findings:
        if finding.name == "eviction" and finding.level is Level.PROBLEM:
            logger.critical("%s", errors.RedisForgets(cause=finding.text, remedy=finding.remedy))
            raise SystemExit(errors.RedisForgets.exit_code)
        if finding.level is not Level.OK:
            logger.warning(
                "The Redis at %s: %s: %s. %s", store.url, finding.name, finding.text, finding.remedy
            )


def check_schema(store: Store, settings: Settings) -> None:
    """Check that this worker is new enough for the state in Redis.

    Raises:
        SystemExit: It is too old.
    """
    try:
        minimum = store.recovery.raise_minimum(schema.OLDEST_BESIDE)
    except redis.RedisError as error:
        logger.warning(
            "Could not check whether the Redis at %s needs newer workers: %s. The worker starts, and checks it again "
            "in each round.",
            store.url,
            error,
        )
        return
    if minimum > schema.VERSION:
        logger.critical("%s", outdated(settings, minimum))
        raise SystemExit(errors.Outdated.exit_code)


def outdated(settings: Settings, minimum: int) -> errors.Outdated:
    """The error of a worker that is too old.

    Args:
        settings: The settings.
        minimum: The schema version that Redis asks for.
    """
    return errors.Outdated(prefix=settings.redis.prefix, minimum=minimum, known=schema.VERSION)
