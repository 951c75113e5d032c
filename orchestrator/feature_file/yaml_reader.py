"""The value of a YAML text, and the lines its parts are on.

The size of a text, its depth, and the expansion of its aliases are bounded here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import yaml

from orchestrator.config.yaml_loader import YAML, Loader
from orchestrator.feature_file.document import (
    DEEPEST,
    MOST_KEYS,
    TOO_MANY_KEYS,
    KeyPath,
    Mistake,
    SourceLocation,
    Unreadable,
    has_few_keys,
    quoted,
)
from orchestrator.model.feature import MOST_MISTAKES

if TYPE_CHECKING:
    from orchestrator.config.schema.limits import Limits


SCALARS = frozenset(YAML + kind for kind in ("null", "bool", "int", "float", "timestamp", "binary"))

NUMBERS = frozenset(YAML + kind for kind in ("int", "float"))
LONGEST_NUMBER = 4_300
"""CPython reads no longer ones (CVE-2020-10735)."""
KEY = -1  # in a path: the key itself, not its value


# YAML


class YamlDocument:
    """The value of a YAML text. `mistakes` holds what is wrong with it as YAML: keys twice, keys that are no text."""

    def __init__(self, text: str, limits: Limits) -> None:
        self._text = text
        self._limits = limits
        reader = _Reader(text, limits)
        self.value = reader.value
        self.mistakes = reader.mistakes

    def locations(self, paths: Iterable[KeyPath]) -> dict[KeyPath, SourceLocation]:
        """The places of these paths in the text. A path that an alias brought in is where the alias is."""
        return locate(self._text, self._limits, paths, is_clear=not self.mistakes)


def locate(
    text: str, limits: Limits, paths: Iterable[KeyPath], *, is_clear: bool
) -> dict[KeyPath, SourceLocation]:
    """The places of these paths in a YAML text. If it has each key once (`is_clear`), the reader stops at the last."""
    paths = list(paths)
    wanted = frozenset(path[:end] for path in paths for end in range(len(path) + 1))
    found = _Reader(text, limits, wanted, stops=is_clear).locations
    return {path: _nearest(path, found) for path in paths}


def most_values(limits: Limits) -> int:
    """How many YAML values a file may have, aliases expanded: some 32 for each task, and the dependencies."""
    return 32 * limits.tasks + limits.dependencies + 1_000


def _nearest(path: KeyPath, found: dict[KeyPath, SourceLocation]) -> SourceLocation:
    if path in found:
        return found[path]
    around = (path[:end] for end in range(len(path) - 1, -1, -1))
    return next((SourceLocation(found[outer].line) for outer in around if outer in found), SourceLocation())


class _AllFound(Exception):
    """No more has to be read."""


class _Reader:
    """Reads one document from PyYAML's events, with a bound on depth and size, and no tree of nodes in between.

    `yaml.safe_load` recurses without a bound, keeps the last of two equal keys, and is some five times slower,
    because the garbage collector goes through its nodes again and again.
    """

    def __init__(
        self, text: str, limits: Limits, wanted: frozenset[KeyPath] = frozenset(), *, stops: bool = False
    ) -> None:
        self.mistakes: list[Mistake] = []
        self.locations: dict[KeyPath, SourceLocation] = {}
        self._limits = limits
        self._wanted = wanted
        self._unseen = set(wanted) if stops else None
        self._most = most_values(limits)
        self._values = 0
        self._characters = 0
        self._anchors: dict[str, tuple[Any, int, int]] = {}
        self._open: set[str] = set()
        self._resolver = Loader("")
        self._events: Iterator[yaml.Event] = iter(yaml.parse(text, Loader))
        try:
            self.value = self._document()
        except _AllFound:
            self.value = None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
            raise Unreadable(_explain_syntax(error, text), line, column) from None
        except yaml.YAMLError as error:
            raise Unreadable(f"this is no YAML text: {str(error).splitlines()[0]}") from None

    def _document(self) -> Any:
        next(self._events)
        if isinstance(next(self._events), yaml.StreamEndEvent):
            raise Unreadable("it is empty; write a title and tasks")
        value = self._value(next(self._events), (), 0)
        next(self._events)
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise Unreadable("a second document starts here; a file is one feature", _line_of(after))
        return value

    def _value(self, event: Any, path: KeyPath, depth: int) -> Any:
        self._note(event, path)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        values, characters = self._values, self._characters
        if event.anchor:
            self._open.add(event.anchor)
        self._count(event, 1, 0)
        if isinstance(event, yaml.ScalarEvent):
            self._count(event, 0, len(event.value))
            value = self._scalar(event, path)
        else:
            if depth == DEEPEST:
                raise Unreadable(f"lists and mappings are nested deeper than {DEEPEST}", _line_of(event))
            value = self._collection(event, path, depth + 1)
        if event.anchor:
            self._open.discard(event.anchor)
            self._anchors[event.anchor] = value, self._values - values, self._characters - characters
        return value

    def _note(self, event: Any, path: KeyPath) -> None:
        if path in self._wanted:
            line = self.locations[path].line if path in self.locations else _line_of(event)
            self.locations[path] = SourceLocation(
                line, event.value if isinstance(event, yaml.ScalarEvent) else None
            )
            if self._unseen is not None:
                self._unseen.discard(path)
                if not self._unseen:
                    raise _AllFound

    def _count(self, event: Any, values: int, characters: int) -> None:
        self._values += values
        self._characters += characters
        if self._values > self._most or self._characters > self._limits.file:
            message = (
                f"more than {self._most:,} values or {self._limits.file:,} characters, aliases written out"
            )
            raise Unreadable(
                f"{message}; the limits follow from limits.tasks and limits.file", _line_of(event)
            )

    def _alias(self, event: yaml.AliasEvent) -> Any:
        if event.anchor in self._open:
            raise Unreadable(f"*{event.anchor} contains itself; write the value out", _line_of(event))
        if event.anchor not in self._anchors:
            message = f"no &{event.anchor} comes before *{event.anchor}; define it, or put the text in quotes"
            raise Unreadable(message, _line_of(event))
        value, values, characters = self._anchors[event.anchor]
        self._count(event, values, characters)
        return value

    def _scalar(self, event: yaml.ScalarEvent, path: KeyPath) -> Any:
        tag = self._tag(event)
        if tag == YAML + "str":
            return event.value
        if tag not in SCALARS:
            raise Unreadable(f"has the tag {tag}; remove the tag", _line_of(event), path=path)
        if tag in NUMBERS and len(event.value) > LONGEST_NUMBER:
            raise Unreadable(
                f"has a number of {len(event.value):,} characters; put it in quotes",
                _line_of(event),
                path=path,
            )
        try:
            return Loader.yaml_constructors[tag](self._resolver, yaml.ScalarNode(tag, event.value))
        except (yaml.YAMLError, ValueError, LookupError, OverflowError, AttributeError):
            message = f"cannot be read; write {quoted(event.value)} with quotes"
            raise Unreadable(message, _line_of(event), path=path) from None

    def _tag(self, event: yaml.ScalarEvent) -> str:
        if event.tag and event.tag != "!":
            return str(event.tag)
        if not event.implicit[0]:
            return YAML + "str"
        return str(self._resolver.resolve(yaml.ScalarNode, event.value, (True, False)))

    def _collection(self, event: Any, path: KeyPath, depth: int) -> Any:
        is_list = isinstance(event, yaml.SequenceStartEvent)
        if event.tag not in (None, "!", YAML + ("seq" if is_list else "map")):
            raise Unreadable(f"has the tag {event.tag}; remove the tag", _line_of(event), path=path)
        return self._list(path, depth) if is_list else self._mapping(path, depth)

    def _list(self, path: KeyPath, depth: int) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            values.append(self._value(event, (*path, len(values)), depth))
        return values

    def _mapping(self, path: KeyPath, depth: int) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if isinstance(event, yaml.ScalarEvent) and self._tag(event) == YAML + "merge":
                merged = {**self._merge((*path, "<<"), depth), **merged}
                continue
            name, line = self._key(event, path, depth), _line_of(event)
            inner = (*path, name)
            if name in own and len(self.mistakes) < MOST_MISTAKES:
                message = f"is written twice, first in line {lines[name]}; keep one of them"
                self.mistakes.append(Mistake(inner, message, line=line))
            if inner in self._wanted:
                self.locations[inner] = SourceLocation(line)
            lines.setdefault(name, line)
            if len(lines) > MOST_KEYS and has_few_keys(path):
                raise Unreadable(TOO_MANY_KEYS, line, path=path)
            own[name] = self._value(next(self._events), inner, depth)
        return {**merged, **own}

    def _key(self, event: Any, path: KeyPath, depth: int) -> str:
        if not isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
            message = "a list or mapping cannot be a key; put a text that has {, [ or ? in it in quotes"
            raise Unreadable(message, _line_of(event))
        value = self._value(event, (*path, KEY), depth)
        if isinstance(value, str):
            return value
        written = event.value if isinstance(event, yaml.ScalarEvent) else f"*{event.anchor}"
        if len(self.mistakes) < MOST_MISTAKES:
            message = f"a key is a text; write {quoted(written)} with quotes"
            self.mistakes.append(Mistake((*path, written), message, line=_line_of(event)))
        return str(written)

    def _merge(self, path: KeyPath, depth: int) -> dict[str, Any]:
        """The keys of `<<: *name` or `<<: [*a, *b]`; of several, the first wins (yaml.org/type/merge.html)."""
        event = next(self._events)
        value = self._value(event, path, depth)
        sources = value if isinstance(value, list) else [value]
        if not all(isinstance(source, dict) for source in sources):
            message = "merges what is no mapping; write <<: *name with the name of a mapping"
            self.mistakes.append(Mistake(path, message, line=_line_of(event)))
            return {}
        return {name: value for source in reversed(sources) for name, value in source.items()}


def _explain_syntax(error: yaml.MarkedYAMLError, text: str) -> str:
    problem, mark = error.problem or "this cannot be read", error.problem_mark
    found = text.splitlines()[mark.line][mark.column :] if mark and mark.line < len(text.splitlines()) else ""
    if "cannot start any token" in problem:
        hint = "indent with spaces, not with tabs" if found.startswith("\t") else "put the text in quotes"
    elif "mapping values are not allowed" in problem:
        hint = "put a text that has a colon in it in quotes, and check the indentation"
    elif "did not find expected" in problem:
        hint = "check the indentation, the brackets and the quotes here and in the line above"
    else:
        hint = ""
    context = f" {error.context}" if error.context else ""
    started = f" (it starts in line {error.context_mark.line + 1})" if context and error.context_mark else ""
    return f"{problem}{context}{started}" + (f"; {hint}" if hint else "")


def _line_of(marked: Any) -> int:
    return int(marked.start_mark.line) + 1
