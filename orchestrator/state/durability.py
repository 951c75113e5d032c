"""Checks that Redis keeps its data: no eviction, and writes to the disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import redis

from orchestrator.config.settings import Settings
from orchestrator.model.finding import Finding, ok, problem, unreadable, warning


def look_at_keeping(client: redis.Redis, settings: Settings) -> list[Finding]:
    """Check that Redis evicts nothing and writes to its disk. A worker checks this at its start.

    Raises:
        RedisError: Redis does not answer.

    Example:
        refused = [finding for finding in look_at_keeping(client, settings) if finding.level is Level.PROBLEM]
    """
    info = ask(client.info)
    return [_eviction(info, settings), _persistence(info, client)] if info else [unreadable("redis", "INFO")]


def ask(question: Callable[[], Any]) -> Any:
    """The answer to a question; None if the user has no right to ask it, or the provider has disabled it."""
    try:
        return question()
    except redis.ResponseError:
        return None


def _eviction(info: Mapping[str, Any], settings: Settings) -> Finding:
    policy = info.get("maxmemory_policy")
    if policy is None:
        return unreadable("eviction", "INFO memory")
    if policy == "noeviction":
        return ok("eviction", "Redis evicts nothing (maxmemory-policy noeviction)")
    remedy = "Set it: redis-cli CONFIG SET maxmemory-policy noeviction (and in redis.conf, to stay)."
    if not info.get("maxmemory"):
        return warning(
            "eviction", f"maxmemory-policy is {policy}, which takes effect once maxmemory is set", remedy
        )
    text = f"maxmemory-policy is {policy}: when its memory is full, Redis evicts work"
    if settings.redis.allow_eviction:
        return warning("eviction", f"{text} (redis.allow_eviction is true)", remedy)
    return problem("eviction", text, f"{remedy} Or allow it: redis.allow_eviction: true.")


def _persistence(info: Mapping[str, Any], client: redis.Redis) -> Finding:
    name = "persistence"
    failed = [
        key for key in ("aof_last_write_status", "rdb_last_bgsave_status") if info.get(key, "ok") != "ok"
    ]
    if failed:
        return problem(
            name,
            f"Redis could not write to its disk ({failed[0]})",
            "See its log, and whether its disk is full.",
        )
    if info.get("aof_enabled"):
        return ok(name, "Redis writes every change to its disk (appendonly yes)")
    saves = ask(lambda: client.config_get("save"))
    if saves is None:
        return warning(
            name,
            "cannot tell: CONFIG GET was refused",
            "Set appendonly yes in its redis.conf, or check it by hand. (CONFIG GET shows passwords too, so the users "
            "of deploy/users.acl may not call it.)",
        )
    if saves.get("save"):
        return ok(name, f"Redis writes its data to its disk now and then (save {saves['save']})")
    return warning(
        name,
        "Redis keeps everything in memory only: a restart of it loses all features",
        "Set it: redis-cli CONFIG SET appendonly yes (and in redis.conf, to stay).",
    )
