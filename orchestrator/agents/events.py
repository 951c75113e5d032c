"""Events of an agent's output: what stands where in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from orchestrator.config.schema.agent_runtimes import EventText


def value_at(event: Any, pointer: str | None) -> Any:
    """The value at a JSON pointer (RFC 6901); None where nothing stands.

    Example:
        >>> value_at({"item": {"texts": ["a", "b"]}}, "/item/texts/1")
        'b'
    """
    if pointer is None:
        return None
    for part in pointer.split("/")[1:]:
        event = _inside(event, part.replace("~1", "/").replace("~0", "~"))
    return event


def _inside(value: Any, part: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(part)
    if isinstance(value, Sequence) and not isinstance(value, str) and part.isascii() and part.isdigit():
        return value[int(part)] if len(part) < 10 and int(part) < len(value) else None
    return None


def first_at(event: Any, pointers: Iterable[str]) -> Any:
    """The first value that one of the pointers leads to; None: none does."""
    return next((found for each in pointers if (found := value_at(event, each)) is not None), None)


def matches(event: Any, when: Mapping[str, Any]) -> bool:
    """Every pointer leads to its value.

    Example:
        >>> matches({"type": "error", "code": 7}, {"/type": "error"})
        True
    """
    return all(value_at(event, pointer) == wanted for pointer, wanted in when.items())


def found_in(event: Any, kinds: Iterable[EventText]) -> Iterator[tuple[EventText, Any]]:
    """The kinds that an event is of, each with the part of the event in which its pointers start."""
    for kind in kinds:
        if not matches(event, kind.when):
            continue
        if kind.each is None:
            yield kind, event
            continue
        items = value_at(event, kind.each)
        for item in items if isinstance(items, list) else ():
            if matches(item, kind.item):
                yield kind, item


def text_at(event: Any, pointer: str) -> str:
    """The text at a pointer; "" where there is none, or something else."""
    found = value_at(event, pointer)
    return found if isinstance(found, str) else ""
