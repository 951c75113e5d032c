"""Python's garbage collector, paused while very many objects are made."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the garbage collector while objects are made that stay: it would look through all of them again and again.

    Memory that is freed by its reference count is freed as ever. At the end all objects count as old, so that the next
    collections do not look through the new ones either.

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
            if not gc.get_freeze_count():  # else the program has frozen objects, which would thaw too
                gc.freeze()
                gc.unfreeze()
            gc.enable()
