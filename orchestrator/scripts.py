"""The Lua scripts of `lua/`, and the one way to run them: several as one."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

import redis
from redis.exceptions import NoScriptError

from orchestrator import keys

WAIT_MS = 1_000
"""So long is a write waited for on its way to the replicas; who can wait for longer asks again (see `outage`)."""


class Call(NamedTuple):
    """One call of a script: its verb, the keys it touches, its arguments."""

    verb: str
    keys: Sequence[str]
    args: Sequence[str | int | float]


PARTS: Mapping[str, frozenset[str]] = {
    "tell": frozenset(
        {"assign", "cascade", "enqueue", "finish", "grow", "hand_back"}
        | {"move", "note", "proceed", "recover", "start", "steer"}
    ),
    "take_token": frozenset({"cascade", "start"}),
    "limits": frozenset({"cascade"}),
    "publish": frozenset({"cascade", "recover"}),
    "learn": frozenset({"finish"}),
    "recount": frozenset({"finish", "hand_back", "move", "proceed", "recover", "start"}),
    "retire": frozenset({"finish", "hand_back", "recover"}),
    "walk": frozenset({"finish", "move", "proceed"}),
}
"""Scripts that are no verb but a part of some, which call them as a function; each after those that it calls itself."""


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
def compose(verbs: tuple[str, ...]) -> str:
    """One script that runs those of these verbs in turn, each with its own KEYS and ARGV, and returns all answers.

    A script is atomic by itself, and one command: as a transaction of several, the same takes redis-py and Redis about
    half as long again. The first arguments say how many keys and arguments each verb has.
    """
    types = ", ".join(f"{name} = '{kind}'" for name, kind in sorted(keys.TYPES.items()))
    parts = [part for part, users in PARTS.items() if users.intersection(verbs)]
    functions = [f"local function {verb}(KEYS, ARGV)\n{sources()[verb]}\nend" for verb in (*parts, *verbs)]
    runs = [
        _RUN_GUARD if verb == GUARD else f"answers[#answers + 1] = {verb}(next_part()) or false"
        for verb in verbs
    ]
    check = "" if "forget" in verbs else _CHECK_TYPES.replace("TYPES", types)
    step = _NEXT_PART.replace("VERBS", str(len(verbs)))
    return "\n".join([check, *functions, step, *runs, "return answers"])


GUARD = "guard"
"""A verb that has no answer: it lets the verbs after it run, or ends the script with an error."""

_RUN_GUARD = """local refused = guard(next_part())
if refused then return refused end"""

# Redis does not undo what a script wrote before it failed (Redis documentation, "Scripting with Lua"), so a key of a
# wrong type must be found before the first write. What forgets a feature removes its keys whatever they hold.
# Some keys the scripts name themselves: those of each limit, and of each class of a feature's tasks that waits.
_CHECK_TYPES = """
local types = { TYPES }
local looked_at = {}
local function wrong(key, wanted)
  if looked_at[key] or not wanted then return nil end
  looked_at[key] = true
  local found = redis.call('TYPE', key).ok
  if found == 'none' or found == wanted then return nil end
  return redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. found .. ', and should be a ' .. wanted)
end
local function wrong_of_limits(key, prefix)
  local limits = redis.call('HKEYS', key)
  if #limits == 0 then return nil end
  for _, part in ipairs({ 'used', 'turn', 'full', 'due' }) do
    local found = wrong(prefix .. part, types[part])
    if found then return found end
  end
  for _, limit in ipairs(limits) do
    local found = wrong(prefix .. 'holders:' .. limit, 'hash') or wrong(prefix .. 'waiting:' .. limit, 'zset')
    if found then return found end
  end
end
local function wrong_of_classes(key)
  for _, class in ipairs(redis.call('HKEYS', key)) do
    local found = wrong(key .. ':' .. class, 'zset')
    if found then return found end
  end
end
for _, key in ipairs(KEYS) do
  local of_feature = string.match(key, '^[^:]+:{.*}:(%a+)$')
  local prefix, of_all = string.match(key, '^([^:]+:)(%a+)$')
  local part = of_feature or of_all
  local found = wrong(key, part and types[part])
  if not found and of_all == 'limits' then found = wrong_of_limits(key, prefix) end
  if not found and of_feature == 'waiting' then found = wrong_of_classes(key) end
  if found then return found end
end"""

_NEXT_PART = """
local answers, part, key, argument = {}, 0, 0, 2 * VERBS
local function next_part()
  local keys, arguments = {}, {}
  local last_key, last_argument = key + ARGV[2 * part + 1], argument + ARGV[2 * part + 2]
  for place = key + 1, last_key do keys[place - key] = KEYS[place] end
  for place = argument + 1, last_argument do arguments[place - argument] = ARGV[place] end
  part, key, argument = part + 1, last_key, last_argument
  return keys, arguments
end"""


@functools.cache
def digest(verbs: tuple[str, ...]) -> str:
    """The digest by which the server knows a script (SHA-1: what EVALSHA asks for, no matter of security)."""
    return hashlib.sha1(compose(verbs).encode(), usedforsecurity=False).hexdigest()


def run(client: redis.Redis, *calls: Call) -> list[Any]:
    """Run scripts as one, in one round trip, and return their answers.

    A script is sent by digest. A server that does not know it (new, restarted, flushed) is given it and asked again.

    redis-py's own Script objects ask SCRIPT EXISTS before every pipeline, which costs a second round trip.
    """
    asked = _arguments(calls)
    try:
        answers: list[Any] = client.evalsha(*asked)
    except NoScriptError:
        client.script_load(compose(_verbs(calls)))
        answers = client.evalsha(*asked)
    return answers


def _verbs(calls: Sequence[Call]) -> tuple[str, ...]:
    return tuple(call.verb for call in calls)


def _arguments(calls: Sequence[Call]) -> tuple[Any, ...]:
    """What EVALSHA is given."""
    sizes = [size for call in calls for size in (len(call.keys), len(call.args))]
    touched = [key for call in calls for key in call.keys]
    arguments = [argument for call in calls for argument in call.args]
    return (digest(_verbs(calls)), len(touched), *touched, *sizes, *arguments)


def run_replicated(client: redis.Redis, *calls: Call, mark: str, replicas: int) -> tuple[list[Any], int]:
    """Run scripts as `run` does, and wait until so many replicas have what they wrote.

    Redis waits for the last write of a connection, so all goes over one, and the mark is a write in any case: a script
    that is asked for the second time may have nothing to write any more.

    Returns:
        The scripts' answers, and how many replicas have it now: fewer, where they do not catch up in time.
    """
    try:
        return _run_replicated(client, calls, mark, replicas)
    except NoScriptError:
        client.script_load(compose(_verbs(calls)))
        return _run_replicated(client, calls, mark, replicas)


def _run_replicated(
    client: redis.Redis, calls: Sequence[Call], mark: str, replicas: int
) -> tuple[list[Any], int]:
    pipeline = client.pipeline(transaction=False)
    if calls:
        pipeline.evalsha(*_arguments(calls))
    pipeline.set(mark, 1)
    pipeline.wait(replicas, WAIT_MS)
    *answers, _, there = pipeline.execute()
    return (answers[0] if answers else []), int(there)


def run_each(client: redis.Redis, calls: Sequence[Call]) -> list[Any]:
    """Run the script of one verb many times in one round trip, each for itself: others may run in between."""
    try:
        return _run_each(client, calls)
    except NoScriptError:
        client.script_load(compose((calls[0].verb,)))
        return _run_each(client, calls)


def _run_each(client: redis.Redis, calls: Sequence[Call]) -> list[Any]:
    pipeline = client.pipeline(transaction=False)
    for call in calls:
        sizes = (len(call.keys), len(call.args))
        pipeline.evalsha(digest((call.verb,)), len(call.keys), *call.keys, *sizes, *call.args)
    return [answer for (answer,) in pipeline.execute()]
