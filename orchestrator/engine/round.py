"""Runs the steps of a round, and remembers which of them failed."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable

import redis

from orchestrator.state import forks, refusals

logger = logging.getLogger("orchestrator")


class Round:
    """Runs steps one after another. A failed step is tried again in the next round.

    Args:
        worker: The name of the worker, for the log.
    """

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self.failures: dict[str, str] = {}
        """The steps that failed when they were last tried, each with the reason."""
        self._due: dict[str, float] = {}

    def every(self, seconds: float, step: Callable[[], object]) -> Callable[[], object]:
        """A step for rounds that come more often than it is needed: it runs once in so many seconds.

        If it fails, it runs again in the next round.
        """

        @functools.wraps(step)
        def run() -> None:
            now = time.monotonic()
            if now >= self._due.get(step.__name__, 0.0):
                step()
                self._due[step.__name__] = now + seconds

        return run

    def run(self, *steps: Callable[[], object]) -> None:
        """Run steps in their order.

        A step that meets a key of another type does not hold up the others: one key is wrong. Any other error puts
        off the rest to the next round: as a rule Redis is away.
        """
        with forks.held_off():
            for step in steps:
                try:
                    step()
                except Exception as error:  # no error may end the rounds: the next one may succeed
                    self._warn_once(step.__name__, error)
                    if not (isinstance(error, redis.ResponseError) and refusals.code(error) == "WRONGTYPE"):
                        return
                else:
                    self.failures.pop(step.__name__, None)

    def _warn_once(self, step: str, error: Exception) -> None:
        before, cause = self.failures.get(step), f"{type(error).__name__}: {refusals.describe(error)}"
        self.failures[step] = cause
        if cause != before:
            what = step.replace("_", " ")
            logger.warning("Worker %s could not %s: %s. Each round tries it again", self.worker, what, cause)
