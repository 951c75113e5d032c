"""The truth, in Redis: one short method for each script of `lua/`, and the reads."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis

from orchestrator import errors, flows, graph, growth, lifecycle, limits, scripts
from orchestrator.flows import FeatureEvent, FeatureFlow, Flow, TaskEvent
from orchestrator.growth import Growth, Shape
from orchestrator.keys import FeatureKeys, Keys
from orchestrator.lifecycle import Attempts, BatchTally, Facts, Launch, Move
from orchestrator.limits import Holder, Limit
from orchestrator.models import (
    OUTCOME,
    OVER,
    Batch,
    Event,
    Failed,
    FailureCause,
    Feature,
    FeatureStatus,
    Outcome,
    Progress,
    Route,
    Schedule,
    Strategy,
    Task,
    TaskState,
    TaskStatus,
)
from orchestrator.scripts import Call

IDEMPOTENCY_DAYS = 7
STAGED_SECONDS = 3_600
CHUNK = 1_000
"""Fields written by one command of a staged feature: large enough to be fast, small enough not to block Redis."""

OVER_CSV = ",".join(OVER)

TAKEN_UP = (TaskStatus.PENDING, TaskStatus.CHANGES_REQUESTED, TaskStatus.TESTING)
"""Statuses in which a task that no worker holds is launched when a slot is free; in testing, for its gates alone."""

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

COUNTED = [status for status in TaskStatus if status is not TaskStatus.PENDING]

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
        return Attempts(int(self.state.get("retried", 0)), bool(self.state.get("escalated")))


class Store:
    """All the state of all features.

    Args:
        client: A redis-py client that decodes responses. fakeredis' serves too.
        keys: The key names.
        events_kept: About how many events each feature's stream keeps.
        url: Where the client connects to, for messages, without a password.
        queues: Where this Redis is Celery's broker too: the queues of the specialists whose queue is not called as they
            are. What is launched is published in the same step then. None: the dispatcher publishes it.
    """

    def __init__(
        self,
        client: redis.Redis,
        keys: Keys,
        *,
        events_kept: int = 200_000,
        url: str = "Redis",
        queues: Mapping[str, str] | None = None,
    ) -> None:
        self.client = client
        self.keys = keys
        self.events_kept = events_kept
        self.url = url
        self.publishes = queues is not None
        self._queues = json.dumps(dict(queues)) if queues is not None else ""

    def _run(self, call: Call) -> Any:
        (answer,) = scripts.run(self.client, call)
        return answer

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

        Returns:
            ("enqueued", its id), or ("repeated", the id that the idempotency key stands for).

        Raises:
            FeatureExists: Another feature has this id.
            NoBarrier: The strategy is dataflow, and batches are to wait for launch.
        """
        if plan.strategy is Strategy.DATAFLOW and (stops or not auto_launch):
            asked = "stops" if stops else "auto_launch: false"
            raise errors.NoBarrier(title=plan.feature.title, asked=asked)
        keys = self.keys.feature(feature_id)
        exists = self.client.exists(keys.meta)  # asked before the key, which comes into being with it
        if idempotency_key:
            earlier = self.client.get(self.keys.idempotency(idempotency_key))
            if earlier:
                return "repeated", str(earlier)
        if exists:
            raise errors.FeatureExists(feature=feature_id)
        staged = self._stage(keys.staged(uuid.uuid4().hex), plan, routes, gated or {})
        meta: dict[str, str | int | float] = {
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
        if idempotency_key:
            meta["idempotency"] = idempotency_key
        idempotency = self.keys.idempotency(idempotency_key) if idempotency_key else keys.meta
        code, found = self._run(
            Call(
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
        )
        if code == "exists":
            raise errors.FeatureExists(feature=feature_id)
        return code, found

    def _stage(
        self, keys: FeatureKeys, plan: Schedule, routes: Mapping[str, Route], gated: Mapping[str, str]
    ) -> dict[str, str]:
        """Write the big parts of a feature; returns their names and the keys they are at."""
        batches, places, totals = describe(plan.batches, routes, plan.expected_seconds)
        if plan.strategy is Strategy.DATAFLOW:
            places = {task: _ranked(rank, places[task]) for rank, task in enumerate(plan.order, start=1)}
        for stage, specialist in gated.items():
            places[f"@{stage}"] = f"0:0:{specialist}"
        hashes: dict[str, Mapping[str, Any]] = {
            "tasks": {task.id: _stored(task) for task in plan.feature.tasks},
            "plan": places,
            "batches": batches,
            "counts": totals,
        }
        if plan.strategy is Strategy.DATAFLOW:
            hashes |= _joins(plan)
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
        return self._facts(feature_id, self._run(self._cascade(feature_id)))

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
            [feature_id, OVER_CSV, self.events_kept, self._queues, self.keys.prefix],
        )

    def _facts(self, feature_id: str, answer: str | None, finished: BatchTally | None = None) -> Facts:
        if answer is None:
            raise errors.NoSuchFeature(feature=feature_id)
        found = json.loads(answer)
        return Facts(
            feature=feature_id,
            status=FeatureStatus(found["status"]),
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
        code, *rest = self._run(
            Call(
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
        )
        if code != "started":
            return Grant(code)
        task, head, state, status, wait = rest
        return Grant(
            code,
            Task.model_validate_json(task) if task else None,
            json.loads(head),
            json.loads(state),
            status,
            int(wait) / 1000,
        )

    def proceed(self, feature_id: str, task_id: str, attempt: int, move: Move, *, worker: str) -> str:
        """Move a running attempt on to its next status: "proceeded", or why not (see proceed.lua)."""
        keys = self.keys.feature(feature_id)
        code, _ = self._run(
            Call(
                "proceed",
                [keys.states, keys.counts, keys.slots, keys.events],
                [task_id, attempt, _steps(move), worker, self.events_kept],
            )
        )
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
    ) -> tuple[str, str, Facts]:
        """Commit an outcome and launch what follows from it, in one transaction.

        With a `delivery`, only where that delivery of the message began the attempt.

        Returns:
            The code (see finish.lua), the task's status now, and what the cascade found.

        Raises:
            NoSuchFeature: There is none of this id.
        """
        keys = self.keys.feature(feature_id)
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
            ],
            [
                task_id,
                attempt,
                _steps(move),
                outcome.model_dump_json(),
                "" if move.wait is None else round(move.wait * 1000),
                int(move.retried),
                ",".join(lifecycle.RESOLVED),
                move.cause,
                move.route,
                worker,
                self.events_kept,
                delivery,
            ],
        )
        (code, status, *tally), answer = scripts.run(self.client, finish, self._cascade(feature_id))
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
        self, feature_id: str, task_id: str, attempt: int, *, worker: str, delivery: str = ""
    ) -> tuple[str, Facts]:
        """Take an attempt back from a worker that ends, and launch what follows from it: as a rule, the task anew.

        Args:
            feature_id: Its feature.
            task_id: Its task.
            attempt: Its number.
            worker: Who hands it back; what another one has begun stays where it is.
            delivery: The delivery that began it, where whoever asks knows it; that of any other one stays too.

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
            ],
        )
        (code, _), answer = scripts.run(self.client, hand_back, self._cascade(feature_id))
        return code, self._facts(feature_id, answer)

    def note(self, feature_id: str, task_id: str, attempt: int, percent: float | None, note: str) -> str:
        """Keep what a running attempt says about its progress: "noted", or "stale" if it does not run any more."""
        keys = self.keys.feature(feature_id)
        answer: str = self._run(
            Call(
                "note",
                [keys.states, keys.slots, keys.events],
                [task_id, attempt, "" if percent is None else percent, note, self.events_kept],
            )
        )
        return answer

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
                note,
                OVER_CSV,
                ",".join(TAKEN_UP),
                resolve,
                int(revoke),
                int(anew),
                self.events_kept,
            ],
        )
        (code, status, _), answer = scripts.run(self.client, call, self._cascade(feature_id))
        facts = self._facts(feature_id, answer)
        match code:
            case "missing":
                raise errors.NoSuchTask(feature=feature_id, task=task_id)
            case "running":
                raise errors.AttemptRuns(feature=feature_id, task=task_id, status=status)
            case "over":
                raise errors.FeatureOver(feature=feature_id, status=status, event=move.event)
            case "refused":
                subject = f"{task_id} of {feature_id}"
                raise lifecycle.refuse(subject, move.steps[0][0], status, flow.table, flow.name)
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
            [task_id, specialist, note, self.events_kept],
        )
        (code, *_), answer = scripts.run(self.client, call, self._cascade(feature_id))
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
            [feature_id, event, arrow, json.dumps(dict(changes or {})), note, OVER_CSV, self.events_kept],
        )
        (code, status), answer = scripts.run(self.client, call, self._cascade(feature_id))
        if code == "missing":
            raise errors.NoSuchFeature(feature=feature_id)
        if code == "refused":
            raise lifecycle.refuse(f"The feature {feature_id}", event, status, rows, str(flow))
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
            code, answer = scripts.run(self.client, grow, self._cascade(feature_id))
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
                json.dumps(_grown(decided, routes)),
                ",".join(growth.OPEN_TO_DEPENDENCIES),
                ",".join(["total", "resolved", *COUNTED]),
                OVER_CSV,
                FeatureEvent.FEATURE_GREW,
                self.events_kept,
            ],
        )

    # --- the sweep ---------------------------------------------------------------------------------------

    def active(self) -> list[str]:
        """The ids of the features that are not over."""
        return sorted(map(str, self.client.smembers(self.keys.active)))

    def lead(self, worker: str, seconds: float) -> bool:
        """Be the one worker that sweeps, for so many seconds; asking again prolongs it."""
        ttl = round(seconds * 1000)
        if self.client.set(self.keys.sweeper, worker, nx=True, px=ttl):
            return True
        if self.client.get(self.keys.sweeper) != worker:
            return False
        return bool(self.client.pexpire(self.keys.sweeper, ttl))

    def refuse(self, reason: str) -> None:
        """Count a message that a worker refused."""
        self.client.hincrby(self.keys.refused, reason, 1)

    def recover(
        self, feature_id: str, *, losses: int, patience: float, lease: float = 10.0, overdue: float = 1.5
    ) -> tuple[Facts, tuple[Launch, ...]]:
        """Take back what lost workers held, launch what may start now, and find launches whose message was lost.

        Args:
            feature_id: An active feature; one that is gone leaves the list of active ones.
            losses: Attempts of a task that may be lost before it fails.
            patience: Seconds after which a launch that has not started is looked into.
            lease: Seconds for which a lease is given; after an outage everybody has as long to renew.
            overdue: How many times its expected duration a batch may take before that is noticed.

        Returns:
            What the cascade found, and what to publish again.

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
            ],
        )
        found, answer = scripts.run(self.client, recover, self._cascade(feature_id))
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

    def limits(self) -> list[Limit]:
        """Every limit in force, with who holds it, by name."""
        amounts = self.client.hgetall(self.keys.limits)
        return [self._limit(str(name), str(amounts[name])) for name in sorted(amounts)]

    def limit(self, name: str) -> Limit:
        """A limit as it stands now; one that is not in force has none of anything."""
        return self._limit(name, str(self.client.hget(self.keys.limits, name) or "0"))

    def _limit(self, name: str, amount: str) -> Limit:
        pipeline = self.client.pipeline(transaction=True)
        pipeline.hget(self.keys.used, name)
        pipeline.hgetall(self.keys.holders(name))
        pipeline.zrange(self.keys.waiting(name), 0, -1)
        pipeline.hget(self.keys.full, name)
        pipeline.time()
        used, holders, queue, full, (seconds, micros) = pipeline.execute()
        entries = [entry.split(" ", 1) for entry in queue]
        waiting = self.client.pipeline(transaction=False)
        for feature, kind in entries:
            waiting.zcard(self.keys.feature(feature).waiting_of(kind))
        next_token = None
        if " " in amount:
            interval, burst = amount.split()
            earliest = float(full or 0) - (int(burst) - 1) * float(interval)
            next_token = max(0.0, earliest / 1000 - seconds - micros / 1e6)
        return Limit(
            name=name,
            amount=limits.written(amount),
            in_use=int(used or 0),
            waiting=sum(waiting.execute()) if entries else 0,
            features=len({feature for feature, _ in entries}),
            holders=tuple(
                Holder(feature=feature, task=task, units=int(units))
                for holder, units in sorted(holders.items())
                for feature, task in [holder.split(":", 1)]
            ),
            next_token=next_token,
        )

    # --- the end of what is over -------------------------------------------------------------------------

    def finished(self, older_than: float, most: int) -> list[str]:
        """The ids of features that have been over for so many seconds, oldest first, as many at most."""
        seconds, micros = self.client.time()
        until = seconds * 1000 + micros // 1000 - round(older_than * 1000)
        return [str(one) for one in self.client.zrangebyscore(self.keys.finished, "-inf", until, 0, most)]

    def forget(self, feature_id: str, older_than: float = 0.0) -> tuple[str, str]:
        """Forget a feature that has been over for so many seconds.

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
            [feature_id, OVER_CSV, round(older_than * 1000)],
        )
        code, status = self._run(call)
        return code, status

    def exists(self, feature_id: str) -> bool:
        """Whether there is a feature of this id."""
        return bool(self.client.exists(self.keys.feature(feature_id).meta))

    # --- reads -------------------------------------------------------------------------------------------

    def features(self, newest: int = 50) -> list[str]:
        """The ids of the newest features, newest first."""
        return [str(feature) for feature in self.client.zrevrange(self.keys.features, 0, newest - 1)]

    def progress(self, feature_id: str) -> Progress:
        """How far a feature is. The cost does not depend on its size.

        Raises:
            NoSuchFeature: There is none of this id.
        """
        keys = self.keys.feature(feature_id)
        answer = self._run(
            Call(
                "progress",
                [
                    keys.meta,
                    keys.counts,
                    keys.batches,
                    keys.ready,
                    keys.slots,
                    keys.delayed,
                    keys.unassigned,
                    keys.states,
                    keys.waiting,
                ],
                [",".join(COUNTED)],
            )
        )
        if answer is None:
            raise errors.NoSuchFeature(feature=feature_id)
        return _progress(feature_id, json.loads(answer))

    def head(self, feature_id: str) -> dict[str, Any]:
        """The feature without its tasks: id, title, description, tags.

        Raises:
            NoSuchFeature: There is none of this id.
        """
        head = self.client.hget(self.keys.feature(feature_id).meta, "head")
        if head is None:
            raise errors.NoSuchFeature(feature=feature_id)
        found: dict[str, Any] = json.loads(head)
        return found

    def batch(self, feature_id: str, number: int) -> list[str]:
        """The ids of the tasks of one batch, in launch order; empty where there is no such batch."""
        found = self.client.hget(self.keys.feature(feature_id).batches, str(number))
        return list(json.loads(found)["tasks"]) if found else []

    def task(self, feature_id: str, task_id: str) -> Task:
        """A task as it was enqueued.

        Raises:
            NoSuchFeature, NoSuchTask: There is none of this id.
        """
        found = self.client.hget(self.keys.feature(feature_id).tasks, task_id)
        if found is None:
            self.head(feature_id)
            raise errors.NoSuchTask(feature=feature_id, task=task_id)
        return Task.model_validate_json(found)

    def tasks(self, feature_id: str) -> list[Task]:
        """All the tasks as they were enqueued, by batch, in launch order.

        Raises:
            NoSuchFeature: There is none of this id.
        """
        self.head(feature_id)
        keys = self.keys.feature(feature_id)
        tasks = self.client.hgetall(keys.tasks)
        return [Task.model_validate_json(tasks[task]) for task in self._order(keys)]

    def shape(self, feature_id: str) -> Shape:
        """All of a feature that its growth follows from, read at one moment.

        Raises:
            NoSuchFeature: There is none of this id.
        """
        keys = self.keys.feature(feature_id)
        pipeline = self.client.pipeline(transaction=True)
        pipeline.hmget(keys.meta, ["head", "status", "strategy", "cap", "batch", "grown"])
        for key in (keys.tasks, keys.plan, keys.states, keys.batches):
            pipeline.hgetall(key)
        pipeline.zrange(keys.slots, 0, -1)
        (head, status, strategy, cap, batch, grown), tasks, places, states, described, slots = (
            pipeline.execute()
        )
        if head is None:
            raise errors.NoSuchFeature(feature=feature_id)
        numbers = _members(described, None)
        found = {task: json.loads(state) for task, state in states.items() if task in numbers}
        ordered = [Task.model_validate_json(tasks[task]) for task in numbers]
        return Shape(
            feature=Feature(**json.loads(head), tasks=tuple(ordered)),
            status=status,
            strategy=Strategy(strategy),
            cap=int(cap),
            open=int(batch),
            grown=int(grown or 0),
            batches=numbers,
            ranks={task: int(places[task].split(":", 1)[0]) for task in numbers},
            started={
                task: state["status"]
                for task, state in found.items()
                if state["attempt"] or task in slots or state["status"] not in growth.OPEN_TO_DEPENDENCIES
            },
            resolved=frozenset(task for task, state in found.items() if state.get("resolved")),
        )

    def _order(self, keys: FeatureKeys) -> Iterator[str]:
        batches = self.client.hgetall(keys.batches)
        for number in sorted(batches, key=int):
            yield from json.loads(batches[number])["tasks"]

    def states(self, feature_id: str, batches: Iterable[int] | None = None) -> list[TaskState]:
        """Where the tasks stand, by batch, in launch order: those of some batches, else all.

        Raises:
            NoSuchFeature: There is none of this id.
        """
        keys = self.keys.feature(feature_id)
        numbers = None if batches is None else list(batches) or [0]  # HMGET wants one; no batch is 0
        pipeline = self.client.pipeline(transaction=True)
        for key in (keys.tasks, keys.states, keys.plan):
            if numbers is None:
                pipeline.hgetall(key)
        if numbers is None:
            pipeline.hgetall(keys.batches)
        else:
            pipeline.hmget(keys.batches, [str(number) for number in numbers])
        pipeline.hget(keys.meta, "status")
        pipeline.zrange(keys.ready, 0, -1)
        pipeline.zrange(keys.slots, 0, -1)
        pipeline.zrange(keys.delayed, 0, -1, withscores=True)
        pipeline.smembers(keys.unassigned)
        pipeline.hgetall(keys.waits)
        pipeline.hgetall(keys.waiting)
        *hashes, described, status, ready, slots, delayed, unassigned, waits, waiting = pipeline.execute()
        if status is None:
            raise errors.NoSuchFeature(feature=feature_id)
        members = _members(described, numbers)
        if numbers is None:
            tasks, states, places = hashes
        elif members:
            ids = list(members)
            read = self.client.pipeline(transaction=False)
            for key in (keys.tasks, keys.states, keys.plan):
                read.hmget(key, ids)
            tasks, states, places = (dict(zip(ids, values, strict=True)) for values in read.execute())
        else:
            return []
        phases = dict.fromkeys(ready, "queued") | dict.fromkeys(slots, "launched")
        due = {task: moment / 1000 for task, moment in delayed}
        phases |= dict.fromkeys(due, "delayed") | dict.fromkeys(unassigned, "unassigned")
        awaited = self._limits_of(keys, waiting)
        phases |= dict.fromkeys(awaited, "limited")
        return [
            _state(
                Task.model_validate_json(tasks[task]),
                json.loads(states.get(task) or "{}"),
                (places.get(task) or "::").split(":", 2)[2],
                batch,
                phases.get(task, "waiting"),
                due.get(task),
                int(waits.get(task, 0)),
                awaited.get(task, ""),
                status in (FeatureStatus.CANCELLED, FeatureStatus.FAILED),
            )
            for task, batch in members.items()
        ]

    def _limits_of(self, keys: FeatureKeys, waiting: Mapping[str, str]) -> dict[str, str]:
        """Each task that waits for a limit, with the limit."""
        pipeline = self.client.pipeline(transaction=False)
        for kind in waiting:
            pipeline.zrange(keys.waiting_of(kind), 0, -1)
        found = pipeline.execute() if waiting else []
        names = [place.split(" ")[0] for place in waiting.values()]
        return {task: limit for limit, tasks in zip(names, found, strict=True) for task in tasks}

    def state(self, feature_id: str, task_id: str) -> TaskState:
        """Where one task stands.

        Raises:
            NoSuchFeature, NoSuchTask: There is none of this id.
        """
        place = self.client.hget(self.keys.feature(feature_id).plan, task_id)
        batches = [int(str(place).split(":")[1])] if place else []
        for state in self.states(feature_id, batches):
            if state.id == task_id:
                return state
        raise errors.NoSuchTask(feature=feature_id, task=task_id)

    def outcomes(self, feature_id: str, task_ids: Sequence[str]) -> dict[str, Outcome]:
        """The outcomes of the last attempts of these tasks; a task that has none yet is left out."""
        if not task_ids:
            return {}
        found = self.client.hmget(self.keys.feature(feature_id).outcomes, list(task_ids))
        return {
            task: OUTCOME.validate_json(outcome)
            for task, outcome in zip(task_ids, found, strict=True)
            if outcome is not None
        }

    def events(self, feature_id: str, after: str = "-", block: float | None = None) -> list[Event]:
        """The events after a stream id ("-": from the oldest), at most 1,000.

        Args:
            feature_id: The feature.
            after: The id of the last event known.
            block: Wait up to so many seconds for one, if there is none.
        """
        stream = self.keys.feature(feature_id).events
        if block is None:
            start = after if after == "-" else f"({after}"
            entries: Any = self.client.xrange(stream, min=start, count=1_000)
        else:
            start = "0" if after == "-" else after
            answer = self.client.xread({stream: start}, count=1_000, block=max(1, round(block * 1000)))
            entries = _entries(answer)
        return [_event(entry, fields) for entry, fields in entries]

    def last_event(self, feature_id: str) -> str:
        """The id of the newest event, for `events(after=…)`; "-" where there is none."""
        newest: Any = self.client.xrevrange(self.keys.feature(feature_id).events, count=1)
        return str(newest[0][0]) if newest else "-"


def describe(
    batches: Iterable[Batch], routes: Mapping[str, Route], expected: float, rank: int = 0
) -> tuple[dict[str, str], dict[str, str], dict[str, int]]:
    """Batches as they are stored.

    Args:
        batches: In order.
        routes: Who does each task.
        expected: Expected seconds of all of them together.
        rank: Where the launch order of the first one begins.

    Returns:
        The fields of the hashes batches, plan and counts.
    """
    described, places, totals = {}, {}, {}
    for batch in batches:
        adds = batch.expected if batch.adds is None else batch.adds
        expected = max(0.0, expected - adds)
        described[str(batch.number)] = _described(batch, expected)
        totals[f"{batch.number}:total"] = len(batch.tasks)
        for task in batch.tasks:
            rank += 1
            places[task] = f"{rank}:{batch.number}:{routes[task].specialist}"
    return described, places, totals


def _stored(task: Task) -> str:
    # What was not given is the default; to compare it with the default takes half as long again.
    return task.model_dump_json(exclude_unset=True)


def _ranked(rank: int, place: str) -> str:
    return f"{rank}:{place.split(':', 1)[1]}"


def _joins(plan: Schedule) -> dict[str, dict[str, Any]]:
    """What dataflow counts: for each task how much it waits for, and what waits for it; nothing where that is none."""
    depends_on = {task.id: task.depends_on for task in plan.feature.tasks}
    waits = {task: len(dependencies) for task, dependencies in depends_on.items() if dependencies}
    dependents = {task: json.dumps(names) for task, names in graph.dependents(depends_on).items() if names}
    return {"waits": waits, "dependents": dependents} if waits else {}


def _described(batch: Batch, after: float) -> str:
    adds = batch.expected if batch.adds is None else batch.adds
    fields = {"tasks": batch.tasks, "expected": round(adds, 3), "after": round(after, 3)}
    if batch.adds is not None:
        fields["alone"] = round(batch.expected, 3)
    return json.dumps(fields)


def _grown(decided: Growth, routes: Mapping[str, Route]) -> dict[str, Any]:
    """A growth as grow.lua reads it."""
    described, totals, after = {}, {}, 0.0
    for batch in reversed(decided.batches[max(0, decided.shape.open - 1) :]):
        described[batch.number] = _described(batch, after)
        totals[batch.number] = len(batch.tasks)
        after += batch.expected
    events = []
    if decided.added:
        single = decided.added[0].id if len(decided.added) == 1 else ""
        events.append(_recorded("tasks_added", total=len(decided.added), task=single, note=decided.note))
    for task in decided.changed:
        waits_for = ", ".join(task.depends_on)
        events.append(_recorded("dependencies_changed", task=task.id, cause=waits_for, note=decided.note))
    return {
        "unlaunched": decided.unlaunched,
        "added": len(decided.added),
        "tasks": {task.id: _stored(task) for task in (*decided.added, *decided.changed)},
        "specialists": {task.id: routes[task.id].specialist for task in decided.added},
        "moved": decided.moved,
        "batches": described,
        "totals": totals,
        "ended": list(decided.ended),
        "meta": {
            "total": len(decided.feature.tasks),
            "batches": len(decided.batches),
            "expected": decided.expected,
            "strategy": decided.strategy,
            **({"resourced": 1} if any(task.resources for task in decided.added) else {}),
        },
        "events": events,
    }


def _recorded(event: str, **fields: str | int) -> list[str]:
    return [str(part) for pair in {"event": event, **fields}.items() for part in pair]


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


def _members(described: Any, batches: Sequence[int] | None) -> dict[str, int]:
    """Task id → batch number, in launch order."""
    if batches is None:
        rows = sorted((int(number), text) for number, text in described.items())
    else:
        rows = [(number, text) for number, text in zip(batches, described, strict=True) if text]
    return {task: number for number, text in rows for task in json.loads(text)["tasks"]}


def _state(
    task: Task,
    state: dict[str, Any],
    route: str,
    batch: int,
    phase: str,
    due: float | None,
    waits: int,
    limit: str,
    is_cancelled: bool,
) -> TaskState:
    status = TaskStatus(state.get("status", TaskStatus.PENDING))
    if status is TaskStatus.PENDING and is_cancelled:
        status = TaskStatus.CANCELLED
    return TaskState(
        id=task.id,
        title=task.name,
        specialist=route,
        status=status,
        phase=phase if status is TaskStatus.PENDING else "",
        attempt=state.get("attempt", 0),
        batch=batch,
        depends_on=task.depends_on,
        retried=state.get("retried", 0),
        lost=state.get("lost", 0),
        resolved=bool(state.get("resolved")),
        escalated=bool(state.get("escalated")),
        started=_moment(state.get("started")),
        finished=_moment(state.get("finished")),
        due=due,
        waits=waits,
        limit=limit,
        worker=state.get("worker", ""),
        percent=state.get("percent"),
        note=state.get("note") or "",
        noted=_moment(state.get("noted")),
    )


def _moment(milliseconds: float | str | None) -> float | None:
    return None if milliseconds is None else float(milliseconds) / 1000


def _progress(feature_id: str, found: dict[str, Any]) -> Progress:
    meta, batch = found["meta"], found["batch"]
    status = FeatureStatus(meta["status"])
    expected_end = None
    if not status.is_over and meta.get("batch_started") and batch.get("expected") is not None:
        left = float(meta["batch_started"]) / 1000 + batch["expected"] - found["now"] / 1000
        expected_end = found["now"] / 1000 + max(0.0, left) + batch["after"]
    return Progress(
        id=feature_id,
        title=meta["title"],
        status=status,
        strategy=meta["strategy"],
        cap=meta["cap"],
        auto_launch=meta["auto_launch"],
        total=meta["total"],
        counts=_without_zeros(found["counts"]),
        in_flight=found["in_flight"],
        queued=found["queued"],
        delayed=found["delayed"],
        unassigned=found["unassigned"],
        limited=dict(found["limited"]),
        gates_failed=found.get("gates") or "",
        flow=meta["flow"],
        is_paused=meta.get("paused") == "1",
        stops=tuple(map(int, filter(None, meta.get("stops", "").split(",")))),
        overdue=int(meta.get("overdue", 0)),
        batch_started=_moment(meta.get("batch_started")),
        batch_expected=batch.get("expected"),
        batch=meta["batch"],
        batches=meta["batches"],
        batch_total=batch["total"],
        batch_resolved=batch["resolved"],
        batch_counts=_without_zeros(found["batch_counts"]),
        created=float(meta["created"]) / 1000,
        started=_moment(meta.get("started")),
        finished=_moment(meta.get("finished")),
        expected_end=expected_end,
    )


def _without_zeros(counts: Mapping[str, int]) -> Mapping[TaskStatus, int]:
    return {TaskStatus(status): count for status, count in counts.items() if count}


def _entries(answer: Any) -> list[tuple[str, dict[str, str]]]:
    """The entries of one stream, from either shape that redis-py gives an XREAD answer (RESP 2 or 3)."""
    if not answer:
        return []
    if isinstance(answer, dict):
        (entries,) = answer.values()
        return (
            [entry for part in entries for entry in part]
            if entries and isinstance(entries[0], list)
            else entries
        )
    return list(answer[0][1])


def _event(entry: str, fields: dict[str, str]) -> Event:
    return Event(
        id=entry,
        time=int(entry.split("-")[0]) / 1000,
        source=fields.get("from", ""),
        target=fields.get("to", ""),
        **{name: value for name, value in fields.items() if name not in ("from", "to")},
    )
