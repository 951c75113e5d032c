"""The threads of a worker's main process: each is started again where it dies, and says so."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

from orchestrator.model import words
from orchestrator.state import forks

logger = logging.getLogger("orchestrator")

PAUSE = 1.0
"""Seconds before the work of a thread that died begins again."""


class Thread(threading.Thread):
    """A thread whose work begins again where an error ends it, until it is stopped.

    Args:
        work: What it does. It returns when it is stopped.
        what: How logs and reports call it.
        stopped: Set when it is to end.

    Example:
        thread = Thread(self._run, "timer", self.stopped)
        thread.start()
    """

    def __init__(self, work: Callable[[], None], what: str, stopped: threading.Event) -> None:
        super().__init__(name=f"orchestrator-{what}", daemon=True)
        self.what = what
        self._work = work
        self._stopped_by = stopped

    def run(self) -> None:
        """Do the work; called by `start`."""
        while True:
            try:
                self._work()
                return
            except Exception as error:
                self._tell(error)
            if self._stopped_by.wait(PAUSE):
                return

    def _tell(self, error: Exception) -> None:
        """Say where it died, and of what kind of error: its text may hold a part of a password."""
        place = traceback.extract_tb(error.__traceback__)[-1]
        cause = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
        _deaths[self.what] = (_deaths.get(self.what, (0, ""))[0] + 1, cause)
        with forks.held_off():
            logger.critical(
                "A thread of this worker died, and is started again: the %s, of %s", self.what, cause
            )


_deaths: dict[str, tuple[int, str]] = {}
"""What threads died → how often, and of what the last time."""


def troubles() -> tuple[str, ...]:
    """What threads of this process died of, and how often they did."""
    return tuple(
        f"the {what} died {words.count(times, 'time')}, last of {cause}"
        for what, (times, cause) in list(_deaths.items())
    )
