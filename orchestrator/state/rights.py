"""Tries every Redis command that we need: a provider may have disabled one, and a user may lack the right to it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import redis

from orchestrator.state import refusals
from orchestrator.state.keys import Keys

EXPIRY_SECONDS = 60
"""Seconds after which the keys of a trial expire, in case it is cut off."""


class Missing(NamedTuple):
    """A command that cannot be used."""

    name: str
    is_unknown: bool
    """True: Redis has no command of this name. False: the user has no right to it."""


def _trials(key: str) -> Iterator[tuple[str, Sequence[Any]]]:
    """Every command that this project, Celery and kombu use, by name, with harmless arguments."""
    values = {
        kind: f"{key}:{kind}" for kind in ("text", "hash", "list", "set", "scores", "stream", "number", "new")
    }
    text, table, row, group, scores, stream, number, new = values.values()
    yield "PING", ()
    yield "TIME", ()
    yield "SET", (text, "1", "EX", EXPIRY_SECONDS)
    yield "SETEX", (text, EXPIRY_SECONDS, "1")
    yield "GET", (text,)
    yield "MGET", (text,)
    yield "EXISTS", (text,)
    yield "TYPE", (text,)
    yield "PEXPIRE", (text, EXPIRY_SECONDS * 1000)
    yield "EXPIRE", (text, EXPIRY_SECONDS)
    yield "PERSIST", (new,)
    yield "INCR", (number,)
    yield "INCRBY", (number, 1)
    yield "HSET", (table, "field", "1")
    yield "HSETNX", (table, "field", "1")
    yield "HGET", (table, "field")
    yield "HLEN", (table,)
    yield "HMGET", (table, "field")
    yield "HGETALL", (table,)
    yield "HSCAN", (table, 0)
    yield "HKEYS", (table,)
    yield "HEXISTS", (table, "field")
    yield "HINCRBY", (table, "field", 1)
    yield "HDEL", (table, "field")
    yield "RPUSH", (row, "1")
    yield "LPUSH", (row, "1")
    yield "RPOP", (row,)
    yield "LPUSH", (row, "1")
    yield "LLEN", (row,)
    yield "LRANGE", (row, 0, 0)
    yield "LINDEX", (row, -1)
    yield "BRPOP", (row, 1)
    yield "SADD", (group, "1")
    yield "SCARD", (group,)
    yield "SMEMBERS", (group,)
    yield "SREM", (group, "1")
    yield "ZADD", (scores, 1, "1")
    yield "ZCARD", (scores,)
    yield "ZCOUNT", (scores, 0, 1)
    yield "ZSCORE", (scores, "1")
    yield "ZMSCORE", (scores, "1")
    yield "ZRANGE", (scores, 0, 0)
    yield "ZREVRANGE", (scores, 0, 0)
    yield "ZRANGEBYSCORE", (scores, 0, 1)
    yield "ZREVRANGEBYSCORE", (scores, 1, 0)
    yield "ZREM", (scores, "2")
    yield "ZREMRANGEBYSCORE", (scores, 2, 3)
    yield "ZPOPMIN", (scores,)
    yield "XADD", (stream, "*", "field", "1")
    yield "XTRIM", (stream, "MAXLEN", 10)
    yield "XRANGE", (stream, "-", "+", "COUNT", 1)
    yield "XREVRANGE", (stream, "+", "-", "COUNT", 1)
    yield "XREAD", ("COUNT", 1, "STREAMS", stream, "0")
    yield "RENAME", (text, new)
    yield "MULTI", ()
    yield "EXEC", ()
    yield "DEL", (*values.values(),)
    yield "UNLINK", (*values.values(),)


COMMANDS = frozenset(
    {name for name, _ in _trials("")}
    | {
        "SCRIPT LOAD",
        "SCRIPT EXISTS",
        "EVALSHA",
        "PUBLISH",
        "SUBSCRIBE",
        "PSUBSCRIBE",
        "UNSUBSCRIBE",
        "PUNSUBSCRIBE",
    }
)
"""The commands that are always tried. WAIT is tried only if `redis.replicas` needs it."""


def missing(
    client: redis.Redis,
    keys: Keys,
    *,
    queues: Sequence[str],
    database: int | None = 0,
    replicas: int = 0,
) -> list[Missing]:
    """Try each command that is needed, on keys that are removed afterwards.

    Args:
        client: A client that decodes responses.
        keys: The keys of the project: the keys of the trial have its prefix.
        queues: Celery's queues on this Redis.
        database: The number of the database if this Redis is the broker too: the names of its channels contain it.
        replicas: The setting `redis.replicas`.

    Raises:
        RedisError: Redis does not answer.

    Example:
        names = [one.name for one in missing(client, Keys("to"), queues=["senior-engineer"])]
    """
    trials = list(_trials(f"{keys.prefix}:trial:{uuid.uuid4().hex}"))
    trials += [(f"LLEN {queue}", (keys.queue(queue),)) for queue in queues]
    trials += [(f"PERSIST {queue}", (keys.queue(queue),)) for queue in queues]  # a write that changes nothing
    trials += [("WAIT", (0, 1))] if replicas else []
    pipeline: Any  # redis-py leaves it without types
    with client.pipeline(transaction=False) as pipeline:
        for name, arguments in trials:
            pipeline.execute_command(name.split(" ")[0], *arguments)
        answers = pipeline.execute(raise_on_error=False)
    asked = zip([name for name, _ in trials], answers, strict=True)
    control = keys.wake if database is None else keys.control(database)
    found = [*_denied(asked), *_denied(_scripts(client)), *_denied(_channels(client, keys.wake, control))]
    return list(dict.fromkeys(_as_queue(one) for one in found))


def _as_queue(one: Missing) -> Missing:
    command, _, queue = one.name.partition(" ")
    return Missing(f"the queue {queue}", False) if command in ("LLEN", "PERSIST") and queue else one


def _denied(asked: Any) -> Iterator[Missing]:
    for name, answer in asked:
        if isinstance(answer, redis.RedisError) and refusals.code(answer) in ("UNKNOWN", "NOPERM"):
            yield Missing(name, refusals.code(answer) == "UNKNOWN")


def _scripts(client: redis.Redis) -> Iterator[tuple[str, Any]]:
    digest = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"  # of "return 1"
    yield "SCRIPT LOAD", _answer(client, "SCRIPT", "LOAD", "return 1")
    yield "SCRIPT EXISTS", _answer(client, "SCRIPT", "EXISTS", digest)
    yield "EVALSHA", _answer(client, "EVALSHA", digest, 0)


def _channels(client: redis.Redis, channel: str, pattern: str) -> Iterator[tuple[str, Any]]:
    """Redis allows PSUBSCRIBE only if its pattern is, letter by letter, one that the user has."""
    yield "PUBLISH", _answer(client, "PUBLISH", channel, "")
    untyped: Any = client
    with untyped.pubsub() as listener:
        for name in ("SUBSCRIBE", "PSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE"):
            try:
                listener.execute_command(name, pattern if name.startswith("P") else channel)
                answer = listener.parse_response(block=False, timeout=2)
            except redis.ResponseError as error:
                answer = error
            yield name, answer


def _answer(client: redis.Redis, *command: Any) -> Any:
    asked: Any = client
    try:
        return asked.execute_command(*command)
    except redis.ResponseError as error:
        return error
