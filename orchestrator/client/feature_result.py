"""A feature as Celery's code expects a result: with `get`, `ready`, `state`, `children`."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from celery import states
from celery.exceptions import TaskRevokedError, TimeoutError

from orchestrator.client import watching
from orchestrator.model import calls, errors, references
from orchestrator.model.feature import FeatureStatus
from orchestrator.model.outcome import Cancelled, Completed, Failed, Outcome
from orchestrator.model.references import Reference
from orchestrator.model.task import TaskStatus
from orchestrator.model.typed_values import restored

if TYPE_CHECKING:
    from orchestrator.client.handle import Handle
    from orchestrator.model.progress import Progress
    from orchestrator.model.task import Task


class FeatureResult:
    """The result of a feature, or of a part of it, with the names of Celery's `AsyncResult` and `GroupResult`.

    Args:
        handle: The feature.
        part: The part, as the feature's own result names it, such as `{"result": "T1"}`; None: the whole.

    Example:
        result = orchestrator.enqueue(chain(add.s(1, 2), add.s(3))).as_result()
        assert result.get(timeout=10) == 6
    """

    def __init__(self, handle: Handle, part: Any = None) -> None:
        self.handle = handle
        self._part = part

    def __repr__(self) -> str:
        return f"FeatureResult({self.id!r})"

    @cached_property
    def _value(self) -> Any:
        """The value that it stands for, with references in place of results."""
        return self.handle.store.features.result(self.handle.id) if self._part is None else self._part

    @property
    def task_id(self) -> str | None:
        """The task whose result it is; None if it is of several, or of a feature that is no canvas."""
        reference = references.read(self._value)
        return reference.task if reference else None

    @property
    def id(self) -> str:
        """The `self.request.id` of the task; the id of the feature, if it is not the result of one task."""
        task = self.task_id
        return calls.seen_id(self.handle.id, self._task(task)) if task else self.handle.id

    @property
    def results(self) -> list[FeatureResult]:
        """The results of the members of a group; of anything else, none."""
        return [self._of(part) for part in self._value] if isinstance(self._value, list) else []

    @property
    def children(self) -> list[FeatureResult]:
        """The results of a group's members, else of all tasks of the feature; a task has none."""
        if self.results or self._part is not None:
            return self.results
        return [self._of(Reference(task.id).written()) for task in self.handle.tasks()]

    @property
    def parent(self) -> FeatureResult | None:
        """The result of the step before, in a chain."""
        if self.task_id is None:
            before = [one.parent for one in self.results]
            same = before and all(one and before[0] and one._value == before[0]._value for one in before)
            return before[0] if same else None
        task = self._task(self.task_id)
        first = task.args[0] if task.args and any(references.find(task.args[0])) else None
        waits_for = [Reference(one).written() for one in task.depends_on]
        part = first or (waits_for[0] if len(waits_for) == 1 else waits_for)
        return self._of(part) if part else None

    @property
    def state(self) -> str:
        """Celery's word for where it stands: PENDING, STARTED, SUCCESS, FAILURE or REVOKED."""
        progress, tasks = self.handle.progress(), self._tasks
        found = self.handle.store.tasks.states_of(self.handle.id, tasks) if tasks else []
        if all(one.resolved for one in found) if found else progress.status is FeatureStatus.COMPLETED:
            return states.SUCCESS
        if progress.status is FeatureStatus.CANCELLED:
            return states.REVOKED
        if found and (error := self.error()):
            return states.REVOKED if isinstance(error, TaskRevokedError) else states.FAILURE
        if progress.is_settled:
            return states.FAILURE
        has_begun = any(one.started for one in found) if self._part is not None else progress.started
        return states.STARTED if has_begun else states.PENDING

    status = state

    def ready(self) -> bool:
        """Whether nothing more happens to it unless a person acts."""
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
        """Wait for the result, and return it. Callbacks (`link`) may still run then.

        Args:
            timeout: Seconds to wait at most.
            propagate: Raise the error of a task that failed; False: the error stands where its result would, and
                that of the only task in place of all.
            callback: Called with the id and the result.
            _: Celery's other arguments. They change nothing here.

        Raises:
            TimeoutError: Celery's own: the result is not there by then.
            Exception: The task's own, if this program has imported its class; else NotCompleted.
        """
        try:
            self._wait(timeout)
        except errors.WaitTimeout as error:
            raise TimeoutError("The operation timed out.") from error
        if propagate and (found := self.error()) is not None:
            raise found
        value = self._filled()
        if callback is not None:
            callback(self.id, value)
        return value

    wait = get

    @property
    def result(self) -> Any:
        """The result if it is ready, or the error; None before."""
        if not self.ready():
            return None
        return self.error() or self._filled()

    info = result

    def revoke(self, *_: Any, **__: Any) -> None:
        """Cancel it: the feature, or the task that it is the result of."""
        if self._part is None:
            self.handle.cancel()
        else:
            for task in self._tasks:
                self.handle.cancel_task(task)

    def forget(self) -> None:
        """Forget the feature: its state, results and events. It has to be over; `prune` removes its logs."""
        self.handle.store.delete_feature(self.handle.id)

    def error(self) -> BaseException | None:
        """The error of the first task that failed, among those that it needs; None if there is none."""
        needed = self._needed()
        failed = [
            one.id
            for one in self.handle.states()
            if one.status in STOPPED and (not needed or one.id in needed)
        ]
        outcomes = self.handle.outcomes(failed)
        for task in failed:
            outcome = outcomes.get(task)
            if not isinstance(outcome, Completed):
                return self._exception(task, outcome)
        return None

    def _wait(self, timeout: float | None) -> None:
        """Wait until its tasks are completed or skipped, or until nothing more happens to the feature."""
        handle, tasks = self.handle, self._tasks
        if handle.works_here or not tasks:
            handle.wait(timeout)
            return

        def are_over(progress: Progress) -> bool:
            if progress.resolved < len(tasks):
                return False  # most looks end here: to read the states of a thousand tasks takes a while
            return all(state.resolved for state in handle.store.tasks.states_of(handle.id, tasks))

        watching.wait(handle.store, handle.id, timeout, handle.settings.recovery.outage, is_over=are_over)

    @property
    def _tasks(self) -> list[str]:
        """The tasks whose results it is made of."""
        return list(dict.fromkeys(reference.task for reference in references.find(self._value)))

    def _needed(self) -> set[str]:
        """Those tasks, and all that they depend on."""
        found: set[str] = set()
        depends_on = self.handle.store.tasks.dependencies(self.handle.id) if self._tasks else {}
        following = self._tasks
        while following:
            found.update(following)
            following = [one for task in following for one in depends_on.get(task, ()) if one not in found]
        return found

    def _of(self, part: Any) -> FeatureResult:
        return FeatureResult(self.handle, part)

    def _task(self, task_id: str) -> Task:
        return self.handle.store.tasks.find(self.handle.id, task_id)

    def _filled(self) -> Any:
        outcomes = self.handle.outcomes(self._tasks)

        def find(reference: Reference) -> Any:
            outcome = outcomes.get(reference.task)
            if isinstance(outcome, Completed):
                return reference.of(outcome.result)
            return self._exception(reference.task, outcome)

        return restored(references.fill(self._value, find))

    def _exception(self, task: str, outcome: Outcome | None) -> BaseException:
        if outcome is None and (error := self._of(Reference(task).written()).error()):
            return error  # it did not run, because of another one
        return self.handle.raised(task) or exception_of(self.handle.id, task, outcome)


STOPPED = (TaskStatus.FAILED, TaskStatus.BLOCKED, TaskStatus.CANCELLED)


def exception_of(feature_id: str, task_id: str, outcome: Outcome | None) -> Exception:
    """An outcome as an exception: what was raised, else the one that its reason names, else NotCompleted.

    Example:
        >>> from orchestrator.model.outcome import Failed
        >>> exception_of("f", "T1", Failed(reason="ValueError: boom"))
        ValueError('boom')
    """
    if isinstance(outcome, Cancelled):
        return TaskRevokedError(outcome.reason)
    if isinstance(outcome, Failed) and outcome.raised and (found := outcome.raised.exception(sys.modules)):
        return found
    reason = getattr(outcome, "reason", "") or "it did not run"
    name, _, text = reason.partition(": ")
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        return kind(text)
    return errors.NotCompleted(feature=feature_id, task=task_id, reason=reason)
