"""Reads the state in Redis: progress, task states, outcomes, events, limits. It changes nothing."""

from __future__ import annotations

import contextlib
import functools
import heapq
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

import redis

from orchestrator.model import errors, identifiers, words
from orchestrator.model.event import Event
from orchestrator.model.feature import Feature, FeatureStatus, Strategy
from orchestrator.model.flows import STOPPED
from orchestrator.model.outcome import Outcome
from orchestrator.model.plan import Route
from orchestrator.model.progress import Progress, Tail, TaskState, Unreadable
from orchestrator.model.task import RESTING, Task, TaskStatus
from orchestrator.planning import extension, limits, sketch
from orchestrator.planning.extension import Shape
from orchestrator.planning.limits import Holder, Limit
from orchestrator.planning.sketch import Sketch
from orchestrator.state import encoding, refusals, schema, scripts
from orchestrator.state.encoding import Place
from orchestrator.state.keys import FeatureKeys, Keys
from orchestrator.state.scripts import Call, Scope

CHUNK = 1_000
"""How many fields one command reads of a hash that may have very many."""

FEW_FIELDS = 100
"""How many fields of a large hash are read by name; for more, the whole hash is read."""

P = ParamSpec("P")
T = TypeVar("T")


EVENT_ID = re.compile(r"-|[0-9]{1,18}(-[0-9]{1,18})?")
"""A position in a feature's events: "-" for the oldest, or the id of an event."""

FROM_NOW_ON = "$"
"""The position after the newest event, for a reader that waits for the next."""

_REFUSED = re.compile(r"\b(?P<code>NEWER|OUTDATED) (?P<schema>\d+)")
"""The first words of the errors with which check_schema.lua and check_minimum.lua end a script."""


NONSENSE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    redis.DataError,  # a value that was read serves as the next argument, and is not a text
)
"""The errors of reading a value that this program would not have written."""


@contextlib.contextmanager
def readable(feature_id: str) -> Iterator[None]:
    """Turn the errors of malformed values in a feature into UnreadableFeature.

    Raises:
        UnreadableFeature: A value in the feature is malformed.
    """
    try:
        yield
    except redis.ResponseError as error:
        if refusals.code(error) not in ("", "WRONGTYPE"):  # an error of the server, not of the feature
            raise
        raise errors.UnreadableFeature(feature=feature_id, cause=refusals.describe(error)) from error
    except NONSENSE as error:
        cause = f"{type(error).__name__}: {words.one_line(str(error))}"
        raise errors.UnreadableFeature(feature=feature_id, cause=cause) from error


def _readable(method: Callable[Concatenate[Any, str, P], T]) -> Callable[Concatenate[Any, str, P], T]:
    """Decorate a method that reads a feature with `readable`."""

    @functools.wraps(method)
    def read(self: Any, feature_id: str, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with readable(feature_id):
            return method(self, feature_id, *args, **kwargs)

    return read


class StateReader:
    """Reads the state of all features.

    Args:
        client: A redis-py client that decodes responses; one of fakeredis works too.
        keys: The key names.
    """

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self.client = client
        self.keys = keys

    def _scope(self, feature_id: str = "") -> Scope:
        return Scope(self.keys, feature_id)

    def _run(self, call: Call) -> Any:
        (answer,) = scripts.run(self.client, self._scope(), call)
        return answer

    def _run_on(
        self,
        feature_id: str,
        *calls: Call,
        ends: bool = False,
        run: Callable[..., list[Any]] | None = None,
    ) -> list[Any]:
        """Run scripts on one feature as one script, unless a newer version wrote the feature (see check_schema.lua).

        Args:
            feature_id: The feature.
            calls: The scripts.
            ends: They read, or end work that has begun: they run even if this version may begin no new work.
            run: Runs them, for example and waits for replicas; None: only runs them.
        """
        checks = [Call("check_schema", {"known": schema.VERSION})]
        if not ends:
            checks.append(Call("check_minimum", {"known": schema.VERSION}))
        scope = self._scope(feature_id)
        try:
            return run(scope, *checks, *calls) if run else scripts.run(self.client, scope, *checks, *calls)
        except redis.ResponseError as error:
            refused = _REFUSED.search(refusals.describe(error))
            if refused is None:
                raise
            met = int(refused["schema"])
        if refused["code"] == "NEWER":
            raise errors.NewerFeature(feature=feature_id, schema=met, known=schema.VERSION)
        raise errors.Outdated(prefix=self.keys.prefix, minimum=met, known=schema.VERSION)

    def _check(self, feature_id: str, exists: object, written: str | bytes | None) -> None:
        """Raise if a feature does not exist, or a newer version wrote it.

        Args:
            feature_id: Its id.
            exists: A field of its meta that every feature has; None if there is no such feature.
            written: The schema that it was written in.
        """
        if exists is None:
            raise errors.NoSuchFeature(feature=feature_id)
        if schema.number(written) > schema.VERSION:
            raise errors.NewerFeature(feature=feature_id, schema=schema.number(written), known=schema.VERSION)

    # --- the versions under the prefix -------------------------------------------------------------------

    def minimum(self) -> int:
        """The oldest schema whose workers may work under this prefix; 0 if none is required."""
        return schema.number(self.client.get(self.keys.minimum), nothing=0)

    def newer(self) -> list[str]:
        """The ids of the active features that newer versions wrote."""
        active = self.active()
        pipeline = self.client.pipeline(transaction=False)
        for feature in active:
            pipeline.hget(self.keys.feature(feature).meta, "schema")
        written = pipeline.execute() if active else []
        numbers = map(schema.number, written)
        return [feature for feature, number in zip(active, numbers, strict=True) if number > schema.VERSION]

    # --- lists of features -------------------------------------------------------------------------------

    def features(self, newest: int = 50) -> list[str]:
        """The ids of the newest features, newest first."""
        return [str(feature) for feature in self.client.zrevrange(self.keys.features, 0, newest - 1)]

    def active(self) -> list[str]:
        """The ids of the features that are not over."""
        return sorted(map(str, self.client.smembers(self.keys.active)))

    def finished(self, older_than: float, most: int, start: int = 0) -> list[str]:
        """Ids of features that have been over for `older_than` seconds, oldest first: `most` at most, from `start`."""
        seconds, micros = self.client.time()
        until = seconds * 1000 + micros // 1000 - round(older_than * 1000)
        return [str(one) for one in self.client.zrangebyscore(self.keys.finished, "-inf", until, start, most)]

    def starting_with(self, beginning: str) -> list[str]:
        """The feature ids that begin with a text."""
        pattern = re.sub(r"([*?\[\]\\^])", r"\\1", beginning) + "*"
        found = self.client.zscan_iter(self.keys.features, match=pattern, count=CHUNK)
        return sorted(str(feature) for feature, _ in found)

    def exists(self, feature_id: str) -> bool:
        """Whether there is a feature of this id."""
        return bool(self.client.exists(self.keys.feature(feature_id).meta))

    # --- one feature -------------------------------------------------------------------------------------

    def feature_summary(self, feature_id: str) -> Progress:
        """How far a feature is. The cost does not depend on its size.

        Raises:
            NoSuchFeature: There is none of this id.
            UnreadableFeature: It cannot be read; NewerFeature: a newer version wrote it.
        """
        with readable(feature_id):
            (answer,) = self._run_on(feature_id, Call("feature_summary"), ends=True)
            if answer is None:
                raise errors.NoSuchFeature(feature=feature_id)
            return encoding.parse_progress(feature_id, json.loads(answer))

    def overview(self, feature_ids: Iterable[str]) -> list[Progress | Unreadable]:
        """How far features are, in the given order. One that cannot be read does not hide the others."""
        found: list[Progress | Unreadable] = []
        for feature_id in feature_ids:
            try:
                found.append(self.feature_summary(feature_id))
            except errors.NoSuchFeature:  # it was deleted meanwhile
                continue
            except errors.UnreadableFeature as error:
                found.append(self._unreadable(feature_id, error))
        return found

    def _unreadable(self, feature_id: str, error: errors.UnreadableFeature) -> Unreadable:
        reason = str(error).splitlines()[0]
        if isinstance(error, errors.NewerFeature):
            reason = f"a newer version wrote it (schema {error.schema}; this one reads up to {error.known})"
        title = status = None
        with contextlib.suppress(redis.ResponseError):  # its meta is not a hash
            title, status = self.client.hmget(self.keys.feature(feature_id).meta, ["title", "status"])
        return Unreadable(id=feature_id, title=title or "", status=status or "", unreadable=reason)

    @_readable
    def head(self, feature_id: str) -> dict[str, Any]:
        """The feature without its tasks: id, title, description, tags.

        Raises:
            NoSuchFeature: There is none of this id.
        """
        head = self.client.hget(self.keys.feature(feature_id).meta, "head")
        if head is None:
            raise errors.NoSuchFeature(feature=feature_id)
        return encoding.parse_head(head)

    @_readable
    def content(self, feature_id: str) -> dict[str, str] | None:
        """The content that was enqueued under an idempotency key; None if that is not known."""
        found = self.client.hget(self.keys.feature(feature_id).meta, "content")
        return dict(json.loads(found)) if found else None

    @_readable
    def batch(self, feature_id: str, number: int) -> list[str]:
        """The ids of the tasks of one batch, in launch order; empty if there is no such batch."""
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
        with readable(feature_id):
            return encoding.parse_task(found, task_id)

    def tasks(self, feature_id: str) -> list[Task]:
        """All the tasks as they were enqueued, by batch, in launch order.

        Raises:
            NoSuchFeature: There is none of this id.
        """
        keys = self.keys.feature(feature_id)
        self._check(feature_id, *self.client.hmget(keys.meta, ["head", "schema"]))
        tasks, batches = self.client.hgetall(keys.tasks), self.client.hgetall(keys.batches)
        with readable(feature_id):
            return [encoding.parse_task(tasks[task], task) for task in encoding.parse_members(batches)]

    @_readable
    def dependencies(self, feature_id: str) -> dict[str, list[str]]:
        """The dependencies of each task. Does not parse the rest of the tasks, because there may be very many."""
        tasks: Any = self.client.hgetall(self.keys.feature(feature_id).tasks)
        return {task: json.loads(stored).get("depends_on", []) for task, stored in tasks.items()}

    def durations(self, title: str, specialists: Mapping[str, str]) -> dict[str, Sketch]:
        """How long tasks took in features with the same title; a task that was never completed is left out.

        Args:
            title: The title.
            specialists: The specialist of each task; durations of other specialists do not count.
        """
        key = self.keys.durations(title)
        fields = [f"{specialist} {task}" for task, specialist in specialists.items()]
        if len(fields) <= FEW_FIELDS:
            found = self.client.hmget(key, fields) if fields else []
        else:
            known = self.client.hgetall(key)
            found = [known.get(field) for field in fields]
        return {task: Sketch.parse(str(text)) for task, text in zip(specialists, found, strict=True) if text}

    def learned(self, feature: Feature, routes: Mapping[str, Route]) -> dict[str, float]:
        """The usual seconds of each task that has no estimate but was completed in earlier features."""
        unknown = {task.id: routes[task.id].specialist for task in feature.tasks if task.estimate is None}
        return sketch.medians(self.durations(feature.title, unknown)) if unknown else {}

    @_readable
    def shape(self, feature_id: str) -> Shape:
        """The data of a feature that its growth is planned from, read in one step.

        Raises:
            NoSuchFeature: There is none of this id.
        """
        keys = self.keys.feature(feature_id)
        pipeline = self.client.pipeline(transaction=True)
        pipeline.hmget(keys.meta, ["head", "status", "strategy", "cap", "batch", "grown", "schema"])
        for key in (keys.tasks, keys.plan, keys.states, keys.batches):
            pipeline.hgetall(key)
        pipeline.zrange(keys.slots, 0, -1)
        (head, status, strategy, cap, batch, grown, written), tasks, places, states, described, slots = (
            pipeline.execute()
        )
        self._check(feature_id, head, written)
        numbers = encoding.parse_members(described)
        found = {task: json.loads(state) for task, state in states.items() if task in numbers}
        feature = Feature(
            **encoding.parse_head(head),
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
                if state["attempt"] or task in slots or state["status"] not in extension.OPEN_TO_DEPENDENCIES
            },
            resolved=frozenset(task for task, state in found.items() if state.get("resolved")),
            learned=sketch.medians(self.durations(feature.title, specialists)),
        )

    @_readable
    def states(self, feature_id: str, batches: Iterable[int] | None = None) -> list[TaskState]:
        """The states of a feature's tasks, by batch, in launch order: of some batches, else of all.

        Raises:
            NoSuchFeature: There is none of this id.
        """
        keys = self.keys.feature(feature_id)
        numbers = None if batches is None else list(batches) or [0]  # HMGET wants one; no batch is 0
        pipeline = self.client.pipeline(transaction=True)
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
        self._check(feature_id, status, written)
        members = encoding.parse_members(described, numbers)
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
        live = _Live(ready, slots, delayed, unassigned, waits, self._limits_of(keys, waiting))
        return list(live.states(members, tasks, states, places, status))

    @_readable
    def states_of(self, feature_id: str, task_ids: Iterable[str]) -> list[TaskState]:
        """The states of some tasks, without those that do not exist. The cost does not depend on the feature's size.

        Raises:
            NoSuchFeature: There is none of this id.
        """
        keys, ids = self.keys.feature(feature_id), list(dict.fromkeys(task_ids)) or [""]
        pipeline = self.client.pipeline(transaction=True)
        pipeline.hmget(keys.meta, ["status", "schema"])
        pipeline.hgetall(keys.waiting)
        for key in (keys.tasks, keys.states, keys.plan, keys.waits):
            pipeline.hmget(key, ids)
        for task in ids:
            for key in (keys.ready, keys.slots, keys.delayed):
                pipeline.zscore(key, task)
            pipeline.sismember(keys.unassigned, task)
        (status, written), waiting, *found = pipeline.execute()
        self._check(feature_id, status, written)
        tasks, states, places, waits = (_paired(ids, values) for values in found[:4])
        ready, slots, delayed = (_paired(ids, found[4 + at :: 4]) for at in range(3))
        unassigned = [task for task, is_there in zip(ids, found[7::4], strict=True) if is_there]
        members = {task: Place.parse(places.get(task)).batch for task in ids if task in tasks}
        awaited = self._limits_of(keys, waiting, of=ids)
        live = _Live(ready, slots.items(), delayed.items(), unassigned, waits, awaited)
        return list(live.states(members, tasks, states, places, status))

    @_readable
    def unresolved(self, feature_id: str, batch: int, most: int) -> list[str]:
        """Some of the tasks that keep a batch open: stopped ones first, then started ones, then the others."""
        members, states = self.batch(feature_id, batch), self.keys.feature(feature_id).states
        found: list[tuple[int, str]] = []
        for start in range(0, len(members), CHUNK):
            chunk = members[start : start + CHUNK]
            for task, stored in zip(chunk, self.client.hmget(states, chunk), strict=True):
                state = json.loads(stored or "{}")
                if not state.get("resolved"):
                    status = state.get("status", TaskStatus.PENDING)
                    rank = 0 if status in STOPPED else 2 if status == TaskStatus.PENDING else 1
                    found.append((rank, task))
        return [task for _, task in heapq.nsmallest(most, found, key=lambda one: one[0])]

    @_readable
    def resting(self, feature_id: str) -> list[str]:
        """The tasks of all batches that wait for a person. Tasks that were never launched are not read."""
        keys = self.keys.feature(feature_id)
        found = set(map(str, self.client.smembers(keys.unassigned)))
        for task, stored in self.client.hscan_iter(keys.states, count=CHUNK):
            state = json.loads(stored)
            if state.get("status") in RESTING and not state.get("resolved"):
                found.add(str(task))
        return sorted(found)

    def in_slots(self, feature_id: str, most: int) -> list[str]:
        """Some of the tasks that hold a slot."""
        slots = self.client.zrange(self.keys.feature(feature_id).slots, 0, most - 1)
        return [str(task) for task in slots]

    @_readable
    def before(self, feature_id: str, task_id: str) -> Sketch | None:
        """How long the task's specialist took for it in features with the same title; None if that is not known."""
        keys = self.keys.feature(feature_id)
        title, place = self.client.hget(keys.meta, "title"), self.client.hget(keys.plan, task_id)
        specialist = Place.parse(str(place or "")).specialist
        return self.durations(str(title), {task_id: specialist}).get(task_id)

    def _limits_of(
        self, keys: FeatureKeys, waiting: Mapping[str, str], of: Sequence[str] | None = None
    ) -> dict[str, str]:
        """Each task that waits for a limit, with the limit: of some tasks, else of all."""
        names = [place.split(" ")[0] for place in waiting.values()]
        pipeline = self.client.pipeline(transaction=False)
        for kind in waiting:
            if of is None:
                pipeline.zrange(keys.waiting_of(kind), 0, -1)
            for task in of or ():
                pipeline.zscore(keys.waiting_of(kind), task)
        found = pipeline.execute() if waiting else []
        if of is not None:
            size = len(of)
            found = [_paired(of, found[at * size : (at + 1) * size]) for at in range(len(names))]
        return {task: limit for limit, tasks in zip(names, found, strict=True) for task in tasks}

    @_readable
    def state(self, feature_id: str, task_id: str) -> TaskState:
        """The state of one task.

        Raises:
            NoSuchFeature, NoSuchTask: There is none of this id.
        """
        for state in self.states_of(feature_id, [task_id]):
            return state
        raise errors.NoSuchTask(feature=feature_id, task=task_id)

    @_readable
    def specialist(self, feature_id: str, task_id: str) -> str:
        """The specialist of a task, by its route or a later change (a person, an escalation); "" if it has none yet.

        Raises:
            NoSuchTask: There is no such task.
        """
        place: Any = self.client.hget(self.keys.feature(feature_id).plan, task_id)
        if place is None:
            raise errors.NoSuchTask(feature=feature_id, task=task_id)
        return Place.parse(place).specialist

    def gate_outcomes(self, feature_id: str) -> dict[str, Outcome]:
        """The outcomes of a feature's gates that have run, by name, such as "@testing"."""
        return self.outcomes(feature_id, identifiers.GATES)

    @_readable
    def attempt(self, feature_id: str, task_id: str) -> Mapping[str, Any]:
        """The stored state of the latest attempt at a task, or at the gates of a feature; empty if there was none."""
        stored: Any = self.client.hget(self.keys.feature(feature_id).states, task_id)
        state: Mapping[str, Any] = json.loads(stored or "{}")
        return state

    def deliveries(self, attempts: Sequence[tuple[str, str, int]]) -> list[tuple[str, str]]:
        """The worker and the delivery that started each (feature, task, attempt), or two empty texts."""
        pipeline = self.client.pipeline(transaction=False)
        for feature_id, task_id, _ in attempts:
            pipeline.hget(self.keys.feature(feature_id).states, task_id)
        found = [json.loads(state or "{}") for state in pipeline.execute()]
        return [
            (str(state.get("worker") or ""), str(state.get("delivery") or ""))
            if state.get("attempt") == attempt
            else ("", "")
            for state, (_, _, attempt) in zip(found, attempts, strict=True)
        ]

    @_readable
    def outcomes(self, feature_id: str, task_ids: Sequence[str]) -> dict[str, Outcome]:
        """The outcomes of the tasks' last attempts, without missing ones and kinds that this version does not know."""
        if not task_ids:
            return {}
        found = self.client.hmget(self.keys.feature(feature_id).outcomes, list(task_ids))
        return {
            task: outcome
            for task, stored in zip(task_ids, found, strict=True)
            if stored is not None and (outcome := encoding.parse_outcome(stored)) is not None
        }

    @_readable
    def events(self, feature_id: str, after: str = "-", block: float | None = None) -> list[Event]:
        """The events after a stream id ("-": from the oldest), at most 1,000.

        Args:
            feature_id: The feature.
            after: The id of the last known event; "$" for the newest, to wait for the next (`block`).
            block: If there is no event, wait up to this many seconds for one.

        Raises:
            BadCursor: `after` is not the id of an event.
        """
        waits_for_new = after == FROM_NOW_ON and block is not None
        if not (waits_for_new or EVENT_ID.fullmatch(after)):
            raise errors.BadCursor(cursor=after)
        stream = self.keys.feature(feature_id).events
        if block is None:
            start = after if after == "-" else f"({after}"
            entries: Any = self.client.xrange(stream, min=start, count=1_000)
        else:
            start = "0" if after == "-" else after
            answer = self.client.xread({stream: start}, count=1_000, block=max(1, round(block * 1000)))
            entries = _entries(answer)
        return [encoding.parse_event(entry, fields) for entry, fields in entries]

    @_readable
    def tail(self, feature_id: str, task_id: str) -> Tail | None:
        """The end of the output of a task's running attempt; None if there is none."""
        kept: Any = self.client.hget(self.keys.feature(feature_id).tails, task_id)
        return encoding.parse_tail(kept) if kept else None

    @_readable
    def events_gone(self, feature_id: str) -> int:
        """How many of a feature's oldest events were trimmed, because it had more than are kept."""
        return int(self.client.get(self.keys.feature(feature_id).gone) or 0)

    @_readable
    def last_event(self, feature_id: str) -> str:
        """The id of the newest event, for `events(after=…)`; "-" if there is none."""
        newest: Any = self.client.xrevrange(self.keys.feature(feature_id).events, count=1)
        return str(newest[0][0]) if newest else "-"

    # --- limits across features --------------------------------------------------------------------------

    def limits(self) -> list[Limit]:
        """Every limit in force with its holders, by name."""
        amounts = self.client.hgetall(self.keys.limits)
        return [self._limit(str(name), str(amounts[name])) for name in sorted(amounts)]

    def limit(self, name: str) -> Limit:
        """A limit as it stands now; a limit that is not in force has no amount and no holders."""
        return self._limit(name, str(self.client.hget(self.keys.limits, name) or "0"))

    def _limit(self, name: str, amount: str) -> Limit:
        pipeline = self.client.pipeline(transaction=True)
        pipeline.hget(self.keys.used, name)
        pipeline.hgetall(self.keys.holders(name))
        pipeline.zrange(self.keys.waiting(name), 0, -1)
        pipeline.hget(self.keys.arrival_times, name)
        pipeline.time()
        used, holders, queue, arrival, (seconds, micros) = pipeline.execute()
        entries = [entry.split(" ", 1) for entry in queue]
        waiting = self.client.pipeline(transaction=False)
        for feature, kind in entries:
            waiting.zcard(self.keys.feature(feature).waiting_of(kind))
        next_token = None
        if " " in amount:
            interval, burst = amount.split()
            earliest = float(arrival or 0) - (int(burst) - 1) * float(interval)
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


@dataclass(frozen=True)
class _Live:
    """The waits and holds of tasks, which are stored in other keys than their states."""

    ready: Iterable[str]
    slots: Iterable[tuple[str, float]]
    delayed: Iterable[tuple[str, float]]
    unassigned: Iterable[str]
    waits: Mapping[str, str]
    awaited: Mapping[str, str]

    def states(
        self,
        members: Mapping[str, int],
        tasks: Mapping[str, str],
        states: Mapping[str, str | None],
        places: Mapping[str, str | None],
        status: str,
    ) -> Iterator[TaskState]:
        """The states of tasks, given as {task: its batch}."""
        phases = dict.fromkeys(self.ready, "queued")
        phases |= {task: "launched" if leased <= 0 else "" for task, leased in self.slots}
        due = {task: moment / 1000 for task, moment in self.delayed}
        phases |= dict.fromkeys(due, "delayed") | dict.fromkeys(self.unassigned, "unassigned")
        phases |= dict.fromkeys(self.awaited, "limited")
        for task, batch in members.items():
            yield encoding.parse_state(
                encoding.parse_task(tasks[task], task),
                json.loads(states.get(task) or "{}"),
                specialist=Place.parse(places.get(task)).specialist,
                batch=batch,
                phase=phases.get(task, "waiting"),
                due=due.get(task),
                waits=int(self.waits.get(task, 0)),
                limit=self.awaited.get(task, ""),
                is_cancelled=status in (FeatureStatus.CANCELLED, FeatureStatus.FAILED),
            )


def _paired(ids: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """Each id that has a value, with that value."""
    return {task: value for task, value in zip(ids, values, strict=True) if value is not None}


def _entries(answer: Any) -> list[tuple[str, dict[str, str]]]:
    """The entries of one stream from an XREAD answer, whose shape depends on the protocol (RESP 2 or 3)."""
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
