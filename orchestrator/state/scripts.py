"""Composes the Lua scripts of `lua/` with their shared functions, and runs several of them as one.

The header of a script names its keys and arguments. In its body, `meta_key` is the feature's key `meta`, and an
argument has its own name. `lua/parts/` has the shared functions: a script gets those whose names it uses.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import redis
from redis.client import Pipeline
from redis.exceptions import NoScriptError

from orchestrator.state import keys, script_sources
from orchestrator.state.keys import Keys

WAIT_MS = 1_000
"""Milliseconds to wait until the replicas have a write. A caller that can wait longer tries again (see `outage`)."""

COMMON = ("feature", "prefix", "events_kept", "queues", "queue_prefix", "random", "person", "pulled")
"""Arguments that all scripts of a call share. They are sent once."""

READS = {"limits": "wrong_type_of_limits()", "waiting": "wrong_type_of_classes()"}
"""Keys that are read to find the keys that they name. The read finds a wrong type too (see parts/types.lua)."""

CHECKS = ("check_schema", "check_minimum")
"""Scripts without an answer: they let the scripts after them run, or end the call with an error."""

IN_ONE: Mapping[tuple[str, ...], str] = {("check_schema", "finish", "schedule", "take_next"): "step"}
"""Scripts that often run together, and the one that does what they do in the most common case."""

IN_ONE_LIST: Mapping[str, tuple[int, ...]] = {"step": (7, 1, 11)}
"""How many values each answer has, where such a script gives them in one list.

Redis writes each list within a list by a system call of its own, and each wakes the process that waits for the answer.
"""


class Call(NamedTuple):
    """One script to run: its arguments by name, and the keys that do not follow from the feature."""

    script: str
    args: Mapping[str, object] = {}
    keys: Mapping[str, str] = {}


class Scope(NamedTuple):
    """The values that all scripts of a call share.

    Args:
        keys: The key names.
        feature: The id of the feature, if the scripts work on one.
        common: The values of the other arguments in `COMMON` that a script names.
    """

    keys: Keys
    feature: str = ""
    common: Mapping[str, object] = {}


# --- composition -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Composed:
    """One script that runs several in turn and returns their answers.

    One script is atomic and costs one command. The same scripts in a transaction take about half as long again.
    """

    source: str
    keys: tuple[str, ...]
    common: tuple[str, ...]
    args: tuple[tuple[str, ...], ...]
    """The arguments of each script."""
    in_one_list: tuple[int, ...] = ()
    """As in `IN_ONE_LIST`."""

    @functools.cached_property
    def digest(self) -> str:
        """The digest by which the server knows the script (SHA-1, as EVALSHA needs it; not for security)."""
        return hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    def read(self, answers: list[Any]) -> list[Any]:
        """The answer of each script."""
        if not self.in_one_list or isinstance(answers[0], list):
            return answers
        found, start = [], 0
        for length in self.in_one_list:
            found.append(answers[start : start + length])
            start += length
        return found


@functools.cache
def compose(scripts: tuple[str, ...]) -> Composed:
    """Compose scripts by their names. The result has written nothing where a key is of a wrong type."""
    bodies = [script_sources.body(script) for script in scripts]
    last, parts = script_sources.with_the_end("\n".join(bodies))
    key_names = tuple(script_sources.keys_in("\n".join([*parts.values(), *bodies])))
    checked = _checked(scripts, key_names, "\n".join([*parts.values(), *bodies]))
    parts = script_sources.definitions_for("\n".join([*_check_types(scripts, checked), *bodies, *last]))
    common = tuple(
        name for name in COMMON if name in script_sources.names("\n".join([*parts.values(), *bodies]))
    )
    args = tuple(
        tuple(name for name in script_sources.header_of(script).args if name not in COMMON)
        for script in scripts
    )
    pieces = {
        **parts,
        "flush": "\n".join(["local function flush()", *(f"{name}()" for name in last), "end"]),
        **{
            f"do_{script}": f"local function do_{script}({', '.join(given)})\n{body}end"
            for script, given, body in zip(scripts, args, bodies, strict=True)
        },
        "run": "\n".join(_runs(scripts, len(common), args, key_names, checked)),
    }
    lines = [f"local {', '.join(common)} = {_arguments(0, common)}"] if common else []
    if scripts in IN_ONE:
        lines += _first(IN_ONE[scripts], len(common))
    lines += _in_one_table(pieces)
    lines += ["local is_done, answers = pcall(own.run)", "own.flush()", "if is_done then return answers end"]
    found = "".join(f"{_wrong_type(name)} or " for name in checked)  # the error does not name the key
    lines.append(_of_table(f"return {found}error(answers, 0)", pieces.keys()))
    places = {f"{name}_key": f"KEYS[{place}]" for place, name in enumerate(key_names, start=1)}
    source = script_sources.KEY.sub(lambda found: places.get(found[0], found[0]), "\n".join(lines))
    return Composed(source, key_names, common, args, IN_ONE_LIST.get(IN_ONE.get(scripts, ""), ()))


_TOKEN = re.compile(
    rf"{script_sources.COMMENT.pattern}|{script_sources.TEXT.pattern}|{script_sources.NAME.pattern}"
)


def _in_one_table(pieces: Mapping[str, str]) -> Iterator[str]:
    """Make definitions fields of one table, `own`.

    As local variables, each function would capture all others that it names, which takes as long as ten commands.
    """
    functions, values = [], []
    for name, piece in pieces.items():
        source = _of_table(piece, pieces.keys())
        if source.startswith("local function "):
            functions.append(source.replace(f"local function own.{name}(", f"{name} = function(", 1))
        elif "=" in source:
            values.append(source.removeprefix("local "))
    yield "local own"
    yield "own = {\n" + ",\n".join(functions) + "\n}"
    yield from values


def _of_table(source: str, owned: Collection[str]) -> str:
    """The source with `own.name` for each name that is a field of this table, and without comments."""

    def replaced(found: re.Match[str]) -> str:
        token = found[0]
        return f"own.{token}" if token in owned else "" if token.startswith("--") else token

    return _TOKEN.sub(replaced, source)


def _first(script: str, start: int) -> Iterator[str]:
    """Run a script that may do instead of those after it."""
    given = script_sources.header_of(script).args
    body = script_sources.body(script)
    yield f"local function {script}({', '.join(given)})"
    yield from _in_one_table(
        {**script_sources.definitions_for(body), "do_it": f"local function do_it()\n{body}end"}
    )
    yield "return own.do_it()"
    yield "end"
    yield f"local answer = {script}({_arguments(start, given)})"
    yield "if answer then return answer end"


def _checked(scripts: Sequence[str], key_names: Sequence[str], source: str) -> list[str]:
    """The keys whose type matters: a script goes on where a command fails that it calls by `pcall`."""
    if "delete_feature" in scripts:  # it removes the keys of a feature even if they have a wrong type
        return []
    tried = {name for name in key_names if not re.search(rf"(?<!p)call\([^()]*\b{name}_key\b", source)}
    return [name for name in key_names if name in keys.TYPES and name not in tried]


def _check_types(scripts: Sequence[str], checked: Sequence[str]) -> Iterator[str]:
    """Look for a key of a wrong type, but for those that the first script reads itself before it writes."""
    first = next(place for place, script in enumerate(scripts) if script not in CHECKS)
    read = {name for script in scripts[: first + 1] for name in script_sources.header_of(script).first}
    rare = [name for name in checked if name in keys.RARE]
    of_dataflow = [name for name in checked if name in keys.OF_DATAFLOW]
    others = [name for name in checked if name not in {*read, *rare, *of_dataflow}]
    yield "local wrong"
    if rare:
        if of_dataflow and "check_schema" in scripts:
            yield "if open_meta().joins then"
            yield f"wrong = {_first_wrong(of_dataflow)}"
            yield f"look_for({_keys(rare)})"
            yield "else"
            yield f"look_for({_keys([*rare, *of_dataflow])})"
            yield "end"
        else:
            yield f"look_for({_keys(rare)})"
        yield f"if rare_keys > 0 then wrong = wrong or {_first_wrong([*rare, *of_dataflow])} end"
    if others:
        yield f"wrong = wrong or {_first_wrong(others)}"
    yield "if wrong then return wrong end"


def _keys(names: Sequence[str]) -> str:
    return ", ".join(f"{name}_key" for name in names)


def _first_wrong(names: Sequence[str]) -> str:
    return " or ".join(map(_wrong_type, names))


def _wrong_type(name: str) -> str:
    return READS.get(name) or f"wrong_type({name}_key, '{keys.TYPES[name]}')"


def _arguments(start: int, args: Sequence[str]) -> str:
    return ", ".join(f"ARGV[{start + place}]" for place in range(1, len(args) + 1))


def _runs(
    scripts: Sequence[str],
    start: int,
    args: Sequence[Sequence[str]],
    key_names: Sequence[str],
    checked: Sequence[str],
) -> Iterator[str]:
    """Run the checks, then the scripts, and write what they have collected."""
    yield "local function run()"
    yield "local answers, refused, written = {}, nil, nil"
    is_checked = False
    for script, given in zip(scripts, args, strict=True):
        call = f"do_{script}({_arguments(start, given)})"
        start += len(given)
        if script in CHECKS:
            yield f"refused, written = {call}"
            yield "if refused then return refused end"
            if script == "check_schema":
                yield from _rename(key_names)
            continue
        if not is_checked:
            yield from _check_types(scripts, checked)
            is_checked = True
        yield f"answers[#answers + 1] = {call} or false"
    yield "return answers"
    yield "end"


def _rename(key_names: Sequence[str]) -> Iterator[str]:
    renamed = [name for name in keys.BEFORE_SCHEMA_4 if name in key_names]
    if renamed:
        yield "if written < 4 then"
        for name in renamed:
            length = len(keys.part_of(name)) + 1
            yield f"  {name}_key = string.sub({name}_key, 1, -{length}) .. '{keys.BEFORE_SCHEMA_4[name]}'"
        yield "end"


# --- running -----------------------------------------------------------------------------------------------


def run(client: redis.Redis, scope: Scope, *calls: Call, after: Pipeline | None = None) -> list[Any]:
    """Run scripts as one, in one round trip, and return their answers.

    The commands of the pipeline `after` go ahead of them, in the same round trip.

    A script is sent by its digest. If the server does not know it (new, restarted, flushed), it is loaded, then run.

    redis-py's own Script objects send SCRIPT EXISTS before every pipeline, which costs a second round trip.
    """
    composed = compose(tuple(call.script for call in calls))
    asked = _evalsha(composed, scope, calls)
    try:
        if after is None:
            return composed.read(client.evalsha(*asked))
        after.evalsha(*asked)
        return composed.read(after.execute()[-1])
    except NoScriptError:
        client.script_load(composed.source)
        return composed.read(client.evalsha(*asked))


def _evalsha(composed: Composed, scope: Scope, calls: Sequence[Call]) -> tuple[Any, ...]:
    """The arguments of EVALSHA."""
    given = {name: key for call in calls for name, key in call.keys.items()}
    known = {**_names_of(composed.keys, scope.keys, scope.feature), **given}
    values = {"feature": scope.feature, "prefix": scope.keys.prefix, **scope.common}
    touched = map(known.__getitem__, composed.keys)
    shared = map(values.__getitem__, composed.common)
    arguments = [call.args[name] for call, args in zip(calls, composed.args, strict=True) for name in args]
    return (composed.digest, len(composed.keys), *touched, *shared, *arguments)


@functools.lru_cache(maxsize=256)  # a worker asks for the same few all the time
def _names_of(names: tuple[str, ...], of_all: Keys, feature: str) -> Mapping[str, Any]:
    of_feature = of_all.feature(feature)
    return {name: getattr(of_feature if name in keys.OF_FEATURE else of_all, name) for name in names}


def run_replicated(
    client: redis.Redis, scope: Scope, *calls: Call, mark: str, replicas: int
) -> tuple[list[Any], int]:
    """Run scripts as `run` does, and wait until some replicas have their writes.

    WAIT waits for the last write of its connection, so all commands go over one connection. The last one writes a mark
    in any case, because a repeated script may have nothing left to write.

    Returns:
        The scripts' answers, and how many replicas have the writes now: fewer if some do not catch up in time.
    """
    try:
        return _run_replicated(client, scope, calls, mark, replicas)
    except NoScriptError:
        client.script_load(compose(tuple(call.script for call in calls)).source)
        return _run_replicated(client, scope, calls, mark, replicas)


def _run_replicated(
    client: redis.Redis, scope: Scope, calls: Sequence[Call], mark: str, replicas: int
) -> tuple[list[Any], int]:
    pipeline = client.pipeline(transaction=False)
    composed = compose(tuple(call.script for call in calls)) if calls else None
    if composed:
        pipeline.evalsha(*_evalsha(composed, scope, calls))
    pipeline.set(mark, 1)
    pipeline.wait(replicas, WAIT_MS)
    *answers, _, there = pipeline.execute()
    return (composed.read(answers[0]) if composed else []), int(there)


def run_each(client: redis.Redis, calls: Sequence[tuple[Scope, Call]]) -> list[Any]:
    """Run one script many times in one round trip. Each run is atomic by itself: other scripts may run in between."""
    composed = compose((calls[0][1].script,))
    try:
        return _run_each(client, composed, calls)
    except NoScriptError:
        client.script_load(composed.source)
        return _run_each(client, composed, calls)


def _run_each(client: redis.Redis, composed: Composed, calls: Sequence[tuple[Scope, Call]]) -> list[Any]:
    pipeline = client.pipeline(transaction=False)
    for scope, call in calls:
        pipeline.evalsha(*_evalsha(composed, scope, [call]))
    return [answer for (answer,) in pipeline.execute()]
