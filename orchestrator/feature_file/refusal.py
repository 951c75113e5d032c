"""The error that names every mistake of a feature, as text and as data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from orchestrator.feature_file.document import KeyPath, Mistake, quoted
from orchestrator.feature_file.values import field
from orchestrator.model import errors, identifiers, words
from orchestrator.model.feature import MOST_MISTAKES

MOST_SHOWN = 100
"""How many mistakes the text of an error has; its fact `lines` has more of them."""


FEW_ALIKE = 3
"""Up to this many equal mistakes have a line each; more are joined into one line."""


# Mistakes as text


def refuse(source: str | Path, mistakes: list[Mistake], value: Any = None) -> NoReturn:
    """Raise `InvalidFeature` with all mistakes, in the order of their lines."""
    ordered = sorted(mistakes, key=lambda mistake: mistake.line or 0)
    lines = [
        {
            "line": at.line,
            "column": at.column,
            "path": written_path(at.path, value),
            "value": at.value,
            "message": at.message,
        }
        for at in ordered
    ]
    groups = _alike(lines)
    shown = [_sentence(group) for group in groups[:MOST_SHOWN]]
    more = sum(len(group) for group in groups[MOST_SHOWN:])
    if more:
        shown.append(f"  … and {more:,} more")
    raise errors.InvalidFeature(
        source=source,
        count=("at least " if len(lines) >= MOST_MISTAKES else "") + words.count(len(lines), "mistake"),
        mistakes="\n".join(shown),
        them="it" if len(lines) == 1 else "them",
        lines=lines,
    ) from None


def _alike(lines: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The mistakes, with those together that say the same of the same value, such as a name that no task has.

    A few that are alike stay apart, because each has its own line.
    """
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for path, line in enumerate(lines):
        key = (line["value"], _kind_of(line["message"])) if line["value"] else (str(path),)
        groups.setdefault(key, []).append(line)
    return [
        part
        for group in groups.values()
        for part in ([group] if len(group) > FEW_ALIKE else [[line] for line in group])
    ]


def _kind_of(message: str) -> str:
    """A message without what is suggested: only the first mistakes of a kind have a suggestion."""
    return message.split(";")[0]


def _sentence(alike: Sequence[Mapping[str, Any]]) -> str:
    """Mistakes that are alike, in a line: the first, and how many more there are."""
    line = alike[0]
    parts = [f"{name} {line[name]}" for name in ("line", "column") if line[name]] + [line["path"]]
    where = ", ".join(filter(None, parts))
    more = f" ({len(alike):,} times)" if len(alike) > 1 else ""
    return "  " + ": ".join(filter(None, [where, line["value"], line["message"]])) + more


def written_path(path: KeyPath, feature: Any = None) -> str:
    """The path as people write it: T2.estimate, or tasks[2].estimate if the task has no usable id."""
    text = ""
    if len(path) > 2 and path[0] == "tasks" and path[2] != "id":
        task_id = field(_task(feature, path[1]), "id")
        if identifiers.is_id(task_id):
            text, path = task_id, path[2:]
    for part in path:
        name = part if isinstance(part, int) or re.fullmatch(r"[^\W\d][\w\-]{0,63}", part) else quoted(part)
        text += f"[{name}]" if name is not part or isinstance(part, int) else f".{part}" if text else part
    return text


def _task(feature: Any, at: str | int) -> Any:
    tasks = field(feature, "tasks")
    return tasks[at] if isinstance(tasks, list | tuple) and isinstance(at, int) and at < len(tasks) else None
