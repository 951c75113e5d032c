"""A feature that was enqueued: how far it is, how it ended, and the decisions of people about it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from orchestrator.model import errors, identifiers, references
from orchestrator.model.flows import FeatureEvent, TaskEvent
from orchestrator.model.outcome import Completed, Outcome
from orchestrator.model.typed_values import restored

if TYPE_CHECKING:
    from orchestrator.client.decisions import Decisions
    from orchestrator.client.feature_result import FeatureResult
    from orchestrator.client.in_process import InProcessWorker
    from orchestrator.config.settings import Settings
    from orchestrator.engine.dispatcher import Dispatcher
    from orchestrator.model.event import Event
    from orchestrator.model.feature import FeatureStatus
    from orchestrator.model.progress import Progress, TaskState
    from orchestrator.model.task import Task
    from orchestrator.state.store import Store

AROUND = 50
"""How many of the tasks that hold up a task are read."""


class Handle:
    """A feature that was enqueued. It keeps nothing of it but the id: each call asks Redis.

    Args:
        feature_id: The feature.
        store: Where it is stored.
        settings: The settings in force.
        open_dispatcher: Called when a decision launches tasks, for what publishes them.
        repeated: It was enqueued before, under the same idempotency key.
        worker: Does the work while this waits, where no other process can (see `in_process`).
    """

    def __init__(
        self,
        feature_id: str,
        store: Store,
        settings: Settings,
        open_dispatcher: Callable[[], Dispatcher],
        *,
        repeated: bool = False,
        worker: InProcessWorker | None = None,
    ) -> None:
        self.id = feature_id
        self.store = store
        self.settings = settings
        self.repeated = repeated
        self._worker = worker
        self._open_dispatcher = open_dispatcher

    @property
    def works_here(self) -> bool:
        """A wait does the work, because no other process could (see `in_process`)."""
        return self._worker is not None

    async def wait_async(self, timeout: float | None = None) -> Progress:
        """`wait`, for a program on an event loop that has a `Client`: a thread waits. See also `AsyncClient`."""
        import asyncio

        return await asyncio.to_thread(self.wait, timeout)

    def __repr__(self) -> str:
        return f"Handle({self.id!r})"

    @cached_property
    def _decisions(self) -> Decisions:
        from orchestrator.client.decisions import Decisions  # late: who only reads does not need it

        return Decisions(self.id, self.store, self.settings, self._open_dispatcher)

    def progress(self) -> Progress:
        """How far it is. The cost does not depend on its size."""
        return self.store.features.summary(self.id)

    def status(self) -> FeatureStatus:
        """Where it stands."""
        return self.progress().status

    def tasks(self) -> list[Task]:
        """Its tasks as enqueued, by batch, in launch order."""
        return self.store.tasks.all(self.id)

    def states(self, batches: Sequence[int] | None = None) -> list[TaskState]:
        """The states of its tasks, by batch, in launch order: of some batches, or all."""
        return self._titled(self.store.tasks.states(self.id, batches))

    def around(self, task_id: str) -> list[TaskState]:
        """Where a task stands, with tasks that hold it up: its dependencies, some in the slots or in the open batch.

        The cost depends on the size of the open batch if it waits for that, and never on that of the feature.

        Raises:
            NoSuchTask: The feature has no such task.
        """
        task = self.store.tasks.find(self.id, task_id)
        near = self.store.tasks.states_of(self.id, [task_id, *task.depends_on])
        state = near[0]
        others: list[str] = []
        if state.phase == "queued":
            others = self.store.tasks.in_slots(self.id, AROUND)
        elif state.phase == "waiting" and not state.waits:
            open_batch = self.store.features.summary(self.id).batch
            others = self.store.tasks.unresolved(self.id, open_batch, AROUND)
        known = {one.id for one in near}
        more = [one for one in others if one not in known]
        return [*self._titled(near), *self.states_of(more)]

    def unsettled(self) -> list[TaskState]:
        """Where the tasks of the open batch stand, and those of other batches that wait for a person.

        The cost depends on the size of the open batch; if a person stopped a task before its turn, on that of all
        batches that have begun.
        """
        progress = self.progress()
        states = self.states([max(1, progress.batch)])
        if not progress.rests_elsewhere():
            return states
        known = {state.id for state in states}
        elsewhere = [one for one in self.store.tasks.resting(self.id) if one not in known]
        found = [*states, *self.states_of(elsewhere)]
        return sorted(found, key=lambda state: state.batch)

    def states_of(self, task_ids: Sequence[str]) -> list[TaskState]:
        """The states of some of its tasks, without those that do not exist. The cost does not depend on its size."""
        return self._titled(self.store.tasks.states_of(self.id, task_ids)) if task_ids else []

    def _titled(self, states: Iterable[TaskState]) -> list[TaskState]:
        """The states with the titles of their specialists, and the tiers of their agents."""
        title, tier = functools.cache(self.settings.title), functools.cache(self.settings.rung)
        return [
            state.model_copy(
                update={"specialist": title(state.specialist), "tier": tier(state.specialist, state.rung)}
            )
            for state in states
        ]

    def events(self, after: str = "-", block: float | None = None) -> list[Event]:
        """The events after the one with this id, at most 1,000; `block`: seconds to wait for one."""
        return self.store.events.read(self.id, after, block)

    def events_gone(self) -> int:
        """How many of its oldest events are gone: about `limits.events` of each feature are kept."""
        return self.store.events.gone(self.id)

    def follow(self, after: str = "-") -> Iterator[Event]:
        """Every event from the oldest, and those to come, until the feature is settled.

        Raises:
            RedisUnreachable: Redis was away for longer than `recovery.outage`.
        """
        from orchestrator.client import watching

        if self._worker:
            self._work()
        return watching.follow(self.store, self.id, after, self.settings.recovery.outage)

    def wait(self, timeout: float | None = None) -> Progress:
        """Wait until nothing more happens to it unless a person acts: completed, cancelled, or stopped.

        Args:
            timeout: Seconds to wait at most.

        Raises:
            WaitTimeout: It is not settled by then. It goes on running.
            RedisUnreachable: Redis is away then, or was away for longer than `recovery.outage`.
        """
        from orchestrator.client import watching

        if self._worker and not self._work():
            timeout = 0.0  # nothing more happens by itself
        return watching.wait(self.store, self.id, timeout, self.settings.recovery.outage)

    def as_result(self) -> FeatureResult:
        """The feature for code that expects a result of Celery's: with `get`, `ready`, `state`, `children`."""
        from orchestrator.client.feature_result import FeatureResult  # late: it brings Celery

        return FeatureResult(self)

    def _work(self) -> bool:
        """Let the worker of this process do the feature; whether it is settled then."""
        return self._worker is None or self._worker.run_until(lambda: self.progress().is_settled)

    def raised(self, task_id: str) -> BaseException | None:
        """The exception of a task's last attempt; None if it raised none, or ran in another process."""
        return self._worker.raised.get((self.id, task_id)) if self._worker else None

    def outcome(self, task_id: str) -> Outcome | None:
        """How the last attempt of a task ended; None if none has ended.

        Args:
            task_id: A task, or gates of the feature: "@testing", "@validating".

        Raises:
            NoSuchTask: The feature has no such task.
        """
        if identifiers.is_gates(task_id):
            self.store.features.summary(self.id)
            self.store.tasks.specialist(self.id, task_id)
        else:
            self.store.tasks.find(self.id, task_id)
        return self.store.tasks.outcomes(self.id, [task_id]).get(task_id)

    def result(self, task_id: str | None = None) -> Any:
        """The result that a completed task returned, or that of the whole feature.

        A feature has a result if it was enqueued as a canvas, or if its `result` says so. It is what the canvas's
        own result would give.

        Args:
            task_id: The task; None: the feature.

        Raises:
            NoSuchTask: The feature has no such task.
            NotCompleted: The task, or a task whose result the feature's result needs, is not completed.
        """
        if task_id is not None:
            return restored(self._completed(task_id, self.outcome(task_id)).result)
        result = self.store.features.result(self.id)
        outcomes = self.outcomes({reference.task for reference in references.find(result)})

        def find(reference: references.Reference) -> Any:
            return reference.of(self._completed(reference.task, outcomes.get(reference.task)).result)

        return restored(references.fill(result, find))

    def outcomes(self, task_ids: Iterable[str]) -> dict[str, Outcome]:
        """The outcomes of the last attempts of tasks, by id, read at once; without tasks of which none has ended."""
        return self.store.tasks.outcomes(self.id, list(task_ids))

    def _completed(self, task_id: str, outcome: Outcome | None) -> Completed:
        if not isinstance(outcome, Completed):
            reason = f"{outcome.status}: {outcome.reason}" if outcome else "no attempt has ended yet"
            raise errors.NotCompleted(feature=self.id, task=task_id, reason=reason)
        return outcome

    # Decisions. Each is one event; the error of a refused one names those that are allowed.

    def cancel(self, note: str = "") -> None:
        """Cancel it: nothing more starts, and its running commands are ended within seconds."""
        self._decisions.update_feature(FeatureEvent.FEATURE_CANCELLED, note=note)

    def fail(self, note: str = "") -> None:
        """Give it up: as `cancel`, and it counts as failed."""
        self._decisions.update_feature(FeatureEvent.FEATURE_FAILED, note=note)

    def pause(self, note: str = "") -> None:
        """Start nothing more until `resume`; running tasks go on to their end."""
        self._decisions.update_feature(FeatureEvent.FEATURE_PAUSED, {"paused": 1}, note)

    def resume(self, note: str = "") -> None:
        """Go on after `pause`."""
        self._decisions.update_feature(FeatureEvent.FEATURE_RESUMED, {"paused": 0}, note)

    def approve_feature(self, note: str = "") -> None:
        """Complete a feature that waits for its review."""
        self._decisions.update_feature(FeatureEvent.FEATURE_APPROVED, note=note)

    def launch(self) -> None:
        """Start the next batch of a feature that waits for launch.

        Raises:
            NothingToLaunch: It does not wait for launch.
        """
        progress = self.progress()
        if not progress.awaits_launch:
            raise errors.NothingToLaunch(feature=self.id, batch=progress.batch, status=progress.status)
        self._decisions.update_feature("launch_requested", {"released": progress.batch + 1})

    def set_cap(self, max_parallel_tasks: int) -> None:
        """Change how many of its tasks may run at once. Running tasks go on; the cap holds for tasks that start.

        Raises:
            BadCap: It is not from 1 to 10,000.
        """
        if not 1 <= max_parallel_tasks <= 10_000:
            raise errors.BadCap(cap=max_parallel_tasks)
        self._decisions.update_feature("cap_changed", {"cap": max_parallel_tasks}, str(max_parallel_tasks))

    def set_budget(self, amount: float | str, task_id: str = "") -> float:
        """Change what its agents may spend together; of one task, all its attempts together.

        Agents at work keep what was kept for them. Tasks that are blocked because it was used up go on as they stood.

        Args:
            amount: Dollars; a text such as "+5" is added to the budget that holds now.
            task_id: The task; "": the feature.

        Returns:
            The budget that holds now, in dollars.

        Raises:
            BadBudget: It is no amount from more than 0 to 1,000,000 dollars.
            NoBudget: Nothing holds to which it could be added.
            NoSuchTask: It has no such task.

        Example:
            handle.set_budget("+5")
        """
        return self._decisions.set_budget(amount, task_id)

    def retry(self, task_id: str, note: str = "") -> None:
        """Run a failed task again, with all its retries. The specialist reads the note, as all notes."""
        self._decisions.transition(task_id, TaskEvent.RETRY_REQUESTED, note=note, reset_retries=True)

    def unblock(self, task_id: str, note: str = "") -> None:
        """Run a blocked task again, because its obstacle is gone."""
        self._decisions.transition(task_id, TaskEvent.BLOCKER_RESOLVED, note=note, reset_retries=True)

    def block(self, task_id: str, note: str) -> None:
        """Mark a task as blocked. A running attempt is stopped, and holds its slot until it ends."""
        self._decisions.transition(task_id, TaskEvent.BLOCKER_DETECTED, note=note, revoke=True)

    def fail_task(self, task_id: str, note: str = "") -> None:
        """Mark a task as failed. A running attempt is stopped, and holds its slot until it ends."""
        self._decisions.transition(task_id, TaskEvent.WORK_FAILED, note=note, revoke=True)

    def skip(self, task_id: str, because: str) -> None:
        """Skip a task: once its last attempt has ended it counts as resolved, and tasks that depend on it may run."""
        self._decisions.transition(task_id, TaskEvent.TASK_SKIPPED, note=because, resolve="resolve")

    def hold(self, task_id: str, note: str = "") -> None:
        """Put a task on hold. A running attempt is stopped, and holds its slot until it ends."""
        self._decisions.transition(task_id, TaskEvent.TASK_HELD, note=note, revoke=True)

    def resume_task(self, task_id: str, note: str = "") -> None:
        """Run a task that was on hold or deferred, once its last attempt has ended."""
        self._decisions.transition(task_id, TaskEvent.TASK_RESUMED, note=note, reset_retries=True)

    def defer(self, task_id: str, note: str = "") -> None:
        """Defer a task. Tasks that depend on it wait until it is resumed or skipped."""
        self._decisions.transition(task_id, TaskEvent.TASK_DEFERRED, note=note, revoke=True)

    def cancel_task(self, task_id: str, note: str = "") -> None:
        """Cancel one task. Tasks that depend on it wait until it is skipped."""
        self._decisions.transition(task_id, TaskEvent.TASK_CANCELLED, note=note, revoke=True)

    def approve(self, task_id: str, note: str = "") -> None:
        """Approve a task that is in review."""
        self._decisions.approve(task_id, note)

    def request_changes(self, task_id: str, note: str) -> None:
        """Send a task that is in review back to its specialist, with the note."""
        self._decisions.transition(task_id, TaskEvent.CHANGES_REQUESTED, note=note, reset_retries=True)

    def advance(self, task_id: str, to: str | None = None, note: str = "") -> None:
        """Move a task forward by hand: to the next status of its flow, or to a later one if the rules allow it.

        For a task that has not started it means that its work was done: only a worker puts a task in progress.

        Raises:
            RefusedTransition, CannotAdvance, AttemptRuns: It cannot move from its status.
            Unresolved: A dependency is not resolved.
        """
        self._decisions.advance(task_id, to, note)

    def assign(self, task_id: str, specialist: str, note: str = "") -> None:
        """Give a task that has not started to a specialist, by name or title."""
        self._decisions.assign(task_id, specialist, note)

    def add_task(self, task: Task, note: str = "") -> None:
        """Add a task. It starts once its dependencies are resolved and its batch is open.

        Raises:
            As `add_tasks`.

        Example:
            handle.add_task(Task(id="T9", title="Mend the schema", depends_on=["T2"]), note="found in review")
        """
        self._decisions.grow([task], note=note)

    def add_tasks(self, tasks: Sequence[Task], note: str = "") -> None:
        """Add tasks, all or none. They may depend on existing tasks and on each other.

        Raises:
            FeatureOver: Nothing more happens in the feature.
            InvalidFeature: An id is taken, a dependency is unknown, or the feature would be over a limit.
            CircularDependency: Some tasks would wait for each other.
            UnknownSpecialist, NothingToDo, InlineCommandRefused: A task has nobody to do it.
            NoSuchResource, NotEnough: A task needs more of a resource than there is.
            GrowthContested: The feature changed too fast.
        """
        self._decisions.grow(tasks, note=note)

    def grow(
        self,
        tasks: Sequence[Task] = (),
        dependencies: Mapping[str, Sequence[str]] | None = None,
        note: str = "",
    ) -> None:
        """Add tasks, and dependencies (by task) to tasks that have not started: all or none.

        Raises:
            As `add_tasks` and `depend`.
        """
        self._decisions.grow(tasks, dependencies, note)

    def depend(self, task_id: str, on: str | Sequence[str], note: str = "") -> None:
        """Add dependencies to a task that has not started. It moves to a later batch if it must.

        Raises:
            NoSuchTask: The feature has no such task.
            TaskStarted: The task has started.
            FeatureOver, InvalidFeature, CircularDependency, GrowthContested: As `add_tasks`.
        """
        others = [on] if isinstance(on, str) else list(on)
        self._decisions.grow(dependencies={task_id: others}, note=note)
