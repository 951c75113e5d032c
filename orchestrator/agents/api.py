"""An agent that is a model alone, asked by pydantic-ai. It judges, plans and writes, and edits no code."""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.agents import brief, pricing, resets, sessions
from orchestrator.agents.ledger import Ledger
from orchestrator.agents.outcome import Answer, outcome_of
from orchestrator.agents.seen import Progress
from orchestrator.config import private
from orchestrator.config.schema.agents import TaskBudget
from orchestrator.config.settings import Settings
from orchestrator.model.agent_history import AgentSession, waits
from orchestrator.model.outcome import (
    Blocked,
    BlockKind,
    Cancelled,
    Failed,
    FailureCause,
    Outcome,
    RetryLater,
)
from orchestrator.model.usage import Usage, UsageVerdict, budget_of, used_up
from orchestrator.model.words import one_line
from orchestrator.specialists import event_loop, registry
from orchestrator.specialists.context import Context
from orchestrator.specialists.python import alarm

if TYPE_CHECKING:
    from pydantic_ai import Agent
    from pydantic_ai.messages import ModelMessage
    from pydantic_ai.usage import RunUsage, UsageLimits

CONVERSATION = "conversation.json"
"""The file in the folder of an attempt that keeps its conversation. It goes through neither Redis nor Celery."""

USAGE_FILE = "usage.json"


class OverBudget(Exception):
    """A budget is used up."""


def run(context: Context, settings: Settings, written: str = "") -> Outcome:
    """Let a model do the work of an attempt.

    Args:
        context: The attempt.
        settings: The settings, which name the model, its tools and its budget.
        written: A brief in place of that of the task.
    """
    try:
        import pydantic_ai  # noqa: F401  # the extra is there
    except ImportError:
        reason = (
            "the runtime api needs the extra agents; install it where the worker runs: "
            "pip install 'task-orchestrator[agents]'"
        )
        return Failed(cause=FailureCause.DEPENDENCY, reason=reason, retry=False)
    return Conversation(context, settings, written).perform()


@dataclass
class Conversation:
    """The conversation of an attempt with a model.

    Args:
        context, settings, written: As of `run`.
    """

    context: Context
    settings: Settings
    written: str = ""
    verdict: UsageVerdict = field(init=False)

    def __post_init__(self) -> None:
        context, settings = self.context, self.settings
        agent = settings.agent(context.specialist)
        assert agent is not None  # nosec B101  # for the types alone
        self.agent = agent
        self.tier = settings.rung(context.specialist, context.rung)
        self.model = settings.model("api", self.tier)
        self.budget = settings.specialists[context.specialist].budget or TaskBudget()
        self.file = context.workdir / CONVERSATION
        self.ledger = Ledger(context.workdir / USAGE_FILE)
        self.verdict = context.left

    def perform(self) -> Outcome:
        """Ask the model until it gives its outcome."""
        if refused := self._refused():
            return refused
        private.make_folder(self.context.workdir)
        timeout = registry.time_limit(self.context.specialist, self.context.task, self.settings)
        try:
            with alarm(timeout):
                answer = event_loop.run(self._talk(), self.context.is_cancelled)
        except event_loop.CancelledByPerson:
            return Cancelled()
        except OverBudget:
            return self._over_budget()
        except TimeoutError:
            return Failed(cause=FailureCause.TIMEOUT, reason=f"timed out after {timeout:.10g} s")
        except Exception as error:
            return self._judged(error)
        return outcome_of(answer)

    def _refused(self) -> Outcome | None:
        if not self.model:
            reason = (
                f"the tier {self.tier} has no model for the runtime api; write it into `tiers`, such as "
                "api: anthropic:claude-haiku-4-5"
            )
            return Blocked(kind=BlockKind.EXTERNAL, reason=reason)
        is_limited = self.budget.cost is not None or self.context.left.cost_left is not None
        return pricing.refused(self.model, self.settings, is_limited=is_limited)

    async def _talk(self) -> Answer:
        """Talk with the model, one request after the other; each is counted and kept before the next."""
        history, text = self._begin()
        made = self._made()
        async with made.iter(text, message_history=history, usage_limits=self._limits()) as talk:
            async for _ in talk:
                self._keep(talk.all_messages())
                self._count(talk.usage)
        self._count(talk.usage, is_over=True)
        assert talk.result is not None  # nosec B101  # it came to its end
        answer: Answer = talk.result.output
        return answer

    def _made(self) -> Agent[None, Answer]:
        from pydantic_ai import Agent

        load = partial(
            registry.load,
            setting=f"specialists.{self.context.specialist}.agent.tools.python",
            settings=self.settings,
        )
        tools: Sequence[Callable[..., Any]] = [load(name) for name in self.agent.tools.python]
        return Agent(self._model(), output_type=Answer, tools=tools, retries=2)

    def _model(self) -> Any:
        """The model, as pydantic-ai takes it: its name with that of its provider."""
        return self.model

    def _begin(self) -> tuple[list[ModelMessage] | None, str]:
        """The messages to go on from, and what the model is told now."""
        from pydantic_ai.messages import ModelMessagesTypeAdapter, repair_messages

        history = None
        session, here = self.context.session, sessions.host()
        fits = session and (session.runtime, session.model, session.host) == ("api", self.model, here)
        if session and fits and self.agent.resume and not self.written:
            try:
                with os.fdopen(private.open_to_read(Path(session.session)), "rb") as file:
                    # A call of a tool that was not answered before the end is closed.
                    history = repair_messages(ModelMessagesTypeAdapter.validate_json(file.read())) or None
            except (OSError, ValueError):
                history = None
        self.context.save_session(
            AgentSession(
                runtime="api",
                model=self.model,
                session=str(self.file),
                host=here,
                attempt=self.context.attempt,
            )
        )
        text = (
            brief.going_on(self.context, self.settings)
            if history
            else brief.of_claim(self.context, self.settings)
        )
        return history, self.written or text

    def _keep(self, messages: list[ModelMessage]) -> None:
        from pydantic_ai.messages import ModelMessagesTypeAdapter

        new = self.file.with_name(f"{self.file.name}.{uuid.uuid4().hex[:8]}")
        with os.fdopen(private.open_file(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
            file.write(ModelMessagesTypeAdapter.dump_json(messages))
        new.replace(self.file)

    def _count(self, used: RunUsage, *, is_over: bool = False) -> None:
        """Report what was used, and stop the conversation where a budget is used up."""
        cached = used.cache_read_tokens + used.cache_write_tokens
        usage = Usage(
            model=self.model,
            tier=self.tier,
            runtime="api",
            input=max(0, used.input_tokens - cached),
            cache_read=used.cache_read_tokens,
            cache_write=used.cache_write_tokens,
            output=used.output_tokens,
            requests=used.requests,
        )
        counted = [pricing.priced(usage, self.settings)]
        so_far = self.ledger.close_run(counted) if is_over else self.ledger.keep(counted)
        self.verdict = self.context.report_usage(so_far)
        cost = counted[0].cost
        self.context.progress(note=str(Progress(turn=used.requests, cost=cost)))
        if self.verdict.is_over and not is_over:
            raise OverBudget

    def _limits(self) -> UsageLimits:
        from pydantic_ai.usage import UsageLimits

        return UsageLimits(
            request_limit=self.context.left.turns_left, total_tokens_limit=self.context.left.tokens_left
        )

    def _growing_wait(self) -> float:
        return resets.growing(waits(self.context.earlier), random.random())  # nosec B311  # it spreads retries

    def _over_budget(self) -> Blocked:
        which = self.verdict.which
        budget = "" if which in ("", "tokens") else budget_of(which, self.verdict.limit)
        return Blocked(kind=BlockKind.BUDGET, reason=used_up(budget), budget=which)

    def _judged(self, error: Exception) -> Outcome:
        """The outcome of an error of the model, or of its library."""
        from pydantic_ai import exceptions as raised

        said = one_line(str(error), 300)
        match error:
            case raised.UsageLimitExceeded():
                return self._over_budget()
            case raised.ModelRateLimitError() | raised.ModelOverloadedError():
                after = error.retry_after or self._growing_wait()
                return RetryLater(after=after, reason=f"the limit of {self.model}: {said}", limit=self.model)
            case raised.ModelConnectionError() | raised.ModelServerError() | raised.ModelTimeoutError():
                return RetryLater(
                    after=self._growing_wait(), reason=f"{self.model} cannot be reached: {said}"
                )
            case raised.ModelRequestRejectedError() | raised.UserError():
                return Blocked(kind=BlockKind.EXTERNAL, reason=f"{self.model} cannot be used: {said}")
            case raised.ModelQuotaExceededError():
                return Blocked(
                    kind=BlockKind.EXTERNAL, reason=f"the account of {self.model} has no money left: {said}"
                )
            case raised.UnexpectedModelBehavior():
                return Failed(cause=FailureCause.NO_OUTCOME, reason=f"{self.model} gave no outcome: {said}")
        raise error
