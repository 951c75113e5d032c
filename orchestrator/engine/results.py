"""The results of attempts for Celery's own tools. They lie in the store, not in a result backend."""

from __future__ import annotations

import time
from typing import Any

from celery.exceptions import TimeoutError as NoResultInTime
from celery.result import AsyncResult

from orchestrator.model import identifiers
from orchestrator.model.outcome import Completed
from orchestrator.state import connections

POLL_SECONDS = 0.5
"""Seconds between two looks whether an attempt has ended."""


class Result(AsyncResult):  # type: ignore[type-arg]
    """Celery's result, read from the store for an attempt of an enqueued feature."""

    def get(self, timeout: float | None = None, *args: Any, **kwargs: Any) -> Any:
        """Wait for the result of an attempt: its result, or one line on how it ended.

        Raises:
            NoSuchFeature, NoSuchTask: The store does not know it.
            celery.exceptions.TimeoutError: It has not ended in time.
        """
        found = identifiers.attempt_named(str(self.id))
        if found is None:
            return super().get(timeout, *args, **kwargs)
        feature, task, attempt = found
        app: Any = self.app
        store = connections.open_store(app.settings)
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            known = store.tasks.attempt(feature, task)
            if known.get("attempt", 0) != attempt or known.get("ended") == attempt:
                break
            if until is not None and time.monotonic() >= until:
                raise NoResultInTime(f"{self.id} has not ended")
            time.sleep(POLL_SECONDS)
        outcome = store.tasks.outcomes(feature, [task]).get(task)
        if known.get("attempt", 0) != attempt or outcome is None:
            return f"no outcome of attempt {attempt} is kept; `orchestrator status {feature}` shows where {task} is"
        if isinstance(outcome, Completed):
            return outcome.summary if outcome.result is None else outcome.result
        return f"{outcome.status}: {outcome.reason}"
