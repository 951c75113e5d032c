"""The step that most attempts end with leaves and answers what the scripts do that it stands for."""

from __future__ import annotations

import functools
import json
import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from orchestrator.model import lifecycle
from orchestrator.model.feature import FeatureStatus, Strategy
from orchestrator.model.flows import SHIPPED_FEATURE_FLOWS, FeatureEvent, FeatureFlow, TaskEvent
from orchestrator.model.lifecycle import Attempts, Transition
from orchestrator.model.outcome import Completed, Failed, Outcome, RetryLater
from orchestrator.model.plan import Route
from orchestrator.model.queues import Queues
from orchestrator.model.task import Retries
from orchestrator.planning import planner
from orchestrator.state import script_sources, scripts
from orchestrator.state.keys import Keys
from orchestrator.state.start_result import Claim, Taken
from orchestrator.state.store import Store
from tests.model import factories
from tests.state.factories import FLOW, LEASE, Run
from tests.state.test_store_types import everything

SPECIALISTS = ("builder", "cleaner", "größe/2")
QUEUES = {"cleaner": "sweep"}
MOVE = lifecycle.at_once(FLOW, "in-progress", TaskEvent.IMPLEMENTATION_COMPLETE, TaskEvent.TESTS_PASSED)
STEPS = "steps"
"""The key that counts the steps in these tests."""
COMPOSERS = {with_step: functools.cache(scripts.compose.__wrapped__) for with_step in (True, False)}


@contextmanager
def counted(with_step: bool) -> Iterator[None]:
    """Run with the step, and count its runs; or without it."""
    source = script_sources.sources()["step"]
    last = "\nlocal finished = {"
    assert source.count(last) == 1
    planted = {
        **script_sources.sources(),
        "step": source.replace(last, f"\nredis.call('INCR', '{STEPS}')" + last),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scripts, "compose", COMPOSERS[with_step])
        patch.setattr(script_sources, "sources", lambda: planted)
        if not with_step:
            patch.setattr(scripts, "IN_ONE", {})
        yield


class Play:
    """Features under random calls; a seed gives the same calls each time."""

    def __init__(self, client: redis.Redis, seed: int) -> None:
        self.client: Any = client
        self.random = random.Random(seed)
        self.store = Store(
            client,
            Keys(),
            queues=Queues(Keys().celery(), QUEUES),
            events_kept=100 if seed % 7 == 0 else 1_000_000,
        )
        self.answers: list[Any] = []
        self.held: list[tuple[tuple[str, str, int], str, str]] = []
        """What runs: the attempt, its delivery, its specialist."""
        self.claims = 0
        self.runs = [self.enqueue(name) for name in ("one", "two")[: self.random.choice((1, 1, 2))]]

    def enqueue(self, feature_id: str) -> Run:
        names = [f"T{place}" for place in range(self.random.randint(3, 30))]
        strategy = self.random.choice((Strategy.BATCHED, Strategy.DATAFLOW, Strategy.DATAFLOW))
        feature = factories.feature(
            *(
                factories.task(
                    name,
                    *self.random.sample(names[:place], min(place, self.random.choice((0, 0, 0, 1, 1, 2)))),
                )
                for place, name in enumerate(names)
            ),
            strategy=strategy,
        )
        specialists = self.random.choice((SPECIALISTS, ("builder",), ("builder",)))
        routes = {
            name: Route(
                specialist=who, title=who, queue=QUEUES.get(who, who), rule="default", reason="a test"
            )
            for name in names
            for who in [self.random.choice(specialists)]
        }
        plan = planner.plan(feature, self.random.choice((2, 5, 30, 30)))
        trace = {"traceparent": "00-1f-2e-01"} if self.random.random() < 0.3 else None
        self.store.enqueue(feature_id, plan, routes, trace=trace)
        self.store.schedule(feature_id)
        return Run(self.store, feature_id, plan)

    def play(self, calls: int) -> None:
        """Make calls, most of them commits that take the next task."""
        for _ in range(calls):
            self.random.choice([self.step] * 30 + [self.begin] * 3 + [self.meddle])()
            self.answers.append(sorted(self.client.keys("*")))

    def claim(self) -> Claim:
        self.claims += 1
        queues = [(QUEUES.get(name, name), [name]) for name in SPECIALISTS]
        self.random.shuffle(queues)
        return Claim(dict(queues[: self.random.choice((1, 3, 3))]), "w1", LEASE, f"7-{self.claims}")

    def begin(self) -> None:
        """Celery brings a message."""
        for who in SPECIALISTS:
            message = self.client.rpop(self.store.keys.queue(QUEUES.get(who, who)))
            if message and "headers" in message:
                feature_id, task, attempt = json.loads(json.loads(message)["body"])[0]
                delivery = self.claim().delivery
                started = self.store.attempts.start(
                    feature_id, task, attempt, specialist=who, worker="w1", lease=LEASE, delivery=delivery
                )
                if started.code == "started":
                    self.held.append(((feature_id, task, attempt), delivery, who))
                return

    def step(self) -> None:
        """A worker commits an attempt, and takes the next."""
        if not self.held:
            self.begin()
            return
        attempt, delivery, _ = self.held.pop(self.random.randrange(len(self.held)))
        outcome, move = self.outcome()
        wrong = self.random.random() < 0.02
        claim = self.claim()
        title = self.random.choice(("Login", "Login", ""))
        code, status, scheduled, taken = self.store.attempts.finish_and_take(
            *attempt,
            outcome,
            move,
            worker="w1",
            delivery="x" if wrong else delivery,
            title=title,
            claim=claim,
        )
        self.answers.append((code, status, scheduled, told(taken)))
        if taken:
            who = json.loads(taken.message)["headers"]["task"]
            self.held.append((taken.id, claim.delivery, who))

    def outcome(self) -> tuple[Outcome, Transition]:
        if self.random.random() < 0.97:
            return Completed(result={"n": self.claims}), MOVE
        outcome = self.random.choice((Failed(reason="broken"), RetryLater(after=60)))
        return outcome, lifecycle.conclude(FLOW, outcome, Retries(max=1, jitter=False), Attempts(), chance=0)

    def hand_back(self) -> None:
        """A worker ends: what it held is launched again, ahead of all others."""
        if self.held:
            (feature_id, task, attempt), delivery, _ = self.held.pop(0)
            self.store.attempts.requeue(feature_id, task, attempt, worker="w1", delivery=delivery)

    def meddle(self) -> None:
        """A person, or the sweep, gets in between."""
        run = self.random.choice(self.runs)
        task = self.random.choice([task.id for task in run.plan.feature.tasks])
        doings: list[Callable[[], Any]] = [
            lambda: self.store.requests.transition_task(
                run.id, task, FLOW, lifecycle.transition(FLOW, TaskEvent.TASK_HELD), "", revoke=True
            ),
            lambda: run.ask(task, TaskEvent.TASK_SKIPPED, resolve="resolve"),
            lambda: self.store.limits.set("total", "3"),
            lambda: self.store.limits.set("total", ""),
            lambda: self.store.requests.update_feature(run.id, FeatureEvent.FEATURE_PAUSED, {"paused": "1"}),
            lambda: self.store.requests.update_feature(run.id, FeatureEvent.FEATURE_RESUMED, {"paused": "0"}),
            lambda: run.recover(),
            self.hand_back,
            self.hand_back,
            lambda: self.client.lpush(self.store.keys.queue("builder"), '{"body": "of another program"}'),
        ]
        try:
            self.random.choice(doings)()
        except Exception as error:  # refused: it is so on both sides
            self.answers.append(type(error).__name__)


def told(taken: Taken | None) -> Any:
    if taken is None:
        return None
    result = taken.result()
    state = {name: value for name, value in result.state.items() if name != "started"}
    return (
        taken.queue,
        plain(taken.message),
        taken.id,
        result.code,
        result.task,
        result.head,
        state,
        result.wait,
    )


def plain(value: Any) -> Any:
    """A stored value without moments, and without what is drawn at random."""
    if isinstance(value, dict):
        return {plain(name): plain(one) for name, one in value.items() if name not in ("ran", "watched")}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return value if abs(value) < 1e11 else value > 0
    if isinstance(value, str) and value.startswith("{"):
        return {name: plain(one) for name, one in json.loads(value).items()}
    text = re.sub(r"\b\d{13}(-\d+)?\b", "MOMENT", str(value))
    return re.sub(r"\b[0-9a-f]{12}\b|\b[0-9a-f]{32}\b", "TOKEN", text)


def played(client: redis.Redis, seed: int, with_step: bool) -> tuple[list[Any], dict[str, Any], int]:
    """The answers of a play, what it leaves, and how many steps there were."""
    client.flushall()
    with counted(with_step):
        play = Play(client, seed)
        play.play(60)
    steps: Any = client.get(STEPS)
    client.delete(STEPS)
    left = {key: plain(value) for key, value in everything(client).items() if "durations" not in key}
    times = [len(value) for key, value in everything(client).items() if "durations" in key]
    play.answers = [
        [key for key in each if key != STEPS] if isinstance(each, list) else each for each in play.answers
    ]
    return play.answers, {**left, "durations": times}, int(steps or 0)


@pytest.mark.parametrize("seed", range(30))
def test_a_step_leaves_what_the_scripts_leave(client: redis.Redis, seed: int) -> None:
    # Given the same calls, with the step and without
    answers, left, _ = played(client, seed, with_step=True)
    wanted, expected, none = played(client, seed, with_step=False)

    # Then all that is answered and stored is the same
    assert none == 0
    assert answers == wanted
    assert left == expected


def test_many_attempts_end_with_a_step(client: redis.Redis) -> None:
    steps = [played(client, seed, with_step=True)[2] for seed in range(10)]
    assert sum(steps) > 40, steps


@pytest.mark.parametrize("flow", SHIPPED_FEATURE_FLOWS)
@pytest.mark.parametrize("gated", [[], ["testing"], ["testing", "validating"]])
def test_only_its_end_or_trouble_leads_on_from_development(flow: str, gated: list[str]) -> None:
    """step.lua relies on it: it changes no status of a feature that is in development."""
    table = FeatureFlow(flow, SHIPPED_FEATURE_FLOWS[flow]).table(gated)
    leading_on = {event for event, arrow in table.items() if FeatureStatus.IN_DEVELOPMENT in arrow}
    assert not leading_on & {FeatureEvent.FIRST_TASK_STARTED, FeatureEvent.ALL_RESOLVED}
