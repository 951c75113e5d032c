"""Reads tasks: what they are, where they stand, and their outcomes."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.model import errors, identifiers
from orchestrator.model.feature import Feature, Strategy
from orchestrator.model.flows import STOPPED
from orchestrator.model.task import OPEN_TO_DEPENDENCIES, RESTING, Task, TaskStatus
from orchestrator.planning import sketch
from orchestrator.state import encoding, schema
from orchestrator.state.chunks import CHUNK, chunks
from orchestrator.state.encoding import Place
from orchestrator.state.script_runner import ScriptRunner, readable, reads_feature
from orchestrator.state.stored_states import StoredStates, awaited_limits, pair

if TYPE_CHECKING:
    from orchestrator.model.outcome import Outcome
    from orchestrator.model.progress import TaskState
    from orchestrator.planning.extension import Shape
    from orchestrator.planning.sketch import Sketch
    from orchestrator.state.features import FeatureReader


class TaskReader:
    """Reads the tasks of features: what they are, where they stand, their outcomes.

    Args:
        runner: Runs the scripts.
        features: Reads features.
    """

    def __init__(self, runner: ScriptRunner, features: FeatureReader) -> None:
        self._runner = runner
        self._features = features

    def find(self, feature_id: str, task_id: str) -> Task:
        """A task as it was enqueued.

        Raises:
            NoSuchFeature, NoSuchTask: There is none of this id.
        """
        found = self._runner.client.hget(self._runner.keys.feature(feature_id).tasks, task_id)
        if found is None:
            self._features.head(feature_id)
            raise errors.NoSuchTask(feature=feature_id, task=task_id)
        with readable(feature_id):
            return encoding.parse_task(found, task_id)

    def all(self, feature_id: str) -> list[Task]:
        """All the tasks as they were enqueued, by batch, in launch order.

        Raises:
            NoSuchFeature: There is none of this id.
        """
        keys = self._runner.keys.feature(feature_id)
        self._runner.check(feature_id, *self._runner.client.hmget(keys.meta, ["head", "schema"]))
        tasks, batches = self._runner.client.hgetall(keys.tasks), self._runner.client.hgetall(keys.batches)
        with readable(feature_id):
            return [encoding.parse_task(tasks[task], task) for task in encoding.parse_members(batches)]

    @reads_feature
    def dependencies(self, feature_id: str) -> dict[str, list[str]]:
        """The dependencies of each task. Does not parse the rest of the tasks, because there may be very many."""
        tasks: Any = self._runner.client.hgetall(self._runner.keys.feature(feature_id).tasks)
        return {task: json.loads(stored).get("depends_on", []) for task, stored in tasks.items()}

    @reads_feature
    def shape(self, feature_id: str) -> Shape:
        """The data of a feature that its growth is planned from, read in one step.

        Raises:
            NoSuchFeature: There is none of this id.
        """
        from orchestrator.planning.extension import Shape

        keys = self._runner.keys.feature(feature_id)
        pipeline = self._runner.client.pipeline(transaction=True)
        pipeline.hmget(keys.meta, ["head", "status", "strategy", "cap", "batch", "grown", "schema"])
        for key in (keys.tasks, keys.plan, keys.states, keys.batches):
            pipeline.hgetall(key)
        pipeline.zrange(keys.slots, 0, -1)
        (head, status, strategy, cap, batch, grown, written), tasks, places, states, described, slots = (
            pipeline.execute()
        )
        self._runner.check(feature_id, head, written)
        numbers = encoding.parse_members(described)
        found = {task: json.loads(state) for task, state in states.items() if task in numbers}
        fields = encoding.parse_head(head)
        fields.pop("base", None)  # no field of the feature itself
        feature = Feature(
            **fields,
            tasks=tuple(encoding.parse_task(tasks[task], task) for task in numbers),
        )
        specialists = {
            task.id: Place.parse(places[task.id]).specialist
            for task in feature.tasks
            if task.estimate is None
        }
        return Shape(
            feature=feature,
            status=status,
            strategy=schema.word(Strategy, strategy),
            cap=int(cap),
            open=int(batch),
            grown=int(grown or 0),
            batches=numbers,
            ranks={task: Place.parse(places[task]).rank for task in numbers},
            started={
                task: state["status"]
                for task, state in found.items()
                if state["attempt"] or task in slots or state["status"] not in OPEN_TO_DEPENDENCIES
            },
            resolved=frozenset(task for task, state in found.items() if state.get("resolved")),
            learned=sketch.medians(self._features.durations(feature.title, specialists)),
        )

    @reads_feature
    def before_growth(self, feature_id: str, task_id: str) -> tuple[str, int]:
        """A task as it is stored, and how many tasks its feature has: before a canvas comes into its place."""
        keys = self._runner.keys.feature(feature_id)
        pipeline = self._runner.client.pipeline(transaction=True)
        pipeline.hget(keys.tasks, task_id)
        pipeline.hget(keys.meta, "total")
        stored, total = pipeline.execute()
        return str(stored or "{}"), int(total or 0)

    @reads_feature
    def states(self, feature_id: str, batches: Iterable[int] | None = None) -> list[TaskState]:
        """The states of a feature's tasks, by batch, in launch order: of some batches, else of all.

        Raises:
            NoSuchFeature: There is none of this id.
        """
        keys = self._runner.keys.feature(feature_id)
        numbers = None if batches is None else list(batches) or [0]  # HMGET wants one; no batch is 0
        pipeline = self._runner.client.pipeline(transaction=True)
        if numbers is None:
            for key in (keys.tasks, keys.states, keys.plan, keys.batches):
                pipeline.hgetall(key)
        else:
            pipeline.hmget(keys.batches, [str(number) for number in numbers])
        pipeline.hmget(keys.meta, ["status", "schema"])
        pipeline.zrange(keys.ready, 0, -1)
        pipeline.zrange(keys.slots, 0, -1, withscores=True)
        pipeline.zrange(keys.delayed, 0, -1, withscores=True)
        pipeline.smembers(keys.unassigned)
        pipeline.hgetall(keys.waits)
        pipeline.hgetall(keys.waiting)
        *hashes, described, (status, written), ready, slots, delayed, unassigned, waits, waiting = (
            pipeline.execute()
        )
        self._runner.check(feature_id, status, written)
        members = encoding.parse_members(described, numbers)
        if numbers is None:
            tasks, states, places = hashes
        elif members:
            ids = list(members)
            read = self._runner.client.pipeline(transaction=False)
            for key in (keys.tasks, keys.states, keys.plan):
                read.hmget(key, ids)
            tasks, states, places = (dict(zip(ids, values, strict=True)) for values in read.execute())
        else:
            return []
        live = StoredStates(
            ready, slots, delayed, unassigned, waits, awaited_limits(self._runner, keys, waiting)
        )
        return list(live.states(members, tasks, states, places, status))

    @reads_feature
    def states_of(self, feature_id: str, task_ids: Iterable[str]) -> list[TaskState]:
        """The states of some tasks, without those that do not exist. The cost does not depend on the feature's size.

        Raises:
            NoSuchFeature: There is none of this id.
        """
        keys, ids = self._runner.keys.feature(feature_id), list(dict.fromkeys(task_ids)) or [""]
        pipeline = self._runner.client.pipeline(transaction=True)
        pipeline.hmget(keys.meta, ["status", "schema"])
        pipeline.hgetall(keys.waiting)
        for key in (keys.tasks, keys.states, keys.plan, keys.waits):
            pipeline.hmget(key, ids)
        for task in ids:
            for key in (keys.ready, keys.slots, keys.delayed):
                pipeline.zscore(key, task)
            pipeline.sismember(keys.unassigned, task)
        (status, written), waiting, *found = pipeline.execute()
        self._runner.check(feature_id, status, written)
        tasks, states, places, waits = (pair(ids, values) for values in found[:4])
        ready, slots, delayed = (pair(ids, found[4 + at :: 4]) for at in range(3))
        unassigned = [task for task, is_there in zip(ids, found[7::4], strict=True) if is_there]
        members = {task: Place.parse(places.get(task)).batch for task in ids if task in tasks}
        awaited = awaited_limits(self._runner, keys, waiting, of=ids)
        live = StoredStates(ready, slots.items(), delayed.items(), unassigned, waits, awaited)
        return list(live.states(members, tasks, states, places, status))

    @reads_feature
    def unresolved(self, feature_id: str, batch: int, most: int) -> list[str]:
        """Some of the tasks that keep a batch open: stopped ones first, then started ones, then the others."""
        members, states = (
            self._features.batch(feature_id, batch),
            self._runner.keys.feature(feature_id).states,
        )
        found: list[tuple[int, str]] = []
        for chunk in chunks(members):
            for task, stored in zip(chunk, self._runner.client.hmget(states, chunk), strict=True):
                state = json.loads(stored or "{}")
                if not state.get("resolved"):
                    status = state.get("status", TaskStatus.PENDING)
                    rank = 0 if status in STOPPED else 2 if status == TaskStatus.PENDING else 1
                    found.append((rank, task))
        return [task for _, task in heapq.nsmallest(most, found, key=lambda one: one[0])]

    @reads_feature
    def resting(self, feature_id: str) -> list[str]:
        """The tasks of all batches that wait for a person. Tasks that were never launched are not read."""
        keys = self._runner.keys.feature(feature_id)
        found = set(map(str, self._runner.client.smembers(keys.unassigned)))
        for task, stored in self._runner.client.hscan_iter(keys.states, count=CHUNK):
            state = json.loads(stored)
            if state.get("status") in RESTING and not state.get("resolved"):
                found.add(str(task))
        return sorted(found)

    def in_slots(self, feature_id: str, most: int) -> list[str]:
        """Some of the tasks that hold a slot."""
        slots = self._runner.client.zrange(self._runner.keys.feature(feature_id).slots, 0, most - 1)
        return [str(task) for task in slots]

    @reads_feature
    def before(self, feature_id: str, task_id: str) -> Sketch | None:
        """How long the task's specialist took for it in features with the same title; None if that is not known."""
        keys = self._runner.keys.feature(feature_id)
        title, place = (
            self._runner.client.hget(keys.meta, "title"),
            self._runner.client.hget(keys.plan, task_id),
        )
        specialist = Place.parse(str(place or "")).specialist
        return self._features.durations(str(title), {task_id: specialist}).get(task_id)

    @reads_feature
    def state(self, feature_id: str, task_id: str) -> TaskState:
        """The state of one task.

        Raises:
            NoSuchFeature, NoSuchTask: There is none of this id.
        """
        for state in self.states_of(feature_id, [task_id]):
            return state
        raise errors.NoSuchTask(feature=feature_id, task=task_id)

    @reads_feature
    def specialist(self, feature_id: str, task_id: str) -> str:
        """The specialist of a task, by its route or a later change (a person, an escalation); "" if it has none yet.

        Raises:
            NoSuchTask: There is no such task.
        """
        place: Any = self._runner.client.hget(self._runner.keys.feature(feature_id).plan, task_id)
        if place is None:
            raise errors.NoSuchTask(feature=feature_id, task=task_id)
        return Place.parse(place).specialist

    def gate_outcomes(self, feature_id: str) -> dict[str, Outcome]:
        """The outcomes of a feature's gates that have run, by name, such as "@testing"."""
        return self.outcomes(feature_id, identifiers.GATES)

    @reads_feature
    def attempt(self, feature_id: str, task_id: str) -> Mapping[str, Any]:
        """The stored state of the latest attempt at a task, or at the gates of a feature; empty if there was none."""
        stored: Any = self._runner.client.hget(self._runner.keys.feature(feature_id).states, task_id)
        state: Mapping[str, Any] = json.loads(stored or "{}")
        return state

    def attempts(self, feature_id: str, task_ids: Sequence[str]) -> dict[str, int]:
        """The number of the latest attempt at each of some tasks; one that was never attempted is left out."""
        stored: Any = self._runner.client.hmget(self._runner.keys.feature(feature_id).states, list(task_ids))
        states = zip(task_ids, stored, strict=True)
        numbers = {task: json.loads(state or "{}").get("attempt", 0) for task, state in states}
        return {task: number for task, number in numbers.items() if number}

    def deliveries(self, attempts: Sequence[tuple[str, str, int]]) -> list[tuple[str, str]]:
        """The worker and the delivery that started each (feature, task, attempt), or two empty texts."""
        pipeline = self._runner.client.pipeline(transaction=False)
        for feature_id, task_id, _ in attempts:
            pipeline.hget(self._runner.keys.feature(feature_id).states, task_id)
        found = [json.loads(state or "{}") for state in pipeline.execute()]
        return [
            (str(state.get("worker") or ""), str(state.get("delivery") or ""))
            if state.get("attempt") == attempt
            else ("", "")
            for state, (_, _, attempt) in zip(found, attempts, strict=True)
        ]

    @reads_feature
    def outcomes(self, feature_id: str, task_ids: Sequence[str]) -> dict[str, Outcome]:
        """The outcomes of the tasks' last attempts, without missing ones and kinds that this version does not know."""
        if not task_ids:
            return {}
        found = self._runner.client.hmget(self._runner.keys.feature(feature_id).outcomes, list(task_ids))
        return {
            task: outcome
            for task, stored in zip(task_ids, found, strict=True)
            if stored is not None and (outcome := encoding.parse_outcome(stored)) is not None
        }
