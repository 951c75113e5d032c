"""Changes the state in Redis: one short method for each script in `lua/`. `reader` reads the state."""

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
from orchestrator.model.commands import BatchProgress, Launch, ScheduleResult
from orchestrator.model.feature import Feature, FeatureStatus, Strategy
from orchestrator.model.flows import FeatureEvent, FeatureFlow, Flow
from orchestrator.model.lifecycle import Attempts, Transition
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
"""How long the counts of replaced processes are kept after the last one."""

CHUNK = 1_000
"""Fields of a staged feature written by one command: enough to be fast, few enough not to block Redis."""

SCHEDULE = Call("schedule")

DEFAULT_FLOW = FeatureFlow("default", flows.SHIPPED_FEATURE_FLOWS["default"])

GROWTH_TRIES = 20
"""How often a growth is worked out again because the feature went on meanwhile."""


@dataclass(frozen=True)
class StartResult:
    """The answer to a worker that wants to start an attempt; start.lua lists the values of `code`."""

    code: str
    task: Task | None = None
    head: Mapping[str, Any] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)
    feature_status: str = ""
    wait: float = 0.0
    """Seconds that the worker waits before it begins, because its specialist has a rate."""

    @property
    def status(self) -> str:
        """The task's status in this attempt: in-progress, or testing if only its gates are left to run."""
        return str(self.state["status"])

    @property
    def attempts(self) -> Attempts:
        """The earlier attempts at the task."""
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
    """Reads and changes the state of all features.

    Args:
        client: A redis-py client that decodes responses; one of fakeredis works too.
        keys: The key names.
        events_kept: About how many events the stream of a feature keeps.
        url: The address of the client without a password, for error texts.
        queues: If this Redis is also Celery's broker: {specialist: its queue}, for queues that have another name than
            their specialist. The scripts then publish the tasks that they launch. None: the dispatcher publishes them.
        replicas: How many replicas must have an outcome or a new feature before it counts.
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
        """Run scripts whose writes must survive a failover. Without calls: check that all earlier writes survive one.

        Raises:
            NotReplicated: The scripts have run, but too few replicas have their writes.
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

        If the process dies in between, the staged keys expire.

        Args:
            feature_id: Its id.
            plan: Its plan.
            routes: The specialist of each task; a task whose route has none waits for one.
            flow: The feature's status flow.
            gated: The stages that have gates ("testing", "validating"), each with the specialist that runs them.
            auto_launch: False: after each batch the feature waits for a person to launch the next.
            stops: Numbers of batches that wait for a person in any case.
            idempotency_key: A name for this enqueue.
            content: The content that is enqueued under that name (see `repetition.content`).
            trace: Headers to add to each of its messages.

        Returns:
            ("enqueued", its id), or ("repeated", the id that the idempotency key stands for).

        Raises:
            FeatureExists: Another feature has this id.
            NoBarrier: The strategy is dataflow, which has no batches that could wait for a launch.
            NotReplicated: It is stored, but too few replicas have it. Enqueue it again.
        """
        if plan.strategy is Strategy.DATAFLOW and (stops or not auto_launch):
            asked = "stops" if stops else "auto_launch: false"
            raise errors.NoBarrier(title=plan.feature.title, asked=asked)
        keys = self.keys.feature(feature_id)
        exists = self.client.exists(keys.meta)  # read before the idempotency key, which is created with it
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
        """Write the large parts of a feature; returns their names."""
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

    # --- scheduling --------------------------------------------------------------------------------------

    def schedule(self, feature_id: str) -> ScheduleResult:
        """Launch the tasks that may start now.

        Raises:
            NoSuchFeature: There is none of this id.
        """
        (answer,) = self._run_on(feature_id, SCHEDULE)
        return self._schedule_result(feature_id, answer)

    def trace(self, feature_id: str) -> dict[str, Any]:
        """The trace headers of a feature's messages."""
        stored = self.client.hget(self.keys.feature(feature_id).meta, "trace")
        found: dict[str, Any] = json.loads(str(stored)) if stored else {}
        return found

    def _schedule_result(
        self, feature_id: str, answer: str | None, finished: BatchProgress | None = None
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

    # --- attempts ----------------------------------------------------------------------------------------

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
        (answer,) = self._run_on(feature_id, start)
        return _start_result(feature_id, task_id, answer)

    def transition_attempt(
        self, feature_id: str, task_id: str, attempt: int, move: Transition, *, worker: str
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
        move: Transition,
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
        move: Transition,
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
            NotReplicated: It is committed, but too few replicas have it. Call this again.
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
        finished = BatchProgress(*tally) if tally and tally[1] else None
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
        (code, _), answer = self._run_on(feature_id, requeue, SCHEDULE, ends=True)
        return code, self._schedule_result(feature_id, answer)

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
        (answer,) = self._run_on(feature_id, call, ends=True)
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
            calls.append((self._scope(feature_id), call))
        return scripts.run_each(self.client, calls) if calls else []

    # --- decisions of people -----------------------------------------------------------------------------

    def transition_task(
        self,
        feature_id: str,
        task_id: str,
        flow: Flow,
        move: Transition,
        note: str = "",
        *,
        resolve: str = "never",
        revoke: bool = False,
        reset_retries: bool = False,
    ) -> ScheduleResult:
        """Change the status of a task at a person's request, and launch the tasks that may start now.

        Args:
            feature_id: The feature.
            task_id: The task.
            flow: The task's flow, for the message of a refusal.
            move: What is asked for.
            note: Why, in the person's words.
            resolve: "resolve": the task counts as resolved then; "if-completed"; "never".
            revoke: A running attempt is revoked.
            reset_retries: Count the retries of the task from zero again.

        Raises:
            NoSuchFeature, NoSuchTask: There is none of this id.
            RefusedTransition: The flow does not allow it from the task's status, or the feature is over.
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
                "reset_retries": int(reset_retries),
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
            AttemptRuns: Its message is published, or it runs.
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
        """Change a feature's status or options at a person's request, and launch the tasks that may start now.

        Args:
            feature_id: The feature.
            event: A feature event changes the status by the feature's flow; any other event is only recorded.
            changes: Fields of its meta to set: cap, auto_launch, released, paused, stops.
            note: The person's reason.

        Raises:
            NoSuchFeature: There is none of this id.
            RefusedTransition: The flow does not allow the event from the feature's status.
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
        """Add tasks and dependencies to a feature, and launch the tasks that may start now.

        The feature keeps running while the growth is planned. If it has changed in a way that matters, the growth is
        planned again.

        Args:
            feature_id: The feature.
            decide: Plans the growth from the feature's current shape (see `extension.grow`). If it raises, nothing is
                changed, and the exception passes through.
            route: Chooses the specialist of each new task; a task whose route has none waits for one.

        Raises:
            NoSuchFeature: There is none of this id.
            GrowthContested: The feature changed during every try.

        Example:
            store.grow("auth", lambda shape: extension.grow(shape, [Task(id="T9")]), lambda tasks: routes)
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
        """Become the one worker that sweeps, for `seconds`; a further call extends that.

        A worker takes the lead over from one that knows only an older schema.
        """
        given = {
            "worker": worker,
            "milliseconds": round(seconds * 1000),
            "known": schema.VERSION,
        }
        answer = self._run(Call("acquire_leadership", given))
        return bool(answer == "leads")

    def raise_minimum(self, oldest: int) -> int:
        """Raise the oldest schema whose workers may work under this prefix; returns the one now in force."""
        return int(self._run(Call("raise_minimum", {"oldest": oldest})))

    def queued(self, queues: Iterable[str]) -> set[str]:
        """The queues, of those given, that have messages, if this Redis is the broker."""
        names = list(queues) if self.publishes else []
        pipeline = self.client.pipeline(transaction=False)
        for name in names:
            pipeline.llen(self.keys.queue(name))
        lengths = pipeline.execute(raise_on_error=False)  # a key that is not a queue must not fail the others
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
        """The random name of this state, chosen at the first call."""
        self.client.set(self.keys.identity, uuid.uuid4().hex, nx=True)
        return str(self.client.get(self.keys.identity))

    def refuse(self, reason: str) -> None:
        """Count a message that a worker refused."""
        self.client.hincrby(self.keys.refused, reason, 1)

    def take(self, nonce: str, *, seconds: float) -> bool:
        """Record that a canvas message was taken; False if it was taken before."""
        return bool(self.client.set(self.keys.nonce(nonce), 1, nx=True, px=round(seconds * 1000)))

    def note_replaced(self, worker: str) -> None:
        """Count a process of this worker that was replaced because it did not begin the task that it had taken."""
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
        found, answer = self._run_on(feature_id, recover, SCHEDULE)
        facts = self._schedule_result(feature_id, answer)
        return facts, tuple(Launch(*launch) for launch in json.loads(found)["unpublished"])

    # --- limits across features --------------------------------------------------------------------------

    def configure(self, wanted: Mapping[str, str], *, reset: bool = False) -> list[str]:
        """Store the configured limits. A limit that a person has set stays until its configuration changes.

        Args:
            wanted: All limits, as `limits.configured` gives them.
            reset: Replace also the limits that a person has set.

        Returns:
            The features to schedule now.
        """
        return self._change_limits(wanted, "reset" if reset else "configure")

    def set_limit(self, limit: str, amount: str) -> list[str]:
        """Set one limit until its configuration changes; `limits.change` gives the amount.

        Returns:
            The features to schedule now.
        """
        return self._change_limits({limit: amount}, "set")

    def _change_limits(self, amounts: Mapping[str, str], how: str) -> list[str]:
        given = {"amounts": json.dumps(dict(sorted(amounts.items()))), "how": how}
        answer: list[str] = self._run(Call("set_limits", given))
        return answer

    def take_due(self) -> tuple[float | None, list[str]]:
        """Seconds until the next token or retry is due, and the features that have one due now."""
        left, wake = self._run(Call("take_due"))
        return (float(left) / 1000 if left else None), wake

    def repair_limits(self) -> list[str]:
        """Take back the units that deleted features hold; returns the features to schedule now."""
        answer: list[str] = self._run(Call("repair_limits"))
        return answer

    # --- deletion ----------------------------------------------------------------------------------------

    def delete_feature(
        self, feature_id: str, older_than: float = 0.0, *, dry_run: bool = False
    ) -> tuple[str, str]:
        """Delete a feature that has been over for some seconds; with `dry_run`, only return what would happen.

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


def _steps(move: Transition) -> str:
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
