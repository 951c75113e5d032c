"""The work of the cases that are published for workflow engines: slow on purpose, the same on every side."""

from __future__ import annotations


def fibo(number: int) -> int:
    """The Fibonacci number of this place, from its definition.

    Example:
        >>> fibo(10)
        55
    """
    return number if number < 2 else fibo(number - 1) + fibo(number - 2)
