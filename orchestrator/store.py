"""The truth, in Redis, and how it changes: one short method for each script of `lua/`. `records` reads it."""

from __future__ import annotations

import itertools
import json
import secrets
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import redis

from orchestrator import encoding, errors, flows, growth, lifecycle, schema, scripts, sketch, texts
from orchestrator.flows import FeatureEvent, FeatureFlow, Flow, TaskEvent
from orchestrator.growth import Growth, Shape
from orchestrator.keys import FeatureKeys, Keys
from orchestrator.lifecycle import Attempts, BatchTally, Facts, Launch, Move
from orchestrator.models import (
    OVER,
    Completed,
    Failed,
    FailureCause,
    Feature,
    FeatureStatus,
    Outcome,
    Route,
    Schedule,
    Strategy,
    Tail,
    Task,
)
from orchestrator.records import Records, readable
from orchestrator.scripts import Call
from orchestrator.workers import Workers

IDEMPOTENCY_DAYS = 7
STAGED_SECONDS = 3_600
REPLACED_SECONDS = 7 * 86_400
"""For so long after the last one it is known which workers had to replace processes."""

CHUNK = 1_000
"""Fields written by one command of a staged feature: large enough to be fast, small enough not to block Redis."""

OVER_CSV = ",".join(OVER)

DEFAULT_FLOW = FeatureFlow("default", flows.SHIPPED_FEATURE_FLOWS["default"])

_ANY_FLOW = Flow("any", ("backlog", "pending", "in-progress", "testing", "completed"))
# How an attempt begins, and how it is lost, is the same in every flow: known before the task, and so its flow, is.
BEGINS = json.dumps(
    {
        status: (event, target)
        for event in (TaskEvent.WORK_STARTED, TaskEvent.GATES_STARTED)
        for status, target in _ANY_FLOW.table[event].items()
    }
)
HANDED_BACK = json.dumps(_ANY_FLOW.table[TaskEvent.WORK_HANDED_BACK])
LOST = json.dumps(_ANY_FLOW.table[TaskEvent.WORKER_LOST])
LOST_UNREPEATABLE = json.dumps(_ANY_FLOW.table[TaskEvent.BLOCKER_DETECTED])
LOST_FOR_GOOD = json.dumps(_ANY_FLOW.table[TaskEvent.WORK_FAILED])

GROWTH_TRIES = 20
"""How often a growth is worked out anew because the feature went on meanwhile."""


@dataclass(frozen=True)
class Grant:
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


class Store(Records):
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

    def _run_safely(self, *calls: Call) -> list[Any]:
        """Run scripts whose writes have to outlast a failover; with none, ask whether all writes so far do.

        Raises:
            NotReplicated: They are run, but too few replicas have it.
        """
        if not self.replicas:
            return scripts.run(self.client, *calls) if calls else []
        answers, there = scripts.run_replicated(
            self.client, *calls, mark=self.keys.replicated, replicas=self.replicas
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
                self._run_safely()
                return "repeated", str(earlier)
        if exists:
            raise errors.FeatureExists(feature=feature_id)
        staged = self._stage(keys.staged(uuid.uuid4().hex), plan, routes, gated or {})
        meta: dict[str, str | int | float] = {
            "schema": schema.needed([feature_id, *(task.id for task in plan.feature.tasks)]),
            "title": plan.feature.title,
            "head": _head(feature_id, plan.feature),
            "status": FeatureStatus.PLANNING,
            "flow": flow.name,
            "table": json.dumps(flow.table(list(gated or {}))),
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
            [
                keys.meta,
                self.keys.features,
                self.keys.active,
                keys.events,
                idempotency,
                *(key for part in staged for key in (staged[part], getattr(keys, part))),
            ],
            [
                feature_id,
                IDEMPOTENCY_DAYS * 86_400_000 if idempotency_key else 0,
                self.events_kept,
                *itertools.chain.from_iterable(meta.items()),
            ],
        )
        ((code, found),) = self._run_on(feature_id, enqueue, run=self._run_safely)
        if code == "exists":
            raise errors.FeatureExists(feature=feature_id)
        return code, found

    def _stage(
        self, keys: FeatureKeys, plan: Schedule, routes: Mapping[str, Route], gated: Mapping[str, str]
    ) -> dict[str, str]:
        """Write the big parts of a feature; returns their names and the keys they are at."""
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
        staged = {part: getattr(keys, part) for part in hashes}
        pipeline = self.client.pipeline(transaction=False)
        for part, fields in hashes.items():
            for chunk in _chunks(list(fields.items()), CHUNK):
                pipeline.hset(staged[part], mapping=dict(chunk))
            pipeline.expire(staged[part], STAGED_SECONDS)
        pipeline.execute()
        return staged

    # --- what the cascade launches -----------------------------------------------------------------------

    def cascade(self, feature_id: str) -> Facts:
        """Launch what may start now.

        Raises:
            NoSuchFeature: There is none of this id.
        """
        (answer,) = self._run_on(feature_id, self._cascade(feature_id))
        return self._facts(feature_id, answer)

    def trace(self, feature_id: str) -> dict[str, Any]:
        """The headers that each message of a feature is to have."""
        stored = self.client.hget(self.keys.feature(feature_id).meta, "trace")
        found: dict[str, Any] = json.loads(str(stored)) if stored else {}
        return found

    def _cascade(self, feature_id: str) -> Call:
        keys = self.keys.feature(feature_id)
        return Call(
            "cascade",
            [
                keys.meta,
                keys.states,
                keys.counts,
                keys.batches,
                keys.ready,
                keys.slots,
                keys.delayed,
                keys.plan,
                keys.unassigned,
                keys.events,
                self.keys.active,
                keys.waits,
                keys.dependents,
                keys.resolved,
                self.keys.finished,
                self.keys.limits,
                keys.waiting,
                keys.freed,
                keys.tasks,
            ],
            [
                feature_id,
                OVER_CSV,
                self.events_kept,
                self._queues,
                self.keys.prefix,
                ",".join(flows.TAKEN_UP),
                secrets.token_hex(6),
            ],
        )

    def _facts(self, feature_id: str, answer: str | None, finished: BatchTally | None = None) -> Facts:
        if answer is None:
            raise errors.NoSuchFeature(feature=feature_id)
        found = json.loads(answer)
        return Facts(
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
    ) -> Grant:
        """Begin an attempt, with a lease of so many seconds; the same delivery of its message may ask twice."""
        keys = self.keys.feature(feature_id)
        start = Call(
            "start",
            [
                keys.meta,
                keys.states,
                keys.counts,
                keys.slots,
                keys.tasks,
                keys.events,
                self.keys.taken,
                self.keys.limits,
                self.keys.full,
                keys.plan,
            ],
            [
                task_id,
                attempt,
                BEGINS,
                round(lease * 1000),
                worker,
                OVER_CSV,
                self.events_kept,
                specialist,
                delivery,
            ],
        )
        ((code, *rest),) = self._run_on(feature_id, start)
        if code != "started":
            return Grant(code)
        task, head, state, status, wait = rest
        with readable(feature_id):
            return Grant(
                code,
                encoding.parse_task(task, task_id) if task else None,
                encoding.parse_head(head),
                json.loads(state),
                status,
                int(wait) / 1000,
            )

    def proceed(self, feature_id: str, task_id: str, attempt: int, move: Move, *, worker: str) -> str:
        """Move a running attempt on to its next status: "proceeded", or why not (see proceed.lua)."""
        keys = self.keys.feature(feature_id)
        proceed = Call(
            "proceed",
            [keys.states, keys.counts, keys.slots, keys.events],
            [task_id, attempt, _steps(move), worker, self.events_kept],
        )
        ((code, _),) = self._run_on(feature_id, proceed, ends=True)
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
    ) -> tuple[str, str, Facts]:
        """Commit an outcome and launch what follows from it, in one transaction.

        With a `delivery`, only where that delivery of the message began the attempt. With the `title` of the feature,
        how long a completed attempt took is learned for the next feature of this title.

        Returns:
            The code (see finish.lua), the task's status now, and what the cascade found.

        Raises:
            NoSuchFeature: There is none of this id.
            NotReplicated: It is committed, but too few replicas have it. To be asked again.
        """
        keys = self.keys.feature(feature_id)
        is_learned = title and isinstance(outcome, Completed)
        finish = Call(
            "finish",
            [
                keys.states,
                keys.counts,
                keys.slots,
                keys.delayed,
                keys.outcomes,
                keys.events,
                keys.plan,
                keys.resolved,
                keys.freed,
                self.keys.durations(title),
            ],
            [
                task_id,
                attempt,
                _steps(move),
                outcome.model_dump_json(),
                "" if move.wait is None else round(move.wait * 1000),
                move.counts,
                ",".join(lifecycle.RESOLVED),
                move.cause,
                move.route,
                worker,
                self.events_kept,
                delivery,
                sketch.KEPT if is_learned else 0,
                sketch.DAYS * 86_400_000,
                move.note,
            ],
        )
        (code, status, *tally), answer = self._run_on(
            feature_id, finish, self._cascade(feature_id), ends=True, run=self._run_safely
        )
        finished = BatchTally(*tally) if tally and tally[1] else None
        return code, status, self._facts(feature_id, answer, finished)

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
            keys = self.keys.feature(feature_id)
            calls.append(
                Call(
                    "renew",
                    [keys.meta, keys.states, keys.slots],
                    [task_id, attempt, round(lease * 1000), OVER_CSV, delivery],
                )
            )
        return scripts.run_each(self.client, calls) if calls else []

    def hand_back(
        self,
        feature_id: str,
        task_id: str,
        attempt: int,
        *,
        worker: str,
        delivery: str = "",
        most: int = 20,
    ) -> tuple[str, Facts]:
        """Take an attempt back from a worker that ends, and launch what follows from it: as a rule, the task anew.

        Args:
            feature_id: Its feature.
            task_id: Its task.
            attempt: Its number.
            worker: Who hands it back; what another one has begun stays where it is.
            delivery: The delivery that began it, where whoever asks knows it; that of any other one stays too.
            most: Attempts of a task that may be handed back before it fails.

        Returns:
            The code (see hand_back.lua), and what the cascade found.

        Raises:
            NoSuchFeature: There is none of this id.
        """
        keys = self.keys.feature(feature_id)
        hand_back = Call(
            "hand_back",
            [
                keys.meta,
                keys.states,
                keys.counts,
                keys.slots,
                keys.ready,
                keys.outcomes,
                keys.events,
                keys.plan,
                keys.tasks,
                keys.freed,
                keys.delayed,
                keys.resolved,
            ],
            [
                task_id,
                attempt,
                HANDED_BACK,
                TaskEvent.WORK_HANDED_BACK,
                LOST_UNREPEATABLE,
                TaskEvent.BLOCKER_DETECTED,
                lifecycle.ask_whether_done("its worker ended").model_dump_json(),
                OVER_CSV,
                worker,
                self.events_kept,
                delivery,
                most,
                LOST_FOR_GOOD,
                TaskEvent.WORK_FAILED,
                Failed(
                    cause=FailureCause.WORKER_ENDS,
                    reason=f"its workers ended {most + 1} times before it was finished; give it a worker that runs "
                    "for long enough, or a longer recovery.grace",
                ).model_dump_json(),
            ],
        )
        (code, _), answer = self._run_on(feature_id, hand_back, self._cascade(feature_id), ends=True)
        return code, self._facts(feature_id, answer)

    def note(self, feature_id: str, task_id: str, attempt: int, percent: float | None, note: str) -> str:
        """Keep what a running attempt says about its progress: "noted", or "stale" if it does not run any more."""
        keys = self.keys.feature(feature_id)
        call = Call(
            "note",
            [keys.states, keys.slots, keys.events],
            [task_id, attempt, "" if percent is None else percent, texts.as_line(note), self.events_kept],
        )
        (answer,) = self._run_on(feature_id, call, ends=True)
        return str(answer)

    def keep_tails(self, tails: Mapping[tuple[str, str, int], Tail | None]) -> list[str]:
        """Keep the ends of what running attempts have put out, in one round trip; None: drop what is kept of one.

        Args:
            tails: By (feature, task, attempt).

        Returns:
            For each: "kept", "dropped" or "stale" (see keep_tail.lua).
        """
        calls = []
        for (feature_id, task_id, attempt), tail in tails.items():
            keys = self.keys.feature(feature_id)
            text = encoding.describe_tail(tail) if tail else ""
            calls.append(Call("keep_tail", [keys.states, keys.slots, keys.tails], [task_id, attempt, text]))
        return scripts.run_each(self.client, calls) if calls else []

    # --- what people ask for -----------------------------------------------------------------------------

    def move(
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
    ) -> Facts:
        """Move a task as a person asked, and launch what follows from it.

        Args:
            feature_id: The feature.
            task_id: The task.
            flow: The task's flow, for the message of a refusal.
            move: What is asked for.
            note: Why, in the person's words.
            resolve: "resolve": the task counts as resolved then; "if-completed"; "never".
            revoke: A running attempt is taken away from its worker.
            anew: The task's retries begin anew.

        Raises:
            NoSuchFeature, NoSuchTask: There is none of this id.
            RefusedTransition: The flow does not have it from where the task stands, or the feature is over.
            AttemptRuns: An attempt runs, and `revoke` is false.
        """
        keys = self.keys.feature(feature_id)
        call = Call(
            "move",
            [
                keys.meta,
                keys.states,
                keys.counts,
                keys.ready,
                keys.slots,
                keys.delayed,
                keys.plan,
                keys.unassigned,
                keys.events,
                keys.waits,
                keys.resolved,
                keys.waiting,
                keys.freed,
            ],
            [
                task_id,
                _steps(move),
                texts.as_text(note),
                OVER_CSV,
                ",".join(flows.TAKEN_UP),
                resolve,
                int(revoke),
                int(anew),
                self.events_kept,
            ],
        )
        (code, status, _), answer = self._run_on(feature_id, call, self._cascade(feature_id))
        facts = self._facts(feature_id, answer)
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

    def assign(self, feature_id: str, task_id: str, specialist: str, note: str = "") -> Facts:
        """Give a task that has not started another specialist, and launch it if its turn has come.

        Raises:
            NoSuchFeature, NoSuchTask: There is none of this id.
            AttemptRuns: It is published or runs.
        """
        keys = self.keys.feature(feature_id)
        call = Call(
            "assign",
            [keys.plan, keys.unassigned, keys.ready, keys.slots, keys.events, keys.waiting],
            [task_id, specialist, texts.as_text(note), self.events_kept],
        )
        (code, *_), answer = self._run_on(feature_id, call, self._cascade(feature_id))
        facts = self._facts(feature_id, answer)
        if code == "missing":
            raise errors.NoSuchTask(feature=feature_id, task=task_id)
        if code == "running":
            raise errors.AttemptRuns(feature=feature_id, task=task_id, status="launched")
        return facts

    def steer(
        self, feature_id: str, event: str, changes: Mapping[str, Any] | None = None, note: str = ""
    ) -> Facts:
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
        keys = self.keys.feature(feature_id)
        flow, table = self.client.hmget(keys.meta, "flow", "table")
        if table is None:
            raise errors.NoSuchFeature(feature=feature_id)
        rows = json.loads(table)
        arrow = json.dumps(rows.get(event, {})) if event in list(FeatureEvent) else ""
        call = Call(
            "steer",
            [
                keys.meta,
                keys.events,
                self.keys.active,
                keys.ready,
                keys.delayed,
                keys.unassigned,
                keys.slots,
                self.keys.finished,
            ],
            [
                feature_id,
                event,
                arrow,
                json.dumps(dict(changes or {})),
                texts.as_text(note),
                OVER_CSV,
                self.events_kept,
            ],
        )
        (code, status), answer = self._run_on(feature_id, call, self._cascade(feature_id))
        if code == "missing":
            raise errors.NoSuchFeature(feature=feature_id)
        if code == "refused":
            raise lifecycle.refuse(feature_id, "", event, status, rows, str(flow))
        return self._facts(feature_id, answer)

    def grow(
        self,
        feature_id: str,
        decide: Callable[[Shape], Growth],
        route: Callable[[Sequence[Task]], Mapping[str, Route]],
    ) -> Facts:
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
                return self.cascade(feature_id)
            grow = self._grow(feature_id, decided, route(decided.added))
            code, answer = self._run_on(feature_id, grow, self._cascade(feature_id))
            if code == "grown":
                return self._facts(feature_id, answer)
        raise errors.GrowthContested(feature=feature_id, tries=GROWTH_TRIES)

    def _grow(self, feature_id: str, decided: Growth, routes: Mapping[str, Route]) -> Call:
        keys = self.keys.feature(feature_id)
        return Call(
            "grow",
            [
                keys.meta,
                keys.states,
                keys.counts,
                keys.batches,
                keys.ready,
                keys.slots,
                keys.delayed,
                keys.plan,
                keys.unassigned,
                keys.events,
                keys.tasks,
                keys.waiting,
                keys.freed,
            ],
            [
                decided.shape.open,
                decided.shape.grown,
                json.dumps(encoding.describe_growth(decided, routes, self._stored(keys, decided.changed))),
                ",".join(growth.OPEN_TO_DEPENDENCIES),
                ",".join(["total", "resolved", *encoding.COUNTED]),
                OVER_CSV,
                FeatureEvent.FEATURE_GREW,
                self.events_kept,
            ],
        )

    def _stored(self, keys: FeatureKeys, tasks: Sequence[Task]) -> dict[str, Any]:
        ids = [task.id for task in tasks]
        return dict(zip(ids, self.client.hmget(keys.tasks, ids), strict=True)) if ids else {}

    # --- the sweep ---------------------------------------------------------------------------------------

    def lead(self, worker: str, seconds: float) -> bool:
        """Be the one worker that sweeps, for so many seconds; asking again prolongs it.

        A worker takes the lead from one that knows only an older schema.
        """
        keys = [self.keys.sweeper, self.keys.sweeper_schema, self.keys.minimum]
        answer = self._run(Call("lead", keys, [worker, round(seconds * 1000), schema.VERSION]))
        return bool(answer == "leads")

    def require(self, oldest: int) -> int:
        """Ask for the oldest schema whose workers may work under this prefix; the one that is in force now."""
        return int(self._run(Call("require", [self.keys.minimum], [oldest])))

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
    ) -> tuple[Facts, tuple[Launch, ...]]:
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
            What the cascade found, and what to publish again, where the store does not do it.

        Raises:
            NoSuchFeature: There is none of this id any more.
        """
        keys = self.keys.feature(feature_id)
        reason = f"its worker was lost {losses + 1} times"
        outcome = Failed(cause=FailureCause.WORKER_LOST, reason=reason)
        recover = Call(
            "recover",
            [
                keys.meta,
                keys.states,
                keys.counts,
                keys.slots,
                keys.ready,
                self.keys.taken,
                keys.outcomes,
                keys.events,
                self.keys.active,
                keys.plan,
                keys.batches,
                keys.tasks,
                self.keys.swept,
                keys.freed,
                keys.delayed,
                keys.waiting,
                keys.resolved,
            ],
            [
                feature_id,
                losses,
                round(patience * 1000),
                LOST,
                TaskEvent.WORKER_LOST,
                LOST_FOR_GOOD,
                TaskEvent.WORK_FAILED,
                outcome.model_dump_json(),
                overdue,
                OVER_CSV,
                self.events_kept,
                self._queues,
                LOST_UNREPEATABLE,
                TaskEvent.BLOCKER_DETECTED,
                lifecycle.ask_whether_done("its worker was lost").model_dump_json(),
                round(lease * 1000),
                round(regain * 1000),
                json.dumps(dict.fromkeys(queued, True)),
                round(overdue_least * 1000),
                self.keys.prefix,
                secrets.token_hex(6),
            ],
        )
        found, answer = self._run_on(feature_id, recover, self._cascade(feature_id))
        facts = self._facts(feature_id, answer)
        return facts, tuple(Launch(*launch) for launch in json.loads(found)["unpublished"])

    # --- limits that hold over all features --------------------------------------------------------------

    def configure(self, wanted: Mapping[str, str], *, anew: bool = False) -> list[str]:
        """Make the limits known that are configured. What was set since stays, unless it is configured differently now.

        Args:
            wanted: All limits, as `limits.configured` gives them.
            anew: What was set since does not stay.

        Returns:
            The features whose cascade is to run now.
        """
        return self._change_limits(wanted, "reset" if anew else "configure")

    def set_limit(self, limit: str, amount: str) -> list[str]:
        """Change one limit, until it is configured differently; the amount as `limits.change` gives it.

        Returns:
            The features whose cascade is to run now.
        """
        return self._change_limits({limit: amount}, "set")

    def _change_limits(self, amounts: Mapping[str, str], how: str) -> list[str]:
        answer: list[str] = self._run(
            Call(
                "limit",
                [self.keys.limits, self.keys.configured, self.keys.used, self.keys.active],
                [self.keys.prefix, json.dumps(dict(sorted(amounts.items()))), how, OVER_CSV],
            )
        )
        return answer

    def take_due(self) -> tuple[float | None, list[str]]:
        """Seconds until the next token or retry is due, and the features that one is there for now."""
        left, wake = self._run(Call("due", [self.keys.due], [self.keys.prefix]))
        return (float(left) / 1000 if left else None), wake

    def reconcile_limits(self) -> list[str]:
        """Take back what features hold that are gone; the features whose cascade is to run now."""
        answer: list[str] = self._run(
            Call("reconcile", [self.keys.limits, self.keys.used], [self.keys.prefix])
        )
        return answer

    # --- the end of what is over -------------------------------------------------------------------------

    def forget(self, feature_id: str, older_than: float = 0.0, *, dry_run: bool = False) -> tuple[str, str]:
        """Forget a feature that has been over for so many seconds; with `dry_run`, only say what would become of it.

        Returns:
            The code (see forget.lua), and its status.
        """
        keys = self.keys.feature(feature_id)
        name = self.client.hget(keys.meta, "idempotency")
        idempotency = self.keys.idempotency(str(name)) if name else keys.meta
        others = [key for key in keys.all() if key not in (keys.meta, keys.slots)]
        indexes = [self.keys.features, self.keys.active, self.keys.finished]
        call = Call(
            "forget",
            [keys.meta, keys.slots, *indexes, idempotency, *others],
            [feature_id, OVER_CSV, round(older_than * 1000), int(dry_run)],
        )
        ((code, status),) = self._run_on(feature_id, call)
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
