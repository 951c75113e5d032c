"""Work for agents elsewhere: they claim a task, report on it, and end it."""

from __future__ import annotations

import functools
import os
import socket
import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from orchestrator.engine.claims import Claims, name_of
from orchestrator.model import durations, errors, words
from orchestrator.model.outcome import Blocked, BlockKind, Completed, Failed, Outcome
from orchestrator.model.sanitizer import as_line
from orchestrator.model.usage import Usage, UsageVerdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.client.client import Client
    from orchestrator.engine.attempt import Attempt

LOOK_SECONDS = 0.5
"""Between two looks for a task, while an agent waits for one."""

LONGEST_NAME = 100
"""Characters of an agent's name."""


class Claim:
    """A task that an agent has, until it reports how it ended or is silent for longer than `mcp.lease`.

    Args:
        claims: The steps that a worker would take.
        attempt: The attempt that the agent has begun.

    Example:
        while claim := client.claim("reviewer", wait=60):
            claim.progress(note="reading")
            claim.complete("no objections")
    """

    def __init__(self, claims: Claims, attempt: Attempt) -> None:
        self._claims = claims
        self._attempt = attempt
        self.token = name_of(attempt)
        """By it, `Client.claimed` finds the claim again in any process."""
        self.feature, self.task = attempt.feature_id, attempt.task
        self.attempt, self.specialist, self.worker = attempt.number, attempt.specialist, attempt.worker
        self.wait = attempt.started.wait
        """Seconds to wait before the work begins, because the specialist has a rate."""

    def __repr__(self) -> str:
        return f"Claim({self.token!r})"

    @property
    def lease(self) -> float:
        """Seconds that the agent may be silent; each report begins them anew."""
        return self._claims.settings.mcp.lease

    @cached_property
    def brief(self) -> str:
        """What is to be done, on what it builds, what persons have remarked, and when it counts as done."""
        later = (
            f"Begin in {durations.write(self.wait)}: its specialist has a rate.\n" if self.wait >= 1 else ""
        )
        return later + self._claims.brief(self._attempt)

    def progress(self, percent: float | None = None, note: str = "") -> None:
        """Report how far the work is, and keep the task.

        Raises:
            ClaimEnded: The agent does not have the task any more: it is to stop.
        """
        self._attempt = self._claims.find(self.token)
        if percent is not None or note:
            self._claims.recorder.report_progress(*self._attempt.id, percent, note)

    def use(self, *usages: Usage) -> UsageVerdict:
        """Report what the agent has used since its claim, and keep the task. Sums: a report may come twice, or late.

        Args:
            usages: Of each model. Without a cost they are priced, if the model's price is known.

        Returns:
            What it may still use. Where a budget is used up (`is_over`), it is to end by `block` with the kind budget.

        Raises:
            ClaimEnded: The agent does not have the task any more: it is to stop.

        Example:
            left = claim.use(Usage(model="claude-haiku-4-5", input=1_200, output=300, requests=1))
        """
        self._attempt = self._claims.find(self.token)
        return self._claims.count(self._attempt, usages)

    def end(self, outcome: Outcome) -> str:
        """End the work by an outcome; the status of the task now. It is testing while a worker runs its gates.

        Raises:
            ClaimEnded: The agent does not have the task any more, and nothing was changed.
            BadOutcome: It is too large, or JSON cannot hold it.
        """
        self._attempt = self._claims.find(self.token)
        return self._claims.conclude(self._attempt, outcome)

    def complete(self, summary: str = "", *, result: Any = None, handoff: str = "") -> str:
        """The work is done. As `end`.

        Args:
            summary: A line.
            result: A JSON value for who reads the outcome.
            handoff: What those who go on from here have to know.
        """
        return self.end(Completed(summary=summary, result=result, handoff=handoff))

    def block(self, reason: str, kind: BlockKind | str = BlockKind.TECHNICAL) -> str:
        """The work cannot go on until somebody removes an obstacle. As `end`."""
        return self.end(Blocked(kind=kind, reason=reason))

    def fail(self, reason: str, *, retry: bool | None = None) -> str:
        """The work went wrong. As `end`; `retry` as of `Failed`."""
        return self.end(Failed(reason=reason, retry=retry))

    def release(self) -> None:
        """Give the task back undone: the next agent gets it, ahead of all others.

        Raises:
            ClaimEnded: The agent does not have the task any more.
        """
        self._attempt = self._claims.find(self.token)
        self._claims.release(self._attempt)


def claim(
    client: Client,
    specialist: str = "",
    *,
    feature: str = "",
    wait: float = 0.0,
    worker: str = "",
    look: Callable[[float], object] | None = None,
) -> Claim | None:
    """Claim the next task that waits for an agent, as `Client.claim`.

    Args:
        client: Of the settings in force.
        specialist, feature, wait, worker, look: As of `Client.claim`.
    """
    claims, names = _claims_of(client), _specialists(client, specialist)
    claims.check_prompts(names)
    if feature:
        client.feature(feature)
    began = time.monotonic()
    while True:
        waited = time.monotonic() - began
        if look:
            look(waited)
        if attempt := claims.begin(names, feature, _name(worker)):
            return Claim(claims, attempt)
        left = wait - (time.monotonic() - began)
        if left <= 0:
            return None
        time.sleep(min(LOOK_SECONDS, left))


def claimed(client: Client, token: str) -> Claim:
    """The claim of a token, as `Client.claimed`."""
    claims = _claims_of(client)
    return Claim(claims, claims.find(token))


def _claims_of(client: Client) -> Claims:
    return Claims(client.settings, client.store, client.dispatcher)


def _specialists(client: Client, wanted: str) -> Sequence[str]:
    """The specialists whose tasks agents claim, or the one that is wanted.

    Raises:
        NotClaimed: There is none, or no agent claims the tasks of this one.
    """
    pulled = client.settings.pulled
    if not wanted:
        if not pulled:
            raise errors.NotClaimed(specialist="any specialist", reason="none has the runtime pull")
        return pulled
    name = client.settings.find_specialist(wanted)
    if name is None:
        raise errors.NotClaimed(
            specialist=wanted,
            reason=f"no specialist is called so{words.did_you_mean(wanted, client.settings.specialists)}",
        )
    if name not in pulled:
        raise errors.NotClaimed(specialist=name, reason="workers do them")
    return (name,)


def _name(worker: str) -> str:
    return as_line(worker)[:LONGEST_NAME] or _own_name()


@functools.cache
def _own_name() -> str:
    """The name of an agent in this process that has given none."""
    return f"agent:{socket.gethostname()}/{os.getpid()}"
