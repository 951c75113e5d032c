"""The truth, in Redis, and how it changes: one short method for each script of `lua/`. `reader` reads it."""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import redis

from orchestrator.model import errors, flows, lifecycle, sanitizer
from orchestrator.model.feature import Feature, FeatureStatus, Strategy
from orchestrator.model.flows import FeatureEvent, FeatureFlow, Flow
from orchestrator.model.lifecycle import Attempts, BatchTally, Launch, Move, ScheduleResult
from orchestrator.model.outcome import Completed, Failed, FailureCause, Outcome
from orchestrator.model.plan import Route, Schedule
from orchestrator.model.progress import Tail
from orchestrator.model.task import Task
from orchestrator.planning import sketch
from orchestrator.planning.extension import Growth, Shape
from orchestrator.state import encoding, schema, scripts
from orchestrator.state.keys import FeatureKeys, Keys
from orchestrator.state.reader import StateReader, readable
from orchestrator.state.scripts import Call, Scope
from orchestrator.state.workers import Workers

IDEMPOTENCY_DAYS = 7
STAGED_SECONDS = 3_600
REPLACED_SECONDS = 7 * 86_400
"""For so long after the last one it is known which workers had to replace processes."""

CHUNK = 1_000
"""Fields written by one command of a staged feature: large enough to be fast, small enough not to block Redis."""

SCHEDULE = Call("schedule")

DEFAULT_FLOW = FeatureFlow("default", flows.SHIPPED_FEATURE_FLOWS["default"])

GROWTH_TRIES = 20
"""How often a growth is worked out anew because the feature went on meanwhile."""


@dataclass(frozen=True)
class StartResult:
    """The answer to a worker that wants to begin an attempt; `code` as in start.lua."""

    code: str
    task: Task | None = None
    head: Mapping[str, Any] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)
    feature_status: str = ""
    wait: float = 0.0
    """Seconds until the work is to begin: its specialist has a rate."""

    @property
    def status(self) -> str:
        """The task's status in this attempt: in-progress, or testing where only its gates are to be run."""
        return str(self.state["status"])

    @property
    def attempts(self) -> Attempts:
        """What came before this attempt."""
        state = self.state
        return Attempts(
            int(state.get("retried", 0)), bool(state.get("escalated")), int(state.get("later", 0))
        )


@dataclass(frozen=True)
class Claim:
    """What a process may take with the commit of an attempt.

    Args:
        queues: The queues in the order in which they are asked, each with the specialists whose messages it may take.
        worker: The name of its worker.
        lease: Seconds of the lease of the attempt that it takes.
        delivery: A name for this delivery. With the same one the process may ask again.
    """

    queues: Mapping[str, Sequence[str]]
    worker: str
    lease: float
    delivery: str

    @property
    def process(self) -> str:
        """The process that asks: the worker, and the id of the process, which is in the delivery."""
        return f"{self.worker}/{self.delivery.partition('-')[0]}"


@dataclass(frozen=True)
class Taken:
    """An attempt that was taken and begun with the commit of the one before."""

    queue: str
    message: str
    """Its message, as it stood in the queue."""
    id: tuple[str, str, int]
    """The feature, the task and the number of the attempt."""
    started: Sequence[Any]
    """The answer of start.lua."""

    def result(self) -> StartResult:
        """What the attempt is about.

        Raises:
            UnreadableFeature: Its task cannot be read.
        """
        return _start_result(self.id[0], self.id[1], self.started)


def _start_result(feature_id: str, task_id: str, answer: Sequence[Any]) -> StartResult:
    code, *rest = answer
    if code != "started":
        return StartResult(code)
    task, head, state, status, wait = rest
    with readable(feature_id):
        return StartResult(
            code,
            encoding.parse_task(task, task_id) if task else None,
            encoding.parse_head(head),
            json.loads(state),
            status,
            int(wait) / 1000,
        )


class Store(StateReader):
    """All the state of all features, to read and to change.

    Args:
        client: A redis-py client that decodes responses. fakeredis' serves too.
        keys: The key names.
        events_kept: About how many events each feature's stream keeps.
        url: Where the client connects to, for messages, without a password.
        queues: Where this Redis is Celery's broker too: the queues of the specialists whose queue is not called as they
            are. What is launched is published in the same step then. None: the dispatcher publishes it.
        replicas: So many replicas have an outcome, or a new feature, before it counts.
    """

    def __init__(
        self,
        client: redis.Redis,
        keys: Keys,
        *,
        events_kept: int = 1_000_000,
        url: str = "Redis",
        queues: Mapping[str, str] | None = None,
        replicas: int = 0,
    ) -> None:
        super().__init__(client, keys)
        self.replicas = replicas
        self.events_kept = events_kept
        self.url = url
        self.workers = Workers(client, keys)
        self.publishes = queues is not None
        self._queues = json.dumps(dict(queues)) if queues is not None else ""

    def _scope(self, feature_id: str = "") -> Scope:
        common = {"events_kept": self.events_kept, "queues": self._queues, "random": secrets.token_hex(6)}
        return Scope(self.keys, feature_id, common)

    def _run_safely(self, scope: Scope, *calls: Call) -> list[Any]:
        """Run scripts whose writes have to outlast a failover; with none, ask whether all writes so far do.

        Raises:
            NotReplicated: They are run, but too few replicas have it.
        """
        if not self.replicas:
            return scripts.run(self.client, scope, *calls) if calls else []
        answers, there = scripts.run_replicated(
            self.client, scope, *calls, mark=self.keys.replicated, replicas=self.replicas
        )
        if there < self.replicas:
            raise errors.NotReplicated(url=self.url, there=there, wanted=self.replicas)
        return answers

    # --- enqueue -----------------------------------------------------------------------------------------

    def enqueue(
        self,
        feature_id: str,
        plan: Schedule,
        routes: Mapping[str, Route],
        *,
        flow: FeatureFlow = DEFAULT_FLOW,
        gated: Mapping[str, str] | None = None,
        auto_launch: bool = True,
        stops: Sequence[int] = (),
        idempotency_key: str | None = None,
        content: Mapping[str, str] | None = None,
        trace: Mapping[str, Any] | None = None,
    ) -> tuple[str, str]:
        """Store a planned feature: stage all of it, then make it visible in one step.

        What is staged expires by itself if the process dies in between.

        Args:
            feature_id: Its id.
            plan: What runs when.
            routes: Who does each task; a route without a specialist leaves its task waiting for one.
            flow: The feature's status flow.
            gated: The stages that have gates ("testing", "validating"), each with the specialist that runs them.
            auto_launch: False: after each batch the feature waits for launch.
            stops: Numbers of batches that wait for launch in any case.
            idempotency_key: A name for this enqueue.
            content: What is asked for under that name (see `repetition.content`).
            trace: Headers that each of its messages is to have.

        Returns:
            ("enqueued", its id), or ("repeated", the id that the idempotency key stands for).

        Raises:
            FeatureExists: Another feature has this id.
            NoBarrier: The strategy is dataflow, and batches are to wait for launch.
            NotReplicated: It is stored, but too few replicas have it. To be asked again.
        """
        if plan.strategy is Strategy.DATAFLOW and (stops or not auto_launch):
            asked = "stops" if stops else "auto_launch: false"
            raise errors.NoBarrier(title=plan.feature.title, asked=asked)
        keys = self.keys.feature(feature_id)
        exists = self.client.exists(keys.meta)  # asked before the key, which comes into being with it
        if idempotency_key:
            earlier = self.client.get(self.keys.idempotency(idempotency_key))
            if earlier:
                self._run_safely(self._scope())
                return "repeated", str(earlier)
        if exists:
            raise errors.FeatureExists(feature=feature_id)
        staged = keys.staged(uuid.uuid4().hex)
        parts = self._stage(staged, plan, routes, gated or {})
        meta: dict[str, str | int | float] = {
            "schema": schema.VERSION,
            "title": plan.feature.title,
            "head": _head(feature_id, plan.feature),
            "status": FeatureStatus.PLANNING,
            "flow": flow.name,
            "transitions": encoding.describe_transitions(flow.table(list(gated or {}))),
            "strategy": plan.strategy,
            "cap": plan.cap,
            "auto_launch": int(auto_launch),
            "stops": ",".join(map(str, stops)),
            "released": 0 if 1 in stops else 1,
            "total": len(plan.feature.tasks),
            "batch": 0,
            "batches": len(plan.batches),
            "expected": plan.expected_seconds,
        }
        if any(task.resources for task in plan.feature.tasks):
            meta["resourced"] = 1
        if trace:
            meta["trace"] = json.dumps(trace)
        if idempotency_key:
            meta["idempotency"] = idempotency_key
            meta["content"] = json.dumps(dict(content or {}))
        idempotency = self.keys.idempotency(idempotency_key) if idempotency_key else keys.meta
        enqueue = Call(
            "enqueue",
            {
                "idempotency_ms": IDEMPOTENCY_DAYS * 86_400_000 if idempotency_key else 0,
                "staged": staged.part(""),
                "parts": json.dumps(parts),
                "fields": json.dumps([str(part) for pair in meta.items() for part in pair]),
            },
            {"idempotency": idempotency},
        )
        ((code, found),) = self._run_on(feature_id, enqueue, run=self._run_safely)
        if code == "exists":
            raise errors.FeatureExists(feature=feature_id)
        return code, found

    def _stage(
        self, keys: FeatureKeys, plan: Schedule, routes: Mapping[str, Route], gated: Mapping[str, str]
    ) -> list[str]:
        """Write the big parts of a feature; returns their names."""
        batches, places, totals = encoding.describe_batches(
            plan.batches, routes, plan.expected_seconds, plan.cap
        )
        if plan.strategy is Strategy.DATAFLOW:
            places = {
                task: encoding.ranked(rank, places[task]) for rank, task in enumerate(plan.order, start=1)
            }
        for stage, specialist in gated.items():
            places[f"@{stage}"] = f"0:0:{specialist}"
        hashes: dict[str, Mapping[str, Any]] = {
            "tasks": {task.id: encoding.describe_task(task) for task in plan.feature.tasks},
            "plan": places,
            "batches": batches,
            "counts": totals,
        }
        if plan.strategy is Strategy.DATAFLOW:
            hashes |= encoding.describe_joins(plan)
        pipeline = self.client.pipeline(transaction=False)
        for part, fields in hashes.items():
            for chunk in _chunks(list(fields.items()), CHUNK):
                pipeline.hset(keys.part(part), mapping=dict(chunk))
            pipeline.expire(keys.part(part), STAGED_SECONDS)
        pipeline.execute()
        return list(hashes)

    # --- what is launched --------------------------------------------------------------------------------

    def schedule(self, feature_id: str) -> ScheduleResult:
        """Launch what may start now.

        Raises:
            NoSuchFeature: There is none of this id.
        """
        (answer,) = self._run_on(feature_id, SCHEDULE)
        return self._schedule_result(feature_id, answer)

    def trace(self, feature_id: str) -> dict[str, Any]:
        """The headers that each message of a feature is to have."""
        stored = self.client.hget(self.keys.feature(feature_id).meta, "trace")
        found: dict[str, Any] = json.loads(str(stored)) if stored else {}
        return found

    def _schedule_result(
        self, feature_id: str, answer: str | None, finished: BatchTally | None = None
    ) -> ScheduleResult:
        if answer is None:
            raise errors.NoSuchFeature(feature=feature_id)
        found = json.loads(answer)
        return ScheduleResult(
            feature=feature_id,
            status=schema.word(FeatureStatus, found["status"]),
            launched=tuple(Launch(*launch) for launch in found["launched"]),
            opened=tuple(found["opened"]),
            finished=finished,
            wake=tuple(found["wake"]),
        )

    # --- an attempt --------------------------------------------------------------------------------------

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
        """Begin an attempt, with a lease of so many seconds; the same delivery of its message may ask twice."""
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
        (answer,) = self._run_on(feature_id, start)
        return _start_result(feature_id, task_id, answer)

    def transition_attempt(
        self, feature_id: str, task_id: str, attempt: int, move: Move, *, worker: str
    ) -> str:
        """Move a running attempt to its next status: "transitioned", or why not (see transition_attempt.lua)."""
        transition = Call(
            "transition_attempt",
            {"task": task_id, "attempt": attempt, "steps": _steps(move), "worker": worker},
        )
        ((code, _),) = self._run_on(feature_id, transition, ends=True)
        return str(code)

    def finish(
        self,
        feature_id: str,
        task_id: str,
        attempt: int,
        outcome: Outcome,
        move: Move,
        *,
        worker: str = "",
        delivery: str = "",
        title: str = "",
    ) -> tuple[str, str, ScheduleResult]:
        """Commit an outcome and launch what follows from it (see `finish_and_take`)."""
        code, status, scheduled, _ = self.finish_and_take(
            feature_id, task_id, attempt, outcome, move, worker=worker, delivery=delivery, title=title
        )
        return code, status, scheduled

    def finish_and_take(
        self,
        feature_id: str,
        task_id: str,
        attempt: int,
        outcome: Outcome,
        move: Move,
        *,
        worker: str = "",
        delivery: str = "",
        title: str = "",
        claim: Claim | None = None,
    ) -> tuple[str, str, ScheduleResult, Taken | None]:
        """Commit an outcome, launch what follows from it, and begin the next attempt, in one transaction.

        With a `delivery`, only where that delivery of the message began the attempt. With the `title` of the feature,
        how long a completed attempt took is learned for the next feature of this title. With a `claim`, the process
        takes the next message that it may take, whatever the code says.

        Returns:
            The code (see finish.lua), the task's status now, what was scheduled, and what was taken.

        Raises:
            NoSuchFeature: There is none of this id.
            NotReplicated: It is committed, but too few replicas have it. To be asked again.
        """
        is_learned = title and isinstance(outcome, Completed)
        finish = Call(
            "finish",
            {
                "task": task_id,
                "attempt": attempt,
                "steps": _steps(move),
                "outcome": outcome.model_dump_json(),
                "wait": "" if move.wait is None else round(move.wait * 1000),
                "uses": move.counts,
                "cause": move.cause,
                "route": move.route,
                "worker": worker,
                "delivery": delivery,
                "kept": sketch.KEPT if is_learned else 0,
                "kept_ms": sketch.DAYS * 86_400_000,
                "note": move.note,
            },
            {"durations": self.keys.durations(title)},
        )
        take = [self._take_next(claim)] if claim else []
        (code, status, *tally), answer, *taken = self._run_on(
            feature_id, finish, SCHEDULE, *take, ends=True, run=self._run_safely
        )
        finished = BatchTally(*tally) if tally and tally[1] else None
        scheduled = self._schedule_result(feature_id, answer, finished)
        return code, status, scheduled, _taken(*taken) if any(taken) else None

    def _take_next(self, claim: Claim) -> Call:
        given = {
            "allowed": json.dumps(list(claim.queues.items())),
            "lease_ms": round(claim.lease * 1000),
            "worker": claim.worker,
            "delivery": claim.delivery,
            "known": schema.VERSION,
        }
        return Call("take_next", given, {"taken": self.keys.taken(claim.process)})

    def taken_by(self, claim: Claim) -> tuple[str, str, int] | None:
        """The attempt that was taken by a claim whose answer did not arrive, if one was."""
        stored = str(self.client.get(self.keys.taken(claim.process)) or "")
        first, _, message = stored.partition("\n")
        if not first.startswith(f"{claim.delivery} "):
            return None
        feature_id, task_id, attempt = json.loads(json.loads(message)["body"])[0]
        return feature_id, task_id, attempt

    def renew(
        self, attempts: Sequence[tuple[str, str, int]], *, lease: float, delivery: str = ""
    ) -> list[str]:
        """Renew the leases of (feature, task, attempt)s for so many seconds, in one round trip.

        Args:
            attempts: Which ones.
            lease: Seconds.
            delivery: The delivery that began them, where whoever asks knows it; any other one does not renew them.

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
            calls.append((self._scope(feature_id), Call("renew", given)))
        return scripts.run_each(self.client, calls) if calls else []

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
        """Take an attempt back from a worker that ends, and launch what follows from it: as a rule, the task again.

        Args:
            feature_id: Its feature.
            task_id: Its task.
            attempt: Its number.
            worker: Who hands it back; what another one has begun stays where it is.
            delivery: The delivery that began it, where whoever asks knows it; that of any other one stays too.
            most: Attempts of a task that may be handed back before it fails.

        Returns:
            The code (see requeue.lua), and what was scheduled.

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
        (code, _), answer = self._run_on(feature_id, requeue, SCHEDULE, ends=True)
        return code, self._schedule_result(feature_id, answer)

    def report_progress(
        self, feature_id: str, task_id: str, attempt: int, percent: float | None, note: str
    ) -> str:
        """Keep what a running attempt reports of its progress: "reported", or "stale" if it does not run any more."""
        given = {
            "task": task_id,
            "attempt": attempt,
            "percent": "" if percent is None else percent,
            "note": sanitizer.as_line(note),
        }
        call = Call("report_progress", given)
        (answer,) = self._run_on(feature_id, call, ends=True)
        return str(answer)

    def save_log_tails(self, tails: Mapping[tuple[str, str, int], Tail | None]) -> list[str]:
        """Keep the ends of what running attempts have put out, in one round trip; None: drop what is kept of one.

        Args:
            tails: By (feature, task, attempt).

        Returns:
            For each: "kept", "dropped" or "stale" (see save_log_tail.lua).
        """
        calls = []
        for (feature_id, task_id, attempt), tail in tails.items():
            text = encoding.describe_tail(tail) if tail else ""
            call = Call("save_log_tail", {"task": task_id, "attempt": attempt, "tail": text})
            calls.append((self._scope(feature_id), call))
        return scripts.run_each(self.client, calls) if calls else []

    # --- what people ask for -----------------------------------------------------------------------------

    def transition_task(
        self,
        feature_id: str,
        task_id: str,
        flow: Flow,
        move: Move,
        note: str = "",
        *,
        resolve: str = "never",
        revoke: bool = False,
        anew: bool = False,
    ) -> ScheduleResult:
        """Change the status of a task as a person asked, and launch what follows from it.

        Args:
            feature_id: The feature.
            task_id: The task.
            flow: The task's flow, for the message of a refusal.
            move: What is asked for.
            note: Why, in the person's words.
            resolve: "resolve": the task counts as resolved then; "if-completed"; "never".
            revoke: A running attempt is revoked.
            anew: The task's retries begin anew.

        Raises:
            NoSuchFeature, NoSuchTask: There is none of this id.
            RefusedTransition: The flow does not have it from where the task stands, or the feature is over.
            AttemptRuns: An attempt runs, and `revoke` is false.
        """
        call = Call(
            "transition_task",
            {
                "task": task_id,
                "steps": _steps(move),
                "note": sanitizer.as_text(note),
                "resolve": resolve,
                "revoke": int(revoke),
                "anew": int(anew),
            },
        )
        (code, status, _), answer = self._run_on(feature_id, call, SCHEDULE)
        facts = self._schedule_result(feature_id, answer)
        match code:
            case "missing":
                raise errors.NoSuchTask(feature=feature_id, task=task_id)
            case "running":
                raise errors.AttemptRuns(feature=feature_id, task=task_id, status=status)
            case "over":
                raise errors.FeatureOver(feature=feature_id, status=status, event=move.event)
            case "refused":
                raise lifecycle.refuse(feature_id, task_id, move.steps[0][0], status, flow.table, flow.name)
        return facts

    def assign(self, feature_id: str, task_id: str, specialist: str, note: str = "") -> ScheduleResult:
        """Give a task that has not started another specialist, and launch it if its turn has come.

        Raises:
            NoSuchFeature, NoSuchTask: There is none of this id.
            AttemptRuns: It is published or runs.
        """
        given = {"task": task_id, "specialist": specialist, "note": sanitizer.as_text(note)}
        call = Call("assign", given)
        (code, *_), answer = self._run_on(feature_id, call, SCHEDULE)
        facts = self._schedule_result(feature_id, answer)
        if code == "missing":
            raise errors.NoSuchTask(feature=feature_id, task=task_id)
        if code == "running":
            raise errors.AttemptRuns(feature=feature_id, task=task_id, status="launched")
        return facts

    def update_feature(
        self, feature_id: str, event: str, changes: Mapping[str, Any] | None = None, note: str = ""
    ) -> ScheduleResult:
        """Change a feature's status or what it may do next, as a person asked, and launch what follows from it.

        Args:
            feature_id: The feature.
            event: A feature event moves the status by the feature's table; any other is only recorded.
            changes: Fields of its meta to set: cap, auto_launch, released, paused, stops.
            note: Why, in the person's words.

        Raises:
            NoSuchFeature: There is none of this id.
            RefusedTransition: The feature does not stand where this can happen.
        """
        update = Call(
            "update_feature",
            {
                "event": event,
                "moves": int(event in list(FeatureEvent)),
                "changes": json.dumps(dict(changes or {})),
                "note": sanitizer.as_text(note),
            },
        )
        (code, status), answer = self._run_on(feature_id, update, SCHEDULE)
        if code == "missing":
            raise errors.NoSuchFeature(feature=feature_id)
        if code == "refused":
            raise lifecycle.refuse(feature_id, "", event, status, *self._flow(feature_id))
        return self._schedule_result(feature_id, answer)

    def _flow(self, feature_id: str) -> tuple[Mapping[str, Mapping[str, str]], str]:
        """The transitions of a feature's flow, and its name."""
        fields = ["flow", "transitions", "table"]
        flow, transitions, table = self.client.hmget(self.keys.feature(feature_id).meta, fields)
        return encoding.parse_transitions(str(transitions or table or "")), str(flow)

    def grow(
        self,
        feature_id: str,
        decide: Callable[[Shape], Growth],
        route: Callable[[Sequence[Task]], Mapping[str, Route]],
    ) -> ScheduleResult:
        """Take new tasks and dependencies into a feature, and launch what follows from it.

        The feature goes on while that is worked out. Where it has changed by then in what matters, it is worked out
        anew.

        Args:
            feature_id: The feature.
            decide: Works out the growth from the feature as it stands (see `growth.grow`); what it raises is raised,
                and nothing is changed.
            route: Who does each of the new tasks; a route without a specialist leaves its task waiting for one.

        Raises:
            NoSuchFeature: There is none of this id.
            GrowthContested: The feature changed each time.

        Example:
            store.grow("auth", lambda shape: growth.grow(shape, [Task(id="T9")]), lambda tasks: routes)
        """
        for _ in range(GROWTH_TRIES):
            decided = decide(self.shape(feature_id))
            if not decided.added and not decided.changed:
                return self.schedule(feature_id)
            grow = self._grow(feature_id, decided, route(decided.added))
            code, answer = self._run_on(feature_id, grow, SCHEDULE)
            if code == "grown":
                return self._schedule_result(feature_id, answer)
        raise errors.GrowthContested(feature=feature_id, tries=GROWTH_TRIES)

    def _grow(self, feature_id: str, decided: Growth, routes: Mapping[str, Route]) -> Call:
        stored = self._stored(self.keys.feature(feature_id), decided.changed)
        given = {
            "open": decided.shape.open,
            "grown": decided.shape.grown,
            "growth": json.dumps(encoding.describe_growth(decided, routes, stored)),
        }
        return Call("grow", given)

    def _stored(self, keys: FeatureKeys, tasks: Sequence[Task]) -> dict[str, Any]:
        ids = [task.id for task in tasks]
        return dict(zip(ids, self.client.hmget(keys.tasks, ids), strict=True)) if ids else {}

    # --- the sweep ---------------------------------------------------------------------------------------

    def acquire_leadership(self, worker: str, seconds: float) -> bool:
        """Become the one worker that sweeps, for so many seconds; asking again prolongs it.

        A worker takes the lead from one that knows only an older schema.
        """
        given = {
            "worker": worker,
            "milliseconds": round(seconds * 1000),
            "known": schema.VERSION,
        }
        answer = self._run(Call("acquire_leadership", given))
        return bool(answer == "leads")

    def raise_minimum(self, oldest: int) -> int:
        """Ask for the oldest schema whose workers may work under this prefix; the one that is in force now."""
        return int(self._run(Call("raise_minimum", {"oldest": oldest})))

    def queued(self, queues: Iterable[str]) -> set[str]:
        """Those of the queues that have messages, where this Redis is the broker."""
        names = list(queues) if self.publishes else []
        pipeline = self.client.pipeline(transaction=False)
        for name in names:
            pipeline.llen(self.keys.queue(name))
        lengths = pipeline.execute(
            raise_on_error=False
        )  # one may be no queue, which the others must not pay for
        return {
            name for name, length in zip(names, lengths, strict=True) if isinstance(length, int) and length
        }

    def is_queued(self, queue: str, message_id: str) -> bool:
        """Whether a message of this id waits in a queue, where this Redis is the broker."""
        start, mark = 0, json.dumps(message_id)
        while found := cast(
            "list[str]", self.client.lrange(self.keys.queue(queue), start, start + CHUNK - 1)
        ):
            if any(mark in message for message in found):
                return True
            start += CHUNK
        return False

    @cached_property
    def identity(self) -> str:
        """The name of this state; given to it when it is first asked for."""
        self.client.set(self.keys.identity, uuid.uuid4().hex, nx=True)
        return str(self.client.get(self.keys.identity))

    def refuse(self, reason: str) -> None:
        """Count a message that a worker refused."""
        self.client.hincrby(self.keys.refused, reason, 1)

    def take(self, nonce: str, *, seconds: float) -> bool:
        """Take note of a message of a canvas; False: it was taken before."""
        return bool(self.client.set(self.keys.nonce(nonce), 1, nx=True, px=round(seconds * 1000)))

    def note_replaced(self, worker: str) -> None:
        """Count a process of this worker that was replaced, because it did not begin what it took."""
        pipeline = self.client.pipeline(transaction=True)
        pipeline.hincrby(self.keys.replaced, worker, 1)
        pipeline.expire(self.keys.replaced, REPLACED_SECONDS)
        pipeline.execute()

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
        """Take back what lost workers held, launch what may start now, and find launches whose message was lost.

        Args:
            feature_id: An active feature; one that is gone leaves the list of active ones.
            losses: Attempts of a task that may be lost before it fails.
            patience: Seconds after which a launch that has not started is looked into.
            lease: Seconds for which a lease is given.
            regain: Seconds that everybody has to renew their leases after an outage.
            overdue: How many times its expected duration a batch may take before that is noticed.
            overdue_least: Seconds that it may take longer in any case.
            queued: The queues that had messages when the sweep began, as `queued` gives them. A message that the sweep
                sends again must not keep it from sending the next.

        Returns:
            What was scheduled, and what to publish again, where the store does not do it.

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
        found, answer = self._run_on(feature_id, recover, SCHEDULE)
        facts = self._schedule_result(feature_id, answer)
        return facts, tuple(Launch(*launch) for launch in json.loads(found)["unpublished"])

    # --- limits that hold over all features --------------------------------------------------------------

    def configure(self, wanted: Mapping[str, str], *, anew: bool = False) -> list[str]:
        """Make the limits known that are configured. What was set since stays, unless it is configured differently now.

        Args:
            wanted: All limits, as `limits.configured` gives them.
            anew: What was set since does not stay.

        Returns:
            The features that are to be scheduled now.
        """
        return self._change_limits(wanted, "reset" if anew else "configure")

    def set_limit(self, limit: str, amount: str) -> list[str]:
        """Change one limit, until it is configured differently; the amount as `limits.change` gives it.

        Returns:
            The features that are to be scheduled now.
        """
        return self._change_limits({limit: amount}, "set")

    def _change_limits(self, amounts: Mapping[str, str], how: str) -> list[str]:
        given = {"amounts": json.dumps(dict(sorted(amounts.items()))), "how": how}
        answer: list[str] = self._run(Call("set_limits", given))
        return answer

    def take_due(self) -> tuple[float | None, list[str]]:
        """Seconds until the next token or retry is due, and the features that one is there for now."""
        left, wake = self._run(Call("take_due"))
        return (float(left) / 1000 if left else None), wake

    def repair_limits(self) -> list[str]:
        """Take back what features hold that are gone; the features that are to be scheduled now."""
        answer: list[str] = self._run(Call("repair_limits"))
        return answer

    # --- the end of what is over -------------------------------------------------------------------------

    def delete_feature(
        self, feature_id: str, older_than: float = 0.0, *, dry_run: bool = False
    ) -> tuple[str, str]:
        """Delete a feature that has been over for so many seconds; with `dry_run`, only say what would become of it.

        Returns:
            The code (see delete_feature.lua), and its status.
        """
        keys = self.keys.feature(feature_id)
        name = self.client.hget(keys.meta, "idempotency")
        delete = Call(
            "delete_feature",
            {
                "parts": json.dumps(keys.parts()),
                "over_ms": round(older_than * 1000),
                "dry_run": int(dry_run),
            },
            {"idempotency": self.keys.idempotency(str(name)) if name else keys.meta},
        )
        ((code, status),) = self._run_on(feature_id, delete)
        return code, status


def _steps(move: Move) -> str:
    return json.dumps(move.steps)


def _chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _head(feature_id: str, feature: Feature) -> str:
    return json.dumps(
        {
            "id": feature_id,
            "title": feature.title,
            "description": feature.description,
            "tags": feature.tags,
        }
    )


def _taken(answer: Sequence[Any]) -> Taken:
    queue, message, feature_id, task_id, attempt, started = answer
    return Taken(queue, message, (feature_id, task_id, int(attempt)), started)
