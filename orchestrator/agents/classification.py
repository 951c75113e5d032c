"""What an agent's run amounts to, from what was seen of it: never "completed" by an exit code alone."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.agents import resets
from orchestrator.agents.outcome import Answer, outcome_of
from orchestrator.agents.seen import Seen
from orchestrator.config.schema.agent_runtimes import AgentRuntime, Happened
from orchestrator.model.durations import write
from orchestrator.model.outcome import (
    Blocked,
    BlockKind,
    Cancelled,
    Failed,
    FailureCause,
    Outcome,
    RetryLater,
)
from orchestrator.model.usage import used_up
from orchestrator.model.words import one_line, some

LOGIN_STATUSES = (401, 402, 403, 404)
"""Not logged in, not paid, not allowed, no such model."""

LIMIT_STATUSES = (429, 529)
"""Too many requests; overloaded."""

STATUS = re.compile(r"\b(?:status|error|code)\W{1,4}([45]\d\d)\b", re.I)


class Stopped(StrEnum):
    """Why we ended a run that went on."""

    CANCELLED = "cancelled"
    TIMED_OUT = "timed-out"
    SILENT = "silent"
    LINGERED = "lingered"
    """It had given its result, and did not end."""
    OVER_BUDGET = "over-budget"


@dataclass(frozen=True)
class Run:
    """The facts of a run that its outcome depends on.

    Args:
        runtime: How its program speaks.
        program: The name of the runtime, for texts.
        specialist: The specialist, for texts.
        model: The model that it was told to use: the name of its limit.
        budget: The budget that ended it, for texts, such as "$2.00 for the task".
        over: That budget: task, feature, day, tokens, turns or time; "": none, or its program alone knew it.
        limit: Seconds after which it was ended, for texts.
        waits: How often the task has waited for the same reason before this, one time after the other.
        now: The moment, in seconds since 1970.
        chance: A random number in [0, 1): the jitter of a wait.
    """

    runtime: AgentRuntime
    program: str = "agent"
    specialist: str = ""
    model: str = ""
    budget: str = ""
    over: str = ""
    limit: float | None = None
    waits: int = 0
    now: float = 0.0
    chance: float = 0.5


def classify(
    seen: Seen, code: int | None, stopped: Stopped | None, run: Run, answer: Answer | None = None
) -> Outcome | None:
    """The outcome of a run; None: it ended well, and has to be asked for its outcome.

    Args:
        seen: What its output said.
        code: How its process ended: its exit code, or a signal as a negative number; None: it does not matter.
        stopped: Why we ended it, if we did.
        run: The facts of the run.
        answer: The outcome in the agent's own words, if it gave one.

    Example:
        >>> run = Run(AgentRuntime(command=["agent"]), program="claude", model="haiku")
        >>> classify(Seen(is_final=True, is_error=True, status=429), 1, None, run).limit
        'haiku'
        >>> classify(Seen(is_final=True), 0, None, run) is None
        True
    """
    if stopped is Stopped.CANCELLED:
        return Cancelled()
    if stopped is Stopped.TIMED_OUT:
        after = f" after {run.limit:.10g} s" if run.limit else ""
        return Failed(cause=FailureCause.TIMEOUT, reason=f"timed out{after}")
    has_failed = _has_failed(seen, code, stopped, run.runtime)
    what = _happened(seen, code, run.runtime) if has_failed else None
    if stopped is Stopped.OVER_BUDGET:
        what = "over-budget"
    if answer and (not has_failed or answer.status != "completed" or what == "over-budget"):
        return _answered(answer, seen, run)
    if what:
        return _told(what, seen, run)
    return _unexplained(seen, code, stopped, has_failed, run, answer)


def without_outcome(seen: Seen, wrong: str = "") -> Failed:
    """The outcome of an agent that gave none, though it was asked; `wrong` says what it gave instead."""
    said = f"; its last message: {one_line(seen.text, 150)}" if seen.text.strip() else ""
    reason = f"the agent ended without an outcome that can be used{': ' + wrong if wrong else ''}{said}"
    return Failed(cause=FailureCause.NO_OUTCOME, reason=reason)


def is_session_lost(seen: Seen, runtime: AgentRuntime) -> bool:
    """The conversation that the run was to go on with is not there: it has to begin anew."""
    return _says([*seen.errors, *seen.noise], runtime.lost_session)


def _has_failed(seen: Seen, code: int | None, stopped: Stopped | None, runtime: AgentRuntime) -> bool:
    """The run failed by its own fault, or its model's. An error before its result was overcome."""
    if seen.is_error:
        return True
    if stopped is None:
        return bool(code) or (runtime.final is not None and not seen.is_final)
    return not seen.is_final and (bool(seen.errors) or stopped is Stopped.SILENT)


def _happened(seen: Seen, code: int | None, runtime: AgentRuntime) -> Happened | None:
    """What made the run fail, by its own words; None: nothing known."""
    if _says([seen.subtype], runtime.over_budget):
        return "over-budget"
    # What is no event may be anything, so it counts only where no event tells of the error.
    texts = seen.errors or seen.noise
    status = seen.status or _status_in(texts) or _status_in(seen.noise)
    if status in LIMIT_STATUSES:
        return "rate-limited"
    if status in LOGIN_STATUSES:
        return "login"
    if code is not None and code in runtime.exit_codes:
        return runtime.exit_codes[code]
    signs: tuple[tuple[Happened, tuple[str, ...]], ...] = (
        ("over-budget", runtime.over_budget),
        ("login", runtime.login),
        ("rate-limited", runtime.rate_limited),
        ("outage", runtime.outage),
        ("denied", runtime.denied),
    )
    found = next((what for what, signs_of in signs if _says(texts, signs_of)), None)
    return found or ("outage" if status and status >= 500 else None)


def _status_in(texts: list[str]) -> int | None:
    """The newest status code of a server in texts of errors, such as "unexpected status 503"."""
    found = [match for text in texts for match in STATUS.findall(text)]
    return int(found[-1]) if found else None


def _says(texts: Iterable[str], signs: tuple[str, ...]) -> bool:
    said = "\n".join(texts).lower()
    return any(sign.lower() in said for sign in signs)


def _answered(answer: Answer, seen: Seen, run: Run) -> Outcome:
    outcome = outcome_of(answer)
    is_for_a_person = isinstance(outcome, Blocked) and outcome.kind is BlockKind.INFORMATION
    if answer.status == "completed" or is_for_a_person or not seen.denials:
        return outcome
    assert isinstance(outcome, Blocked | Failed)  # nosec B101  # for the types alone
    return _refused(seen, run, outcome.reason)


def _told(what: Happened, seen: Seen, run: Run) -> Outcome:
    """The outcome of a run that says itself what went wrong."""
    said = _last(seen)
    match what:
        case "rate-limited":
            return _limited(seen, run, said)
        case "outage":
            wait = resets.growing(run.waits, run.chance)
            return RetryLater(after=wait, reason=f"the model of {run.program} cannot be reached{said}")
        case "login":
            advice = (
                f"log {run.program} in where the worker runs, set its key, or correct the model {run.model}"
            )
            return Blocked(
                kind=BlockKind.EXTERNAL,
                reason=f"{run.program} may not use its model{said}; {advice.rstrip()}, and unblock the task",
            )
        case "over-budget":
            return Blocked(kind=BlockKind.BUDGET, reason=used_up(run.budget, said), budget=run.over)
        case "denied":
            return _refused(seen, run, "")


def _limited(seen: Seen, run: Run, said: str) -> RetryLater:
    until = resets.wait(seen.resets, [*seen.noise, *seen.errors], run.now)
    model = run.model or seen.model or run.program
    reset = "" if until is None else f"; it is reset in {write(until)}"
    # A second more: the clocks of two machines differ.
    after = resets.growing(run.waits, run.chance) if until is None else until + 1.0
    return RetryLater(after=after, limit=model, reason=f"the limit of {model} is reached{reset}{said}")


def _refused(seen: Seen, run: Run, reason: str) -> Blocked:
    rules = list(dict.fromkeys(denial.rule for denial in seen.denials))
    refused = f" {some(rules, most=5)}" if rules else ""
    where = f"specialists.{run.specialist or 'NAME'}.agent.tools.allow"
    advice = f"; to allow it, add it to {where}, and unblock the task" if rules else _last(seen)
    said = f"; it says: {reason}" if reason else ""
    return Blocked(
        kind=BlockKind.PERMISSION, reason=f"{run.program} was refused{refused or ' a tool'}{advice}{said}"
    )


def _unexplained(
    seen: Seen, code: int | None, stopped: Stopped | None, has_failed: bool, run: Run, answer: Answer | None
) -> Outcome | None:
    said = _last(seen)
    if stopped is Stopped.SILENT and not seen.is_final:
        after = f" for {write(run.limit)}" if run.limit else ""
        return Failed(
            cause=FailureCause.STALLED, reason=f"the agent said nothing{after}, and was ended{said}"
        )
    if answer and answer.status == "completed":
        reason = f"{_ending(code)}, though its outcome says completed{said}"
        return Failed(cause=FailureCause.CODE, reason=reason)
    if seen.denials:
        return _refused(seen, run, "")
    if seen.is_error or (has_failed and seen.errors):
        return Failed(cause=FailureCause.REPORTED, reason=f"{run.program} reports an error{said}")
    if has_failed:
        return Failed(cause=FailureCause.CODE, reason=f"{_ending(code)}, without a result{said}")
    return None


def _ending(code: int | None) -> str:
    if not code:
        return "the agent ended too soon"
    if code > 0:
        return f"the agent ended with exit code {code}"
    try:
        return f"the agent was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"the agent was ended by signal {-code}"


def _last(seen: Seen) -> str:
    """The newest thing it said of the error, for the end of a reason; "" if there is none."""
    texts = seen.errors or seen.noise
    return f": {one_line(texts[-1], 300)}" if texts else ""
