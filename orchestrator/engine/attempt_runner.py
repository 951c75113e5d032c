"""Runs an attempt in a worker: starts it, does the work, checks the gates and commits the outcome."""

from __future__ import annotations

import contextlib
import functools
import logging
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import redis
from celery.exceptions import Ignore, SoftTimeLimitExceeded

from orchestrator import agents, specialists
from orchestrator.agents import sessions
from orchestrator.config.settings import Settings
from orchestrator.engine import budgets, calls, dispatcher, hosts, installation, shutdown, spans
from orchestrator.engine.attempt import Attempt, gates_task
from orchestrator.engine.attempt_files import AttemptFiles
from orchestrator.engine.attempt_recorder import AttemptRecorder
from orchestrator.engine.dependencies import Dependencies
from orchestrator.engine.message_validation import Reason
from orchestrator.engine.usage_meter import UsageMeter
from orchestrator.engine.visibility import TaskStopped, end_celery_task, name_for_monitors
from orchestrator.model import errors, lifecycle
from orchestrator.model.flows import TaskEvent
from orchestrator.model.outcome import (
    Blocked,
    Cancelled,
    Completed,
    GateResult,
    Outcome,
    RetryLater,
)
from orchestrator.model.task import TaskStatus
from orchestrator.specialists import processes
from orchestrator.state import connections, folders

if TYPE_CHECKING:
    from celery import Celery

logger = logging.getLogger("orchestrator")

CANCEL_CHECK_SECONDS = 1.0
"""While an attempt waits for its rate, it checks this often whether it was cancelled."""

WHY_NOT_STARTED = {
    "over": "its feature is cancelled",
    "stale": "this attempt has ended, or a later one exists",
    "held": "another worker holds it",
    "missing": "it is not stored here",
    "misplaced": "another specialist is to do it",
}
"""The codes by which the store refuses to start an attempt (start.lua), and what they mean."""

FORGED = {"missing": Reason.UNKNOWN_FEATURE, "misplaced": Reason.MISPLACED}
"""The codes that no message of ours meets. Such a message is counted as refused."""

REPEATED = ("stale", "held")
"""The codes of a message that came twice, or too late."""


class AttemptRunner:
    """Runs the attempts of one worker process.

    Args:
        app: The Celery app.
        engine: The engine in it; None: the attached one.
    """

    def __init__(self, app: Celery, engine: installation.Installation | None = None) -> None:
        self.app = app
        self.engine = engine or installation.of(app)
        self.settings = settings = self.engine.settings
        self.store = connections.open_store(settings)
        self.dispatcher = dispatcher.open_dispatcher(self.engine, self.store, pooled=True)
        self.recorder = AttemptRecorder(settings, self.store, self.dispatcher)
        self.spans = spans.AttemptSpans(self.store) if settings.tracing else None

    def run(
        self,
        specialist: str,
        feature_id: str,
        task_id: str,
        number: int,
        worker: str,
        message: str = "",
        trace: str = "",
    ) -> str:
        """Run an attempt from its start to its commit, and launch the tasks that become ready.

        Args:
            specialist: The specialist that does the work.
            feature_id, task_id, number: The attempt.
            worker: The name of this worker.
            message: The id of the Celery message, by which the attempt can be interrupted.
            trace: The `traceparent` of the message.

        Returns:
            A line for Celery's log and Flower.

        Raises:
            Exception: The task did not complete (see `visibility.end_celery_task`).
            Ignore: The message came twice, or too late.
        """
        with shutdown.defer_sigterm():
            return self._run(specialist, feature_id, task_id, number, worker, message, trace)

    def _run(
        self,
        specialist: str,
        feature_id: str,
        task_id: str,
        number: int,
        worker: str,
        message: str,
        trace: str,
    ) -> str:
        run = self.engine.runs.current if self.engine.runs else None
        taken = run.accept((feature_id, task_id, number)) if run else None
        try:
            started = (
                taken.result()
                if taken
                else self.recorder.start(specialist, feature_id, task_id, number, worker)
            )
        except (errors.NewerFeature, errors.Outdated) as error:
            raise self._leave_to_newer_worker(feature_id, task_id, error) from None
        except errors.UnreadableFeature as error:
            outcome: Outcome = self.recorder.fail_unreadable(feature_id, task_id, number, worker, error)
            return end_celery_task(outcome, task_id)
        if started.code != "started":
            raise self._not_started(started.code, feature_id, task_id)
        attempt = Attempt(
            feature_id, started.task or gates_task(task_id), number, specialist, worker, started, trace
        )
        if self._is_an_agents(attempt):
            self.recorder.hand_back(*attempt.id, worker, attempt.delivery, because="agents claim it by now")
            raise TaskStopped(f"{task_id}: left to an agent, which claims it", "handed-back")
        began = processes.moment()
        with contextlib.ExitStack() as stack:
            span = stack.enter_context(self.spans.around(attempt)) if self.spans else spans.Ended()
            try:
                stack.enter_context(shutdown.interruptible(message))
                outcome, status = self._work_and_check(attempt)
                span.outcome = outcome
                if not isinstance(outcome, Completed):
                    _end_children(began)
                self.recorder.finish(attempt, outcome, status, run)
            except shutdown.WorkerShutdown:
                _end_children(began)
                self.recorder.hand_back(*attempt.id, worker, attempt.delivery)
                if run:
                    self.recorder.hand_back_taken(run)
                raise TaskStopped(f"{task_id}: handed back, because the worker ends", "handed-back") from None
        if isinstance(outcome, Blocked):
            logger.warning("[%s] %s attempt %s is blocked: %s", *attempt.id, outcome.reason)
        name = name_for_monitors(attempt.task, self.settings)
        return end_celery_task(outcome, name, is_told=attempt.task.call is not None)

    def _is_an_agents(self, attempt: Attempt) -> bool:
        """An agent elsewhere does the work: the message was sent before the configuration said so."""
        is_work = attempt.started.status == TaskStatus.IN_PROGRESS and not attempt.is_feature_gates
        return is_work and attempt.specialist in self.settings.pulled and not attempt.task.run

    def _not_started(self, code: str, feature_id: str, task_id: str) -> TaskStopped | Ignore:
        """The exception that keeps Celery from showing a message that started nothing as a success."""
        logger.info("[%s] %s not started: %s", feature_id, task_id, WHY_NOT_STARTED[code])
        if code in FORGED:
            self.store.refuse(FORGED[code])
        text = f"not started: {WHY_NOT_STARTED[code]}"
        # A repeated message may have the id of the attempt that runs: no event may speak of it.
        return Ignore(text) if code in REPEATED else TaskStopped(text, "not-started")

    def _leave_to_newer_worker(
        self, feature_id: str, task_id: str, error: errors.OrchestratorError
    ) -> TaskStopped:
        """Leave an attempt to a worker that can read it: the sweep of a newer worker sends its message again."""
        reason = str(error).splitlines()[0]
        logger.warning("[%s] %s is left to a newer worker: %s", feature_id, task_id, error)
        self.store.refuse(Reason.NEWER)
        return TaskStopped(f"not started: {reason}", "not-started")

    def _work_and_check(self, attempt: Attempt) -> tuple[Outcome, str]:
        """Do the work and check its gates: the outcome, and the status of the task at that moment."""
        context = self._context(attempt)
        try:
            outcome, status = self._check_gates(attempt, context, self._work(attempt, context))
            if self._agent_works_here(attempt):
                outcome = agents.settle(context, self.settings, outcome)
            return outcome, status
        finally:
            if isinstance(context.report_usage, UsageMeter):
                context.report_usage.close()
            folders.mark(self.settings, self.store, attempt.feature_id)

    def _work(self, attempt: Attempt, context: specialists.Context) -> Outcome:
        if attempt.is_feature_gates:
            return Completed(summary="the gates of the feature")
        if (
            attempt.started.status == TaskStatus.TESTING
        ):  # an earlier attempt did the work; only its gates are left
            earlier = self.recorder.outcomes(attempt.feature_id, [attempt.task.id]).get(attempt.task.id)
            return earlier if isinstance(earlier, Completed) else Completed(summary="moved on by a person")
        if not self._wait_for_rate(attempt):
            return Cancelled()
        if self._agent_works_here(attempt):
            return self._work_by_agent(attempt, context)
        if not attempt.task.call:
            return perform(context, self.settings)
        if attempt.started.attempts.later:
            earlier = self.recorder.outcomes(attempt.feature_id, [attempt.task.id]).get(attempt.task.id)
            context = replace(context, continues=earlier.next if isinstance(earlier, RetryLater) else None)
        return calls.perform(context, self.app, self.settings)

    def _wait_for_rate(self, attempt: Attempt) -> bool:
        """Wait until the rate of the specialist allows the attempt to begin; False if it is cancelled meanwhile."""
        begins = time.monotonic() + attempt.started.wait
        while (left := begins - time.monotonic()) > 0:
            time.sleep(min(left, CANCEL_CHECK_SECONDS))
            if left > CANCEL_CHECK_SECONDS:
                with contextlib.suppress(errors.RedisUnreachable):
                    if self.recorder.is_cancelled(attempt):
                        return False
        return True

    def _check_gates(
        self, attempt: Attempt, context: specialists.Context, outcome: Outcome
    ) -> tuple[Outcome, str]:
        """Check the gates of completed work: the outcome after them, and the status of the task at that moment."""
        status, results = attempt.started.status, list[GateResult]()
        if not isinstance(outcome, Completed):
            return outcome, status
        for stage, gates in attempt.gates_ahead(self.settings):
            if stage == "testing" and status == TaskStatus.IN_PROGRESS and not attempt.is_feature_gates:
                transition = lifecycle.transition(
                    attempt.flow(self.settings), TaskEvent.IMPLEMENTATION_COMPLETE
                )
                self.recorder.enter_testing(attempt, transition)
                status = TaskStatus.TESTING
            results += agents.check_gates(gates, stage, context, self.settings, outcome)
            failed = specialists.gates.failure(results)
            if failed:
                return failed, status
        if not results:
            return outcome, status
        return outcome.model_copy(update={"gates": (*outcome.gates, *results)}), status

    def _context(self, attempt: Attempt) -> specialists.Context:
        files, earlier = AttemptFiles(self.settings, *attempt.id), attempt.started.attempts
        outcomes = functools.partial(self.recorder.outcomes, attempt.feature_id)
        context = specialists.Context(
            task=attempt.task,
            feature=_feature_head(tuple(attempt.started.head.items())),
            attempt=attempt.number,
            specialist=attempt.specialist,
            title=self.settings.title(attempt.specialist),
            workdir=lambda: files.workdir,
            log_file=lambda: files.log,
            dependencies=Dependencies(outcomes, attempt.task),
            remarks=tuple(attempt.started.state.get("remarks") or ()),
            progress=functools.partial(self.recorder.report_progress, *attempt.id),
            is_cancelled=functools.partial(self.recorder.is_cancelled, attempt),
            retries=earlier.retried + earlier.later,
            trace=lambda: spans.environment(attempt.trace),
            owner=folders.owner(self.store),
        )
        return self._of_agent(context, attempt) if self._agent_works_here(attempt) else context

    def _work_by_agent(self, attempt: Attempt, context: specialists.Context) -> Outcome:
        """Let an agent work, if its model lets one more in; a limit that it meets closes the model for all."""
        if refused := budgets.refusal(context.left, context.earlier) or self._better_elsewhere(
            attempt, context
        ):
            return refused
        model = self.settings.model_of(attempt.specialist, context.rung)
        if wait := self.recorder.enter_model(attempt, model):
            reason = f"the limit of {model} is reached, and it opens again soon"
            return RetryLater(after=wait * (1 + random.random() / 4), limit=model, reason=reason)  # nosec B311
        outcome: Outcome | None = None
        try:
            outcome = perform(context, self.settings)
        finally:
            self.recorder.leave_model(attempt, model, outcome)
        return budgets.until_tomorrow(outcome, context)

    def _better_elsewhere(self, attempt: Attempt, context: specialists.Context) -> RetryLater | None:
        """Leave the attempt to the machine on which its conversation is, if a worker there can take it."""
        agent, here = self.settings.agent(attempt.specialist), sessions.host()
        if agent is None or context.session is None or context.session.host == here:
            return None
        known = self.recorder.hosts_of(self.settings.queue(attempt.specialist))
        return hosts.leave_to(context, agent, here=here, hosts=known)

    def _agent_works_here(self, attempt: Attempt) -> bool:
        """The work is that of an agent which a worker runs."""
        agent = self.settings.agent(attempt.specialist)
        return (
            agent is not None
            and agent.runtime != "pull"
            and not attempt.is_feature_gates
            and not attempt.task.run
        )

    def _of_agent(self, context: specialists.Context, attempt: Attempt) -> specialists.Context:
        """The context of an attempt that an agent makes: its tier, its past, and what it may use."""
        session, earlier = self.recorder.history(attempt)
        left = self.recorder.reserve(attempt)
        return replace(
            context,
            rung=attempt.started.attempts.rung,
            session=session,
            earlier=earlier,
            save_session=functools.partial(self.recorder.save_session, attempt),
            report_usage=UsageMeter(self.recorder, attempt, left),
            left=left,
            close_model=self.recorder.close_model,
        )


@functools.lru_cache(maxsize=256)  # the tasks of a feature have one head
def _feature_head(fields: tuple[tuple[str, Any], ...]) -> specialists.FeatureHead:
    return specialists.FeatureHead.model_validate(dict(fields))


def perform(context: specialists.Context, settings: Settings) -> Outcome:
    """Do the work of an attempt. Celery's soft time limit, if an operator set one, counts as a timeout."""
    timeouts = (TimeoutError, SoftTimeLimitExceeded)
    if settings.agent(context.specialist) and not context.task.run:
        return agents.perform(context, settings, timeouts)
    return specialists.perform(context, settings, timeouts)


def count_refusal(app: Celery, reason: Reason) -> None:
    """Count a refused message, if Redis can be reached: the log has its line in any case."""
    with contextlib.suppress(redis.RedisError):
        runner(app).store.refuse(reason)


def runner(app: Celery) -> AttemptRunner:
    """The runner of this process. A forked child inherits it, and redis-py opens new connections there."""
    return runner_of(installation.of(app))


@functools.cache
def runner_of(engine: installation.Installation) -> AttemptRunner:
    """The runner of this process for an engine."""
    return AttemptRunner(engine.app, engine)


def _end_children(since: float) -> None:
    """End the processes that Python code left behind since a moment, if the attempt has this process to itself."""
    if shutdown.is_pool_process():
        from orchestrator.specialists import (
            leftovers,  # late: it brings psutil, which an enqueue does not need
        )

        leftovers.end_children(since)
