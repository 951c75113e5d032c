"""Shared by the readers of YAML and JSON: key paths, source locations, mistakes, and bounds on a text."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.config.schema.limits import Limits


KeyPath = tuple[str | int, ...]
"""The keys and list positions that lead to a value: ("tasks", 0, "estimate")."""

DEEPEST = 64
"""How deep lists and mappings may be nested: later code recurses through them."""


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong, where, and what would be right."""

    path: KeyPath
    message: str
    value: str | None = None
    line: int | None = None
    column: int | None = None


@dataclass(frozen=True)
class SourceLocation:
    """The place of a value in a text: its line, and a scalar as it was written (`1.10`, not 1.1)."""

    line: int | None = None
    written: str | None = None


class Unreadable(Exception):
    """The text has no readable value, so there is nothing to check."""

    def __init__(
        self, message: str, line: int | None = None, column: int | None = None, path: KeyPath = ()
    ) -> None:
        super().__init__(message)
        self.mistake = Mistake(path, message, line=line, column=column)


def decode(text: str | bytes, limits: Limits) -> str:
    """The text; bytes are read as UTF-8.

    Raises:
        Unreadable: It is too large, or not UTF-8.
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


def has_few_keys(path: KeyPath) -> bool:
    """Whether the path leads to the feature, a task or its retries. Data that tasks get may have any number of keys."""
    return not path or (path[0] == "tasks" and (len(path) == 2 or path[2:] == ("retries",)))


def quoted(text: str) -> str:
    """The text in double quotes, shortened, with unprintable characters escaped."""
    shown = json.dumps(text[:61], ensure_ascii=not text[:61].isprintable())
    return shown if len(shown) <= 60 else f'{shown[:57]}…"'
