"""Documents: the value of a YAML or JSON text, and the lines its parts are on.

What a text can do to the reader is bounded here: its size, its depth, and what its aliases expand to.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import yaml

from orchestrator.model.feature import MOST_MISTAKES

if TYPE_CHECKING:
    from orchestrator.config.schema.limits import Limits

YAML = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)


def _int(_: Any, node: yaml.ScalarNode) -> int:
    if not _INT.fullmatch(node.value):
        raise ValueError
    return int(node.value, 0 if node.value[:2] in ("0o", "0x") else 10)


def _float(_: Any, node: yaml.ScalarNode) -> float:
    if not _FLOAT.fullmatch(node.value):
        raise ValueError
    return float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))


def _as_yaml_1_2(safe: Any) -> Any:
    """A safe loader of PyYAML, with the numbers of YAML 1.2 (10.3.2): 010 is ten, and 1:30 and 1_0 are texts."""
    numbers = (YAML + "int", YAML + "float")

    class Loader(safe):  # type: ignore[misc]
        yaml_constructors: ClassVar[dict[Any, Any]] = dict(safe.yaml_constructors)
        yaml_implicit_resolvers: ClassVar[dict[Any, Any]] = {
            first: [(tag, pattern) for tag, pattern in resolvers if tag not in numbers]
            for first, resolvers in safe.yaml_implicit_resolvers.items()
        }

        def flatten_mapping(self, node: yaml.MappingNode) -> None:
            """Of all that `<<` merges into a mapping the first wins (yaml.org/type/merge.html).

            With PyYAML 6.0.4 the last of a list wins, so it gets one mapping that has each key once.
            """
            merges = [value for key, value in node.value if key.tag == YAML + "merge"]
            sources = [
                source
                for value in merges
                for source in (value.value if isinstance(value, yaml.SequenceNode) else [value])
            ]
            if len(sources) > 1 and all(isinstance(source, yaml.MappingNode) for source in sources):
                found: dict[Any, Any] = {}
                for source in sources:
                    self.flatten_mapping(source)
                    for key, value in source.value:
                        name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key)
                        found.setdefault(name, (key, value))
                own = [pair for pair in node.value if pair[0].tag != YAML + "merge"]
                merged = yaml.MappingNode(YAML + "map", list(found.values()))
                node.value = [(yaml.ScalarNode(YAML + "merge", "<<"), merged), *own]
            super().flatten_mapping(node)

    Loader.add_implicit_resolver(YAML + "int", re.compile(rf"(?:{_INT.pattern})$"), list("-+0123456789"))
    Loader.add_implicit_resolver(YAML + "float", re.compile(rf"(?:{_FLOAT.pattern})$"), list("-+.0123456789"))
    Loader.add_constructor(YAML + "int", _int)
    Loader.add_constructor(YAML + "float", _float)
    return Loader


# libyaml reads about ten times faster than pure Python; PyYAML has it in most wheels, not in all.
Loader = _as_yaml_1_2(getattr(yaml, "CSafeLoader", yaml.SafeLoader))

PlainLoader = _as_yaml_1_2(yaml.SafeLoader)
"""For short files: it names the line of a mistake where libyaml names the one after it."""


def load_yaml(text: str) -> Any:
    """The value of a short YAML text, such as a configuration.

    Raises:
        yaml.YAMLError: It is none.
    """
    return yaml.load(text, PlainLoader)  # nosec B506  # it is a SafeLoader


DEEPEST = 64
"""Lists and mappings may be nested so deep; what reads them later recurses."""

SCALARS = frozenset(YAML + kind for kind in ("null", "bool", "int", "float", "timestamp", "binary"))

NUMBERS = frozenset(YAML + kind for kind in ("int", "float"))
LONGEST_NUMBER = 4_300
"""CPython reads no longer ones (CVE-2020-10735)."""

FOR_ANCHORS = "x-"
"""Keys at the top that begin so hold what aliases bring in elsewhere, as in files of Docker Compose."""

Place = tuple[str | int, ...]
KEY = -1  # in a place: the key itself, not its value


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong, where, and what would be right."""

    place: Place
    message: str
    value: str | None = None
    line: int | None = None
    column: int | None = None


@dataclass(frozen=True)
class Spot:
    """Where a place is in a text: its line, and the scalar there as it was written (`1.10`, not 1.1)."""

    line: int | None = None
    written: str | None = None


class Unreadable(Exception):
    """The text has no readable value, so nothing else can be checked."""

    def __init__(
        self, message: str, line: int | None = None, column: int | None = None, place: Place = ()
    ) -> None:
        super().__init__(message)
        self.mistake = Mistake(place, message, line=line, column=column)


def decode(text: str | bytes, limits: Limits) -> str:
    """The text, from UTF-8 where it is bytes.

    Raises:
        Unreadable: It is too large, or no UTF-8.
    """
    if len(text) > limits.file:
        raise Unreadable(f"larger than {limits.file:,} bytes (limits.file); split it into several features")
    try:
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text.removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        assert isinstance(text, bytes)  # nosec B101  # for mypy: only bytes are decoded
        raise Unreadable("this is not UTF-8 text; save it as UTF-8", _line_at(text, error.start)) from None
    wrong = re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]", decoded)
    if wrong:
        line = decoded.count("\n", 0, wrong.start()) + 1
        raise Unreadable(f"character U+{ord(wrong[0]):04X} does not belong in a text; remove it", line)
    if not decoded.strip():
        raise Unreadable("it is empty; write a title and tasks")
    return decoded


def _line_at(data: bytes, offset: int) -> int:
    return data.count(b"\n", 0, offset) + 1


MOST_KEYS = 1_000
TOO_MANY_KEYS = f"has more than {MOST_KEYS:,} keys; a feature and a task have some twenty at most"


def has_few_keys(place: Place) -> bool:
    """What stands there is the feature, a task, or the retries of one; of data that tasks get, the keys are free."""
    return not place or (place[0] == "tasks" and (len(place) == 2 or place[2:] == ("retries",)))


# YAML


class YamlDocument:
    """The value of a YAML text. `mistakes` holds what is wrong with it as YAML: keys twice, keys that are no text."""

    def __init__(self, text: str, limits: Limits) -> None:
        self._text = text
        self._limits = limits
        reader = _Reader(text, limits)
        self.value = reader.value
        self.mistakes = reader.mistakes

    def spots(self, places: Iterable[Place]) -> dict[Place, Spot]:
        """Where these places are in the text. A place that an alias brought in is where the alias is."""
        return _find(self._text, self._limits, places, is_clear=not self.mistakes)


def _find(text: str, limits: Limits, places: Iterable[Place], *, is_clear: bool) -> dict[Place, Spot]:
    """Where these places are in a YAML text. Where it has each key once (`is_clear`), no more is read than has them."""
    places = list(places)
    wanted = frozenset(place[:end] for place in places for end in range(len(place) + 1))
    found = _Reader(text, limits, wanted, stops=is_clear).spots
    return {place: _nearest(place, found) for place in places}


def most_values(limits: Limits) -> int:
    """So many YAML values one file may hold, aliases written out: some 32 for each task, and the dependencies."""
    return 32 * limits.tasks + limits.dependencies + 1_000


def _nearest(place: Place, found: dict[Place, Spot]) -> Spot:
    if place in found:
        return found[place]
    around = (place[:end] for end in range(len(place) - 1, -1, -1))
    return next((Spot(found[outer].line) for outer in around if outer in found), Spot())


class _AllFound(Exception):
    """No more has to be read."""


class _Reader:
    """Reads one document from PyYAML's events, with a bound on depth and size, and no tree of nodes in between.

    `yaml.safe_load` recurses without a bound, keeps the last of two equal keys, and is some five times slower,
    because the garbage collector goes through its nodes again and again.
    """

    def __init__(
        self, text: str, limits: Limits, wanted: frozenset[Place] = frozenset(), *, stops: bool = False
    ) -> None:
        self.mistakes: list[Mistake] = []
        self.spots: dict[Place, Spot] = {}
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

    def _value(self, event: Any, place: Place, depth: int) -> Any:
        self._note(event, place)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        values, characters = self._values, self._characters
        if event.anchor:
            self._open.add(event.anchor)
        self._count(event, 1, 0)
        if isinstance(event, yaml.ScalarEvent):
            self._count(event, 0, len(event.value))
            value = self._scalar(event, place)
        else:
            if depth == DEEPEST:
                raise Unreadable(f"lists and mappings are nested deeper than {DEEPEST}", _line_of(event))
            value = self._collection(event, place, depth + 1)
        if event.anchor:
            self._open.discard(event.anchor)
            self._anchors[event.anchor] = value, self._values - values, self._characters - characters
        return value

    def _note(self, event: Any, place: Place) -> None:
        if place in self._wanted:
            line = self.spots[place].line if place in self.spots else _line_of(event)
            self.spots[place] = Spot(line, event.value if isinstance(event, yaml.ScalarEvent) else None)
            if self._unseen is not None:
                self._unseen.discard(place)
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

    def _scalar(self, event: yaml.ScalarEvent, place: Place) -> Any:
        tag = self._tag(event)
        if tag == YAML + "str":
            return event.value
        if tag not in SCALARS:
            raise Unreadable(f"has the tag {tag}; remove the tag", _line_of(event), place=place)
        if tag in NUMBERS and len(event.value) > LONGEST_NUMBER:
            raise Unreadable(
                f"has a number of {len(event.value):,} characters; put it in quotes",
                _line_of(event),
                place=place,
            )
        try:
            return Loader.yaml_constructors[tag](self._resolver, yaml.ScalarNode(tag, event.value))
        except (yaml.YAMLError, ValueError, LookupError, OverflowError, AttributeError):
            message = f"cannot be read; write {quoted(event.value)} with quotes"
            raise Unreadable(message, _line_of(event), place=place) from None

    def _tag(self, event: yaml.ScalarEvent) -> str:
        if event.tag and event.tag != "!":
            return str(event.tag)
        if not event.implicit[0]:
            return YAML + "str"
        return str(self._resolver.resolve(yaml.ScalarNode, event.value, (True, False)))

    def _collection(self, event: Any, place: Place, depth: int) -> Any:
        is_list = isinstance(event, yaml.SequenceStartEvent)
        if event.tag not in (None, "!", YAML + ("seq" if is_list else "map")):
            raise Unreadable(f"has the tag {event.tag}; remove the tag", _line_of(event), place=place)
        return self._list(place, depth) if is_list else self._mapping(place, depth)

    def _list(self, place: Place, depth: int) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            values.append(self._value(event, (*place, len(values)), depth))
        return values

    def _mapping(self, place: Place, depth: int) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if isinstance(event, yaml.ScalarEvent) and self._tag(event) == YAML + "merge":
                merged = {**self._merge((*place, "<<"), depth), **merged}
                continue
            name, line = self._key(event, place, depth), _line_of(event)
            inner = (*place, name)
            if name in own and len(self.mistakes) < MOST_MISTAKES:
                message = f"is written twice, first in line {lines[name]}; keep one of them"
                self.mistakes.append(Mistake(inner, message, line=line))
            if inner in self._wanted:
                self.spots[inner] = Spot(line)
            lines.setdefault(name, line)
            if len(lines) > MOST_KEYS and has_few_keys(place):
                raise Unreadable(TOO_MANY_KEYS, line, place=place)
            own[name] = self._value(next(self._events), inner, depth)
        return {**merged, **own}

    def _key(self, event: Any, place: Place, depth: int) -> str:
        if not isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
            message = "a list or mapping cannot be a key; put a text that has {, [ or ? in it in quotes"
            raise Unreadable(message, _line_of(event))
        value = self._value(event, (*place, KEY), depth)
        if isinstance(value, str):
            return value
        written = event.value if isinstance(event, yaml.ScalarEvent) else f"*{event.anchor}"
        if len(self.mistakes) < MOST_MISTAKES:
            message = f"a key is a text; write {quoted(written)} with quotes"
            self.mistakes.append(Mistake((*place, written), message, line=_line_of(event)))
        return str(written)

    def _merge(self, place: Place, depth: int) -> dict[str, Any]:
        """What `<<: *name` or `<<: [*a, *b]` brings in; the first of several wins (yaml.org/type/merge.html)."""
        event = next(self._events)
        value = self._value(event, place, depth)
        sources = value if isinstance(value, list) else [value]
        if not all(isinstance(source, dict) for source in sources):
            message = "merges what is no mapping; write <<: *name with the name of a mapping"
            self.mistakes.append(Mistake(place, message, line=_line_of(event)))
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


# JSON


class JsonDocument:
    """The value of a JSON text. Its lines are found by reading it as YAML too, once there is a mistake."""

    def __init__(self, text: str, limits: Limits) -> None:
        self._text = text
        self._limits = limits
        self._twice: dict[int, tuple[dict[str, Any], list[str]]] = {}  # with the value: its id stays its own
        try:
            self.value = json.loads(text, object_pairs_hook=self._once_each, parse_constant=_no_constant)
        except json.JSONDecodeError as error:
            message = f"this is no JSON: {error.msg[0].lower()}{error.msg[1:]}"
            raise Unreadable(message, error.lineno, error.colno) from None
        except RecursionError:
            raise Unreadable(f"lists and objects are nested deeper than {DEEPEST}") from None
        except ValueError:  # CPython reads no integer of more than 4,300 digits (CVE-2020-10735)
            raise Unreadable("has a whole number with too many digits; put it in quotes") from None
        self.mistakes = self._repeated()

    def spots(self, places: Iterable[Place]) -> dict[Place, Spot]:
        """Where these places are in the text, if it reads as YAML too; nearly all JSON does."""
        # No tab stands inside a JSON string; YAML knows no surrogate pairs. Neither moves a line.
        text = re.sub(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}", r"\\u0020", self._text.replace("\t", " "))
        try:
            found = _find(text, self._limits, places, is_clear=not self.mistakes)
        except Unreadable:
            return {}
        return {place: Spot(spot.line) for place, spot in found.items()}

    def _once_each(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            times = Counter(name for name, _ in pairs)
            self._twice[id(value)] = value, [name for name in value if times[name] > 1][:MOST_MISTAKES]
        return value

    def _repeated(self) -> list[Mistake]:
        """The keys written twice; checks the depth on the way."""
        found: list[Mistake] = []
        waiting: list[tuple[Place, Any]] = [((), self.value)]
        while waiting:
            place, value = waiting.pop()
            if not isinstance(value, dict | list):
                continue
            if len(value) > MOST_KEYS and isinstance(value, dict) and has_few_keys(place):
                raise Unreadable(TOO_MANY_KEYS, place=place)
            if len(place) >= DEEPEST:
                raise Unreadable(f"lists and objects are nested deeper than {DEEPEST}", place=place[:6])
            _, names = self._twice.get(id(value), (None, []))
            found += [
                Mistake((*place, name), "is written twice; keep one of them")
                for name in names[: MOST_MISTAKES - len(found)]
            ]
            children = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += [((*place, part), child) for part, child in children if isinstance(child, dict | list)]
        return found


def _no_constant(name: str) -> NoReturn:
    raise Unreadable(f"has {name}, which is no JSON value; write a number, or put it in quotes")


def quoted(text: str) -> str:
    """In double quotes, with what cannot be printed escaped, shortened."""
    shown = json.dumps(text[:61], ensure_ascii=not text[:61].isprintable())
    return shown if len(shown) <= 60 else f'{shown[:57]}…"'
