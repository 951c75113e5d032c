"""The attempts of agents that ask for work: each is begun, renewed and ended by the steps that a worker takes.

An agent holds nothing but its claim, a text: the name of the attempt, and an end that nobody can guess, which is the
delivery of the attempt (see start.lua). Any process that reads the state can go on with it.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator import specialists
from orchestrator.agents import brief, pricing
from orchestrator.engine import budgets
from orchestrator.engine.attempt import Attempt
from orchestrator.engine.attempt_files import AttemptFiles
from orchestrator.engine.attempt_recorder import AttemptRecorder
from orchestrator.model import durations, errors, identifiers
from orchestrator.model.agent_history import EarlierAttempt
from orchestrator.model.outcome import (
    Blocked,
    BlockKind,
    Cancelled,
    Completed,
    Failed,
    FailureCause,
    Outcome,
)
from orchestrator.model.task import TaskStatus
from orchestrator.model.usage import Usage, UsageVerdict
from orchestrator.specialists import masking
from orchestrator.specialists.python import outcome_of
from orchestrator.state.start_result import StartResult

if TYPE_CHECKING:
    from orchestrator.config.settings import Settings
    from orchestrator.engine.dispatcher import Dispatcher
    from orchestrator.state.store import Store

_SECRET = re.compile(r"[0-9a-f]{12}")


def name_of(attempt: Attempt) -> str:
    """The claim on an attempt, as its agent keeps it.

    Example:
        'login-1:T3:1:0f3a9c5e71d2'
    """
    return f"{identifiers.of_attempt(*attempt.id)}:{attempt.delivery}"


class Claims:
    """Begins, renews and ends the attempts of agents.

    Args:
        settings: `mcp.lease` says how long an agent may be silent.
        store: The state of all features.
        dispatcher: Publishes what becomes ready by an outcome.
    """

    def __init__(self, settings: Settings, store: Store, dispatcher: Dispatcher) -> None:
        self.settings = settings
        self.store = store
        self.recorder = AttemptRecorder(settings, store, dispatcher)

    def begin(self, names: Collection[str], feature: str, worker: str) -> Attempt | None:
        """Begin the next task that waits for an agent; None: there is none.

        Args:
            names: The specialists whose tasks it may be.
            feature: Of this feature alone; "": of any.
            worker: The name of the agent.
        """
        for offer in self.store.offers.waiting(names):
            if feature and offer.feature != feature:
                continue
            delivery = secrets.token_hex(6)
            try:
                started = self.recorder.claim(offer, worker, delivery)
            except (errors.NewerFeature, errors.Outdated):
                continue  # a newer version can read it
            except errors.UnreadableFeature as error:
                self.recorder.fail_unreadable(offer.feature, offer.task, offer.attempt, worker, error)
                continue
            if started.code != "started" or not started.task:
                continue
            attempt = Attempt(offer.feature, started.task, offer.attempt, offer.specialist, worker, started)
            if self._may_spend(attempt):
                return attempt
        return None

    def _may_spend(self, attempt: Attempt) -> bool:
        """Whether the budgets leave something for an attempt; else it has ended, and waits or asks for more."""
        _, earlier = self.recorder.history(attempt)
        refused = budgets.refusal(self.recorder.reserve(attempt), earlier)
        if refused:
            self.recorder.finish(attempt, refused, attempt.started.status)
        return refused is None

    def count(self, attempt: Attempt, usages: Sequence[Usage]) -> UsageVerdict:
        """Count what an agent has used since its claim, at the price of its model if it names no cost.

        Args:
            attempt: The attempt of the claim.
            usages: The sums since the claim, of each model.

        Returns:
            What it may still use.
        """
        priced = [pricing.priced(usage, self.settings) for usage in usages]
        return self.recorder.report_usage(attempt, priced)

    def find(self, claim: str) -> Attempt:
        """The attempt of a claim, and renew its lease.

        Raises:
            NoSuchClaim: It is no claim.
            ClaimEnded: Its agent does not have the task any more. What a person has taken away is given up.
        """
        named, (_, _, secret) = identifiers.attempt_named(claim), claim.rpartition(":")
        if named is None or not _SECRET.fullmatch(secret):
            raise errors.NoSuchClaim(claim=claim[:200])
        feature, task, number = named
        state = self.store.tasks.attempt(feature, task)
        if state.get("attempt") != number or state.get("delivery") != secret:
            raise self._ended(feature, task, number, state)
        started = StartResult(
            "started",
            self.store.tasks.find(feature, task),
            self.store.features.head(feature),
            state,
        )
        specialist = self.store.tasks.specialist(feature, task)
        found = started.task
        assert found is not None  # nosec B101  # for the types alone
        attempt = Attempt(feature, found, number, specialist, str(state["worker"]), started)
        self._check_time(attempt)
        self._renew(attempt)
        return attempt

    def _check_time(self, attempt: Attempt) -> None:
        """End an attempt that is over its time limit, as a worker does."""
        limit = specialists.time_limit(attempt.specialist, attempt.task, self.settings)
        if limit is None:
            return
        now: Any = self.store.client.time()
        state = attempt.started.state
        began = max(state["started"], state.get("begins") or 0) / 1000
        if now[0] + now[1] / 1e6 - began <= limit:
            return
        reason = f"still at work after {durations.write(limit)}, its time limit"
        self.recorder.finish(
            attempt, Failed(cause=FailureCause.TIMEOUT, reason=reason), attempt.started.status
        )
        raise errors.ClaimEnded(
            feature=attempt.feature_id,
            task=attempt.task.id,
            reason=f"its time limit of {durations.write(limit)} is over",
        )

    def _renew(self, attempt: Attempt) -> None:
        (answer,) = self.store.attempts.renew(
            [attempt.id], lease=self.settings.mcp.lease, delivery=attempt.delivery
        )
        if answer == "cancelled":
            self.recorder.finish(attempt, Cancelled(), attempt.started.status)
        if answer != "renewed":
            feature, task, number = attempt.id
            raise self._ended(feature, task, number, self.store.tasks.attempt(feature, task))

    def brief(self, attempt: Attempt) -> str:
        """What is to be done, on what it builds, what persons have remarked, and when it counts as done.

        Raises:
            BadPrompt: The prompt of the specialist cannot be read, or is too long.
        """
        task, files = attempt.task, AttemptFiles(self.settings, *attempt.id)
        outcomes = self.recorder.outcomes(attempt.feature_id, [*task.depends_on, task.id])
        before = outcomes.pop(task.id, None) if attempt.number > 1 else None
        earlier = []
        if before and not isinstance(before, Completed):
            number = attempt.number - 1
            earlier.append(
                EarlierAttempt(attempt=number, status=before.status, reason=before.reason, tail=before.tail)
            )
        context = specialists.Context(
            task=task,
            feature=specialists.FeatureHead.model_validate(dict(attempt.started.head)),
            attempt=attempt.number,
            specialist=attempt.specialist,
            title=self.settings.title(attempt.specialist),
            workdir=files.workdir,
            log_file=files.log,
            remarks=tuple(attempt.started.state.get("remarks") or ()),
            dependencies={
                name: outcome for name, outcome in outcomes.items() if isinstance(outcome, Completed)
            },
            earlier=tuple(earlier),
        )
        return brief.of_claim(context, self.settings)

    def check_prompts(self, names: Collection[str]) -> None:
        """Look whether briefs can be made, before a task is claimed.

        Raises:
            BadPrompt: The prompt of a specialist cannot be read, or is too long.
        """
        for name in names:
            brief.prompt(name, self.settings)

    def conclude(self, attempt: Attempt, outcome: Outcome) -> str:
        """Commit the outcome of a claim: the status of its task now. A worker runs the gates, if it has some.

        Raises:
            BadOutcome: It is too large, or JSON cannot hold it. Nothing was changed.
            ClaimEnded: Another agent has the task by now.
        """
        if isinstance(outcome, Blocked) and outcome.kind is BlockKind.BUDGET:
            outcome = outcome.model_copy(update={"budget": self.recorder.left(attempt).which})
        outcome = masking.mask_outcome(
            self._checked(attempt, outcome), masking.all_secret_texts(self.settings)
        )
        if isinstance(outcome, Completed) and attempt.gates_ahead(self.settings):
            if attempt.flow(self.settings).has(TaskStatus.TESTING):
                code = self.recorder.leave_to_gates(attempt, outcome)
            else:
                code = self.recorder.finish(attempt, _without_gates(attempt, self.settings), "in-progress")
        else:
            code = self.recorder.finish(attempt, outcome, attempt.started.status)
        feature, task, number = attempt.id
        state = self.store.tasks.attempt(feature, task)
        if code in ("stale", "ended"):
            raise self._ended(feature, task, number, state)
        return str(state.get("status", ""))

    def _checked(self, attempt: Attempt, outcome: Outcome) -> Outcome:
        checked = outcome_of(outcome, self.settings.limits)
        if isinstance(checked, Failed) and not isinstance(outcome, Failed):
            raise errors.BadOutcome(feature=attempt.feature_id, task=attempt.task.id, reason=checked.reason)
        return checked

    def release(self, attempt: Attempt) -> None:
        """Give a task back: the next agent gets it, ahead of all others.

        Raises:
            ClaimEnded: The agent does not have the task any more.
        """
        code = self.recorder.hand_back(
            *attempt.id, attempt.worker, attempt.delivery, because=f"{attempt.worker} released it"
        )
        if code != "requeued":
            feature, task, number = attempt.id
            raise self._ended(feature, task, number, self.store.tasks.attempt(feature, task))

    def _ended(self, feature: str, task: str, number: int, state: Mapping[str, Any]) -> errors.ClaimEnded:
        return errors.ClaimEnded(feature=feature, task=task, reason=_why_ended(number, state))


def _why_ended(number: int, state: Mapping[str, Any]) -> str:
    """Why an agent does not have the task of its claim any more."""
    status = str(state.get("status", ""))
    if not state:
        return "its feature is forgotten"
    if status == TaskStatus.IN_PROGRESS:
        since = time.strftime("%H:%M", time.localtime(state["started"] / 1000))
        return f"{state.get('worker')} has the task since {since} (attempt {state['attempt']})"
    if status == TaskStatus.TESTING:
        return "the work was reported as done, and a worker runs its gates"
    if state.get("attempt") != number:
        return f"its lease ran out, or it was given back; attempt {state['attempt']} is {status}"
    if state.get("ended") == number:
        return f"it is over, and the task is {status}"
    return "its lease ran out, and the task waits for the next agent"


def _without_gates(attempt: Attempt, settings: Settings) -> Blocked:
    names = [gate.name for _, gates in attempt.gates_ahead(settings) for gate in gates]
    flow = attempt.flow(settings).name
    return Blocked(
        kind=BlockKind.EXTERNAL,
        reason=f"it is done, and its gates ({', '.join(names)}) cannot run: the flow {flow} has no status testing, in "
        "which a worker runs the gates of what an agent elsewhere has done. If it is well, skip it",
    )
