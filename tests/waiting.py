"""Waits on conditions, as a test of several processes or threads has to."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 120.0
"""Seconds after which a condition is taken for one that never comes about, on however slow a machine."""


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until something is so; fail where it does not come about in all patience."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{condition} did not come about"
        time.sleep(0.01)
