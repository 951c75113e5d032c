"""One attempt by an agent's program: one or more runs, until it has an outcome."""

from __future__ import annotations

import json
import os
import random
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import IO, NamedTuple

from pydantic import SecretStr

from orchestrator.agents import brief as briefs
from orchestrator.agents import classification, command_line, outcome, pricing, sessions
from orchestrator.agents.classification import Run, Stopped
from orchestrator.agents.ledger import Ledger
from orchestrator.agents.outcome import Read
from orchestrator.agents.process import Ended, Program
from orchestrator.agents.seen import Seen
from orchestrator.agents.stream import StreamReader
from orchestrator.agents.watcher import AgentWatcher, Caps, append
from orchestrator.agents.workplace import Workplace
from orchestrator.config import private
from orchestrator.config.schema.agent_runtimes import AgentRuntime
from orchestrator.config.schema.agents import AgentSettings, TaskBudget
from orchestrator.config.schema.specialists import SpecialistSettings
from orchestrator.config.settings import Settings
from orchestrator.model import durations, errors
from orchestrator.model.outcome import Blocked, BlockKind, Failed, Outcome
from orchestrator.model.usage import Usage, UsageVerdict
from orchestrator.specialists import environment, masking
from orchestrator.specialists.command_files import CommandFiles, cannot_write
from orchestrator.specialists.context import AgentSession, Context
from orchestrator.specialists.registry import time_limit
from orchestrator.specialists.start_failure import start_failure

USAGE_FILE = "usage.json"
"""The file in the folder of an attempt that keeps what it has used."""


class Order(NamedTuple):
    """What a run is told."""

    brief: str
    session: str = ""
    """The conversation to go on with, or the name of a new one; "": the program chooses one."""
    is_resumed: bool = False
    baseline: Usage | None = None


class Result(NamedTuple):
    """How a run ended, and what was seen of it."""

    seen: Seen
    ended: Ended
    run: Run
    read: Read
    session_total: Usage | None


@dataclass(frozen=True)
class Job:
    """What an attempt by an agent needs to know, beside its context.

    Args:
        settings: The settings.
        runtime: How the program is started, and how it speaks.
        agent: The settings of the agent.
        place: Where it works.
        written: A brief to give it instead of that of its task.
        conflicts: Files with conflict markers, which it has to resolve.
        grace: Seconds between SIGTERM and SIGKILL when it is ended.
        poll: Seconds between two questions whether it is to be ended.
        every: Seconds between two reports of progress and usage.
    """

    settings: Settings
    runtime: AgentRuntime
    agent: AgentSettings
    place: Workplace
    written: str = ""
    conflicts: tuple[str, ...] = ()
    grace: float = 5.0
    poll: float = 0.2
    every: float = 1.0


@dataclass
class Attempt:
    """One attempt, with what it knows while it goes on."""

    job: Job
    context: Context
    files: CommandFiles
    last_words: str = ""
    verdict: UsageVerdict | None = None
    began: float = field(default_factory=time.monotonic)

    # What it is

    @property
    def settings(self) -> Settings:
        """The settings."""
        return self.job.settings

    @property
    def folder(self) -> Path:
        """Where the agent works."""
        return self.job.place.folder

    @cached_property
    def given(self) -> SpecialistSettings:
        """The settings of the specialist."""
        return self.settings.specialists[self.context.specialist]

    @cached_property
    def tier(self) -> str:
        """The tier of this attempt."""
        rungs = self.settings.rungs(self.context.specialist)
        return rungs[min(self.context.rung, len(rungs) - 1)]

    @cached_property
    def model(self) -> str:
        """The model of this attempt."""
        return self.settings.model(self.job.agent.runtime, self.tier)

    @cached_property
    def budget(self) -> TaskBudget:
        """The budget of the task."""
        return self.given.budget or TaskBudget()

    @cached_property
    def ledger(self) -> Ledger:
        """What the attempt has used."""
        return Ledger(self.context.workdir / USAGE_FILE)

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """The texts that are hidden: those of the specialist, and the program's own key."""
        keys = [os.environ[name] for name in self.job.runtime.pass_env if name in os.environ]
        return masking.secret_texts([*self.given.env.values(), *map(SecretStr, keys)])

    # What it does

    def perform(self) -> Outcome:
        """Run the program until there is an outcome: once, as a rule."""
        if refused := self._without_price():
            return refused
        try:
            order = self._first_order()
            result = self._run(order)
            if order.is_resumed and classification.is_session_lost(result.seen, self.job.runtime):
                self.context.logger.warning("its conversation %s is not there; it begins anew", order.session)
                order = self._new_order()
                result = self._run(order)
            if found := self._classify(result):
                return found
            return self._ask(result)
        except CannotStart as error:
            return error.outcome
        except OSError as error:
            return cannot_write(error, self.context)

    def _without_price(self) -> Blocked | None:
        """Refuse a model whose cost nobody could count, where a cost is limited."""
        left, runtime = self.context.left, self.job.runtime
        is_limited = self.budget.cost is not None or left.cost_left is not None
        says = runtime.usage.cost or (runtime.final and runtime.final.cost)
        if not is_limited or self.settings.budgets.unknown_cost == "allow" or says:
            return None
        if pricing.is_known(self.model, self.settings):
            return None
        reason = (
            f"the price of {self.model or 'its model'} is not known, so no budget can hold; write it into `prices`, or "
            "set budgets.unknown_cost to allow, and unblock the task"
        )
        return Blocked(kind=BlockKind.BUDGET, reason=reason)

    def _first_order(self) -> Order:
        """Go on with the conversation of an earlier attempt, if that is possible; else begin anew."""
        session, runtime = self.context.session, self.job.runtime
        is_fit = (
            self.job.agent.resume
            and not self.job.written
            and sessions.fits(
                session,
                runtime,
                name=self.job.agent.runtime,
                model=self.model,
                folder=self.folder,
                here=sessions.host(),
            )
        )
        if session is None or not is_fit:
            return self._new_order()
        text = briefs.going_on(self.context, self.settings, self.job.conflicts)
        return Order(text, session.session, True, session.baseline)

    def _new_order(self) -> Order:
        text = self.job.written or briefs.brief(
            self.context,
            self.settings,
            runtime=self.job.runtime,
            folder=self.folder,
            conflicts=self.job.conflicts,
        )
        return Order(text, str(uuid.uuid4()) if self.job.runtime.chooses_session else "")

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
        """Run the program once, and see what it says."""
        reader = StreamReader(
            self.job.runtime,
            order.baseline,
            model=self.model,
            known={"tier": self.tier, "runtime": self.job.agent.runtime},
            price=partial(pricing.priced, settings=self.settings),
            log=partial(append, self.files.log),
        )
        if order.session:
            reader.seen.session = order.session
            self._save(order.session, order.baseline)
        watcher = AgentWatcher(
            self.context,
            reader,
            self.ledger,
            self.files.log,
            self._caps(),
            name_session=lambda session: self._save(session, order.baseline),
            every=self.job.every,
            verdict=self.verdict,
        )
        with tempfile.TemporaryFile() as stdin:
            program = self._program(order, stdin)
            try:
                ended = program.run(watcher)
            except (OSError, ValueError) as error:
                raise CannotStart(start_failure(error, program.command[0], self.folder)) from error
            finally:
                self._remove_brief()
                watcher.close()
                self.verdict = watcher.verdict
        if reader.session_total and reader.seen.session:
            self._save(reader.seen.session, reader.session_total)
        most = 4 * (self.settings.limits.result + self.settings.limits.tail)
        found = outcome.read(
            file=self.files.outcome_text(most), structured=reader.seen.structured, message=reader.seen.text
        )
        return Result(reader.seen, ended, self._facts(ended, watcher), found, reader.session_total)

    def _caps(self) -> Caps:
        agent, left, runtime = self.job.agent, self.context.left, self.job.runtime
        timeout = time_limit(self.context.specialist, self.context.task, self.settings)
        worked = sum(attempt.seconds for attempt in self.context.earlier)
        budget = None if self.budget.time is None else max(0.0, self.budget.time - worked)
        ends = [seconds for seconds in (timeout, budget) if seconds is not None]
        return Caps(
            idle=agent.idle_timeout if runtime.events == "jsonl" else None,
            linger=agent.linger,
            deadline=self.began + min(ends) if ends else float("inf"),
            is_time_budget=bool(ends) and min(ends) != timeout,
            cost=left.cost_left,
            tokens=left.tokens_left,
            turns=self.budget.turns,
        )

    def _program(self, order: Order, stdin: IO[bytes]) -> Program:
        runtime, place = self.job.runtime, self.job.place
        if runtime.prompt == "stdin":
            stdin.write(order.brief.encode(errors="replace"))
            stdin.seek(0)
        command = command_line.arguments(
            runtime,
            model=self.model,
            session=order.session,
            resume=order.is_resumed,
            schema=outcome.schema(),
            schema_file=self._written(SCHEMA_FILE, json.dumps(outcome.schema()))
            if self._uses("schema_file")
            else "",
            prompt_file=self._written(BRIEF_FILE, order.brief) if runtime.prompt == "file" else "",
            folder=str(place.folder),
            budget_left=(self.verdict or self.context.left).cost_left,
            turns_left=self._turns_left(),
            tools=self.job.agent.tools,
            unsafe=self.job.agent.unsafe,
            bare=self.job.agent.bare,
        )
        sandbox = tuple(word.replace("{folder}", str(place.folder)) for word in self.job.agent.sandbox or ())
        return Program(
            (*sandbox, *command),
            place.folder,
            self._environment(),
            stdin,
            held=place.held.file if place.held else None,
            grace=self.job.grace,
            poll=self.job.poll,
            started=place.held.note if place.held else (lambda pid: None),
        )

    def _uses(self, place: str) -> bool:
        written = (*self.job.runtime.command, *(self.job.runtime.resume or ()))
        return any(f"{{{place}}}" in word for word in written)

    def _turns_left(self) -> int | None:
        if self.budget.turns is None:
            return None
        return self.budget.turns - sum(used.requests for used in self.ledger.with_run(()))

    def _environment(self) -> dict[str, str]:
        """The least that it needs: of the operator's keys only its own."""
        runtime, given = self.job.runtime, self.given
        return {
            **environment.filter_environment(os.environ, (*runtime.pass_env, *given.pass_env)),
            **runtime.env,
            **{name: value.get_secret_value() for name, value in given.env.items()},
            **self.files.variables(self.context, self.settings.project),
        }

    def _written(self, name: str, text: str) -> str:
        file = self.context.workdir.absolute() / name
        number = private.open_file(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        with os.fdopen(number, "w", encoding="utf-8", errors="replace") as opened:
            opened.write(text)
        return str(file)

    def _remove_brief(self) -> None:
        (self.context.workdir / BRIEF_FILE).unlink(missing_ok=True)

    def _save(self, session: str, baseline: Usage | None) -> None:
        """Store the conversation, so that a later attempt can go on with it."""
        found = AgentSession(
            runtime=self.job.agent.runtime,
            model=self.model,
            session=session,
            host=sessions.host(),
            folder=str(self.folder),
            attempt=self.context.attempt,
            baseline=baseline,
        )
        try:
            self.context.save_session(found)
        except errors.OrchestratorError as error:
            self.context.logger.warning(
                "cannot store its conversation, which is lost with this worker: %s", error
            )

    def _facts(self, ended: Ended, watcher: AgentWatcher) -> Run:
        agent, context = self.job.agent, self.context
        timeout = time_limit(context.specialist, context.task, self.settings)
        return Run(
            self.job.runtime,
            program=agent.runtime,
            specialist=context.specialist,
            model=self.model,
            budget=self._budget_text(watcher.over),
            limit=agent.idle_timeout if ended.stopped is Stopped.SILENT else timeout,
            waits=_waits(context),
            now=time.time(),
            chance=random.random(),  # the jitter of a wait
        )

    def _budget_text(self, over: str) -> str:
        """The budget that is used up, such as "$2.00 for the task"."""
        budget, all_ = self.budget, self.settings.budgets
        match over:
            case "time" if budget.time is not None:
                return f"{durations.write(budget.time)} for the task"
            case "turns" if budget.turns is not None:
                return f"{budget.turns:,} requests for the task"
            case "tokens" if budget.tokens is not None:
                return f"{budget.tokens:,} tokens for the task"
            case "task" if budget.cost is not None:
                return f"${budget.cost:,.2f} for the task"
            case "feature" if all_.feature:
                return f"${all_.feature.cost:,.2f} for the feature"
            case "day" if all_.day:
                return f"${all_.day.cost:,.2f} for the day"
        return f"that of the {over}" if over else ""


BRIEF_FILE, SCHEMA_FILE = "brief.md", "outcome.schema.json"
"""Files in the folder of an attempt, for programs that read them."""


class CannotStart(Exception):
    """The program cannot be started."""

    def __init__(self, outcome: Failed) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


def _waits(context: Context) -> int:
    """How often the task has waited before this, one time after the other."""
    count = 0
    for earlier in reversed(context.earlier):
        if earlier.status != "retry-later":
            break
        count += 1
    return count
