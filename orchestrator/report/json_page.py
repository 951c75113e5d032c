"""A part of a long list, and the key at which the next part starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from orchestrator.model import errors

T = TypeVar("T")

LIMIT = 10
"""How many entries of a list an answer has without --limit."""


def page(items: Sequence[T], limit: int, after: str, key: Any) -> tuple[Sequence[T], int, str]:
    """A part of a list.

    Args:
        items: All of it.
        limit: The most entries.
        after: The key of the last item of the part before; "" for the first.
        key: Names an item.

    Returns:
        The part, how many are left after it, and the key of its last item ("" if nothing is left).

    Raises:
        BadCursor: No item has the key `after`.

    Example:
        >>> page(["a", "b", "c"], 1, "a", str)
        (['b'], 1, 'b')
    """
    start = next((place + 1 for place, item in enumerate(items) if key(item) == after), 0) if after else 0
    if after and not start:
        raise errors.BadCursor(cursor=after)
    part = items[start : start + limit]
    left = len(items) - start - len(part)
    return part, left, key(part[-1]) if left and part else ""


def left_out(**lists: int) -> dict[str, int]:
    """How many of each list are left out; what is whole is not named."""
    return {name: number for name, number in lists.items() if number}
