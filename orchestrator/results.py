"""What Celery's own tools are told who ask for the result of an attempt: the store has it, no result backend."""

from __future__ import annotations

import time
from typing import Any

from celery.exceptions import TimeoutError as NoResultInTime
from celery.result import AsyncResult

from orchestrator import connections, identifiers
from orchestrator.models import Completed

LOOK_SECONDS = 0.5
"""Between two looks whether an attempt has ended."""


class Result(AsyncResult):  # type: ignore[type-arg]
    """Celery's result. That of an attempt at a task of an enqueued feature is read from the store."""

    def get(self, timeout: float | None = None, *args: Any, **kwargs: Any) -> Any:
        """The result of a completed attempt, or one line on how it ended.

        Raises:
            NoSuchFeature, NoSuchTask: There is none.
            TimeoutError: It has not ended in time (of Celery's).
        """
        found = identifiers.attempt_named(str(self.id))
        if found is None:
            return super().get(timeout, *args, **kwargs)
        feature, task, attempt = found
        app: Any = self.app
        store = connections.open_store(app.settings)
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            known = store.attempt(feature, task)
            if known.get("attempt", 0) != attempt or known.get("ended") == attempt:
                break
            if until is not None and time.monotonic() >= until:
                raise NoResultInTime(f"{self.id} has not ended")
            time.sleep(LOOK_SECONDS)
        outcome = store.outcomes(feature, [task]).get(task)
        if known.get("attempt", 0) != attempt or outcome is None:
            return f"of attempt {attempt} no outcome is kept; `orchestrator status {feature}` says where {task} stands"
        if isinstance(outcome, Completed):
            return outcome.summary if outcome.result is None else outcome.result
        return f"{outcome.status}: {outcome.reason}"
