"""The Lua scripts of `lua/`, and the one way to run them."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

import redis
from redis.exceptions import NoScriptError


class Call(NamedTuple):
    """One call of a script: its verb, the keys it touches, its arguments."""

    verb: str
    keys: Sequence[str]
    args: Sequence[str | int | float]


@functools.cache
def sources() -> Mapping[str, str]:
    """The source of every script, by its verb."""
    folder = resources.files("orchestrator").joinpath("lua")
    return {
        file.name.removesuffix(".lua"): file.read_text("utf-8")
        for file in folder.iterdir()
        if file.name.endswith(".lua")
    }


@functools.cache
def digest(verb: str) -> str:
    """The digest by which the server knows a script (SHA-1: what EVALSHA asks for, no matter of security)."""
    return hashlib.sha1(sources()[verb].encode(), usedforsecurity=False).hexdigest()


def run(client: redis.Redis, *calls: Call) -> list[Any]:
    """Run scripts in one round trip, several as one transaction, and return their answers.

    Scripts are sent by digest. A server that does not know them (new, restarted, flushed) knows none of them, so
    it is given all and asked again; a script that did run by then runs twice, which each is made to bear.

    redis-py's own Script objects ask SCRIPT EXISTS before every pipeline, which costs a second round trip.
    """
    return _run(client, calls, transaction=True)


def run_each(client: redis.Redis, calls: Sequence[Call]) -> list[Any]:
    """Run many scripts in one round trip, each for itself: others may run in between."""
    return _run(client, calls, transaction=False)


def _run(client: redis.Redis, calls: Sequence[Call], transaction: bool) -> list[Any]:
    try:
        return _send(client, calls, transaction)
    except NoScriptError:
        for source in sources().values():
            client.script_load(source)
        return _send(client, calls, transaction)


def _send(client: redis.Redis, calls: Sequence[Call], transaction: bool) -> list[Any]:
    if len(calls) == 1:
        (call,) = calls
        return [client.evalsha(digest(call.verb), len(call.keys), *call.keys, *call.args)]
    pipeline = client.pipeline(transaction=transaction)
    for call in calls:
        pipeline.evalsha(digest(call.verb), len(call.keys), *call.keys, *call.args)
    return pipeline.execute()
