"""One attempt by an agent's program: one or more runs, until it has an outcome."""

from __future__ import annotations

import random
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import NamedTuple

from orchestrator.agents import brief as briefs
from orchestrator.agents import classification, launch, outcome, pricing, sessions
from orchestrator.agents.classification import Run, Stopped
from orchestrator.agents.job import Job, Order
from orchestrator.agents.ledger import Ledger
from orchestrator.agents.outcome import Read
from orchestrator.agents.process import Ended
from orchestrator.agents.seen import Seen
from orchestrator.agents.stream import StreamReader
from orchestrator.agents.watcher import AgentWatcher, Caps, append
from orchestrator.model import errors
from orchestrator.model.agent_history import AgentSession, waits
from orchestrator.model.outcome import Blocked, Failed, Outcome
from orchestrator.model.usage import Usage, UsageVerdict
from orchestrator.specialists.command_files import CommandFiles, cannot_write
from orchestrator.specialists.start_failure import start_failure

USAGE_FILE = "usage.json"
"""The file in the folder of an attempt that keeps what it has used."""


class CannotStart(Exception):
    """The program cannot be started."""

    def __init__(self, outcome: Failed) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


class Result(NamedTuple):
    """How a run ended, and what was seen of it."""

    seen: Seen
    ended: Ended
    run: Run
    read: Read
    session_total: Usage | None


@dataclass
class Attempt:
    """One attempt, with what is known of it while it goes on.

    Args:
        job: The attempt, the agent and its place.
        files: The files of the attempt.
    """

    job: Job
    files: CommandFiles
    last_words: str = ""
    """What the agent said last."""
    verdict: UsageVerdict | None = None
    """What the store said last of the budgets; None: nothing yet."""
    began: float = field(default_factory=time.monotonic)

    @cached_property
    def ledger(self) -> Ledger:
        """What the attempt has used."""
        return Ledger(self.job.context.workdir / USAGE_FILE)

    def perform(self) -> Outcome:
        """Run the program until there is an outcome: once, as a rule."""
        if refused := without_price(self.job):
            return refused
        try:
            order = self._first_order()
            result = self._run(order)
            if order.is_resumed and classification.is_session_lost(result.seen, self.job.runtime):
                self.job.context.logger.warning(
                    "its conversation %s is not there; it begins anew", order.session
                )
                result = self._run(self._new_order())
            return self._classify(result) or self._ask(result)
        except CannotStart as error:
            return error.outcome
        except OSError as error:
            return cannot_write(error, self.job.context)

    def _first_order(self) -> Order:
        """Go on with the conversation of an earlier attempt, if that is possible; else begin anew."""
        job, session = self.job, self.job.context.session
        is_wanted = job.agent.resume and not job.written
        if session is None or not is_wanted or not self._fits(session):
            return self._new_order()
        text = briefs.going_on(job.context, job.settings, job.conflicts)
        return Order(text, session.session, True, session.baseline)

    def _fits(self, session: AgentSession) -> bool:
        job = self.job
        return sessions.fits(
            session,
            job.runtime,
            name=job.agent.runtime,
            model=job.model,
            folder=job.place.folder,
            here=sessions.host(),
        )

    def _new_order(self) -> Order:
        job = self.job
        text = job.written or briefs.brief(
            job.context, job.settings, runtime=job.runtime, folder=job.place.folder, conflicts=job.conflicts
        )
        return Order(text, str(uuid.uuid4()) if job.runtime.chooses_session else "")

    def _ask(self, result: Result) -> Outcome:
        """Ask an agent that ended well, and gave no outcome, for it: once, if it can go on with its conversation."""
        session = result.seen.session
        if self.job.runtime.resume and session:
            result = self._run(Order(briefs.ASK_FOR_OUTCOME, session, True, result.session_total))
            if found := self._classify(result):
                return found
        return classification.without_outcome(result.seen, result.read.wrong)

    def _classify(self, result: Result) -> Outcome | None:
        seen, ended = result.seen, result.ended
        self.last_words = seen.text or "\n".join([*seen.noise, *seen.errors]) or self.last_words
        return classification.classify(seen, ended.code, ended.stopped, result.run, result.read.answer)

    # A run

    def _run(self, order: Order) -> Result:
        """Run the program once, and see what it says.

        Raises:
            CannotStart: It cannot be started.
        """
        watcher = self._watcher(order)
        seen, reader = watcher.reader.seen, watcher.reader
        if order.session:
            seen.session = order.session
            self._save(order.session, order.baseline)
        with tempfile.TemporaryFile() as stdin:
            program = launch.program(
                self.job, order, self.files, stdin, self.ledger.with_run(()), self.verdict
            )
            try:
                ended = program.run(watcher)
            except (OSError, ValueError) as error:
                failed = start_failure(error, program.command[0], self.job.place.folder)
                raise CannotStart(failed) from error
            finally:
                launch.remove_brief(self.job)
                watcher.close()
                self.verdict = watcher.verdict
        if reader.session_total and seen.session:
            self._save(seen.session, reader.session_total)
        return Result(seen, ended, self._facts(ended, watcher), self._read(seen), reader.session_total)

    def _watcher(self, order: Order) -> AgentWatcher:
        job = self.job
        reader = StreamReader(
            job.runtime,
            order.baseline,
            model=job.model,
            known={"tier": job.tier, "runtime": job.agent.runtime},
            price=partial(pricing.priced, settings=job.settings),
            log=partial(append, self.files.log),
        )
        return AgentWatcher(
            job.context,
            reader,
            self.ledger,
            self.files.log,
            self._caps(),
            name_session=lambda session: self._save(session, order.baseline),
            session=order.session,
            every=job.every,
            secrets=job.secrets,
            verdict=self.verdict,
        )

    def _caps(self) -> Caps:
        job, left = self.job, self.job.context.left
        ends = [seconds for seconds in (job.timeout, job.time_left) if seconds is not None]
        return Caps(
            idle=job.agent.idle_timeout if job.runtime.events == "jsonl" else None,
            linger=job.agent.linger,
            deadline=self.began + min(ends) if ends else float("inf"),
            is_time_budget=bool(ends) and min(ends) != job.timeout,
            cost=left.cost_left,
            tokens=left.tokens_left,
            turns=left.turns_left,
        )

    def _read(self, seen: Seen) -> Read:
        limits = self.job.settings.limits
        file = self.files.outcome_text(4 * (limits.result + limits.tail))
        return outcome.read(file=file, structured=seen.structured, message=seen.text)

    def _save(self, session: str, baseline: Usage | None) -> None:
        """Store the conversation, so that a later attempt can go on with it."""
        job = self.job
        found = AgentSession(
            runtime=job.agent.runtime,
            model=job.model,
            session=session,
            host=sessions.host(),
            folder=str(job.place.folder),
            attempt=job.context.attempt,
            baseline=baseline,
        )
        try:
            job.context.save_session(found)
        except errors.OrchestratorError as error:
            job.context.logger.warning(
                "cannot store its conversation, which is lost with this worker: %s", error
            )

    def _facts(self, ended: Ended, watcher: AgentWatcher) -> Run:
        job = self.job
        return Run(
            job.runtime,
            program=job.agent.runtime,
            specialist=job.context.specialist,
            model=job.model,
            over=watcher.over,
            budget=job.budget_text(watcher.over, watcher.verdict.limit if watcher.verdict else None),
            limit=job.agent.idle_timeout if ended.stopped is Stopped.SILENT else job.timeout,
            waits=waits(job.context.earlier),
            now=time.time(),
            chance=random.random(),  # nosec B311  # the jitter of a wait
        )


def without_price(job: Job) -> Blocked | None:
    """Refuse a model whose cost cannot be counted, where a cost is limited and its program tells none."""
    is_limited = job.budget.cost is not None or job.context.left.cost_left is not None
    tells_cost = job.runtime.usage.cost or (job.runtime.final and job.runtime.final.cost)
    return None if tells_cost else pricing.refused(job.model, job.settings, is_limited=is_limited)
