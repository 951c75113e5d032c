"""The errors that Redis answers with: which of them pass by themselves, and the remedy for each."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import redis
from redis import exceptions

from orchestrator.model import errors, words


class Refusal(NamedTuple):
    """One kind of error, with its remedy."""

    passes: bool
    """The error ends without a change to the settings, as an outage does."""
    remedy: str


REFUSALS: Mapping[str, Refusal] = {
    "OOM": Refusal(
        True, "Its memory is full. Raise maxmemory, or remove what is over: `orchestrator prune`."
    ),
    "READONLY": Refusal(
        True,
        "It is a replica, which takes no writes. Set redis.url to the master, or to its sentinels: "
        "sentinel://host:26379/mymaster.",
    ),
    "MISCONF": Refusal(
        True,
        "It cannot write to its disk. See its log, and whether the disk is full; it takes writes again after.",
    ),
    "NOREPLICAS": Refusal(
        True, "Too few replicas are in step (min-replicas-to-write). Bring them back, or lower that."
    ),
    "BUSY": Refusal(
        True, "A script of somebody runs for too long. Wait for it, or end it: redis-cli SCRIPT KILL."
    ),
    "LOADING": Refusal(True, "It reads its data in after a start. Try again in a few seconds."),
    "MASTERDOWN": Refusal(
        True, "It is a replica that has lost its master. Bring the master back, or fail over."
    ),
    "TRYAGAIN": Refusal(True, "Try again in a few seconds."),
    "CLUSTERDOWN": Refusal(
        True, "It is a Redis Cluster, which is not supported: use a single Redis or sentinels."
    ),
    "MOVED": Refusal(
        False, "It is a Redis Cluster, which is not supported: use a single Redis or sentinels."
    ),
    "CROSSSLOT": Refusal(
        False, "It is a Redis Cluster, which is not supported: use a single Redis or sentinels."
    ),
    "CLIENTS": Refusal(True, "It has as many clients as it takes. Raise maxclients, or end some."),
    "NOAUTH": Refusal(
        True, "It asks for a password. Put it into redis.url: redis://user:password@host:6379/0."
    ),
    "WRONGPASS": Refusal(
        True, "Mend the user and the password in redis.url; special characters percent-encoded."
    ),
    "NOPERM": Refusal(
        False,
        "Give the user in redis.url the right to it (deploy/users.acl has all). `orchestrator doctor` names each "
        "command that is missing.",
    ),
    "UNKNOWN": Refusal(
        False,
        "It is renamed or switched off there: give it back, or use another Redis. `orchestrator doctor` names each "
        "command that is missing.",
    ),
    "DATABASE": Refusal(
        False, "redis.url names a database that it does not have. Choose another, such as 0."
    ),
    "WRONGTYPE": Refusal(
        False,
        "Somebody else writes under our keys. Set another redis.prefix, or remove the key that is wrong.",
    ),
}
"""The refusals by the first word of the answer, or by a word of ours if the answer has no such word."""

OTHER = Refusal(False, "`orchestrator doctor` looks at all that is needed of it.")

_BY_CLASS: tuple[tuple[type[Exception], str], ...] = (
    (exceptions.BusyLoadingError, "LOADING"),
    (exceptions.ReadOnlyError, "READONLY"),
    (exceptions.OutOfMemoryError, "OOM"),
    (exceptions.NoPermissionError, "NOPERM"),
    (exceptions.MasterDownError, "MASTERDOWN"),
    (exceptions.ClusterDownError, "CLUSTERDOWN"),
    (exceptions.TryAgainError, "TRYAGAIN"),
    (exceptions.ClusterCrossSlotError, "CROSSSLOT"),
    (exceptions.MovedError, "MOVED"),
)
"""Texts of errors without a first word: redis-py removes it from the errors for which it has a class."""

_BY_TEXT = (
    (r"max number of clients reached", "CLIENTS"),
    (r"DB index is out of range|invalid DB index", "DATABASE"),
    (r"[Uu]nknown (Redis )?(command|subcommand)", "UNKNOWN"),
    (r"has no permissions|No permissions|can't run this command or subcommand", "NOPERM"),
    (r"Authentication required|without any password configured|called without", "NOAUTH"),
    (r"invalid username-password pair|invalid password|user is disabled", "WRONGPASS"),
)

_OF_A_SCRIPT = re.compile(
    r"^(?:ERR )?Error running script \(call to \w+\): @user_script:\s*\d+: *(?:@\w+: *\d+: *)?-?"
)
_WITH_WHAT = re.compile(
    r",? with args beginning with:.*| script: [0-9a-f]{40}.*|, on @user_script.*| : <redis\.client\..*",
    re.DOTALL,
)
_OF_A_PIPELINE = re.compile(r"^.* of pipeline caused error: ", re.DOTALL)


def describe(error: Exception) -> str:
    """The answer in one line, without the command, which may hold the text of a task.

    Example:
        >>> describe(redis.ResponseError("unknown command 'EVALSHA', with args beginning with: '9f' '1' 'to:{auth}'"))
        "unknown command 'EVALSHA'"
    """
    if isinstance(error, errors.RedisUnreachable | errors.RedisRefuses):
        return str(error.cause)
    text = _OF_A_PIPELINE.sub("", str(error))
    text = _WITH_WHAT.sub("", _OF_A_SCRIPT.sub("", text))
    return words.one_line(text.removeprefix("ERR "), most=200)


def code(error: redis.RedisError) -> str:
    """The word in `REFUSALS` for an answer; "" if there is none.

    Redis 6.2 wraps the error of a command in a script into a sentence, which redis-py does not recognise.

    Example:
        >>> code(redis.exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."))
        'OOM'
        >>> code(redis.ResponseError("Error running script (call to f_9f): @user_script:7: -READONLY You can't write"))
        'READONLY'
    """
    if isinstance(error, errors.RedisRefuses):
        return str(error.code)
    for kind, word in _BY_CLASS:
        if isinstance(error, kind):
            return word
    text = describe(error)
    for pattern, word in _BY_TEXT:
        if re.search(pattern, text):
            return word
    first = re.match(r"-?([A-Z]+)\b", text)
    if first and first[1] in REFUSALS:
        return first[1]
    return "NOAUTH" if isinstance(error, exceptions.AuthenticationError) else ""


def passes(error: Exception) -> bool:
    """Whether the error is one of an outage: Redis will answer when that is over.

    Example:
        >>> passes(redis.ConnectionError("refused")), passes(redis.ResponseError("WRONGTYPE …"))
        (True, False)
    """
    if isinstance(error, errors.RedisRefuses):
        return bool(error.passes)
    if isinstance(error, errors.RedisUnreachable | errors.NotReplicated):
        return True
    if not isinstance(error, redis.RedisError):
        return False
    word = code(error)
    return REFUSALS[word].passes if word else not _is_an_answer(error)


def translate(error: redis.RedisError, url: str) -> errors.OrchestratorError:
    """The error with a text for people. It is also an error of redis-py still, for code that catches those.

    Args:
        error: The error that redis-py raised; a translated error is returned as it is.
        url: The server, without a password.

    Example:
        >>> translate(redis.BusyLoadingError("Redis is loading the dataset in memory"), "redis://cache").exit_code
        3
    """
    if isinstance(error, errors.OrchestratorError):
        return error
    theirs = next(kind for kind in _KINDS if isinstance(error, kind))
    word = code(error)
    if not word and not _is_an_answer(error):
        return _both(errors.RedisUnreachable, theirs)(url=url, cause=describe(error) or type(error).__name__)
    refusal = REFUSALS.get(word, OTHER)
    return _both(errors.RedisRefuses, theirs)(
        url=url, cause=describe(error), remedy=refusal.remedy, passes=refusal.passes, code=word
    )


_KINDS = (
    redis.ResponseError,
    redis.TimeoutError,
    redis.ConnectionError,
    redis.InvalidResponse,
    redis.RedisError,
)
"""The errors of redis-py that callers distinguish."""


@functools.cache
def _both(
    ours: type[errors.OrchestratorError], theirs: type[redis.RedisError]
) -> type[errors.OrchestratorError]:
    """A class that inherits from both, with our name and our message. Unpickled, it is of our class alone."""

    def reduce(error: errors.OrchestratorError) -> tuple[Any, ...]:
        rebuild, (_, *details) = ours.__reduce__(error)
        return rebuild, (ours, *details)

    named = {"__doc__": ours.__doc__, "__module__": ours.__module__, "__reduce__": reduce}
    return type(ours.__name__, (ours, theirs), named)


def _is_an_answer(error: Exception) -> bool:
    """Whether Redis answered: not a broken connection, and not the answer of a proxy."""
    return not isinstance(error, redis.ConnectionError | redis.TimeoutError | redis.InvalidResponse)
