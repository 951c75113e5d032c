"""The threads of a worker's main process: one that dies starts again, and logs it."""

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
"""Seconds before the work of a dead thread begins again."""


class Thread(threading.Thread):
    """A thread whose work begins again after an error, until it is stopped.

    Args:
        work: Returns when the thread is stopped.
        what: Its name in logs and reports.
        stopped: Ends it when set.

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
        """Log where it died, and the kind of error: the text of the error may hold a part of a password."""
        place = traceback.extract_tb(error.__traceback__)[-1]
        cause = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
        _deaths[self.what] = (_deaths.get(self.what, (0, ""))[0] + 1, cause)
        with forks.held_off():
            logger.critical("A thread of this worker died and starts again: the %s, of %s", self.what, cause)


_deaths: dict[str, tuple[int, str]] = {}
"""Name of a thread → how often it died, and its last error."""


def troubles() -> tuple[str, ...]:
    """How often each thread of this process died, and of which error last."""
    return tuple(
        f"the {what} died {words.count(times, 'time')}, last of {cause}"
        for what, (times, cause) in list(_deaths.items())
    )
