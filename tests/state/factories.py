"""An enqueued feature with methods that move it on, so that a test names only its subject."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.model import commands, lifecycle
from orchestrator.model.commands import ScheduleResult
from orchestrator.model.feature import Feature, FeatureStatus
from orchestrator.model.flows import SHIPPED_FLOWS, WORKING, FeatureEvent, Flow, TaskEvent
from orchestrator.model.lifecycle import Attempts, Transition
from orchestrator.model.outcome import Completed, NextCall, Outcome, RetryLater
from orchestrator.model.plan import Plan, Route
from orchestrator.model.progress import Progress, TaskState
from orchestrator.model.task import Retries, Task, TaskStatus
from orchestrator.planning import planner
from orchestrator.state import encoding
from orchestrator.state.start_result import StartResult
from orchestrator.state.store import Store
from orchestrator.workspaces import globs
from tests.model import factories

FEATURE_ID = "auth"
FLOW = Flow("default", SHIPPED_FLOWS["default"])
LEASE = 60.0


BUILDER = Route(specialist="builder", title="Builder", queue="builder", rule="default", reason="a test")
NOBODY = BUILDER.model_copy(update={"specialist": "", "rule": "nobody"})


def routes_of(feature: Feature, nobody: Collection[str] = ()) -> dict[str, Route]:
    """Every task to one specialist, but those that have nobody; which one is no matter of the store."""
    return {task.id: NOBODY if task.id in nobody else BUILDER for task in feature.tasks}


def enqueue(
    store: Store,
    *tasks: Any,
    feature: Feature | None = None,
    feature_id: str = FEATURE_ID,
    cap: int = 5,
    key: str | None = None,
    nobody: Collection[str] = (),
    stored_with: Mapping[str, Any] | None = None,
    auto_launch: bool = True,
    **fields: Any,
) -> Run:
    """Plan and store a feature; nothing is launched yet. Without tasks it is the five of `authentication`.

    Args:
        nobody: The tasks that have no specialist.
        stored_with: What `Store.enqueue` is given beside: a flow, gates, stops.
        fields: Of the feature.
    """
    feature = feature or (
        factories.feature(*tasks, **fields) if tasks else factories.authentication(**fields)
    )
    plan = planner.plan(feature, cap)
    routes, more = routes_of(feature, nobody), stored_with or {}
    _, stored, _ = store.enqueue(
        feature_id, plan, routes, auto_launch=auto_launch, idempotency_key=key, **more
    )
    return Run(store, stored, plan)


def launched(store: Store, *tasks: Any, **given: Any) -> Run:
    """As `enqueue`, and launch the tasks that may start."""
    run = enqueue(store, *tasks, **given)
    run.schedule()
    return run


def as_of_schema_3(run: Run) -> Run:
    """Rewrite a feature that has not run yet into the form of schema 3."""
    client: Any = run.store.client
    transitions = encoding.parse_transitions(client.hget(run.keys.meta, "transitions"))
    client.hdel(run.keys.meta, "transitions")
    client.hset(run.keys.meta, mapping={"table": json.dumps(transitions), "schema": 2})
    return run


def message_of(feature_id: str, task: str, attempt: int, specialist: str = "builder") -> str:
    """A message of an attempt as publish.lua writes it. The ids are plain ones."""
    request = f"{feature_id}:{task}:{attempt}:0f3a9c5e71d2"
    headers = {
        "lang": "py",
        "task": specialist,
        "id": request,
        "group": f"{feature_id}:1",
        "argsrepr": f"('{feature_id}', '{task}', {attempt})",
    }
    return json.dumps(
        {
            "body": f'[["{feature_id}","{task}",{attempt}],{{}},{{}}]',
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": headers,
            "properties": {
                "delivery_mode": 1,
                "delivery_tag": f"{request}:1",
                "delivery_info": {"exchange": "", "routing_key": specialist},
            },
        }
    )


@dataclass
class Run:
    """A stored feature, with methods for everything that can happen to it."""

    store: Store
    id: str
    plan: Plan
    losses: int = 1
    order: list[str] = field(default_factory=list)
    """The tasks in the order in which they were launched."""

    def take(self, scheduled: ScheduleResult) -> list[str]:
        """Note what was launched; the ids, in order."""
        self.order += ids(scheduled)
        return ids(scheduled)

    def schedule(self) -> list[str]:
        """Launch the tasks that may start; their ids, in order."""
        return self.take(self.store.schedule(self.id))

    def attempt(self, task: str) -> int:
        """The number of the task's latest attempt."""
        return self.store.tasks.state(self.id, task).attempt

    def start(
        self, task: str, attempt: int | None = None, worker: str = "w1", specialist: str = "builder"
    ) -> StartResult:
        """A worker wants to begin the latest attempt, or the given one."""
        number = self.attempt(task) if attempt is None else attempt
        return self.store.attempts.start(
            self.id, task, number, specialist=specialist, worker=worker, lease=LEASE
        )

    def finish(
        self,
        task: str,
        outcome: Outcome | None = None,
        *,
        attempt: int | None = None,
        retries: int = 0,
        retried: int = 0,
    ) -> tuple[str, str, ScheduleResult]:
        """A worker commits an outcome of the latest attempt, or of the given one."""
        outcome = outcome or Completed()
        policy = Retries(max=retries, jitter=False)
        transition = lifecycle.conclude(FLOW, outcome, policy, Attempts(retried), chance=0)
        number = self.attempt(task) if attempt is None else attempt
        return self.store.attempts.finish(self.id, task, number, outcome, transition, worker="w1")

    def apply(self, task: str, outcome: Outcome, transition: Transition) -> str:
        """Commit an outcome by a given move; the code."""
        return self.store.attempts.finish(self.id, task, self.attempt(task), outcome, transition)[0]

    def complete(self, *tasks: str) -> list[str]:
        """Start and complete tasks, one after the other; the ids of all that was launched by it."""
        found: list[str] = []
        for task in tasks:
            found += self.do(task)
        return found

    def do(self, task: str, outcome: Outcome | None = None, **given: Any) -> list[str]:
        """Start and finish a task; the ids of what was launched by it."""
        assert self.start(task).code == "started"
        return ids(self.end(task, outcome, **given))

    def end(self, task: str, outcome: Outcome | None = None, **given: Any) -> ScheduleResult:
        """Finish a started task; the schedule result."""
        code, _, scheduled = self.finish(task, outcome, **given)
        assert code == "finished", code
        self.take(scheduled)
        return scheduled

    def reopen(self, task: str, event: TaskEvent = TaskEvent.RETRY_REQUESTED, note: str = "") -> list[str]:
        """A person asks for a stopped task again."""
        transition = lifecycle.transition(FLOW, event)
        return self.take(
            self.store.requests.transition_task(self.id, task, FLOW, transition, note, reset_retries=True)
        )

    def ask(self, task: str, event: TaskEvent, note: str = "", **how: Any) -> list[str]:
        """A person asks for something else."""
        transition = lifecycle.transition(FLOW, event)
        return self.take(self.store.requests.transition_task(self.id, task, FLOW, transition, note, **how))

    def skip(self, task: str) -> list[str]:
        """A person does without a task."""
        return self.ask(task, TaskEvent.TASK_SKIPPED, resolve="resolve")

    def cancel(self, note: str = "") -> None:
        """A person cancels the feature."""
        self.store.requests.update_feature(self.id, FeatureEvent.FEATURE_CANCELLED, note=note)

    def release(self) -> list[str]:
        """A person launches the next batch."""
        released = self.store.features.summary(self.id).batch + 1
        return self.take(
            self.store.requests.update_feature(self.id, "launch_requested", {"released": released})
        )

    def recover(self, patience: float = 60.0) -> tuple[ScheduleResult, tuple[commands.Launch, ...]]:
        """The sweep looks after the feature."""
        queued = self.store.recovery.queued()
        return self.store.recovery.recover(self.id, losses=self.losses, patience=patience, queued=queued)

    def status(self, task: str | None = None) -> str:
        """Where the feature stands, or one of its tasks."""
        return (
            self.store.tasks.state(self.id, task).status
            if task
            else self.store.features.summary(self.id).status
        )

    def expire_lease(self, task: str) -> None:
        """As if the lease had ended long ago."""
        assert self.store.client.zscore(self.keys.slots, task)
        self.store.client.zadd(self.keys.slots, {task: 1})

    def make_due(self, task: str) -> None:
        """As if the wait for the retry were over."""
        assert self.store.client.zscore(self.keys.delayed, task)
        self.store.client.zadd(self.keys.delayed, {task: 1})

    def age_launch(self, task: str, milliseconds: int = 3_600_000) -> None:
        """As if the task had been launched so much earlier."""
        score: Any = self.store.client.zscore(self.keys.slots, task)
        assert score < 0
        self.store.client.zadd(self.keys.slots, {task: score + milliseconds})

    def state(self, task: str) -> TaskState:
        """All that is known of a task."""
        return self.store.tasks.state(self.id, task)

    @property
    def summary(self) -> Progress:
        """All that is known of the feature."""
        return self.store.features.summary(self.id)

    @property
    def keys(self) -> Any:
        """The feature's keys."""
        return self.store.keys.feature(self.id)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            check(self)


def ids(scheduled: ScheduleResult) -> list[str]:
    """The ids of the launched tasks."""
    return [launch.task for launch in scheduled.launched]


@dataclass(frozen=True)
class Raw:
    """Everything stored of a feature, as it lies in Redis."""

    meta: Mapping[str, str]
    states: Mapping[str, dict[str, Any]]
    counts: Mapping[str, int]
    ready: frozenset[str]
    limited: frozenset[str]
    unassigned: frozenset[str]
    slots: Mapping[str, float]
    delayed: frozenset[str]
    is_active: bool


def read(run: Run) -> Raw:
    """Read it with commands of Redis alone, none of the store's."""
    client: Any = run.store.client
    keys = run.keys
    return Raw(
        meta=client.hgetall(keys.meta),
        states={task: json.loads(text) for task, text in client.hgetall(keys.states).items()},
        counts={name: int(count) for name, count in client.hgetall(keys.counts).items() if name != "0:total"},
        ready=frozenset(client.zrange(keys.ready, 0, -1)),
        limited=frozenset(
            task
            for kind in client.hkeys(keys.waiting)
            for task in client.zrange(keys.waiting_of(kind), 0, -1)
        ),
        unassigned=frozenset(client.smembers(keys.unassigned)),
        slots=dict(client.zrange(keys.slots, 0, -1, withscores=True)),
        delayed=frozenset(client.zrange(keys.delayed, 0, -1)),
        is_active=bool(client.sismember(run.store.keys.active, run.id)),
    )


def everything(client: Any) -> dict[str, Any]:
    """All that is in Redis, key by key."""
    readers = {
        "hash": client.hgetall,
        "set": client.smembers,
        "zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        "list": lambda key: client.lrange(key, 0, -1),
        "stream": client.xrange,
        "string": client.get,
    }
    return {str(key): readers[client.type(key)](key) for key in client.scan_iter()}


STOPPED = (TaskStatus.FAILED, TaskStatus.BLOCKED)
TAKEN_UP = (TaskStatus.PENDING, TaskStatus.CHANGES_REQUESTED, TaskStatus.TESTING)


def check(run: Run) -> None:
    """Every invariant of a stored feature; holds after each call of the store."""
    raw = read(run)
    _check_places(run, raw)
    _check_counts(run, raw)
    _check_batches(run, raw)
    _check_feature(run, raw)
    _check_progress(run, raw)


def _status(raw: Raw, task: str) -> str:
    return str(raw.states.get(task, {}).get("status", TaskStatus.PENDING))


def _resolved(raw: Raw, task: str) -> bool:
    return bool(raw.states.get(task, {}).get("resolved"))


def _check_places(run: Run, raw: Raw) -> None:
    """A task waits in at most one place, and a task that is over waits in none."""
    assert len(raw.slots) <= run.plan.cap, "more in flight than the cap allows"
    places = Counter([*raw.ready, *raw.limited, *raw.slots, *raw.delayed, *raw.unassigned])
    assert all(count == 1 for count in places.values()), f"in two places: {places}"
    is_cancelled = raw.meta["status"] in (FeatureStatus.CANCELLED, FeatureStatus.FAILED)
    opened = int(raw.meta["batch"])
    for task, state in raw.states.items():
        status = state["status"]
        if state.get("ending"):
            assert status not in WORKING, f"{task} is {status}, and its attempt is ending"
            assert raw.slots.get(task, 0) > 0, f"an attempt of {task} is ending without a lease"
            assert places[task] == 1, f"an attempt of {task} has not ended, and it waits for the next"
            assert not state.get("resolved"), f"{task} is resolved before its attempt has ended"
        elif status == TaskStatus.IN_PROGRESS:
            assert raw.slots.get(task, 0) > 0, f"{task} runs without a lease"
        elif status in TAKEN_UP and state["batch"] <= opened:
            assert is_cancelled or places[task] == 1, f"{task} is {status} and forgotten"
            if status != TaskStatus.TESTING:
                assert raw.slots.get(task, 0) <= 0, f"{task} is {status}, with a lease"
        else:
            assert places[task] == 0, f"{task} is {status}, and still waits somewhere"
    if is_cancelled:
        assert not raw.ready, "cancelled, and something waits for a slot"
        assert not raw.limited, "cancelled, and something waits for a limit"
        assert not raw.delayed, "cancelled, and something waits for a retry"


def _check_counts(run: Run, raw: Raw) -> None:
    """The counters of the feature and of each batch agree with the states."""
    truth: Counter[str] = Counter()
    for batch in run.plan.batches:
        truth[f"{batch.number}:total"] = len(batch.tasks)
        for task in batch.tasks:
            status = _status(raw, task)
            names = [] if status == TaskStatus.PENDING else [status]
            names += ["resolved"] if _resolved(raw, task) else []
            truth.update(part for name in names for part in (name, f"{batch.number}:{name}"))
    counted = {name: count for name, count in raw.counts.items() if count}
    assert counted == dict(truth)


def _check_batches(run: Run, raw: Raw) -> None:
    """No batch is open before the one before it is resolved; all of an open one is on its way."""
    opened = int(raw.meta["batch"])
    over = FeatureStatus(raw.meta["status"]).is_over
    for batch in run.plan.batches:
        for task in batch.tasks:
            if batch.number < opened:
                assert _resolved(raw, task), f"{task} was left behind"
            elif batch.number > opened:
                attempts = raw.states.get(task, {}).get("attempt", 0)
                assert attempts == 0, f"{task} was launched before its batch"
                assert task not in raw.ready | raw.limited, f"{task} is ready before its batch"
            else:
                known = {*raw.states, *raw.ready, *raw.limited, *raw.unassigned}
                assert over or task in known, f"{task} of the open batch is lost"


def _check_feature(run: Run, raw: Raw) -> None:
    """The feature's status follows from its tasks."""
    status = raw.meta["status"]
    statuses = Counter(_status(raw, task.id) for task in run.plan.feature.tasks)
    stopped = sum(statuses[status] for status in STOPPED)
    if status not in (FeatureStatus.CANCELLED, FeatureStatus.FAILED):
        is_complete = all(_resolved(raw, task.id) for task in run.plan.feature.tasks)
        is_idle = not (raw.ready or raw.limited or raw.slots or raw.delayed)
        assert (status == FeatureStatus.COMPLETED) == is_complete
        assert (status == FeatureStatus.BLOCKED) == (stopped > 0)
        assert raw.is_active == (not is_complete)
        if raw.meta.get("paused") != "1" and int(raw.meta["batch"]) and not stopped and not is_complete:
            assert (status == FeatureStatus.ON_HOLD) == is_idle, f"{status}, idle: {is_idle}"
    elif raw.slots:
        assert raw.is_active, "cancelled, and nobody looks after what still runs"


def _check_progress(run: Run, raw: Raw) -> None:
    """The reported progress agrees with the stored state."""
    progress = run.store.features.summary(run.id)
    states = run.store.tasks.states(run.id)
    assert [state.id for state in states] == [task for batch in run.plan.batches for task in batch.tasks]
    assert (progress.in_flight, progress.queued, progress.delayed) == (
        len(raw.slots),
        len(raw.ready),
        len(raw.delayed),
    )
    assert sum(progress.limited.values()) == len(raw.limited)
    counts = Counter(_status(raw, task.id) for task in run.plan.feature.tasks)
    del counts[TaskStatus.PENDING]
    assert progress.counts == dict(counts)
    assert progress.total == len(run.plan.feature.tasks)


def check_limits(store: Store, runs: Sequence[Run]) -> None:
    """The used units are those held, by tasks in flight; and no task waits for a free unit."""
    client: Any = store.client
    amounts = client.hgetall(store.keys.limits)
    for run in runs:
        locks = int(client.hget(run.keys.meta, "locks") or 0)
        amounts |= {f"touch:{run.id}:{number}": "1" for number in range(1, locks + 1)}
        _check_apart(run)
    held = {limit: client.hgetall(store.keys.holders(limit)) for limit in amounts}
    in_flight = {f"{run.id}:{task}": state for run in runs for task, state in _in_flight(run).items()}
    for limit, amount in amounts.items():
        if limit.startswith("rate:"):
            continue
        used = int(client.hget(store.keys.used, limit) or 0)
        holders = {holder: int(units) for holder, units in held[limit].items()}
        assert used == sum(holders.values()), f"{limit}: {used} in use, held by {holders}"
        truth = {
            holder: state["holds"][limit]
            for holder, state in in_flight.items()
            if limit in (state.get("holds") or {})
        }
        assert holders == truth, f"{limit} is held by {holders}, and should be by {truth}"
        front = client.zrange(store.keys.waiting(limit), 0, 0, withscores=True)
        if front:
            entry, place = front[0]
            kind = entry.split(" ")[1]
            needs = dict(part.split("=") for part in kind.split(",")[1:])
            name = (
                f"@{limit.split(':')[2]}" if limit.startswith("touch:") else limit.removeprefix("resource:")
            )
            units = int(needs.get(name, 1))
            is_aside = place >= 9e12
            assert is_aside or used + units > int(amount), (
                f"{entry} waits for {limit}, of which there is some"
            )
    for run in runs:
        waiting = client.hgetall(run.keys.waiting)
        for kind, place in waiting.items():
            assert client.zcard(run.keys.waiting_of(kind)), f"nothing of {kind} waits, and it is noted"
            queued = client.zscore(store.keys.waiting(place.split(" ")[0]), f"{run.id} {kind}") is not None
            meta = client.hgetall(run.keys.meta)
            is_full = client.zcard(run.keys.slots) >= int(meta["cap"])
            assert queued == (not is_full and meta.get("paused") != "1"), f"{run.id} {kind}: {queued}"


def _check_apart(run: Run) -> None:
    """No two tasks in flight touch the same files."""
    tasks = {task.id: task for task in run.plan.feature.tasks if task.touches}
    flying = [tasks[task] for task in _in_flight(run) if task in tasks]
    for one, other in itertools.combinations(flying, 2):
        assert not globs.overlap(one.touches, other.touches), f"{one.id} and {other.id} touch the same files"


def _in_flight(run: Run) -> dict[str, Any]:
    raw = read(run)
    return {task: raw.states[task] for task in raw.slots}


def replace(run: Run, task_id: str, *, waits: float = 0.001) -> str:
    """The task, which runs, is replaced by two that one waits for the other; what the store says of the commit."""
    first = Task(id=f"{task_id}.one", call="proj.one")
    second = Task(id=f"{task_id}.two", call="proj.two", depends_on=[first.id])
    task = run.plan.feature.task(task_id)
    grown = task.model_copy(update={"depends_on": (*task.depends_on, second.id)})
    stored, _ = run.store.tasks.before_growth(run.id, task_id)
    outcome = RetryLater(after=waits, next=NextCall(call="proj.task", gives={"result": second.id}))
    code, _, scheduled, _ = run.store.attempts.finish_and_take(
        run.id,
        task_id,
        run.attempt(task_id),
        outcome,
        lifecycle.conclude(FLOW, outcome, task.retries),
        worker="w1",
        replacement=encoding.describe_replacement(grown, stored, [first, second]),
    )
    run.take(scheduled)
    return code
