"""A feature as Celery's code expects a result: with `get`, `ready`, `state`, `children`."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from celery import states
from celery.exceptions import TaskRevokedError, TimeoutError

from orchestrator.model import errors, references
from orchestrator.model.feature import FeatureStatus
from orchestrator.model.outcome import Cancelled, Completed, Outcome
from orchestrator.model.task import TaskStatus
from orchestrator.model.typed_values import restored

if TYPE_CHECKING:
    from orchestrator.client.handle import Handle


class FeatureResult:
    """The result of a feature, or of one of its tasks, with the names of Celery's `AsyncResult`.

    Args:
        handle: The feature.
        task_id: One of its tasks; None: the feature.

    Example:
        result = orchestrator.enqueue(chain(add.s(1, 2), add.s(3))).as_result()
        assert result.get(timeout=10) == 6
    """

    parent = None

    def __init__(self, handle: Handle, task_id: str | None = None) -> None:
        self.handle = handle
        self.task_id = task_id

    def __repr__(self) -> str:
        return f"FeatureResult({self.id!r})"

    @property
    def id(self) -> str:
        """The id of the feature; of a task, the id of the feature, a slash and its own."""
        return f"{self.handle.id}/{self.task_id}" if self.task_id else self.handle.id

    @property
    def children(self) -> list[FeatureResult]:
        """The results of its tasks; a task has none."""
        if self.task_id:
            return []
        return [FeatureResult(self.handle, task.id) for task in self.handle.tasks()]

    @property
    def state(self) -> str:
        """Celery's word for where it stands: PENDING, STARTED, SUCCESS, FAILURE or REVOKED."""
        if self.task_id:
            (found,) = self.handle.store.tasks.states_of(self.handle.id, [self.task_id])
            return _OF_TASKS.get(found.status, states.STARTED)
        progress = self.handle.progress()
        if progress.status is FeatureStatus.COMPLETED:
            return states.SUCCESS
        if progress.status is FeatureStatus.CANCELLED:
            return states.REVOKED
        if progress.is_settled:
            return states.FAILURE
        return states.STARTED if progress.started else states.PENDING

    status = state

    def ready(self) -> bool:
        """Whether nothing more happens unless a person acts."""
        return self.state in states.READY_STATES

    def successful(self) -> bool:
        """Whether it is completed."""
        return self.state == states.SUCCESS

    def failed(self) -> bool:
        """Whether it stopped at a failure."""
        return self.state == states.FAILURE

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        *,
        callback: Callable[[str, Any], object] | None = None,
        **_: Any,
    ) -> Any:
        """Wait for the result, and return it.

        Args:
            timeout: Seconds to wait at most.
            propagate: Raise the error of a task that failed; False: the error stands where its result would.
            callback: Called with the id and the result.
            _: Celery's other arguments. They change nothing here.

        Raises:
            TimeoutError: Celery's own: the feature is not over by then.
            Exception: What a task raised, if that is one of Python's own exceptions; NotCompleted, if it is another.
        """
        try:
            self.handle.wait(timeout)
        except errors.WaitTimeout as error:
            raise TimeoutError("The operation timed out.") from error
        value = self._value()
        if propagate and (found := self.error()) is not None:
            raise found
        if callback is not None:
            callback(self.id, value)
        return value

    wait = get

    @property
    def result(self) -> Any:
        """The result if it is ready, or the error; None before."""
        if not self.ready():
            return None
        return self.error() or self._value()

    info = result

    def revoke(self, *_: Any, **__: Any) -> None:
        """Cancel it."""
        if self.task_id:
            self.handle.cancel_task(self.task_id)
        else:
            self.handle.cancel()

    def forget(self) -> None:
        """Forget the feature: its state, results and events. It has to be over; `prune` removes its logs."""
        self.handle.store.delete_feature(self.handle.id)

    def _value(self) -> Any:
        given = (
            {references.RESULT: self.task_id}
            if self.task_id
            else self.handle.store.features.result(self.handle.id)
        )
        outcomes = self.handle.outcomes({reference.task for reference in references.find(given)})

        def find(reference: references.Reference) -> Any:
            outcome = outcomes.get(reference.task)
            if isinstance(outcome, Completed):
                return reference.of(outcome.result)
            return self._exception(reference.task, outcome)

        return restored(references.fill(given, find))

    def error(self) -> BaseException | None:
        """The error of the first task that failed; None if there is none."""
        failed = (
            [self.task_id]
            if self.task_id
            else [
                one.id
                for one in self.handle.states()
                if one.status in (TaskStatus.FAILED, TaskStatus.CANCELLED)
            ]
        )
        outcomes = self.handle.outcomes(failed)
        for task in failed:
            outcome = outcomes.get(task)
            if not isinstance(outcome, Completed):
                return self._exception(task, outcome)
        return None

    def _exception(self, task: str, outcome: Outcome | None) -> BaseException:
        return self.handle.raised(task) or exception_of(self.handle.id, task, outcome)


_OF_TASKS = {
    TaskStatus.COMPLETED: states.SUCCESS,
    TaskStatus.FAILED: states.FAILURE,
    TaskStatus.BLOCKED: states.FAILURE,
    TaskStatus.CANCELLED: states.REVOKED,
    TaskStatus.PENDING: states.PENDING,
    TaskStatus.BACKLOG: states.PENDING,
}


def exception_of(feature_id: str, task_id: str, outcome: Outcome | None) -> Exception:
    """An outcome as an exception: the one of Python's own that its reason names, else NotCompleted.

    Example:
        >>> from orchestrator.model.outcome import Failed
        >>> exception_of("f", "T1", Failed(reason="ValueError: boom"))
        ValueError('boom')
    """
    if isinstance(outcome, Cancelled):
        return TaskRevokedError(outcome.reason)
    reason = getattr(outcome, "reason", "") or "it did not run"
    name, _, text = reason.partition(": ")
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        return kind(text)
    return errors.NotCompleted(feature=feature_id, task=task_id, reason=reason)
