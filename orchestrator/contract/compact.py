"""An answer as JSON: on one line, without empty fields and usual values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, get_args

from orchestrator.contract.answer import Answer
from orchestrator.model import errors

EVERYTHING = "all"
"""The name that stands for every field, even for those that are usually left out."""

Tree = dict[str, "Tree"]
"""The requested fields, each with those below it; none below: all that are usually shown."""


def moment(seconds: float | None) -> str:
    """Seconds since the epoch as ISO 8601, to the second; "" for none.

    Example:
        >>> moment(1_764_180_000.4)
        '2025-11-26T18:00:00Z'
    """
    return "" if seconds is None else datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def write(value: Any) -> str:
    """JSON on one line, with nothing between its parts."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str)


def select(answer: Answer, fields: str | None = None) -> dict[str, Any]:
    """An answer as plain values.

    Args:
        answer: The answer.
        fields: Names with commas between them, `tasks.task` for a field of what is in a field, `all` for all of them;
            None: those that are usually shown.

    Raises:
        NoSuchField: The answer has no field of that name.

    Example:
        >>> from orchestrator.contract.answer import Specialist
        >>> select(Specialist(name="reviewer", title="Reviewer"), "title")
        {'title': 'Reviewer'}
    """
    tree = _tree(type(answer), fields) if fields else {}
    found = dict(_plain(answer, tree, whole=fields == EVERYTHING))
    return {**found, **_rest(answer, tree)}


def _rest(answer: Answer, tree: Tree) -> dict[str, Any]:
    """How many items of the lists are left out, and where they go on. It is said without being asked for."""
    known = type(answer).model_fields
    left = {
        name: number
        for name, number in getattr(answer, "left_out", {}).items()
        if name in tree or name not in known
    }
    after = getattr(answer, "after", "")
    return {"left_out": left, **({"after": after} if after else {})} if left else {}


def _tree(shape: type[Answer], fields: str) -> Tree:
    tree: Tree = {}
    for path in filter(None, (name.strip() for name in fields.split(","))):
        if path == EVERYTHING:
            continue
        node, kind = tree, shape
        for name in path.split("."):
            if name not in kind.model_fields:
                raise errors.NoSuchField(field=path, fields=list(kind.model_fields))
            node, kind = node.setdefault(name, {}), _inner(kind, name)
    return tree


def _inner(shape: type[Answer], name: str) -> type[Answer]:
    """The shape of a field's value or of its list entries; a shape without fields if it has none."""
    kinds = [shape.model_fields[name].annotation]
    while kinds:
        kind = kinds.pop()
        if isinstance(kind, type) and issubclass(kind, Answer):
            return kind
        kinds.extend(get_args(kind))
    return Answer


def _plain(value: Any, tree: Tree, *, whole: bool) -> Any:
    if isinstance(value, Answer):
        return _fields(value, tree, whole=whole)
    if isinstance(value, Mapping):
        return {str(name): _plain(inner, {}, whole=whole) for name, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(inner, tree, whole=whole) for inner in value]
    if isinstance(value, float):
        return int(value) if value == int(value) else round(value, 3)
    return str(value) if isinstance(value, str) else value


def _fields(answer: Answer, tree: Tree, *, whole: bool) -> dict[str, Any]:
    """The fields that are asked for, without optional ones that have their usual value."""
    found = {}
    for name, field in type(answer).model_fields.items():
        if name not in tree and (tree or (name in answer.rare and not whole)):
            continue
        value = _plain(getattr(answer, name), tree.get(name, {}), whole=whole)
        is_usual = value in ("", [], {}, None) or getattr(answer, name) == field.default
        if field.is_required() or not is_usual:
            found[name] = value
    return found
