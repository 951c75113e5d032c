"""Waits on conditions, as a test of several processes or threads has to."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 120.0
"""Seconds after which a condition counts as one that never holds, even on a slow machine."""


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; fail if it does not within PATIENCE seconds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{condition} did not come about"
        time.sleep(0.01)
