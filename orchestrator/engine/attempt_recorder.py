"""Records the steps of an attempt in Redis, and publishes the tasks that become ready by them."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import random
import secrets
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

import redis

from orchestrator import agents
from orchestrator.config.settings import Settings
from orchestrator.engine import watchdog
from orchestrator.engine.attempt import Attempt, gates_task
from orchestrator.engine.dispatcher import Dispatcher
from orchestrator.model import commands, errors, identifiers, lifecycle, sanitizer, words
from orchestrator.model.agent_history import AgentSession, EarlierAttempt
from orchestrator.model.flows import WORKING, TaskEvent
from orchestrator.model.ladder import Ladder, ask_a_person, climb
from orchestrator.model.outcome import Blocked, Completed, Failed, Outcome, RetryLater
from orchestrator.model.task import TaskStatus
from orchestrator.model.usage import Usage, UsageVerdict, dollars, verdict
from orchestrator.specialists import masking
from orchestrator.state import encoding, outage, refusals
from orchestrator.state.start_result import Claim, StartResult, Taken
from orchestrator.state.store import Store

if TYPE_CHECKING:
    from orchestrator.engine.run import Run
    from orchestrator.state.offers import Offer

logger = logging.getLogger("orchestrator")

T = TypeVar("T")

TAIL_TOLD = 2_000
"""Characters of an attempt's output that the next attempt of an agent is shown."""


class AttemptRecorder:
    """Records the steps of attempts. Calls that must succeed wait for Redis to come back from an outage.

    Args:
        settings: The settings.
        store: The state of all features.
        dispatcher: Publishes the tasks that become ready.
    """

    def __init__(self, settings: Settings, store: Store, dispatcher: Dispatcher) -> None:
        self.settings = settings
        self.store = store
        self.dispatcher = dispatcher

    def start(self, specialist: str, feature_id: str, task_id: str, number: int, worker: str) -> StartResult:
        """Start an attempt under a lease, unless the store refuses it (see the code of the answer).

        Raises:
            NewerFeature, Outdated: This version of the orchestrator cannot read the feature.
            UnreadableFeature: The attempt has started, but its task cannot be read.
        """
        delivery = watchdog.delivery_of(os.getpid(), secrets.token_hex(4))
        start = functools.partial(self._start, specialist, feature_id, task_id, number, worker, delivery)
        return self._outlast(start, f"the start of {task_id}")

    def take(self, feature_id: str, claim: Claim) -> Taken | None:
        """Begin the next attempt, if there is one by now (see `AttemptScripts.take`)."""
        take = functools.partial(self.store.attempts.take, feature_id, claim)
        return self._outlast(take, "the look for the next task")

    def enter_testing(self, attempt: Attempt, transition: lifecycle.Transition) -> None:
        """Record that the work is done and that its gates run now."""
        proceed = functools.partial(
            self.store.attempts.transition_attempt, *attempt.id, transition, worker=attempt.worker
        )
        self._outlast(proceed, f"the testing of {attempt.task.id}")

    def claim(self, offer: Offer, worker: str, delivery: str) -> StartResult:
        """Begin an attempt for an agent that asks for work, unless the store refuses it (see claim.lua).

        Raises:
            NewerFeature, Outdated: This version of the orchestrator cannot read the feature.
            UnreadableFeature: The attempt has begun, but its task cannot be read.
        """
        return self.store.offers.claim(offer, worker=worker, lease=self.settings.mcp.lease, delivery=delivery)

    def leave_to_gates(self, attempt: Attempt, outcome: Completed) -> str:
        """Commit completed work, and launch an attempt in which a worker runs its gates, and no more."""
        transition = lifecycle.transition(
            attempt.flow(self.settings), TaskEvent.IMPLEMENTATION_COMPLETE, wait=0.0
        )
        return self._commit(attempt, outcome, transition)

    def finish(self, attempt: Attempt, outcome: Outcome, status: str, run: Run | None = None) -> str:
        """Commit the outcome of an attempt, and launch the tasks that become ready.

        Args:
            attempt: The attempt.
            outcome: Its outcome.
            status: The status of the task when the attempt ended.
            run: The run that goes on with the attempt that the commit takes next; None: it takes none.

        Returns:
            The code (see finish.lua).

        Raises:
            RefusedTransition: The flow of the task does not allow this outcome.
        """
        attempts = attempt.started.attempts
        outcome = lifecycle.bounded(outcome, attempt.task.retries, attempts)
        outcome, replacement = self._replacement(attempt, outcome)
        ladder, earlier = self.settings.ladder(attempt.specialist), None
        if ladder and _is_worth_telling(outcome):
            earlier = _told_of(attempt, outcome, ladder)
        if ladder and isinstance(outcome, Blocked | Failed):
            outcome = self._after_the_last_tier(attempt, outcome, ladder)
        escalate_to = self.settings.error_handling.escalate_technical_to
        transition = lifecycle.conclude(
            attempt.flow(self.settings),
            outcome,
            attempt.task.retries,
            attempts,
            chance=random.random(),  # nosec B311  # it spreads retries
            status=status,
            escalate_to=None if ladder or escalate_to == attempt.specialist else escalate_to,
            ladder=ladder,
        )
        return self._commit(attempt, outcome, transition, run, replacement, earlier)

    def _commit(
        self,
        attempt: Attempt,
        outcome: Outcome,
        transition: lifecycle.Transition,
        run: Run | None = None,
        replacement: dict[str, Any] | None = None,
        earlier: EarlierAttempt | None = None,
    ) -> str:
        finish = functools.partial(
            self.store.attempts.finish_and_take,
            *attempt.id,
            outcome,
            transition,
            worker=attempt.worker,
            delivery=attempt.delivery,
            title=attempt.title_to_learn_from,
            claim=run.claim(attempt.worker, self.settings.recovery.lease) if run else None,
            replacement=replacement,
            earlier=earlier,
        )
        what = f"the outcome of {attempt.task.id} ({outcome.status})"
        code, now, scheduled, taken = self._outlast(finish, what)
        if code == "refused" and self._restart(attempt):
            code, now, scheduled, taken = self._outlast(finish, what)
        if run:
            run.taken = taken
        if code == "stale":
            logger.warning(
                "[%s] %s attempt %s ended %s, but this worker no longer held it; its outcome is dropped, and the "
                "attempt that replaced it goes on",
                *attempt.id,
                outcome.status,
            )
        elif code == "ended":
            logger.info("[%s] %s attempt %s, which a person took away, has ended", *attempt.id)
        elif code in ("refused", "missing"):
            flow = attempt.flow(self.settings)
            raise lifecycle.refuse(
                attempt.feature_id, attempt.task.id, transition.event, now, flow.table, flow.name
            )
        elif isinstance(outcome, Failed) and transition.wait is None and attempt.task.on_failure:
            from orchestrator.engine import errbacks  # late: few tasks have some

            errbacks.call(self.dispatcher, attempt, outcome)
        self._follow_up(scheduled)
        return code

    def _after_the_last_tier(
        self, attempt: Attempt, outcome: Blocked | Failed, ladder: Ladder
    ) -> Blocked | Failed:
        """The outcome; after the last try of the last tier the question for a person."""
        known = attempt.started.attempts
        agent = self.settings.agent(attempt.specialist)
        if agent is None or climb(outcome, ladder, known.rung, known.tries) != "top":
            return outcome
        _, earlier = self.history(attempt)
        said = [(one.tier, one.reason) for one in earlier if one.status in ("blocked", "failed")]
        facts = [self._price(attempt), agents.where_its_work_lies(attempt.feature_id, attempt.task.id, agent)]
        return ask_a_person(outcome, ladder.tier(known.rung), said, facts)

    def _price(self, attempt: Attempt) -> str:
        """What the task has cost, in words; "" if nothing is known of it."""
        read = functools.partial(self.store.usage.spent, attempt.feature_id, attempt.task.id)
        spent = self._outlast(read, f"a look at the usage of {attempt.task.id}")
        return f"{dollars(spent.cost)} spent" if spent.cost else ""

    def history(self, attempt: Attempt) -> tuple[AgentSession | None, tuple[EarlierAttempt, ...]]:
        """The conversation that an agent can go on with, and the attempts at the task before this one."""
        read = functools.partial(self.store.attempts.history, attempt.feature_id, attempt.task.id)
        return self._outlast(read, f"a look at the attempts of {attempt.task.id}")

    def save_session(self, attempt: Attempt, session: AgentSession) -> None:
        """Keep the conversation of an agent before its first request, so that a later attempt can go on with it."""
        keep = functools.partial(self.store.attempts.save_session, *attempt.id, attempt.delivery, session)
        self._outlast(keep, f"the conversation of {attempt.task.id}")

    def hosts_of(self, queue: str) -> set[str]:
        """The machines of the workers that take tasks from a queue; none where Redis does not answer."""
        with contextlib.suppress(*outage.ERRORS):
            return {worker.host for worker in self.store.workers.present() if queue in worker.queues}
        return set()

    def enter_model(self, attempt: Attempt, model: str) -> float:
        """Begin to work with a model: seconds to wait, because its limit is reached; 0: it has begun."""
        enter = functools.partial(self.store.models.enter, model, ":".join(map(str, attempt.id)))
        return self._outlast(enter, f"the limit of {model}")

    def close_model(self, model: str, seconds: float) -> None:
        """Close a model for all, because its limit is reached."""
        with contextlib.suppress(*outage.ERRORS):
            self.store.models.close(model, seconds)

    def leave_model(self, attempt: Attempt, model: str, outcome: Outcome | None) -> None:
        """End the work with a model. It is closed for all if the outcome says that its limit is reached."""
        models, holder = self.store.models, ":".join(map(str, attempt.id))
        if isinstance(outcome, RetryLater) and outcome.limit:
            self.close_model(model, outcome.after)
        with contextlib.suppress(*outage.ERRORS):  # an attempt that does not leave counts until it ends
            models.leave(model, holder, completed=isinstance(outcome, Completed))

    def reserve(self, attempt: Attempt) -> UsageVerdict:
        """Keep for an attempt what its task may still cost, and answer what its agent may use."""
        keep = functools.partial(
            self.store.usage.reserve, *attempt.id, self.settings.allowed(attempt.specialist)
        )
        return verdict(self._outlast(keep, f"the budgets of {attempt.task.id}"))

    def left(self, attempt: Attempt) -> UsageVerdict:
        """What the agent of an attempt may still use."""
        feature, task, _ = attempt.id
        read = functools.partial(
            self.store.usage.account, feature, task, self.settings.allowed(attempt.specialist)
        )
        return verdict(self._outlast(read, f"the budgets of {task}"))

    def report_usage(self, attempt: Attempt, usages: Sequence[Usage]) -> UsageVerdict:
        """Count what an agent has used so far, and answer what is left.

        Raises:
            RedisUnreachable: Redis does not answer.
        """
        allowed = self.settings.allowed(attempt.specialist)
        return verdict(self.store.usage.report(*attempt.id, attempt.specialist, usages, allowed))

    def outlast_usage(self, attempt: Attempt, usages: Sequence[Usage]) -> None:
        """Count what an agent has used, however long Redis is away."""
        self._outlast(
            functools.partial(self.report_usage, attempt, usages), f"the usage of {attempt.task.id}"
        )

    def _replacement(self, attempt: Attempt, outcome: Outcome) -> tuple[Outcome, dict[str, Any] | None]:
        """The outcome, and the tasks that come into the place of this one by it, as the store takes them."""
        replaced = outcome.replaced if isinstance(outcome, RetryLater) else None
        if replaced is None:
            return outcome, None
        read = functools.partial(self.store.tasks.before_growth, attempt.feature_id, attempt.task.id)
        stored, total = self._outlast(read, f"a look at {attempt.task.id}")
        most = self.settings.limits.tasks
        if total + len(replaced.added) > most:
            reason = (
                f"asked to be replaced by {words.count(len(replaced.added), 'task')}; the feature has {total:,} tasks, "
                f"and the limit is {most:,} (limits.tasks)"
            )
            return Failed(reason=reason, retry=False), None
        return outcome, encoding.describe_replacement(replaced.task, stored, replaced.added)

    def fail(self, feature_id: str, task_id: str, number: int, worker: str, outcome: Failed) -> None:
        """Commit the failure of an attempt whose process cannot do it."""
        task = (
            gates_task(task_id)
            if identifiers.is_gates(task_id)
            else self.store.tasks.find(feature_id, task_id)
        )
        started = StartResult("started", task=task, state=self.store.tasks.attempt(feature_id, task_id))
        self.finish(Attempt(feature_id, task, number, "", worker, started), outcome, started.status)

    def fail_unreadable(
        self, feature_id: str, task_id: str, number: int, worker: str, error: errors.UnreadableFeature
    ) -> Failed:
        """Fail an attempt whose task cannot be read. It is not retried: a person has to look at it."""
        outcome = Failed(reason=str(error).splitlines()[0])
        # The task's own flow cannot be read, but every flow treats failed work alike.
        transition = lifecycle.transition(lifecycle.GATES_FLOW, TaskEvent.WORK_FAILED, cause=outcome.cause)
        finish = functools.partial(
            self.store.attempts.finish, feature_id, task_id, number, outcome, transition, worker=worker
        )
        _, _, scheduled = self._outlast(finish, f"the outcome of {task_id} (failed)")
        self._follow_up(scheduled)
        return outcome

    def hand_back(
        self,
        feature_id: str,
        task_id: str,
        number: int,
        worker: str,
        delivery: str = "",
        *,
        because: str = "this worker ends",
    ) -> str:
        """Give an attempt back, so that another worker starts it again at once; the code (see requeue.lua)."""
        code, scheduled = self.store.attempts.requeue(
            feature_id,
            task_id,
            number,
            worker=worker,
            delivery=delivery,
            most=self.settings.recovery.hand_backs,
        )
        if code == "requeued":
            logger.warning(
                "[%s] %s attempt %s was handed back, because %s; another worker takes it up",
                feature_id,
                task_id,
                number,
                because,
            )
        self._follow_up(scheduled)
        return code

    def hand_back_taken(self, run: Run) -> None:
        """Give back what a commit took, whose answer did not arrive."""
        claim, run.last_claim, run.taken = run.last_claim, None, None
        attempt = self.store.attempts.taken_by(claim) if claim else None
        if claim and attempt:
            self.hand_back(*attempt, claim.worker, claim.delivery)

    def cancel(self, feature_id: str, task_id: str, number: int, *, note: str, running: bool) -> None:
        """Cancel a task as a person does, if this is its latest attempt.

        Args:
            feature_id, task_id, number: The attempt.
            note: Why.
            running: True: a worker has started the attempt. False: its message still waits in a queue.

        Raises:
            OrchestratorError: The task cannot be cancelled.
        """
        known = self.store.tasks.attempt(feature_id, task_id)
        is_latest = known.get("attempt") == number != known.get("ended")
        if not is_latest or (known["status"] in WORKING) is not running:
            return
        if known["status"] == TaskStatus.CANCELLED:
            return
        flow = self.settings.flow_for(self.store.tasks.find(feature_id, task_id).tags)
        transition = lifecycle.transition(flow, TaskEvent.TASK_CANCELLED)
        self._follow_up(
            self.store.requests.transition_task(feature_id, task_id, flow, transition, note, revoke=True)
        )

    def is_cancelled(self, attempt: Attempt) -> bool:
        """Whether the attempt is to stop: somebody cancelled it, or another worker has it now. It renews the lease."""
        (answer,) = self.store.attempts.renew(
            [attempt.id], lease=self.settings.recovery.lease, delivery=attempt.delivery
        )
        return answer == "cancelled" or (answer == "lost" and not self._restart(attempt))

    def report_progress(
        self, feature_id: str, task_id: str, number: int, percent: float | None = None, note: str = ""
    ) -> None:
        """Record how far an attempt is, with its secrets masked. An outage of Redis costs no more than the report."""
        # The text is made one line first: otherwise a line break could hide a secret from the masking.
        note = masking.hide(sanitizer.as_line(note), masking.all_secret_texts(self.settings))
        try:
            self.store.attempts.report_progress(feature_id, task_id, number, percent, note)
        except redis.RedisError as error:
            if not refusals.passes(error):
                raise
            logger.warning(
                "[%s] %s: its progress is not recorded, because Redis is away: %s. The task goes on",
                feature_id,
                task_id,
                refusals.describe(error),
            )

    def outcomes(self, feature_id: str, task_ids: Sequence[str]) -> dict[str, Outcome]:
        """Read the outcomes of tasks."""
        read = functools.partial(self.store.tasks.outcomes, feature_id, task_ids)
        return self._outlast(read, f"a look at the outcomes of {', '.join(task_ids)}")

    def _start(
        self, specialist: str, feature_id: str, task_id: str, number: int, worker: str, delivery: str
    ) -> StartResult:
        return self.store.attempts.start(
            feature_id,
            task_id,
            number,
            specialist=specialist,
            worker=worker,
            lease=self.settings.recovery.lease,
            delivery=delivery,
        )

    def _restart(self, attempt: Attempt) -> bool:
        """Start an attempt again after Redis lost its last second, and the start with it; False: another has it."""
        again = self._start(
            attempt.specialist,
            attempt.feature_id,
            attempt.task.id,
            attempt.number,
            attempt.worker,
            attempt.delivery,
        )
        return again.code == "started"

    def _follow_up(self, scheduled: commands.ScheduleResult) -> None:
        try:
            self.dispatcher.send(commands.follow_up(scheduled))
        except errors.BrokerUnreachable as error:
            # The sweep publishes unstarted tasks when the broker is back.
            logger.error("%s", error)

    def _outlast(self, ask: Callable[[], T], what: str) -> T:
        return outage.outlast(ask, what, longest=self.settings.recovery.outage)


def _is_worth_telling(outcome: Outcome) -> TypeGuard[Blocked | Failed | RetryLater]:
    """The next attempt of an agent learns from it. From a wait for a model's limit there is nothing to learn."""
    return isinstance(outcome, Blocked | Failed) or (isinstance(outcome, RetryLater) and not outcome.limit)


def _told_of(attempt: Attempt, outcome: Blocked | Failed | RetryLater, ladder: Ladder) -> EarlierAttempt:
    """What the next attempt of an agent is told of this one."""
    return EarlierAttempt(
        attempt=attempt.number,
        tier=ladder.tier(attempt.started.attempts.rung),
        status=outcome.status,
        reason=words.one_line(outcome.reason, 500),
        tail=outcome.tail[-TAIL_TOLD:],
        seconds=round(time.monotonic() - attempt.began, 1),
    )
