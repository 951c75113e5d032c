"""The tasks that wait for agents: launched tasks of specialists whose agents ask for work (`agent: {runtime: pull}`).

Such a task is launched as any other: it has its slot, its limits and its attempt. In the place of a message to a queue,
the launch makes an entry in a sorted set in the Redis of the state, in the same script. A claim takes an entry out
and begins its attempt, in one script too (claim.lua). So:

- Two agents never get the same task: the slot says who holds it, as for workers.
- The order is that of the launches; what a lost or released claim gave back goes first. Limits and priorities have done
  their part before, at the launch.
- The broker does not matter: no message is sent, and none can be lost. The state of the feature is the truth, and an
  entry only points to it. One that is stale (cancelled, held, forgotten) is dropped by the claim that meets it, and the
  sweep makes one again that is missing.

A queue of Celery's would have needed a consumer of its own for each broker, and would show messages as lost that wait
for days. Looking through all features at each claim would cost more with each feature.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from orchestrator.state.script_runner import ScriptRunner
from orchestrator.state.scripts import Call
from orchestrator.state.start_result import StartResult, read_start_result

MOST = 100
"""Entries that are read at once: most claims begin the first of them."""


class Offer(NamedTuple):
    """A launched task that waits for an agent."""

    specialist: str
    feature: str
    task: str
    attempt: int


class Offers:
    """Lists what waits for agents, and begins it for one.

    Args:
        runner: Runs the scripts.
    """

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner

    def waiting(self, specialists: Iterable[str]) -> Iterator[Offer]:
        """What waits for an agent of these specialists, the next one first."""
        names, start = list(specialists), 0
        while names:
            pipeline = self._runner.client.pipeline(transaction=False)
            for name in names:
                pipeline.zrange(self._runner.keys.offered(name), start, start + MOST - 1, withscores=True)
            found = list(zip(names, pipeline.execute(), strict=True))
            placed = [(score, name, entry) for name, entries in found for entry, score in entries]
            for _, name, entry in sorted(placed):
                feature, task, attempt = str(entry).split(" ")
                yield Offer(name, feature, task, int(attempt))
            names = [name for name, entries in found if len(entries) == MOST]
            start += MOST

    def claim(self, offer: Offer, *, worker: str, lease: float, delivery: str) -> StartResult:
        """Begin the attempt of an offer under a lease of `lease` seconds; the code says whether it began.

        The same delivery may claim twice, where the answer was lost.

        Raises:
            UnreadableFeature: The attempt has begun, but its task cannot be read.
        """
        call = Call(
            "claim",
            {
                "task": offer.task,
                "attempt": offer.attempt,
                "lease_ms": round(lease * 1000),
                "worker": worker,
                "specialist": offer.specialist,
                "delivery": delivery,
            },
            {"offered": self._runner.keys.offered(offer.specialist)},
        )
        (answer,) = self._runner.run_on(offer.feature, call)
        return read_start_result(offer.feature, offer.task, answer)
