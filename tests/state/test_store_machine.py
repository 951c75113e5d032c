"""Random features under random calls, legal and not: the invariants hold, and everything comes to an end."""

from __future__ import annotations

import redis
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from orchestrator.contract import needs
from orchestrator.model import errors, lifecycle
from orchestrator.model.commands import Launch
from orchestrator.model.feature import Feature, FeatureStatus, Strategy
from orchestrator.model.flows import FeatureEvent, TaskEvent
from orchestrator.model.lifecycle import Attempts
from orchestrator.model.outcome import Blocked, Cancelled, Completed, Failed, Outcome, RetryLater
from orchestrator.model.progress import Progress
from orchestrator.model.task import Retries, TaskStatus
from orchestrator.state.keys import Keys
from orchestrator.state.start_result import Claim, StartResult, Taken
from orchestrator.state.store import Store
from tests.model import factories
from tests.state.factories import FLOW, LEASE, Run, check, enqueue, message_of, read
from tests.state.machines import Redis, play

LOSSES = 2
SPECIALIST = "builder"
OUTCOMES: list[Outcome] = [
    Completed(),
    Completed(result=1),
    Failed(reason="broken"),
    Blocked(reason="no key"),
    RetryLater(after=60),
    Cancelled(),
]

ASKED = [
    TaskEvent.RETRY_REQUESTED,
    TaskEvent.BLOCKER_RESOLVED,
    TaskEvent.BLOCKER_DETECTED,
    TaskEvent.TASK_HELD,
    TaskEvent.TASK_RESUMED,
    TaskEvent.TASK_DEFERRED,
    TaskEvent.TASK_SKIPPED,
    TaskEvent.TASK_CANCELLED,
    TaskEvent.REVIEW_APPROVED,
    TaskEvent.CHANGES_REQUESTED,
]


@st.composite
def features(draw: st.DrawFn) -> Feature:
    """Up to seven tasks; each may depend on those before it."""
    names = [f"T{number}" for number in range(draw(st.integers(1, 7)))]
    # dataflow has no barrier and takes no stops: test_store_dataflow.py plays it.
    strategy = draw(st.sampled_from([each for each in Strategy if each is not Strategy.DATAFLOW]))
    may_depend = strategy is not Strategy.PARALLEL
    tasks = [
        factories.task(
            name,
            *draw(
                st.lists(st.sampled_from(names[:place]), max_size=2, unique=True)
                if place and may_depend
                else st.just([])
            ),
            priority=draw(st.sampled_from(["high", "medium", "low"])),
            retries=draw(st.integers(0, 2)),
        )
        for place, name in enumerate(names)
    ]
    return factories.feature(*tasks, strategy=strategy)


class Machine(RuleBasedStateMachine):
    """One feature, two workers, a broker that repeats and forgets, a sweep, and people who ask for anything."""

    run: Run

    def __init__(self) -> None:
        super().__init__()
        client = Redis.empty()
        self.store = Store(client, Keys("to"))
        self.messages: set[tuple[str, int]] = set()
        self.held: dict[tuple[str, int], int] = {}
        """What workers believe to run, and how often it was retried."""
        self.claims = 0
        self.alive: set[tuple[str, int]] = set()
        """Attempts that have not ended, and whose lease has not."""

    @initialize(feature=features(), cap=st.integers(1, 4), auto_launch=st.booleans())
    def enqueue(self, feature: Feature, cap: int, auto_launch: bool) -> None:
        self.run = enqueue(self.store, feature=feature, cap=cap, auto_launch=auto_launch)
        self.run.losses = LOSSES
        self.dependencies = {task.id: task.depends_on for task in feature.tasks}

    # --- what a broker and its workers do -----------------------------------------------------------------

    def _publish(self, launches: tuple[Launch, ...]) -> None:
        self.messages |= {(launch.task, launch.attempt) for launch in launches}

    @rule(data=st.data(), publishes=st.booleans())
    def schedule(self, data: st.DataObject, publishes: bool) -> None:
        scheduled = self.store.schedule(self.run.id)
        if publishes:
            self._publish(scheduled.launched)

    @precondition(lambda self: self.messages)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        """A message arrives, for the first time or again."""
        self._start(*data.draw(st.sampled_from(sorted(self.messages))))

    def _start(self, name: str, attempt: int) -> None:
        started = self.run.start(name, attempt)
        assert started.code in ("started", "held", "stale", "over")
        if started.code == "started":
            self._begun(name, attempt, started)

    def _begun(self, name: str, attempt: int, started: StartResult) -> None:
        assert (name, attempt) not in self.held, "an attempt was begun twice"
        self.alive.add((name, attempt))
        self.held[name, attempt] = started.attempts.retried
        resolved = {state.id: state.resolved for state in self.store.tasks.states(self.run.id)}
        behind = [one for one in self.dependencies[name] if not resolved[one]]
        assert not behind, f"{name} runs, but not all it depends on is resolved"

    @precondition(lambda self: self.held)
    @rule(data=st.data(), outcome=st.sampled_from(OUTCOMES), publishes=st.booleans())
    def finish(self, data: st.DataObject, outcome: Outcome, publishes: bool) -> None:
        """A worker commits, in time or too late, once or again."""
        name, attempt = data.draw(st.sampled_from(sorted(self.held)))
        self._finish(name, attempt, outcome, publishes)

    @precondition(lambda self: self.held and self.messages)
    @rule(
        data=st.data(),
        outcome=st.sampled_from(OUTCOMES),
        publishes=st.booleans(),
        fate=st.sampled_from(["goes on", "asks again", "is killed"]),
    )
    def take(self, data: st.DataObject, outcome: Outcome, publishes: bool, fate: str) -> None:
        """A worker commits, and takes the next message of its queue in the same step; its process may be killed then.

        Its broker forgets those that it leaves. They may arrive again, as all others do.
        """
        name, attempt = data.draw(st.sampled_from(sorted(self.alive) or sorted(self.held)))
        begins = sorted(
            (task, self.run.attempt(task)) for task, at in read(self.run).slots.items() if at <= 0
        )
        waiting = data.draw(
            st.lists(st.sampled_from(begins or sorted(self.messages)), min_size=1, max_size=2)
        )
        queue = self.store.keys.queue(SPECIALIST)
        for message in waiting:
            self.store.client.lpush(queue, message_of(self.run.id, *message))
        self.claims += 1
        claim = Claim({SPECIALIST: [SPECIALIST]}, "w1", LEASE, f"7-{self.claims}")
        taken = self._finish(name, attempt, outcome, publishes, claim)
        left = self.store.client.llen(queue)
        assert left == len(waiting) - (taken is not None), f"{left} of {waiting} are left, taken: {taken}"
        self.store.client.delete(queue)
        if taken is None:
            return
        assert taken.id == (self.run.id, *waiting[0]), "it is not the first of its queue"
        if fate == "asks again":
            before = read(self.run)
            transition = lifecycle.conclude(FLOW, outcome, Retries(), chance=0)
            code, _, _, again = self.store.attempts.finish_and_take(
                self.run.id, name, attempt, outcome, transition, claim=claim
            )
            assert code in ("repeated", "stale"), code
            assert again is not None
            assert again.result() == taken.result()
            assert read(self.run) == before
        if fate != "is killed":
            self._begun(*waiting[0], taken.result())

    def _finish(
        self, name: str, attempt: int, outcome: Outcome, publishes: bool = True, claim: Claim | None = None
    ) -> Taken | None:
        before = read(self.run)
        retries = Retries(max=self.run.plan.feature.task(name).retries.max)
        status = before.states[name]["status"]
        stands = status if status in ("in-progress", "testing") else "in-progress"
        attempts = Attempts(self.held[name, attempt])
        transition = lifecycle.conclude(FLOW, outcome, retries, attempts, chance=0, status=stands)
        code, _, scheduled, taken = self.store.attempts.finish_and_take(
            self.run.id, name, attempt, outcome, transition, claim=claim
        )
        self.alive.discard((name, attempt))
        holds = before.states[name]["attempt"] == attempt and before.slots.get(name, 0) > 0
        is_taken = bool(before.states[name].get("ending"))
        assert (code == "finished") == (holds and not is_taken), code
        assert (code == "ended") == (holds and is_taken), code
        assert code in ("finished", "ended", "repeated", "stale")
        if publishes:
            self._publish(scheduled.launched)
        return taken

    @rule(name=st.integers(0, 6), attempt=st.integers(0, 4), outcome=st.sampled_from(OUTCOMES))
    def forge(self, name: int, attempt: int, outcome: Outcome) -> None:
        """Calls about attempts that nobody holds change nothing."""
        task = f"T{name}"
        if (task, attempt) in self.held:
            return
        before = read(self.run)
        transition = lifecycle.conclude(FLOW, outcome, Retries(), chance=0)
        code, _, scheduled = self.store.attempts.finish(self.run.id, task, attempt, outcome, transition)
        assert code in ("missing", "refused", "stale")
        assert self.store.attempts.renew([(self.run.id, task, attempt)], lease=LEASE) == ["lost"]
        assert self.store.attempts.report_progress(self.run.id, task, attempt, 1, "") == "stale"
        if not scheduled.launched:
            assert read(self.run).states.get(task) == before.states.get(task)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        name, attempt = data.draw(st.sampled_from(sorted(self.held)))
        before = read(self.run)
        (answer,) = self.store.attempts.renew([(self.run.id, name, attempt)], lease=LEASE)
        holds = before.states[name]["attempt"] == attempt and before.slots.get(name, 0) > 0
        assert (answer != "lost") == holds

    @precondition(lambda self: self.held)
    @rule(data=st.data(), publishes=st.booleans())
    def hand_back(self, data: st.DataObject, publishes: bool) -> None:
        """A worker ends in the midst of it."""
        name, attempt = data.draw(st.sampled_from(sorted(self.held)))
        before = read(self.run)
        code, scheduled = self.store.attempts.requeue(self.run.id, name, attempt, worker="w1")
        self.alive.discard((name, attempt))
        holds = before.states[name]["attempt"] == attempt and before.slots.get(name, 0) > 0
        assert (code in ("requeued", "ended")) == holds
        if publishes:
            self._publish(scheduled.launched)

    # --- what time does -----------------------------------------------------------------------------------

    @precondition(lambda self: any(score > 1 for score in read(self.run).slots.values()))
    @rule(data=st.data())
    def a_lease_ends(self, data: st.DataObject) -> None:
        leased = sorted(name for name, score in read(self.run).slots.items() if score > 1)
        self._expire(data.draw(st.sampled_from(leased)))

    def _expire(self, name: str) -> None:
        self.run.expire_lease(name)
        self.alive.discard((name, self.run.attempt(name)))

    @precondition(lambda self: bool(read(self.run).delayed))
    @rule(data=st.data())
    def a_retry_is_due(self, data: st.DataObject) -> None:
        self.store.client.zadd(
            self.run.keys.delayed, {data.draw(st.sampled_from(sorted(read(self.run).delayed))): 1}, xx=True
        )

    @rule(patience=st.sampled_from([0.0, 3_600.0]), publishes=st.booleans())
    def sweep(self, patience: float, publishes: bool) -> None:
        scheduled, unpublished = self.run.recover(patience)
        if publishes:
            self._publish(scheduled.launched)
            self._publish(unpublished)

    # --- what people ask for ------------------------------------------------------------------------------

    @rule(name=st.integers(0, 7), event=st.sampled_from(ASKED), revoke=st.booleans())
    def ask(self, name: int, event: TaskEvent, revoke: bool) -> None:
        """A person asks for anything, whether it is allowed or not."""
        task = f"T{name}"
        self._publish(
            self.store.schedule(self.run.id).launched
        )  # what was due anyway is not the request's doing
        before = read(self.run)
        stands = before.states.get(task, {}).get("status", TaskStatus.PENDING)
        resolve = "resolve" if event is TaskEvent.TASK_SKIPPED else "never"
        transition = lifecycle.transition(FLOW, event)
        try:
            scheduled = self.store.requests.transition_task(
                self.run.id, task, FLOW, transition, resolve=resolve, revoke=revoke
            )
        except errors.NoSuchTask:
            assert task not in self.dependencies
        except errors.FeatureOver:
            assert FeatureStatus(before.meta["status"]).is_over
        except errors.RefusedTransition:
            assert FLOW.target(event, stands) is None
            assert read(self.run).states == before.states
        except errors.AttemptRuns:
            assert task in before.slots
            assert not revoke
            assert read(self.run).states == before.states
        else:
            assert FLOW.target(event, stands) == self.run.status(task) or scheduled.launched
            self._publish(scheduled.launched)

    @rule(change=st.sampled_from(["launch", "pause", "resume", "cap"]))
    def steer(self, change: str) -> None:
        progress = self.store.features.summary(self.run.id)
        asked: tuple[str, dict[str, int]] = {
            "launch": ("launch_requested", {"released": progress.batch + 1}),
            "pause": (FeatureEvent.FEATURE_PAUSED, {"paused": 1}),
            "resume": (FeatureEvent.FEATURE_RESUMED, {"paused": 0}),
            "cap": ("cap_changed", {"cap": self.run.plan.cap}),
        }[change]
        try:
            self._publish(self.store.requests.update_feature(self.run.id, *asked).launched)
        except errors.RefusedTransition:
            assert progress.status.is_over or change in ("pause", "resume")

    @rule(seriously=st.integers(0, 5))
    def cancel(self, seriously: int) -> None:
        if seriously != 5:
            return
        status = FeatureStatus(read(self.run).meta["status"])
        try:
            self.run.cancel()
        except errors.RefusedTransition:
            assert status.is_over
        else:
            assert not status.is_over

    # --- what holds always, and at the end ----------------------------------------------------------------

    @invariant()
    def all_is_well(self) -> None:
        if hasattr(self, "run"):
            check(self.run)
            self._what_lives_holds_its_slot()

    def _what_lives_holds_its_slot(self) -> None:
        raw = read(self.run)
        for name, attempt in self.alive:
            assert raw.slots.get(name, 0) > 0, (
                f"the slot of {name} was given away, and attempt {attempt} lives"
            )
            assert raw.states[name]["attempt"] == attempt, f"{name} goes on, and attempt {attempt} lives"

    def teardown(self) -> None:
        if hasattr(self, "run"):
            self._drive_to_the_end()

    def _drive_to_the_end(self) -> None:
        """Whatever went before: with a sweep, a worker and people who launch, it comes to an end."""
        for _ in range(60):
            progress = self.store.features.summary(self.run.id)
            if progress.is_paused and not progress.status.is_over:
                self._resume()
            elif progress.awaits_launch:
                self.steer("launch")
            elif progress.is_settled:
                break
            raw = read(self.run)
            for name in raw.delayed:
                self.run.make_due(name)
            for name in (name for name, score in raw.slots.items() if score > 0):
                self._expire(name)
            self.run.recover(patience=0)
            for name in read(self.run).slots:
                attempt = self.run.attempt(name)
                self._start(name, attempt)
                if (name, attempt) in self.held:
                    self._finish(name, attempt, Completed())
            check(self.run)
        progress = self.store.features.summary(self.run.id)
        assert progress.is_settled, progress
        assert progress.status.is_over or self._awaits_a_decision(progress), progress
        self.run.recover()
        assert self.store.features.active() == ([] if progress.status.is_over else [self.run.id])

    def _resume(self) -> None:
        """End a pause, in every status of the feature."""
        self._publish(self.store.requests.update_feature(self.run.id, "pause_ended", {"paused": 0}).launched)

    def _awaits_a_decision(self, progress: Progress) -> bool:
        """There is a reason to be idle, and it is named with the command that answers it."""
        return bool(needs.of_feature(progress, self.store.tasks.states(self.run.id)))


def test_any_feature_under_any_calls(client: redis.Redis) -> None:
    play(Machine, client, examples=50, steps=30)
