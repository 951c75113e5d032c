"""The thin Celery tasks: what a message asks for, told as steps."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import random
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis
from celery import Task as CeleryTask
from celery.exceptions import Ignore, SoftTimeLimitExceeded

from orchestrator import specialists
from orchestrator.config.schema.quality_gates import Gate
from orchestrator.config.settings import Settings
from orchestrator.engine import canvas, shutdown, watchdog
from orchestrator.engine.dispatcher import Dispatcher
from orchestrator.engine.message_validation import Reason
from orchestrator.engine.visibility import SpecialistTask, TaskStopped, end, shown_as
from orchestrator.model import errors, identifiers, lifecycle, sanitizer
from orchestrator.model.flows import WORKING, Flow, TaskEvent
from orchestrator.model.outcome import Blocked, Cancelled, Completed, Failed, GateResult, Outcome
from orchestrator.model.task import Task, TaskStatus
from orchestrator.specialists import masking, processes
from orchestrator.state import connections, folders, outage, refusals, tails
from orchestrator.state.store import Grant

if TYPE_CHECKING:
    from orchestrator.engine.app import App

logger = logging.getLogger("orchestrator")

LOOK_SECONDS = 1.0
"""Between two looks whether an attempt is cancelled that waits for its rate."""

WHY_NOT = {
    "over": "its feature is cancelled",
    "stale": "this attempt has ended, or a later one exists",
    "held": "another worker holds it",
    "missing": "it is not stored here",
    "misplaced": "another specialist is to do it",
}

REFUSED = {"missing": Reason.UNKNOWN_FEATURE, "misplaced": Reason.MISPLACED}
"""Those of them that no message of ours meets."""

REPEATED = ("stale", "held")
"""Those of them that say that the message came twice, or late."""


Attempt = tuple[str, str, int]
"""Feature, task, number."""

CELERY_OPTIONS: dict[str, Any] = {
    "bind": True,
    "base": SpecialistTask,
    "shared": False,  # one process may hold apps of several settings
}
"""What Celery has to know of the tasks of specialists."""


def register(app: App, settings: Settings, specialist: str) -> None:
    """Give a specialist its Celery task for enqueued features."""

    @app.task(name=canvas.celery_task(specialist), **CELERY_OPTIONS)
    def run(self: CeleryTask[Any, Any], feature_id: str, task_id: str, attempt: int) -> str:
        worker, message = self.request.hostname or "", self.request.id or ""
        return shell(app).attempt(specialist, feature_id, task_id, attempt, worker, message)


class Shell:
    """What a worker process needs to carry out an attempt."""

    def __init__(self, app: App) -> None:
        self.settings = settings = app.settings
        self.store = connections.open_store(settings)
        self.dispatcher = Dispatcher(app, self.store, pooled=True)
        self.outlast = functools.partial(outage.outlast, longest=settings.recovery.outage)

    def attempt(
        self, specialist: str, feature_id: str, task_id: str, attempt: int, worker: str, message: str = ""
    ) -> str:
        """Begin an attempt, do its work, pass its gates, commit the outcome, launch what follows.

        Args:
            specialist: Who does it.
            feature_id, task_id, attempt: The attempt.
            worker: The worker that does it.
            message: The id of its message, by which it can be ended.

        Returns:
            A line for Celery's log and Flower.

        Raises:
            Exception: The task did not complete (see `visibility.end`).
            Ignore: The message is a repetition.
        """
        with shutdown.heard():
            return self._attempt(specialist, feature_id, task_id, attempt, worker, message)

    def _attempt(
        self, specialist: str, feature_id: str, task_id: str, attempt: int, worker: str, message: str
    ) -> str:
        try:
            grant = self._begin(specialist, feature_id, task_id, attempt, worker)
        except (errors.NewerFeature, errors.Outdated) as error:
            raise self._leave(feature_id, task_id, error) from None
        except errors.UnreadableFeature as error:
            return end(self._give_up(feature_id, task_id, attempt, worker, error), task_id)
        if grant.code != "started":
            raise self._not_started(grant.code, feature_id, task_id)
        run = Run(feature_id, grant.task or _gates_task(task_id), attempt, specialist, worker, grant)
        begun = processes.moment()
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(shutdown.interruptible(message))
                outcome, status = self._do(run)
                if not isinstance(outcome, Completed):
                    _end_children(begun)
                self._conclude(run, outcome, status)
            except shutdown.WorkerEnds:
                _end_children(begun)
                self.hand_back(feature_id, task_id, attempt, worker, run.delivery)
                raise TaskStopped(f"{task_id}: handed back, for the worker ends", "handed-back") from None
        if isinstance(outcome, Blocked):
            logger.warning("[%s] %s attempt %s is blocked: %s", feature_id, task_id, attempt, outcome.reason)
        return end(outcome, shown_as(run.task, self.settings))

    def _do(self, run: Run) -> tuple[Outcome, str]:
        """The work and its gates: the outcome, and where the attempt stands then."""
        try:
            return self._pass_gates(run, self._work(run))
        finally:
            folders.mark(self.settings, self.store, run.feature_id)

    def _not_started(self, code: str, feature_id: str, task_id: str) -> TaskStopped | Ignore:
        """How Celery is told of a message that begins nothing: it must not call that a success."""
        logger.info("[%s] %s not started: %s", feature_id, task_id, WHY_NOT[code])
        if code in REFUSED:
            self.store.refuse(REFUSED[code])
        said = f"not started: {WHY_NOT[code]}"
        # What is told of a repeated message could be told of the attempt, whose id it may have.
        return Ignore(said) if code in REPEATED else TaskStopped(said, "not-started")

    def _leave(self, feature_id: str, task_id: str, error: errors.OrchestratorError) -> TaskStopped:
        """Leave an attempt to a worker that can read it: the sweep of a newer worker sends its message again."""
        reason = str(error).splitlines()[0]
        logger.warning("[%s] %s is left to a newer worker: %s", feature_id, task_id, error)
        self.store.refuse(Reason.NEWER)
        return TaskStopped(f"not started: {reason}", "not-started")

    def _give_up(
        self, feature_id: str, task_id: str, attempt: int, worker: str, error: errors.UnreadableFeature
    ) -> Failed:
        """End an attempt that was begun, and whose task cannot be read: a person is to see it, not the next worker."""
        outcome = Failed(reason=str(error).splitlines()[0])
        # How work fails is the same in every flow.
        move = lifecycle.move(lifecycle.GATES_FLOW, TaskEvent.WORK_FAILED, cause=outcome.cause)
        finish = functools.partial(
            self.store.finish, feature_id, task_id, attempt, outcome, move, worker=worker
        )
        _, _, facts = self.outlast(finish, f"the outcome of {task_id} (failed)")
        self._follow_up(facts)
        return outcome

    def _begin(self, specialist: str, feature_id: str, task_id: str, attempt: int, worker: str) -> Grant:
        delivery = watchdog.delivery_of(os.getpid(), secrets.token_hex(4))
        start = functools.partial(self._start, feature_id, task_id, attempt, specialist, worker, delivery)
        grant = self.outlast(start, f"the start of {task_id}")
        if grant.feature_status == "planning":
            cascade = functools.partial(self.store.cascade, feature_id)
            self._follow_up(self.outlast(cascade, f"the launch of {feature_id}"))
        return grant

    def _start(
        self, feature_id: str, task_id: str, attempt: int, specialist: str, worker: str, delivery: str
    ) -> Grant:
        return self.store.start(
            feature_id,
            task_id,
            attempt,
            specialist=specialist,
            worker=worker,
            lease=self.settings.recovery.lease,
            delivery=delivery,
        )

    def _regain(self, run: Run) -> bool:
        """Begin an attempt anew whose start Redis has forgotten, for it lost its last second: True where it is ours."""
        again = self._start(
            run.feature_id, run.task.id, run.attempt, run.specialist, run.worker, run.delivery
        )
        return again.code == "started"

    def hand_back(self, feature_id: str, task_id: str, attempt: int, worker: str, delivery: str = "") -> None:
        """Give back an attempt that cannot be finished here, for another worker to take it up at once."""
        code, facts = self.store.hand_back(
            feature_id,
            task_id,
            attempt,
            worker=worker,
            delivery=delivery,
            most=self.settings.recovery.hand_backs,
        )
        if code == "handed_back":
            logger.warning(
                "[%s] %s attempt %s was handed back: this worker ends", feature_id, task_id, attempt
            )
        self._follow_up(facts)

    def stop(self, feature_id: str, task_id: str, attempt: int, *, note: str, running: bool) -> None:
        """Cancel a task as a person does, where its latest attempt is this one.

        Args:
            feature_id, task_id, attempt: The attempt.
            note: Why.
            running: It is one that a worker has begun; False: it was launched, and waits for its worker.

        Raises:
            OrchestratorError: It cannot be cancelled.
        """
        known = self.store.attempt(feature_id, task_id)
        is_latest = known.get("attempt") == attempt != known.get("ended")
        if not is_latest or (known["status"] in WORKING) is not running:
            return
        flow = self.settings.flow_for(self.store.task(feature_id, task_id).tags)
        move = lifecycle.move(flow, TaskEvent.TASK_CANCELLED)
        self._follow_up(self.store.move(feature_id, task_id, flow, move, note, revoke=True))

    def fail(self, feature_id: str, task_id: str, attempt: int, worker: str, outcome: Failed) -> None:
        """Commit the failure of an attempt whose process cannot do it."""
        is_gates = identifiers.is_gates(task_id)
        task = _gates_task(task_id) if is_gates else self.store.task(feature_id, task_id)
        grant = Grant("started", task=task, state=self.store.attempt(feature_id, task_id))
        self._conclude(Run(feature_id, task, attempt, "", worker, grant), outcome, grant.status)

    def _work(self, run: Run) -> Outcome:
        if run.is_feature_gates:
            return Completed(summary="the gates of the feature")
        if run.grant.status == TaskStatus.TESTING:  # the work was done, and approved; only its gates are left
            before = self._outcomes(run.feature_id, [run.task.id]).get(run.task.id)
            return before if isinstance(before, Completed) else Completed(summary="moved on by a person")
        if not self._await_its_rate(run):
            return Cancelled()
        return perform(self._context(run), self.settings)

    def _await_its_rate(self, run: Run) -> bool:
        """Wait until the attempt may begin, where its specialist has a rate; False: it is cancelled meanwhile."""
        begins = time.monotonic() + run.grant.wait
        while (left := begins - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_SECONDS))
            if left > LOOK_SECONDS:
                with contextlib.suppress(errors.RedisUnreachable):
                    if self._is_cancelled(run):
                        return False
        return True

    def _pass_gates(self, run: Run, outcome: Outcome) -> tuple[Outcome, str]:
        """The outcome after the gates, and where the attempt stands then."""
        status, results = run.grant.status, list[GateResult]()
        if not isinstance(outcome, Completed):
            return outcome, status
        for stage, gates in self._gates_ahead(run):
            if stage == "testing" and status == TaskStatus.IN_PROGRESS and not run.is_feature_gates:
                move = lifecycle.move(run.flow(self.settings), TaskEvent.IMPLEMENTATION_COMPLETE)
                proceed = functools.partial(
                    self.store.proceed, run.feature_id, run.task.id, run.attempt, move, worker=run.worker
                )
                self.outlast(proceed, f"the testing of {run.task.id}")
                status = TaskStatus.TESTING
            results += specialists.gates.check(gates, stage, self._context(run), self.settings)
            failed = specialists.gates.failure(results)
            if failed:
                return failed, status
        return outcome.model_copy(update={"gates": (*outcome.gates, *results)}), status

    def _gates_ahead(self, run: Run) -> list[tuple[str, tuple[Gate, ...]]]:
        """The stages that have gates for this run, each with them."""
        if run.is_feature_gates:
            stage = "testing" if run.task.id == "@testing" else "completion"
            gates = [(stage, self.settings.feature_gates(stage, run.grant.head["tags"]))]
        else:
            stages = lifecycle.stages_ahead(run.flow(self.settings), run.grant.status)
            gates = [(stage, self.settings.task_gates(stage, run.task.tags)) for stage in stages]
        return [(stage, some) for stage, some in gates if some]

    def _context(self, run: Run) -> specialists.Context:
        files = Files(self.settings, run.feature_id, run.task.id, run.attempt)
        return specialists.Context(
            task=run.task,
            feature=specialists.FeatureHead.model_validate(run.grant.head),
            attempt=run.attempt,
            specialist=run.specialist,
            title=self.settings.title(run.specialist),
            workdir=files.workdir,
            log_file=files.log,
            dependencies=Dependencies(functools.partial(self._outcomes, run.feature_id), run.task),
            remarks=tuple(run.grant.state.get("remarks") or ()),
            progress=functools.partial(self._note, run.feature_id, run.task.id, run.attempt),
            is_cancelled=functools.partial(self._is_cancelled, run),
        )

    def _outcomes(self, feature_id: str, task_ids: Sequence[str]) -> dict[str, Outcome]:
        read = functools.partial(self.store.outcomes, feature_id, task_ids)
        return self.outlast(read, f"a look at the outcomes of {', '.join(task_ids)}")

    def _conclude(self, run: Run, outcome: Outcome, status: str) -> None:
        flow = run.flow(self.settings)
        outcome = lifecycle.bounded(outcome, run.task.retries, run.grant.attempts)
        escalate_to = self.settings.error_handling.escalate_technical_to
        move = lifecycle.conclude(
            flow,
            outcome,
            run.task.retries,
            run.grant.attempts,
            chance=random.random(),  # nosec B311  # it spreads retries
            status=status,
            escalate_to=None if escalate_to == run.specialist else escalate_to,
        )
        finish = functools.partial(
            self.store.finish,
            run.feature_id,
            run.task.id,
            run.attempt,
            outcome,
            move,
            worker=run.worker,
            delivery=run.delivery,
            title=run.title_to_learn_of,
        )
        what = f"the outcome of {run.task.id} ({outcome.status})"
        code, now, facts = self.outlast(finish, what)
        if code == "refused" and self._regain(run):
            code, now, facts = self.outlast(finish, what)
        if code == "stale":
            logger.warning(
                "[%s] %s attempt %s ended %s, but it was not this worker's any more; nothing was changed",
                run.feature_id,
                run.task.id,
                run.attempt,
                outcome.status,
            )
        elif code == "ended":
            logger.info(
                "[%s] %s attempt %s, which a person took away, has ended",
                run.feature_id,
                run.task.id,
                run.attempt,
            )
        elif code in ("refused", "missing"):
            raise lifecycle.refuse(run.feature_id, run.task.id, move.event, now, flow.table, flow.name)
        self._follow_up(facts)

    def _follow_up(self, facts: lifecycle.Facts) -> None:
        try:
            self.dispatcher.send(lifecycle.follow_up(facts))
        except errors.BrokerUnreachable as error:
            # The sweep finds what has not started, and publishes it when the broker is back.
            logger.error("%s", error)

    def _note(
        self, feature_id: str, task_id: str, attempt: int, percent: float | None = None, note: str = ""
    ) -> None:
        # Plain first, so that nothing hides a secret from the search.
        note = masking.hide(sanitizer.as_line(note), masking.texts_of_all(self.settings))
        try:
            self.store.note(feature_id, task_id, attempt, percent, note)
        except redis.RedisError as error:
            if not refusals.passes(error):
                raise
            logger.warning(
                "[%s] %s: its progress is not noted, for Redis is away: %s",
                feature_id,
                task_id,
                refusals.said(error),
            )

    def _is_cancelled(self, run: Run) -> bool:
        attempt = (run.feature_id, run.task.id, run.attempt)
        (answer,) = self.store.renew([attempt], lease=self.settings.recovery.lease, delivery=run.delivery)
        return answer == "cancelled" or (answer == "lost" and not self._regain(run))


@dataclass(frozen=True)
class Run:
    """One attempt of one task, as a worker runs it."""

    feature_id: str
    task: Task
    attempt: int
    specialist: str
    worker: str
    grant: Grant

    @property
    def is_feature_gates(self) -> bool:
        """It is no task of the feature, but the feature's own gates (see cascade.lua)."""
        return identifiers.is_gates(self.task.id)

    @property
    def delivery(self) -> str:
        """The delivery of its message that began it."""
        return str(self.grant.state.get("delivery", ""))

    @property
    def title_to_learn_of(self) -> str:
        """The title of the feature, where how long this attempt takes is how long the task takes; else "".

        An attempt that only runs the gates of what was done before is short.
        """
        is_work = not self.is_feature_gates and self.grant.status == TaskStatus.IN_PROGRESS
        return str(self.grant.head.get("title", "")) if is_work else ""

    def flow(self, settings: Settings) -> Flow:
        """The flow that the task takes."""
        return lifecycle.GATES_FLOW if self.is_feature_gates else settings.flow_for(self.task.tags)


def _end_children(since: float) -> None:
    """End what Python code has started since, where it is alone in its process: it has not ended as it wanted to."""
    if shutdown.is_pool_process():
        from orchestrator.specialists import (
            remains,  # here, so that whoever only enqueues does not wait for psutil
        )

        remains.end_children(since)


def _gates_task(task_id: str) -> Task:
    """The task as which the gates of a feature run. Its id is none that a task of a feature can have."""
    return Task.model_construct(id=task_id, title=f"The feature's gates ({task_id.removeprefix('@')})")


class Dependencies(Mapping[str, Completed]):
    """The outcomes of a task's dependencies, read from the store when somebody looks."""

    def __init__(self, read: Callable[[Sequence[str]], Mapping[str, Outcome]], task: Task) -> None:
        self.read = read
        self.ids = task.depends_on

    @functools.cached_property
    def _found(self) -> dict[str, Completed]:
        outcomes = self.read(self.ids)
        return {task: outcome for task, outcome in outcomes.items() if isinstance(outcome, Completed)}

    def __getitem__(self, task_id: str) -> Completed:
        return self._found[task_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


class Files:
    """Where an attempt keeps its files on this machine."""

    def __init__(self, settings: Settings, feature_id: str, task_id: str, attempt: int | str) -> None:
        _, work = folders.of(settings, feature_id)
        self.log: Path = tails.log_file(settings, feature_id, task_id, attempt)
        self.workdir: Path = work / f"{identifiers.file_name(task_id)}.{attempt}"


def perform(context: specialists.Context, settings: Settings) -> Outcome:
    """Do the work of an attempt. Celery's own soft time limit, where an operator set one, counts as a timeout."""
    return specialists.perform(context, settings, timeouts=(TimeoutError, SoftTimeLimitExceeded))


def attempt_of(request: Any) -> Attempt | None:
    """The attempt that a Celery request is for, read from its id; None for a task of another kind."""
    return identifiers.attempt_named(str(request.id))


def count_refusal(app: App, reason: Reason) -> None:
    """Count a message that was refused, if Redis can be reached: the log has its line in any case."""
    with contextlib.suppress(redis.RedisError):
        shell(app).store.refuse(reason)


@functools.cache
def shell(app: App) -> Shell:
    """The shell of this process. A forked child inherits it, and its connections are opened anew by redis-py."""
    return Shell(app)
