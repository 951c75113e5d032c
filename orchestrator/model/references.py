"""References: values of a task's arguments that are the results of tasks it depends on.

In a feature file `{result: T1}` is one, and so is `{result: T1, path: rows.0}`, for a part of the result. A mapping
that only looks like one is written as `{literal: {result: T1}}`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

RESULT, PATH, LITERAL = "result", "path", "literal"


@dataclass(frozen=True)
class Reference:
    """The result of a task, or a part of it.

    Args:
        task: The task.
        path: The keys and places in lists that lead to the part, joined by dots; "": the whole.
    """

    task: str
    path: str = ""

    def written(self) -> dict[str, Any]:
        """As a feature file has it.

        Example:
            >>> Reference("T1", "rows.0").written()
            {'result': 'T1', 'path': 'rows.0'}
        """
        return {RESULT: self.task, **({PATH: self.path} if self.path else {})}

    __json__ = written

    def of(self, result: Any) -> Any:
        """The part of a result that is meant.

        Raises:
            LookupError: The result has no such part; the message says what it has.

        Example:
            >>> Reference("T1", "rows.0").of({"rows": [7, 8]})
            7
        """
        gone: list[str] = []
        for key in self.path.split(".") if self.path else ():
            result = _part(result, key, ".".join(gone))
            gone.append(key)
        return result


def _part(value: Any, key: str, where: str) -> Any:
    place = f"under {where}" if where else "in it"
    if isinstance(value, Mapping):
        if key in value:
            return value[key]
        raise LookupError(
            f"no {key} {place}, only {', '.join(map(str, list(value)[:8])) or 'an empty mapping'}"
        )
    if isinstance(value, list | tuple) and key.lstrip("-").isdigit():
        if -len(value) <= int(key) < len(value):
            return value[int(key)]
        raise LookupError(f"no {key} {place}, only {len(value)} entries")
    raise LookupError(f"no {key} {place}, which is a {type(value).__name__}")


def read(value: object) -> Reference | None:
    """The reference that a value is; None for any other value.

    Example:
        >>> read({"result": "T1"}), read({"result": 1}), read("T1")
        (Reference(task='T1', path=''), None, None)
    """
    if not isinstance(value, Mapping) or not value.keys() <= {RESULT, PATH} or RESULT not in value:
        return None
    task, path = value[RESULT], value.get(PATH, "")
    return Reference(task, path) if isinstance(task, str) and isinstance(path, str) else None


def find(value: object) -> Iterator[Reference]:
    """The references in a value, however deep.

    Example:
        >>> [one.task for one in find([1, {"rows": [{"result": "T1"}]}, {"literal": {"result": "T2"}}])]
        ['T1']
    """
    if found := read(value):
        yield found
    elif isinstance(value, Mapping) and not _is_literal(value):
        for part in value.values():
            yield from find(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from find(part)


def fill(value: Any, known: Callable[[Reference], Any]) -> Any:
    """A value with what `known` returns in place of each reference, and without the marks of literals.

    Example:
        >>> fill([{"result": "T1"}, {"literal": {"result": "T2"}}], lambda reference: reference.task * 2)
        ['T1T1', {'result': 'T2'}]
    """
    if found := read(value):
        return known(found)
    if isinstance(value, Mapping):
        if _is_literal(value):
            return value[LITERAL]
        return {name: fill(part, known) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [fill(part, known) for part in value]
    return value


def literal(value: Any) -> Any:
    """A value in which nothing is taken for a reference.

    Example:
        >>> literal({"result": "T1"}), literal([1])
        ({'literal': {'result': 'T1'}}, [1])
    """
    has_marks = next(find(value), None) is not None or _has_literals(value)
    return {LITERAL: value} if has_marks else value


def _is_literal(value: Mapping[Any, Any]) -> bool:
    return len(value) == 1 and LITERAL in value


def _has_literals(value: object) -> bool:
    if isinstance(value, Mapping):
        return _is_literal(value) or any(map(_has_literals, value.values()))
    return isinstance(value, list | tuple) and any(map(_has_literals, value))
