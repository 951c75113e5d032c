"""The sweep in Redis: who leads, what was lost, which queues have messages."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import cast

from orchestrator.model import lifecycle
from orchestrator.model.commands import Launch, ScheduleResult
from orchestrator.model.outcome import Failed, FailureCause
from orchestrator.state import schema
from orchestrator.state.chunks import CHUNK
from orchestrator.state.script_runner import SCHEDULE, ScriptRunner, read_schedule_result
from orchestrator.state.scripts import Call


class RecoveryScripts:
    """The scripts of the workers' leader: the lead, the queues, the sweep of a feature.

    Args:
        runner: Runs the scripts.
    """

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner

    def acquire_leadership(self, worker: str, seconds: float) -> bool:
        """Become the one worker that sweeps, for `seconds`; a further call extends that.

        A worker takes the lead over from one that knows only an older schema.
        """
        given = {
            "worker": worker,
            "milliseconds": round(seconds * 1000),
            "known": schema.VERSION,
        }
        answer = self._runner.run(Call("acquire_leadership", given))
        return bool(answer == "leads")

    def raise_minimum(self, oldest: int) -> int:
        """Raise the oldest schema whose workers may work under this prefix; returns the one now in force."""
        return int(self._runner.run(Call("raise_minimum", {"oldest": oldest})))

    def queued(self) -> set[str]:
        """The queues that have messages, if this Redis is the broker."""
        queues = self._runner.queues
        if queues is None:
            return set()
        names = list(queues.used)
        pipeline = self._runner.client.pipeline(transaction=False)
        for name in names:
            pipeline.llen(queues.key(name))
        lengths = pipeline.execute(raise_on_error=False)  # a key that is not a queue must not fail the others
        return {
            name for name, length in zip(names, lengths, strict=True) if isinstance(length, int) and length
        }

    def is_queued(self, message_id: str) -> bool:
        """Whether a message of this id waits in a queue, if this Redis is the broker."""
        queues = self._runner.queues
        return queues is not None and any(self._has(queues.key(name), message_id) for name in queues.used)

    def _has(self, key: str, message_id: str) -> bool:
        start, mark = 0, json.dumps(message_id)
        while found := cast("list[str]", self._runner.client.lrange(key, start, start + CHUNK - 1)):
            if any(mark in message for message in found):
                return True
            start += CHUNK
        return False

    def recover(
        self,
        feature_id: str,
        *,
        losses: int,
        patience: float,
        lease: float = 10.0,
        regain: float = 5.0,
        overdue: float = 1.5,
        overdue_least: float = 60.0,
        queued: Collection[str] = (),
    ) -> tuple[ScheduleResult, tuple[Launch, ...]]:
        """Take back the attempts of lost workers, launch the tasks that may start now, and find lost messages.

        Args:
            feature_id: An active feature; if it no longer exists, it is removed from the active ones.
            losses: How many attempts of a task may be lost before it fails.
            patience: Seconds after which a launched task that has not started is checked.
            lease: Seconds of a lease.
            regain: Seconds that workers have to renew their leases after an outage.
            overdue: A batch is overdue when it takes this many times its expected duration,
            overdue_least: and at least this many seconds more.
            queued: The queues that had messages when the sweep began, from `queued`. (Read before, so that a message
                that the sweep sends again does not hide the loss of the next.)

        Returns:
            The schedule result, and the launches that the caller must publish again if the store does not publish.

        Raises:
            NoSuchFeature: There is none of this id any more.
        """
        reason = f"its worker was lost {losses + 1} times"
        recover = Call(
            "recover",
            {
                "losses": losses,
                "patience_ms": round(patience * 1000),
                "failed": Failed(cause=FailureCause.WORKER_LOST, reason=reason).model_dump_json(),
                "asking": lifecycle.ask_whether_done("its worker was lost").model_dump_json(),
                "overdue": overdue,
                "overdue_least_ms": round(overdue_least * 1000),
                "lease_ms": round(lease * 1000),
                "regain_ms": round(regain * 1000),
                "queued": json.dumps(dict.fromkeys(queued, True)),
            },
        )
        found, answer = self._runner.run_on(feature_id, recover, SCHEDULE)
        scheduled = read_schedule_result(feature_id, answer)
        return scheduled, tuple(Launch(*launch) for launch in json.loads(found)["unpublished"])
