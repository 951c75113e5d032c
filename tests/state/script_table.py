"""Writes docs/reference/scripts.md: the arguments, keys and answers of each script in `state/lua`.

    python -m tests.state.script_table > docs/reference/scripts.md

Arguments and answers come from the headers, keys from the commands that a script and the parts in it call.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator.state import keys, script_sources

WRITES = {
    "DEL", "HDEL", "HINCRBY", "HSET", "HSETNX", "INCR", "INCRBY", "LPUSH", "PERSIST", "PEXPIRE", "RENAME", "RPUSH",
    "SADD", "SET", "SREM", "UNLINK", "XADD", "XTRIM", "ZADD", "ZPOPMIN", "ZREM", "ZREMRANGEBYSCORE",
}  # fmt: skip
READS = {
    "EXISTS", "GET", "HEXISTS", "HGET", "HGETALL", "HKEYS", "HLEN", "HMGET", "LRANGE", "SCARD", "SMEMBERS", "ZCARD",
    "ZCOUNT", "ZMSCORE", "ZRANGE", "ZRANGEBYSCORE", "ZREVRANGEBYSCORE", "ZSCORE",
}  # fmt: skip
OF_MANY = frozenset({"DEL", "UNLINK"})

HEAD = """# The scripts

Features change in Redis by these scripts alone (`orchestrator/state/lua`); several of them may run as one
(`state/scripts.py`). `make scripts` writes this page from their headers and from the commands that they call. A key is
of the feature, or of all features where it is set in *italics*; `state/keys.py` says what each one holds.
"""

_CALL = re.compile(r"redis\.p?call\((.*?)(?=redis\.p?call\(|$)", re.M)
_KEY = re.compile(r"([a-z]\w*)_key\b|shared\('([a-z-]+)|key_of\(\w+, '([a-z-]+)'\)")
_NAMED = re.compile(r"local (\w+) = (shared\('[a-z-]+|key_of\(\w+, '[a-z-]+'\))")


def page() -> str:
    """The whole page."""
    names = [name for name in script_sources.sources() if not name.startswith("parts/")]
    return "\n".join([HEAD, *(part for name in names for part in section(name))])


def section(name: str) -> Iterator[str]:
    """The section about one script."""
    source = script_sources.sources()[name]
    told = script_sources.header(source)
    reads, writes = touched(name)
    yield f"## {name}\n\n{told.purpose}\n"
    if told.args:
        yield f"- takes: {', '.join(f'`{arg}`' for arg in told.args)}"
    for arg, note in notes(told.notes):
        yield f"    - `{arg}`: {note}"
    for verb, found in (("reads", reads - writes), ("writes", writes)):
        if found:
            yield f"- {verb}: {', '.join(sorted(map(shown, found)))}"
    answer, *codes = list(answers(told.answer))
    yield f"- answers: {answer}"
    yield from (f"    - {code}" for code in codes)
    yield ""


def touched(script: str) -> tuple[set[str], set[str]]:
    """The keys that a script reads, and those that it writes."""
    found: tuple[set[str], set[str]] = (set(), set())
    _, parts = script_sources.with_the_end(script_sources.sources()[script])
    for piece in [*parts.values(), script_sources.sources()[script]]:
        for variable, place in _NAMED.findall(piece):
            piece = re.sub(rf"(?<=, ){variable}\b", place, piece)
        for call in _CALL.finditer(piece):
            command = next(
                (word for word in re.findall(r"'([A-Z]+)'", call[1]) if word in READS | WRITES), None
            )
            if command is None:
                continue
            named = ["".join(groups).strip("-") for groups in _KEY.findall(call[1])]
            found[command in WRITES].update(named if command in OF_MANY else named[:1])
    return found


def shown(key: str) -> str:
    """A key, as the page names it."""
    name = key.replace("-", "_")
    return key.replace("_", "-") if name in keys.OF_FEATURE else f"*{key.replace('_', '-')}*"


def notes(lines: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The arguments that the header describes, each with its description."""
    joined: list[list[str]] = []
    for line in lines:
        if begins := re.match(r"  (\w+)\s+(.*)", line):
            joined.append([begins[1], begins[2]])
        elif joined and line.strip():
            joined[-1][1] += " " + line.strip()
    yield from ((arg, note) for arg, note in joined)


def answers(lines: tuple[str, ...]) -> Iterator[str]:
    """What a script answers, then each of its codes."""
    joined: list[str] = []
    for line in lines:
        if not joined or line.startswith('  "'):
            joined.append(re.sub(r'^"(\w+)"\s+', r'`"\1"`: ', line.strip()))
        elif line.strip():
            joined[-1] += " " + line.strip()
    yield from joined


if __name__ == "__main__":
    print(page(), end="")
