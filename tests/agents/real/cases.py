"""What the real programs are led through, to record what they print."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass

from tests.agents.real.answers import Answer, Tokens

OUTCOME = {"status": "completed", "summary": "The greeting is written.", "handoff": "greet() is in greet.py"}
SCHEMA = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in OUTCOME},
    "required": list(OUTCOME),
    "additionalProperties": False,
}

WRITES = Answer(write={"path": "greet.py", "content": "print('hello')"}, usage=Tokens(1_200, 0, 400, 80))
RUNS = Answer(run="echo checked", usage=Tokens(100, 1_600, 0, 20))
TELLS = Answer(result=OUTCOME, usage=Tokens(50, 1_700, 0, 40, 10))
TOUCHES = Answer(run="touch /var/tmp/agent-was-here", usage=Tokens(100, 1_600, 0, 20))
BROKEN = Answer(text="Hello", cut=True)
SILENT = Answer(hang=True)


@dataclass(frozen=True)
class Case:
    """One launch.

    `ends` is the signal that ends it, once the model was asked `at` times and the program is quiet. `resumes` names
    the case whose conversation goes on, in its folder, or in another one (`elsewhere`). `refused` leads it to a port
    where nobody listens. `only` names the programs that can do it; else all.
    """

    name: str
    says: str
    script: Sequence[Answer] = (TELLS,)
    wants_schema: bool = False
    budget: float | None = None
    turns: int | None = None
    partial: bool = False
    ends: int = 0
    at: int = 0
    resumes: str = ""
    elsewhere: bool = False
    refused: bool = False
    only: tuple[str, ...] = ()


def trouble(status: int, message: str, **headers: str) -> Answer:
    """An error of the API."""
    return Answer(
        status=status, message=message, headers={key.replace("_", "-"): text for key, text in headers.items()}
    )


PLAN_LIMIT = {"type": "usage_limit_reached", "plan_type": "plus", "resets_at": 1_893_456_000}
LIMIT = "This request would exceed your organization's rate limit."

CASES = (
    Case(
        "result", "It writes a file, runs a command, and ends with an outcome as text.", (WRITES, RUNS, TELLS)
    ),
    Case(
        "partial",
        "As result, with the parts of each message.",
        (WRITES, RUNS, TELLS),
        partial=True,
        only=("claude",),
    ),
    Case(
        "killed-partial",
        "It is killed while the model thinks, and told the parts of its messages.",
        (WRITES, SILENT),
        partial=True,
        ends=signal.SIGKILL,
        at=2,
        only=("claude",),
    ),
    Case("schema", "Its outcome is a structured output.", (WRITES, TELLS), wants_schema=True),
    Case(
        "denied",
        "A tool is refused, and it says that it is blocked.",
        (TOUCHES, Answer(result={"status": "blocked", "summary": "I may not run it.", "handoff": ""})),
    ),
    Case("empty", "Its last message has no text.", (Answer(text=""),)),
    Case("no-outcome", "It ends with words and no outcome.", (Answer(text="All done."),)),
    Case(
        "rate-limited", "The API answers 429, with a second to wait.", (trouble(429, LIMIT, retry_after="1"),)
    ),
    Case(
        "rate-limited-long",
        "The API answers 429, with an hour to wait; a program that waits is ended.",
        (trouble(429, LIMIT, retry_after="3600"),),
        ends=signal.SIGTERM,
        at=1,
    ),
    Case(
        "rate-limited-later",
        "The API answers 429 after some work.",
        (WRITES, trouble(429, LIMIT, retry_after="1")),
    ),
    Case(
        "usage-limit",
        "The limit of a subscription is reached, until a moment that the API names.",
        (Answer(status=429, message="The usage limit has been reached", error=PLAN_LIMIT),),
        only=("codex",),
    ),
    Case("overloaded", "The API answers 529.", (trouble(529, "Overloaded"),)),
    Case("outage", "The API answers 503.", (trouble(503, "The service is unavailable."),)),
    Case("refused", "Nobody listens at the address of the API.", refused=True),
    Case("unauthorized", "The API answers 401.", (trouble(401, "invalid x-api-key"),)),
    Case("forbidden", "The API answers 403.", (trouble(403, "Your key may not use this model."),)),
    Case(
        "unknown-model",
        "The API answers 404: it knows no such model.",
        (trouble(404, "model: no such model"),),
    ),
    Case("budget", "Its own cap on the cost is reached.", (WRITES, RUNS), budget=0.005, only=("claude",)),
    Case("turns", "Its own cap on the turns is reached.", (WRITES, RUNS), turns=2, only=("claude",)),
    Case(
        "cut",
        "The stream of an answer breaks off, each time.",
        (BROKEN,),
        only=("claude", "codex", "gemini"),  # opencode asks again without end
    ),
    Case(
        "cut-twice", "The stream of an answer breaks off, twice.", (BROKEN, BROKEN, TELLS), only=("opencode",)
    ),
    Case(
        "killed",
        "It is killed while the model thinks, after some work.",
        (WRITES, SILENT),
        ends=signal.SIGKILL,
        at=2,
    ),
    Case("resumed", "The killed conversation goes on.", (TELLS,), resumes="killed"),
    Case(
        "ended",
        "It gets SIGTERM while the model thinks, after some work.",
        (WRITES, SILENT),
        ends=signal.SIGTERM,
        at=2,
    ),
    Case(
        "resumed-elsewhere", "A conversation is to go on in another folder.", resumes="ended", elsewhere=True
    ),
    Case("resumed-unknown", "A conversation is to go on that was never begun.", (TELLS,), resumes="none"),
)
