"""Reports what an agent uses, while it works."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from orchestrator.model import errors
from orchestrator.model.usage import Usage, UsageVerdict

if TYPE_CHECKING:
    from orchestrator.engine.attempt import Attempt
    from orchestrator.engine.attempt_recorder import AttemptRecorder


class UsageMeter:
    """Reports the usage of one attempt. An outage of Redis costs the agent nothing: its next report has all of it.

    Args:
        recorder: Records it.
        attempt: The attempt.
        left: What it may use, at its start.
    """

    def __init__(self, recorder: AttemptRecorder, attempt: Attempt, left: UsageVerdict) -> None:
        self._report: Callable[[Sequence[Usage]], UsageVerdict] = lambda usages: recorder.report_usage(
            attempt, usages
        )
        self._outlast: Callable[[Sequence[Usage]], None] = lambda usages: recorder.outlast_usage(
            attempt, usages
        )
        self.verdict = left
        """What is left, as the store said last."""
        self._unreported: Sequence[Usage] = ()

    def __call__(self, usages: Sequence[Usage]) -> UsageVerdict:
        """Report what was used so far, and answer what is left."""
        if usages:
            self._unreported = usages
            try:
                self.verdict = self._report(usages)
                self._unreported = ()
            except errors.RedisUnreachable:
                pass
        return self.verdict

    def close(self) -> None:
        """Report what could not be reported before; it waits until Redis is back."""
        if self._unreported:
            self._outlast(self._unreported)
