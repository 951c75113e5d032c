"""The size of the parts in which commands read and write large data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

CHUNK = 1_000
"""Entries of one command: enough to be fast, few enough not to block Redis."""


def chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Divide items into chunks of at most `CHUNK`.

    Example:
        >>> [len(chunk) for chunk in chunks(range(2_500))]
        [1000, 1000, 500]
    """
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]
