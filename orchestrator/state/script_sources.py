"""Reads the Lua scripts of `lua/` and their shared functions: what each declares, names and needs."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from orchestrator.state import constants

AT_THE_END = {
    "save_state": "write_states",
    "adjust_count": "write_counts",
    "count_resolved": "write_dependency_updates",
    "record": "trim_events",
}
"""The functions that collect something, and those that write it at the end (see parts/unwritten.lua)."""


def folder() -> Traversable:
    """The folder of the scripts."""
    return resources.files("orchestrator.state").joinpath("lua")


@functools.cache
def sources() -> Mapping[str, str]:
    """The source of every script by its name, and of every part by "parts/name"."""
    found = {}
    for prefix, place in (("", folder()), ("parts/", folder().joinpath("parts"))):
        for file in sorted(place.iterdir(), key=lambda file: file.name):
            if file.name.endswith(".lua"):
                found[prefix + file.name.removesuffix(".lua")] = file.read_text("utf-8")
    return found


@dataclass(frozen=True)
class Header:
    """The comment at the beginning of a script."""

    purpose: str
    keys: tuple[str, ...]
    first: tuple[str, ...]
    """The keys that it reads in any case, before it writes: such a read is a check of the type too."""
    args: tuple[str, ...]
    notes: tuple[str, ...]
    """The notes on the arguments."""
    answer: tuple[str, ...]
    """The form of its answer, and the meaning of each code."""
    lines: int
    """Lines of the comment."""


def header(source: str) -> Header:
    """Read the header of a script or a part.

    Example:
        >>> header("-- Look.\\n--\\n-- keys: meta\\n-- args: task\\n-- answer: nothing\\nreturn nil").args
        ('task',)
    """
    lines = []
    for line in source.splitlines():
        if not line.startswith("--"):
            break
        lines.append(line.removeprefix("--").removeprefix(" "))
    sections: dict[str, list[str]] = {"purpose": [], "keys": [], "first": [], "args": [], "answer": []}
    section = "purpose"
    for line in lines:
        if begins := re.match(r"(keys|first|args|answer):\s*", line):
            section, line = begins[1], line[begins.end() :]
        sections[section].append(line)
    args = sections["args"] or [""]
    return Header(
        " ".join(filter(None, map(str.strip, sections["purpose"]))),
        tuple(" ".join(sections["keys"]).split()),
        tuple(" ".join(sections["first"]).split()),
        tuple(args[0].split()),
        tuple(args[1:]),
        tuple(sections["answer"]),
        len(lines),
    )


def header_of(script: str) -> Header:
    """The header of a script, by its name."""
    return header(sources()[script])


COMMENT = re.compile(r"--[^\n]*")
TEXT = re.compile(r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"")
NAME = re.compile(r"(?<![.\w])[A-Za-z_]\w*")
DEFINITION = re.compile(r"^local (?:function )?([A-Za-z_]\w*)")
KEY = re.compile(r"(?<![.\w])([a-z]\w*)_key\b")


def names(source: str) -> set[str]:
    """The names that a piece of Lua uses or defines."""
    return set(NAME.findall(TEXT.sub("", COMMENT.sub("", source))))


def keys_in(source: str) -> list[str]:
    """The keys, of all that headers declare, that a piece of Lua uses."""
    declared = {name for each in sources().values() for name in header(each).keys}
    return [name for name in dict.fromkeys(KEY.findall(source)) if name in declared]


def definitions() -> dict[str, str]:
    """The definitions of the parts and the constants, by name, in an order in which they can precede a script."""
    found = {name: f"local {name} = {constants.render(value)}" for name, value in constants.LUA.items()}
    for place, source in sources().items():
        if place.startswith("parts/"):
            for piece in re.split(r"^(?=local )", without_comments(source), flags=re.M):
                if defined := DEFINITION.match(piece):
                    found[defined[1]] = piece.rstrip()
    return found


def definitions_for(source: str) -> dict[str, str]:
    """The definitions that a piece of Lua needs, directly or through others: each after those that it uses."""
    known, found = definitions(), dict[str, str]()

    def include(source: str, within: frozenset[str]) -> None:
        for name in sorted(names(source) & known.keys() - within):
            if name not in found:
                include(known[name], within | {name})
                found[name] = known[name]

    include(source, frozenset())
    return found


def with_the_end(source: str) -> tuple[list[str], dict[str, str]]:
    """The functions that write what a piece of Lua collects, and the definitions that it and they need."""
    parts = definitions_for(source)
    last = [name for collecting, name in AT_THE_END.items() if collecting in parts]
    return last, definitions_for("\n".join([source, *last]))


def body(script: str) -> str:
    """The source of a script without its comments."""
    return without_comments(sources()[script])


def without_comments(source: str) -> str:
    """A piece of Lua without its comments."""
    return re.sub(r"^\s*--[^\n]*\n", "", source, flags=re.M)
