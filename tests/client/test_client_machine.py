"""Every public method of a client and of a handle, on features that run: each call keeps the laws, or is refused."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from typing import Any

import redis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chaos import checker
from chaos.history import Story
from orchestrator.client.client import Client
from orchestrator.client.handle import Handle
from orchestrator.config.schema.operation import Trust
from orchestrator.config.schema.servers import RedisSettings
from orchestrator.config.schema.specialists import SpecialistSettings
from orchestrator.config.settings import Settings
from orchestrator.contract import needs
from orchestrator.model import errors, lifecycle
from orchestrator.model.feature import FeatureStatus, Strategy
from orchestrator.model.outcome import Blocked, Cancelled, Completed, Failed, Outcome
from orchestrator.model.queues import Queues
from orchestrator.model.task import Task, TaskStatus
from orchestrator.state.keys import Keys
from orchestrator.state.store import Store
from tests.model import factories
from tests.state.factories import LEASE
from tests.state.machines import Redis, play

WORKER = "w1"
NAMES = [f"T{number}" for number in range(5)]
OUTCOMES: list[Outcome] = [Completed(), Completed(), Failed(reason="broken"), Blocked(reason="no key")]
LAWS = [law for law in checker.STORY_LAWS if law not in (checker.ends_or_waits, checker.no_slot_leaks)]
"""Those of the checker that hold at every moment, not only at the end."""

S = TaskStatus
Act = Callable[[Handle, str], Any]
ON_TASKS: dict[str, tuple[Act, tuple[TaskStatus, ...]]] = {
    "retry": (lambda handle, task: handle.retry(task), (S.FAILED,)),
    "unblock": (lambda handle, task: handle.unblock(task, "it is there"), (S.BLOCKED,)),
    "fail_task": (lambda handle, task: handle.fail_task(task, "no use"), (S.IN_PROGRESS,)),
    "block": (lambda handle, task: handle.block(task, "not yet"), (S.IN_PROGRESS, S.PENDING)),
    "skip": (lambda handle, task: handle.skip(task, "no need"), (S.FAILED, S.CANCELLED, S.ON_HOLD)),
    "hold": (lambda handle, task: handle.hold(task), (S.IN_PROGRESS, S.FAILED)),
    "resume_task": (lambda handle, task: handle.resume_task(task), (S.ON_HOLD, S.DEFERRED)),
    "defer": (lambda handle, task: handle.defer(task), (S.IN_PROGRESS, S.BLOCKED)),
    "cancel_task": (lambda handle, task: handle.cancel_task(task), (S.IN_PROGRESS, S.TESTING)),
    "approve": (lambda handle, task: handle.approve(task), (S.IN_REVIEW,)),
    "request_changes": (lambda handle, task: handle.request_changes(task, "no"), (S.IN_REVIEW,)),
    "advance": (
        lambda handle, task: handle.advance(task),
        (S.PENDING, S.CHANGES_REQUESTED, S.IN_REVIEW, S.TESTING, S.ON_HOLD),
    ),
    "assign": (lambda handle, task: handle.assign(task, "mason"), (S.PENDING,)),
    "depend": (lambda handle, task: handle.depend(task, "T0"), (S.PENDING,)),
    "outcome": (lambda handle, task: handle.outcome(task), (S.COMPLETED,)),
    "result": (lambda handle, task: handle.result(task), (S.COMPLETED,)),
    "around": (lambda handle, task: handle.around(task), tuple(S)),
}
"""What is done to a task, and where that task stands when it can succeed."""

ON_FEATURES: dict[str, Callable[[Handle], Any]] = {
    "progress": lambda handle: handle.progress(),
    "status": lambda handle: handle.status(),
    "tasks": lambda handle: handle.tasks(),
    "states": lambda handle: handle.states(),
    "states_of": lambda handle: handle.states_of(["T1"]),
    "unsettled": lambda handle: handle.unsettled(),
    "events": lambda handle: handle.events(),
    "events_gone": lambda handle: handle.events_gone(),
    "outcomes": lambda handle: handle.outcomes(["T0"]),
    "raised": lambda handle: handle.raised("T0"),
    "as_result": lambda handle: handle.as_result().state,
    "pause": lambda handle: handle.pause(),
    "resume": lambda handle: handle.resume(),
    "approve_feature": lambda handle: handle.approve_feature(),
    "launch": lambda handle: handle.launch(),
    "set_cap": lambda handle: handle.set_cap(2),
    "set_budget": lambda handle: handle.set_budget(2),
    "add_task": lambda handle: handle.add_task(Task(id=f"N{len(handle.tasks())}", specialist="builder")),
    "grow": lambda handle: handle.grow(
        [Task(id=f"N{len(handle.tasks())}", specialist="builder")], {"T1": ["T0"]}
    ),
    "add_tasks": lambda handle: handle.add_tasks(
        [Task(id=f"N{len(handle.tasks())}", specialist="builder", depends_on=["T0"])]
    ),
}
ENDS: dict[str, Callable[[Handle], Any]] = {
    "cancel": lambda handle: handle.cancel(),
    "fail": lambda handle: handle.fail(),
}
BLOCKING = {"wait", "follow", "wait_async"}
ON_CLIENTS: dict[str, Callable[[Client, Handle], Any]] = {
    "feature": lambda client, handle: client.feature(handle.id),
    "features": lambda client, handle: client.features(),
    "overview": lambda client, handle: client.overview(),
    "recommend": lambda client, handle: client.recommend(handle.id, "T0"),
    "forget": lambda client, handle: client.forget(handle.id),
    "prune": lambda client, handle: client.prune(0.0, dry_run=True),
    "claim": lambda client, handle: client.claim(),
    "claimed": lambda client, handle: client.claimed(f"{handle.id}:T0:1:0f3a9c5e71d2"),
    "limits": lambda client, handle: client.limits(),
    "models": lambda client, handle: client.models(),
    "usage": lambda client, handle: client.usage(handle.id, "model"),
    "set_limit": lambda client, handle: client.set_limit("specialist:builder", 2),
    "reset_limits": lambda client, handle: client.reset_limits(),
    "plan": lambda client, handle: client.plan(factories.feature()),
    "enqueue": lambda client, handle: client.enqueue(
        factories.feature(id=handle.id, tasks=[Task(id="T0", specialist="builder")])
    ),
}


def _public(kind: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}


def test_every_public_method_is_played() -> None:
    assert _public(Handle) == {*ON_TASKS, *ON_FEATURES, *ENDS} | BLOCKING
    assert _public(Client) == {*ON_CLIENTS, "close"}


@st.composite
def features(draw: st.DrawFn) -> Any:
    """Up to five tasks, some of which are to be reviewed."""
    names = NAMES[: draw(st.integers(1, 5))]
    tasks = [
        Task(
            id=name,
            specialist="builder",
            depends_on=draw(st.lists(st.sampled_from(names[:place]), max_size=2, unique=True))
            if place
            else [],
            tags=draw(st.sampled_from([(), ("needs-review",)])),
            retries={"max": 0},
        )
        for place, name in enumerate(names)
    ]
    return factories.feature(*tasks, strategy=draw(st.sampled_from([Strategy.BATCHED, Strategy.DATAFLOW])))


class Machine(RuleBasedStateMachine):
    """A feature, two workers, a person who calls whatever there is, mostly where it can succeed."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[tuple[str, int], Any] = {}
        """What workers run, and the task's flow."""

    @initialize(feature=features(), cap=st.integers(1, 3), is_strict=st.booleans(), launches=st.booleans())
    def enqueue(self, feature: Any, cap: int, is_strict: bool, launches: bool) -> None:
        work = SpecialistSettings(command=["true"])
        settings = Settings(
            redis=RedisSettings(url="redis://127.0.0.1:1"),
            trust=Trust(inline_commands=True),
            specialists={"builder": work, "mason": work},
            status_validation={"enforce_sequential": is_strict},
        )
        self.client = Client(settings)
        self.store = self.client.store = Store(Redis.empty(), Keys("to"), queues=Queues(Keys("to").celery()))
        self.client.dispatcher.store = self.store
        feature = feature.model_copy(update={"id": "auth", "max_parallel_tasks": cap})
        waits = launches and feature.strategy is not Strategy.DATAFLOW
        self.handle = self.client.enqueue(feature, auto_launch=not waits)
        self.schedule = self.client.plan(feature)

    # --- people -------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(sorted(ON_TASKS)), task=st.sampled_from([*NAMES, "@testing", "@validating"]))
    def ask_anything_of_a_task(self, name: str, task: str) -> None:
        self._try(lambda: ON_TASKS[name][0](self.handle, task))

    @rule(data=st.data())
    def ask_what_a_task_allows(self, data: st.DataObject) -> None:
        """What hardly ever fits by chance: a retry of what failed, an answer while an attempt is ending."""
        states = self.store.tasks.states("auth") if self._is_there() else []
        fitting = {
            name: [state.id for state in states if state.status in stands or state.phase == "ending"]
            for name, (_, stands) in ON_TASKS.items()
        }
        names = sorted(name for name, tasks in fitting.items() if tasks)
        if names:
            name = data.draw(st.sampled_from(names))
            task = data.draw(st.sampled_from(fitting[name]))
            self._try(lambda: ON_TASKS[name][0](self.handle, task))

    @rule()
    def launch_what_waits(self) -> None:
        if self._is_there() and self.handle.progress().awaits_launch:
            self.handle.launch()

    @rule(name=st.sampled_from(list(ON_FEATURES)))
    def ask_of_the_feature(self, name: str) -> None:
        self._try(lambda: ON_FEATURES[name](self.handle))

    @rule(name=st.sampled_from(sorted(ON_CLIENTS)))
    def ask_the_client(self, name: str) -> None:
        self._try(lambda: ON_CLIENTS[name](self.client, self.handle))

    @rule(name=st.sampled_from(sorted(ENDS)), seriously=st.sampled_from(range(30)))
    def end(self, name: str, seriously: int) -> None:
        if seriously == 17:
            self._try(lambda: ENDS[name](self.handle))

    def _try(self, call: Callable[[], object]) -> None:
        """A refusal is an error of ours with its words; anything else that is raised is a bug."""
        with contextlib.suppress(errors.UsageError):
            call()

    # --- workers ------------------------------------------------------------------------------------------

    @rule(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        launched = sorted(task for task, score in self._slots().items() if score <= 0)
        if launched:
            self._begin(data.draw(st.sampled_from(launched)))

    def _begin(self, task: str) -> None:
        state = self.store.tasks.state("auth", task)
        specialist = str(self.store.client.hget(self._keys.plan, task)).split(":")[2]
        started = self.store.attempts.start(
            "auth", task, state.attempt, specialist=specialist, worker=WORKER, lease=LEASE
        )
        assert started.code in ("started", "over"), started.code
        if started.code == "started":
            assert started.task
            self.alive[task, state.attempt] = started

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), outcome=st.sampled_from(OUTCOMES))
    def finish(self, data: st.DataObject, outcome: Outcome) -> None:
        self._finish(*data.draw(st.sampled_from(sorted(self.alive))), outcome)

    def _finish(self, task: str, attempt: int, outcome: Outcome) -> None:
        started = self.alive.pop((task, attempt))
        flow = self.client.settings.flow_for(started.task.tags)
        transition = lifecycle.conclude(flow, outcome, started.task.retries, status=started.status, chance=0)
        code, *_ = self.store.attempts.finish("auth", task, attempt, outcome, transition, worker=WORKER)
        assert code in ("finished", "ended"), code

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def a_worker_is_lost(self, data: st.DataObject) -> None:
        task, attempt = data.draw(st.sampled_from(sorted(self.alive)))
        del self.alive[task, attempt]
        self.store.client.zadd(self._keys.slots, {task: 1})
        # However long ago the last sweep was on a slow machine: this worker gets no time to renew.
        self.store.recovery.recover("auth", losses=2, patience=60, regain=0)

    # --- what holds always --------------------------------------------------------------------------------

    @property
    def _keys(self) -> Any:
        return self.store.keys.feature("auth")

    def _slots(self) -> dict[str, float]:
        found: Any = self.store.client.zrange(self._keys.slots, 0, -1, withscores=True)
        return dict(found)

    def _is_there(self) -> bool:
        return bool(self.store.client.exists(self._keys.meta))

    @invariant()
    def the_laws_hold(self) -> None:
        if not hasattr(self, "handle") or not self._is_there():
            return
        story = self._story()
        broken = [f"{law.__name__}: {task}: {what}" for law in LAWS for task, what in law(story)]
        assert not broken, broken
        slots = self._slots()
        for state in story.states:
            if state.status is TaskStatus.IN_PROGRESS:
                assert slots.get(state.id, 0) > 0, f"{state.id} runs, and nobody holds it"
        for task, _ in self.alive:
            assert slots.get(task, 0) > 0, f"the slot of {task} was given away, and its attempt lives"
        self._somebody_acts(story)

    def _somebody_acts(self, story: Story) -> None:
        """What is settled says whom it waits for, and what is not settled has something that goes on."""
        progress = story.progress
        if progress.is_settled:
            assert progress.status.is_over or needs.of_feature(progress, story.states), progress
        elif not progress.status.is_over and not progress.is_paused:
            limited = sum(progress.limited.values())
            assert progress.in_flight + progress.queued + progress.delayed + limited, progress

    def _story(self) -> Story:
        states, tasks = self.store.tasks.states("auth"), self.store.tasks.all("auth")
        numbers = sorted({state.batch for state in states})
        counts: dict[str, str] = self.store.client.hgetall(self._keys.counts)  # type: ignore[assignment]
        settings = self.client.settings
        return Story(
            feature=factories.feature(*tasks, id="auth"),
            strategy=self.store.features.summary("auth").strategy,
            cap=self.schedule.cap,
            batches=tuple(tuple(s.id for s in states if s.batch == number) for number in numbers),
            specialists={state.id: state.specialist for state in states},
            flows={task.id: settings.flow_for(task.tags).statuses for task in tasks},
            feature_flow=settings.feature_flow_for(()).statuses,
            events=tuple(self.store.events.read("auth")),
            progress=self.store.features.summary("auth"),
            states=tuple(states),
            counts={name: int(count) for name, count in counts.items() if count != "0"},
            slots=tuple(self._slots()),
        )

    def teardown(self) -> None:
        """What runs may end, what is launched may run; then all waits for a person, or is over."""
        if not hasattr(self, "handle"):
            return
        for _ in range(60):
            for task, attempt in list(self.alive):
                self._finish(task, attempt, Cancelled() if attempt % 2 else Completed())
            launched = (
                [task for task, score in self._slots().items() if score <= 0] if self._is_there() else []
            )
            for task in launched:
                self._begin(task)
            self.the_laws_hold()
            if not self.alive:
                break
        if self._is_there():
            assert not self._slots()
            assert FeatureStatus(self.handle.status())
        self.client.close()


def test_whatever_people_call_the_laws_hold(client: redis.Redis) -> None:
    play(Machine, client, examples=40, steps=50)
