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


class Call(NamedTuple):
    """One call of a script: its verb, the keys it touches, its arguments."""

    verb: str
    keys: Sequence[str]
    args: Sequence[str | int | float]


PARTS: Mapping[str, frozenset[str]] = {
    "take_token": frozenset({"cascade", "start"}),
    "limits": frozenset({"cascade"}),
    "publish": frozenset({"cascade", "recover"}),
    "recount": frozenset({"finish", "hand_back", "move", "proceed", "recover", "start"}),
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
    runs = [f"answers[{place}] = {verb}(next_part()) or false" for place, verb in enumerate(verbs, start=1)]
    check = "" if verbs == ("forget",) else _CHECK_TYPES.replace("TYPES", types)
    step = _NEXT_PART.replace("VERBS", str(len(verbs)))
    return "\n".join([check, *functions, step, *runs, "return answers"])


# Redis does not undo what a script wrote before it failed (Redis documentation, "Scripting with Lua"), so a key of a
# wrong type must be found before the first write. What forgets a feature removes its keys whatever they hold.
_CHECK_TYPES = """
local types = { TYPES }
for _, key in ipairs(KEYS) do
  local wanted = types[string.match(key, '^[^:]+:{.*}:(%a+)$') or string.match(key, '^[^:]+:(%a+)$')]
  local found = wanted and redis.call('TYPE', key).ok
  if wanted and found ~= 'none' and found ~= wanted then
    return redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. found .. ', and should be a ' .. wanted)
  end
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
    verbs = tuple(call.verb for call in calls)
    sizes = [size for call in calls for size in (len(call.keys), len(call.args))]
    touched = [key for call in calls for key in call.keys]
    arguments = [argument for call in calls for argument in call.args]
    try:
        answers: list[Any] = client.evalsha(digest(verbs), len(touched), *touched, *sizes, *arguments)
    except NoScriptError:
        client.script_load(compose(verbs))
        answers = client.evalsha(digest(verbs), len(touched), *touched, *sizes, *arguments)
    return answers


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
