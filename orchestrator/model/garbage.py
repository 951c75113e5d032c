"""Python's garbage collector, paused while very many objects are made."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

MANY = 50_000
"""New objects. Fewer stay young: `get_freeze_count` looks at each object that the program has frozen."""


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the garbage collector while objects are made that stay: it would look through all of them again and again.

    Memory that is freed by its reference count is freed as ever. If very many were made, all objects count as old at
    the end, so that the next collections do not look through the new ones either.

    Example:
        >>> with collector_paused():
        ...     numbers = [[number] for number in range(3)]
        >>> gc.isenabled()
        True
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            is_many = gc.get_count()[0] > MANY
            if (
                is_many and not gc.get_freeze_count()
            ):  # else the program has frozen objects, which would thaw too
                gc.freeze()
                gc.unfreeze()
            gc.enable()
