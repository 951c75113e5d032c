"""The value of a JSON text, and the lines its parts are on."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from orchestrator.feature_file.document import (
    DEEPEST,
    MOST_KEYS,
    TOO_MANY_KEYS,
    KeyPath,
    Mistake,
    SourceLocation,
    Unreadable,
    has_few_keys,
)
from orchestrator.feature_file.yaml_reader import locate
from orchestrator.model.feature import MOST_MISTAKES

if TYPE_CHECKING:
    from orchestrator.config.schema.limits import Limits


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

    def locations(self, paths: Iterable[KeyPath]) -> dict[KeyPath, SourceLocation]:
        """The places of these paths in the text, if it reads as YAML too; nearly all JSON does."""
        # No tab stands inside a JSON string; YAML knows no surrogate pairs. Neither moves a line.
        text = re.sub(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}", r"\\u0020", self._text.replace("\t", " "))
        try:
            found = locate(text, self._limits, paths, is_clear=not self.mistakes)
        except Unreadable:
            return {}
        return {path: SourceLocation(location.line) for path, location in found.items()}

    def _once_each(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            times = Counter(name for name, _ in pairs)
            self._twice[id(value)] = value, [name for name in value if times[name] > 1][:MOST_MISTAKES]
        return value

    def _repeated(self) -> list[Mistake]:
        """The keys written twice; checks the depth on the way."""
        found: list[Mistake] = []
        waiting: list[tuple[KeyPath, Any]] = [((), self.value)]
        while waiting:
            path, value = waiting.pop()
            if not isinstance(value, dict | list):
                continue
            if len(value) > MOST_KEYS and isinstance(value, dict) and has_few_keys(path):
                raise Unreadable(TOO_MANY_KEYS, path=path)
            if len(path) >= DEEPEST:
                raise Unreadable(f"lists and objects are nested deeper than {DEEPEST}", path=path[:6])
            _, names = self._twice.get(id(value), (None, []))
            found += [
                Mistake((*path, name), "is written twice; keep one of them")
                for name in names[: MOST_MISTAKES - len(found)]
            ]
            children = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += [((*path, part), child) for part, child in children if isinstance(child, dict | list)]
        return found


def _no_constant(name: str) -> NoReturn:
    raise Unreadable(f"has {name}, which is no JSON value; write a number, or put it in quotes")
