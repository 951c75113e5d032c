"""Several features under random limits and calls: no limit is exceeded, nothing leaks, nothing that is free idles."""

from __future__ import annotations

import contextlib
from typing import Any

import redis
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from orchestrator.model import errors, lifecycle
from orchestrator.model.commands import ScheduleResult
from orchestrator.model.feature import Feature, Strategy
from orchestrator.model.flows import FeatureEvent, TaskEvent
from orchestrator.model.lifecycle import Attempts
from orchestrator.model.outcome import Blocked, Completed, Failed, Outcome
from orchestrator.model.task import Retries
from orchestrator.planning import extension
from orchestrator.state.keys import Keys
from orchestrator.state.start_result import Claim, Taken
from orchestrator.state.store import Store
from tests.model import factories
from tests.state.factories import (
    FLOW,
    LEASE,
    Run,
    check,
    check_limits,
    enqueue,
    message_of,
    read,
    routes_of,
)
from tests.state.machines import Redis, play

NAMES = ("one", "two", "three")
SPECIALIST = "builder"
LIMITS = ("total", "specialist:builder", "resource:gpu", "resource:db")
TOUCHES: list[list[str]] = [[], ["a/x"], ["a/y"], ["a/**"], ["b"], ["a/x", "b"]]
OUTCOMES: list[Outcome] = [Completed(), Failed(reason="broken"), Blocked(reason="no key")]
ASKED = [
    (TaskEvent.TASK_HELD, {"revoke": True}),
    (TaskEvent.TASK_RESUMED, {}),
    (TaskEvent.RETRY_REQUESTED, {"reset_retries": True}),
    (TaskEvent.TASK_SKIPPED, {"resolve": "resolve"}),
    (TaskEvent.BLOCKER_DETECTED, {"revoke": True}),
    (TaskEvent.BLOCKER_RESOLVED, {}),
]


@st.composite
def features(draw: st.DrawFn) -> Feature:
    """Up to six tasks that need some of this and that."""
    names = [f"T{number}" for number in range(draw(st.integers(1, 6)))]
    tasks = [
        factories.task(
            name,
            *draw(st.lists(st.sampled_from(names[:place]), max_size=1) if place else st.just([])),
            priority=draw(st.sampled_from(["high", "medium", "low"])),
            retries=draw(st.integers(0, 1)),
            touches=draw(st.sampled_from(TOUCHES)),
            resources=draw(st.dictionaries(st.sampled_from(["gpu", "db"]), st.integers(1, 2), max_size=2)),
        )
        for place, name in enumerate(names)
    ]
    return factories.feature(*tasks, strategy=draw(st.sampled_from([Strategy.BATCHED, Strategy.DATAFLOW])))


class Machine(RuleBasedStateMachine):
    """Three features that share a specialist, two resources and a total."""

    def __init__(self) -> None:
        super().__init__()
        client = Redis.empty()
        self.store = Store(client, Keys("to"))
        self.runs: dict[str, Run] = {}
        self.begun: dict[tuple[str, str], tuple[int, int]] = {}
        """What workers believe to run: the attempt, and how often it was retried."""
        self.grown = 0
        self.claims = 0
        self.most: dict[str, int] = {}
        """Limit → what may be in use of it: as much as there is, or as was in use before it was lowered."""
        self.pending: list[str] = []
        """Features that are to be woken: by somebody, at some time."""

    @initialize(
        amounts=st.dictionaries(st.sampled_from(LIMITS), st.integers(1, 3)),
        given=st.lists(st.tuples(features(), st.integers(1, 4)), min_size=2, max_size=3),
    )
    def enqueue(self, amounts: dict[str, int], given: list[tuple[Feature, int]]) -> None:
        for limit, amount in amounts.items():
            self.store.limits.set(limit, str(amount))
        for name, (feature, cap) in zip(NAMES, given, strict=False):
            self.runs[name] = enqueue(self.store, feature=feature, feature_id=name, cap=cap)
            self._note(self.store.schedule(name))

    def _note(self, scheduled: ScheduleResult) -> None:
        self.pending += scheduled.wake

    def _settle(self) -> None:
        """Wake all who are to be woken, and who follows from it."""
        for _ in range(10_000):
            if not self.pending:
                return
            self._note(self.store.schedule(self.pending.pop(0)))
        raise AssertionError("they wake each other for ever")

    def _some(self, data: st.DataObject) -> tuple[str, Run]:
        name = data.draw(st.sampled_from(sorted(self.runs)))
        return name, self.runs[name]

    @rule(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        name, run = self._some(data)
        launched = sorted(task for task, score in read(run).slots.items() if score <= 0)
        if launched:
            self._begin(name, data.draw(st.sampled_from(launched)))

    def _begin(self, name: str, task: str) -> None:
        started = self.runs[name].start(task)
        assert started.code in ("started", "over")
        if started.code == "started":
            self.begun[name, task] = (int(started.state["attempt"]), started.attempts.retried)
        else:
            self._note(self.store.schedule(name))

    @rule(data=st.data(), outcome=st.sampled_from(OUTCOMES))
    def work(self, data: st.DataObject, outcome: Outcome) -> None:
        """A worker takes a task up, and ends it at once."""
        launched = [
            (name, task)
            for name, run in self.runs.items()
            for task, score in read(run).slots.items()
            if score <= 0
        ]
        if launched:
            chosen = data.draw(st.sampled_from(sorted(launched)))
            self._begin(*chosen)
            if chosen in self.begun:
                self._end(*chosen, outcome)

    @precondition(lambda self: self.begun)
    @rule(data=st.data(), outcome=st.sampled_from(OUTCOMES))
    def end(self, data: st.DataObject, outcome: Outcome) -> None:
        """A worker commits, in time or too late."""
        self._end(*data.draw(st.sampled_from(sorted(self.begun))), outcome)

    def _end(self, name: str, task: str, outcome: Outcome, claim: Claim | None = None) -> Taken | None:
        attempt, retried = self.begun.pop((name, task))
        retries = Retries(max=1, jitter=False)
        transition = lifecycle.conclude(FLOW, outcome, retries, Attempts(retried), chance=0)
        _, _, scheduled, taken = self.store.attempts.finish_and_take(
            name, task, attempt, outcome, transition, claim=claim
        )
        self._note(scheduled)
        return taken

    @precondition(lambda self: self.begun)
    @rule(data=st.data(), outcome=st.sampled_from(OUTCOMES))
    def take(self, data: st.DataObject, outcome: Outcome) -> None:
        """A worker commits, and takes the next message of its queue in the same step: of any feature."""
        ended = data.draw(st.sampled_from(sorted(self.begun)))
        launched = sorted(
            (name, task, run.attempt(task))
            for name, run in self.runs.items()
            for task, score in read(run).slots.items()
            if score <= 0
        )
        if not launched:
            return
        message = data.draw(st.sampled_from(launched))
        queue = self.store.keys.queue(SPECIALIST)
        self.store.client.lpush(queue, message_of(*message))
        self.claims += 1
        taken = self._end(*ended, outcome, Claim({SPECIALIST: [SPECIALIST]}, "w1", LEASE, f"7-{self.claims}"))
        self.store.client.delete(queue)
        if taken is not None:
            assert taken.id == message
            name, task, attempt = message
            assert self.begun.get((name, task), (0, 0))[0] < attempt, "an attempt was begun twice"
            self.begun[name, task] = (attempt, taken.result().attempts.retried)

    @rule(data=st.data())
    def a_lease_ends(self, data: st.DataObject) -> None:
        _, run = self._some(data)
        leased = sorted(task for task, score in read(run).slots.items() if score > 1)
        if leased:
            run.expire_lease(data.draw(st.sampled_from(leased)))
            self._note(run.recover()[0])

    @rule(data=st.data())
    def a_worker_ends(self, data: st.DataObject) -> None:
        if self.begun:
            name, task = data.draw(st.sampled_from(sorted(self.begun)))
            self._note(self.store.attempts.requeue(name, task, self.begun[name, task][0], worker="w1")[1])

    @rule(data=st.data())
    def a_retry_is_due(self, data: st.DataObject) -> None:
        name, run = self._some(data)
        for task in read(run).delayed:
            run.make_due(task)
        self._note(self.store.schedule(name))

    @rule(data=st.data(), asked=st.sampled_from(ASKED), task=st.integers(0, 5))
    def ask(self, data: st.DataObject, asked: tuple[TaskEvent, dict[str, Any]], task: int) -> None:
        name, _ = self._some(data)
        event, how = asked
        with contextlib.suppress(errors.UsageError):
            transition = lifecycle.transition(FLOW, event)
            self._note(self.store.requests.transition_task(name, f"T{task}", FLOW, transition, **how))

    @rule(
        data=st.data(),
        change=st.sampled_from(["pause", "resume", "cap", "cancel"]),
        seriously=st.integers(0, 3),
    )
    def steer(self, data: st.DataObject, change: str, seriously: int) -> None:
        name, run = self._some(data)
        if change == "cancel" and seriously:
            return
        asked: dict[str, tuple[str, dict[str, int]]] = {
            "pause": (FeatureEvent.FEATURE_PAUSED, {"paused": 1}),
            "resume": ("pause_ended", {"paused": 0}),
            "cap": ("cap_changed", {"cap": run.plan.cap}),
            "cancel": (FeatureEvent.FEATURE_CANCELLED, {}),
        }
        with contextlib.suppress(errors.UsageError):
            self._note(self.store.requests.update_feature(name, *asked[change]))

    @rule(limit=st.sampled_from(LIMITS), amount=st.integers(0, 4))
    def change(self, limit: str, amount: int) -> None:
        least = 0 if limit.startswith("resource:") else 1
        is_gone = amount == 0 and least == 1
        self.pending += self.store.limits.set(limit, "" if is_gone else str(max(least, amount)))
        for found in self.store.limits.all():
            self.most[found.name] = max(found.in_use, int(found.amount))

    @rule(data=st.data(), resources=st.sampled_from([{}, {"gpu": 1}, {"db": 1, "gpu": 2}]))
    def grow(self, data: st.DataObject, resources: dict[str, int]) -> None:
        """The factory's check knows the plan, so only a feature that it does not check grows."""
        name = "grown"
        if name not in self.runs:
            self.runs[name] = enqueue(self.store, factories.task("T0"), feature_id=name, cap=2)
        self.grown += 1
        added = [factories.task(f"N{self.grown}", resources=resources)]
        with contextlib.suppress(errors.UsageError):
            self._note(
                self.store.requests.grow(
                    name,
                    lambda shape: extension.grow(shape, added),
                    lambda new: routes_of(factories.feature(*new)),
                )
            )

    @rule()
    def reconcile(self) -> None:
        self.pending += self.store.limits.repair()

    @invariant()
    def all_is_well(self) -> None:
        self._settle()
        for name, run in self.runs.items():
            if name != "grown" and run.plan.strategy is not Strategy.DATAFLOW:
                check(run)
        check_limits(self.store, list(self.runs.values()))
        self._none_is_exceeded()

    def _none_is_exceeded(self) -> None:
        """More is in use than there is only where there was more, or no limit, when it was taken."""
        for limit in self.store.limits.all():
            most = self.most.get(limit.name, 0)
            in_use = sum(holder.units for holder in limit.holders)
            assert in_use <= max(most, int(limit.amount)), f"{limit.name}: {in_use} of {limit.amount}"
            self.most[limit.name] = max(in_use, int(limit.amount))

    def teardown(self) -> None:
        """With enough of everything, all that is not over comes to an end, and nothing is held then."""
        for limit in LIMITS:
            self.pending += self.store.limits.set(limit, "2")
        for _ in range(60):
            for name, run in self.runs.items():
                if read(run).meta.get("paused") == "1":
                    with contextlib.suppress(errors.UsageError):
                        self._note(self.store.requests.update_feature(name, "pause_ended", {"paused": 0}))
                for task in read(run).delayed:
                    run.make_due(task)
                self._note(self.store.schedule(name))
                self._settle()
                for task, score in read(run).slots.items():
                    if score <= 0:
                        self._begin(name, task)
                    elif (name, task) not in self.begun:
                        run.expire_lease(task)
                        self._note(run.recover()[0])
                for begun in [one for one in self.begun if one[0] == name]:
                    self._end(*begun, Completed())
                self._settle()
        for name, run in self.runs.items():
            raw = read(run)
            assert not raw.slots, f"{name} did not come to an end"
            assert not raw.limited, f"{name} waits for a limit, and nothing is in flight"
        for found in self.store.limits.all():
            assert (found.in_use, found.waiting, found.holders) == (0, 0, ())


def test_features_share_limits_under_any_calls(client: redis.Redis) -> None:
    play(Machine, client, examples=20, steps=40)
