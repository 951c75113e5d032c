"""The life of an attempt in Redis: one short method for each script."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter

from orchestrator.model import lifecycle, sanitizer
from orchestrator.model.agent_history import AgentSession, EarlierAttempt
from orchestrator.model.commands import BatchProgress, ScheduleResult
from orchestrator.model.fields import Model
from orchestrator.model.outcome import Completed, Failed, FailureCause, Outcome
from orchestrator.planning import sketch
from orchestrator.state import encoding, schema, scripts
from orchestrator.state.script_runner import SCHEDULE, ScriptRunner, read_schedule_result, readable
from orchestrator.state.scripts import Call
from orchestrator.state.start_result import Claim, StartResult, Taken, read_start_result, read_taken

if TYPE_CHECKING:
    from orchestrator.model.lifecycle import Transition
    from orchestrator.model.progress import Tail

EARLIER_KEPT = 20
"""Attempts of which a later one of an agent is told."""

M = TypeVar("M", bound=Model)


class AttemptScripts:
    """Changes attempts: started, renewed, handed back, finished.

    Args:
        runner: Runs the scripts.
    """

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner

    def start(
        self,
        feature_id: str,
        task_id: str,
        attempt: int,
        *,
        specialist: str,
        worker: str,
        lease: float,
        delivery: str = "",
    ) -> StartResult:
        """Start an attempt under a lease of `lease` seconds. The same delivery of its message may call this twice."""
        start = Call(
            "start",
            {
                "task": task_id,
                "attempt": attempt,
                "lease_ms": round(lease * 1000),
                "worker": worker,
                "specialist": specialist,
                "delivery": delivery,
            },
        )
        (answer,) = self._runner.run_on(feature_id, start)
        return read_start_result(feature_id, task_id, answer)

    def transition_attempt(
        self, feature_id: str, task_id: str, attempt: int, transition: Transition, *, worker: str
    ) -> str:
        """Move a running attempt to its next status: "transitioned", or why not (see transition_attempt.lua)."""
        call = Call(
            "transition_attempt",
            {"task": task_id, "attempt": attempt, "steps": transition.written_steps, "worker": worker},
        )
        ((code, _),) = self._runner.run_on(feature_id, call, ends=True)
        return str(code)

    def finish(
        self,
        feature_id: str,
        task_id: str,
        attempt: int,
        outcome: Outcome,
        transition: Transition,
        *,
        worker: str = "",
        delivery: str = "",
        title: str = "",
    ) -> tuple[str, str, ScheduleResult]:
        """Commit an outcome and launch what follows from it (see `finish_and_take`)."""
        code, status, scheduled, _ = self.finish_and_take(
            feature_id, task_id, attempt, outcome, transition, worker=worker, delivery=delivery, title=title
        )
        return code, status, scheduled

    def finish_and_take(
        self,
        feature_id: str,
        task_id: str,
        attempt: int,
        outcome: Outcome,
        transition: Transition,
        *,
        worker: str = "",
        delivery: str = "",
        title: str = "",
        claim: Claim | None = None,
        replacement: Mapping[str, Any] | None = None,
        earlier: EarlierAttempt | None = None,
    ) -> tuple[str, str, ScheduleResult, Taken | None]:
        """Commit an outcome, launch what follows from it, and begin the next attempt, in one transaction.

        With a `delivery`, only where that delivery of the message began the attempt. With the `title` of the feature,
        how long a completed attempt took is learned for the next feature of this title. With a `claim`, the process
        takes the next message that it may take, whatever the code says. With a `replacement`, other tasks come into the
        place of this one (see `encoding.describe_replacement`). With `earlier`, a later attempt of an agent is
        told of this one.

        Returns:
            The code (see finish.lua), the task's status now, what was scheduled, and what was taken.

        Raises:
            NoSuchFeature: There is none of this id.
            NotReplicated: It is committed, but too few replicas have it. Call this again.
        """
        is_learned = title and isinstance(outcome, Completed)
        finish = Call(
            "finish",
            {
                "task": task_id,
                "attempt": attempt,
                "steps": transition.written_steps,
                "outcome": encoding.describe_outcome(outcome),
                "wait": "" if transition.wait is None else round(transition.wait * 1000),
                "uses": transition.counts,
                "cause": transition.cause,
                "route": transition.route,
                "worker": worker,
                "delivery": delivery,
                "kept": sketch.KEPT if is_learned else 0,
                "kept_ms": sketch.DAYS * 86_400_000,
                "note": transition.note,
            },
            {"durations": self._runner.keys.durations(title)},
        )
        take = [self._take_next(claim)] if claim else []
        replace = []
        if replacement is not None:
            replace = [Call("replace", {"task": task_id, "replacement": json.dumps(replacement)})]
        if earlier:
            replace.append(self._remember(task_id, earlier, transition))
        (code, status, *tally), *answers = self._runner.run_on(
            feature_id, finish, *replace, SCHEDULE, *take, ends=True, run=self._runner.run_safely
        )
        answer, *taken = answers[len(replace) :]
        finished = BatchProgress(*tally) if tally and tally[1] else None
        scheduled = read_schedule_result(feature_id, answer, finished)
        return code, status, scheduled, read_taken(*taken) if any(taken) else None

    def _remember(self, task_id: str, earlier: EarlierAttempt, transition: Transition) -> Call:
        given = {
            "task": task_id,
            "earlier": earlier.model_dump_json(exclude_defaults=True),
            "most": EARLIER_KEPT,
            "goes_on": "" if transition.counts in ("tries", "rung") else "1",
        }
        return Call("remember", given)

    def save_session(
        self, feature_id: str, task_id: str, attempt: int, delivery: str, session: AgentSession
    ) -> str:
        """Keep the conversation of an agent: "kept", or "stale" if this delivery does not hold the attempt any more."""
        given = {
            "task": task_id,
            "attempt": attempt,
            "delivery": delivery,
            "session": session.model_dump_json(exclude_defaults=True),
        }
        (answer,) = self._runner.run_on(feature_id, Call("save_session", given))
        return str(answer)

    def history(
        self, feature_id: str, task_id: str
    ) -> tuple[AgentSession | None, tuple[EarlierAttempt, ...]]:
        """The conversation that an agent can go on with, and the attempts before, the oldest first.

        Raises:
            UnreadableFeature: They cannot be read.
        """
        key = self._runner.keys.feature(feature_id).agents
        session, earlier = self._runner.client.hmget(key, f"session {task_id}", f"earlier {task_id}")
        with readable(feature_id):
            return (
                _read(AgentSession, session) if session else None,
                tuple(_read(EarlierAttempt, text) for text in json.loads(earlier or "[]")),
            )

    def take(self, feature_id: str, claim: Claim) -> Taken | None:
        """Begin the next attempt, as `finish_and_take` does after a commit; None where there is none to take.

        Args:
            feature_id: The feature of the last attempt. The next may be of another.
            claim: The claim.
        """
        (answer,) = self._runner.run_on(feature_id, self._take_next(claim), ends=True)
        return read_taken(answer) if answer else None

    def _take_next(self, claim: Claim) -> Call:
        given = {
            "allowed": "\n".join("\t".join([queue, *names]) for queue, names in claim.queues.items()),
            "lease_ms": round(claim.lease * 1000),
            "worker": claim.worker,
            "delivery": claim.delivery,
            "known": schema.VERSION,
        }
        return Call("take_next", given, {"taken": self._runner.keys.taken(claim.process)})

    def taken_by(self, claim: Claim) -> tuple[str, str, int] | None:
        """The attempt that was taken by a claim whose answer did not arrive, if one was."""
        stored = str(self._runner.client.get(self._runner.keys.taken(claim.process)) or "")
        first, _, message = stored.partition("\n")
        if not first.startswith(f"{claim.delivery} "):
            return None
        feature_id, task_id, attempt = json.loads(json.loads(message)["body"])[0]
        return feature_id, task_id, attempt

    def renew(
        self, attempts: Sequence[tuple[str, str, int]], *, lease: float, delivery: str = ""
    ) -> list[str]:
        """Renew the leases of attempts in one round trip.

        Args:
            attempts: (feature, task, attempt) of each.
            lease: Seconds.
            delivery: The delivery that started them, if known: then no other delivery can renew them.
        Returns:
            For each: "renewed", "cancelled" or "lost" (see renew.lua).
        """
        calls = []
        for feature_id, task_id, attempt in attempts:
            given = {
                "task": task_id,
                "attempt": attempt,
                "lease_ms": round(lease * 1000),
                "delivery": delivery,
            }
            calls.append((self._runner.scope(feature_id), Call("renew", given)))
        return scripts.run_each(self._runner.client, calls) if calls else []

    def requeue(
        self,
        feature_id: str,
        task_id: str,
        attempt: int,
        *,
        worker: str,
        delivery: str = "",
        most: int = 20,
    ) -> tuple[str, ScheduleResult]:
        """Take an attempt back from a worker that shuts down, and launch what may start now: usually the same task.

        Args:
            feature_id: Its feature.
            task_id: Its task.
            attempt: Its number.
            worker: The worker that hands it back. An attempt that another worker started stays as it is.
            delivery: The delivery that started it, if known. An attempt of another delivery stays as it is.
            most: How many attempts may be handed back before the task fails.

        Returns:
            The code (see requeue.lua), and the schedule result.

        Raises:
            NoSuchFeature: There is none of this id.
        """
        reason = (
            f"its workers ended {most + 1} times before it was finished; give it a worker that runs for long enough, "
            "or a longer recovery.grace"
        )
        requeue = Call(
            "requeue",
            {
                "task": task_id,
                "attempt": attempt,
                "worker": worker,
                "delivery": delivery,
                "most": most,
                "failed": Failed(cause=FailureCause.WORKER_ENDS, reason=reason).model_dump_json(),
                "asking": lifecycle.ask_whether_done("its worker ended").model_dump_json(),
            },
        )
        (code, _), answer = self._runner.run_on(feature_id, requeue, SCHEDULE, ends=True)
        return code, read_schedule_result(feature_id, answer)

    def report_progress(
        self, feature_id: str, task_id: str, attempt: int, percent: float | None, note: str
    ) -> str:
        """Store the progress that a running attempt reports: "reported", or "stale" if it does not run any more."""
        given = {
            "task": task_id,
            "attempt": attempt,
            "percent": "" if percent is None else percent,
            "note": sanitizer.as_line(note),
        }
        call = Call("report_progress", given)
        (answer,) = self._runner.run_on(feature_id, call, ends=True)
        return str(answer)

    def save_log_tails(self, tails: Mapping[tuple[str, str, int], Tail | None]) -> list[str]:
        """Store the ends of the output of running attempts, in one round trip.

        Args:
            tails: The end of the output by (feature, task, attempt); None drops the stored one.

        Returns:
            For each: "kept", "dropped" or "stale" (see save_log_tail.lua).
        """
        calls = []
        for (feature_id, task_id, attempt), tail in tails.items():
            text = encoding.describe_tail(tail) if tail else ""
            call = Call("save_log_tail", {"task": task_id, "attempt": attempt, "tail": text})
            calls.append((self._runner.scope(feature_id), call))
        return scripts.run_each(self._runner.client, calls) if calls else []


def _read(kind: type[M], text: str | bytes) -> M:
    return schema.read(TypeAdapter(kind), text)
