"""The way in from Python: enqueue a feature, and hold a handle on it."""

from __future__ import annotations

import contextlib
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import redis
from pydantic import JsonValue

from orchestrator import celery
from orchestrator.config.settings import Settings
from orchestrator.engine import tracing
from orchestrator.engine.app import App, create
from orchestrator.engine.dispatcher import Dispatcher
from orchestrator.feature_file import reader
from orchestrator.model import errors, identifiers, lifecycle, words
from orchestrator.model.event import Event
from orchestrator.model.feature import Feature, FeatureStatus
from orchestrator.model.flows import FeatureEvent, Flow, TaskEvent
from orchestrator.model.lifecycle import Facts
from orchestrator.model.outcome import Completed, Outcome
from orchestrator.model.plan import Plan, Route
from orchestrator.model.progress import Progress, TaskState, Unreadable
from orchestrator.model.task import Task
from orchestrator.planning import extension, limits, planner, repetition, routing
from orchestrator.planning.limits import Limit
from orchestrator.state import connections, folders, outage, retention

WATCH_SECONDS = 1.0
"""How long one wait for events lasts. An event ends it at once."""

LOOK_SECONDS = 0.02
"""Between two looks of `wait` at the progress, however many events come."""

AROUND = 50
"""Of the tasks that hold a task up, so many are looked at."""

NAMED = 5
"""So many tasks are named in the message of a refusal."""

P = ParamSpec("P")
R = TypeVar("R")


def _translated(method: Callable[Concatenate[Client, P], R]) -> Callable[Concatenate[Client, P], R]:
    """Turn what redis-py raises in a method into RedisUnreachable or RedisRefuses."""

    @wraps(method)
    def translating(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with connections.translated(client.store.url):
            return method(client, *args, **kwargs)

    return translating


class Client:
    """Enqueues features and reads what became of them.

    A client opens connections when it needs them. `close()`, or leaving the `with`, ends them.

    Args:
        settings: The settings; those of the working folder where they are left out.
        app: A Celery app made by `orchestrator.engine.app.create`, to be used instead of one made from the settings.

    Raises:
        InvalidConfiguration: The settings cannot be used.
        NoRedisServer, RedisDidNotStart: No Redis is configured, and there is no way to run one here.

    Example:
        with Client() as client:
            handle = client.enqueue(feature)
            print(handle.wait(timeout=600).status)
    """

    def __init__(self, settings: Settings | None = None, app: App | None = None) -> None:
        self.app = app or (create(settings) if settings else celery.app)
        self.settings = self.app.settings
        self.store = connections.open_store(self.settings)
        self.dispatcher = Dispatcher(self.app, self.store, pooled=False)
        self._knows_limits = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection of this client. It opens new ones if it is used again."""
        self.store.client.close()

    def plan(self, feature: Feature) -> Plan:
        """Plan a feature under the cap in force, and store nothing.

        Where a task has no estimate, how long it took in features of this title is asked of Redis, if that answers.

        Raises:
            InvalidFeature: It is over a limit.
            CircularDependency, NotParallel: It cannot be planned.
        """
        reader.check(feature, self.settings.limits)
        learned: dict[str, float] = {}
        with contextlib.suppress(redis.RedisError, errors.NoSpecialist, errors.UnknownSpecialist):
            learned = self.store.learned(feature, routing.route(feature, self.settings))
        return planner.plan(feature, self.settings.parallelism.max_parallel_tasks, learned=learned)

    @_translated
    def enqueue(
        self,
        feature: Feature,
        *,
        idempotency_key: str | None = None,
        auto_launch: bool | None = None,
        stops: Sequence[int] = (),
        assign: Mapping[str, str] | None = None,
    ) -> Handle:
        """Store a feature, start what may start, and return at once.

        Args:
            feature: What to run.
            idempotency_key: A name for it, of 1 to 200 printable characters. Asked for again with the same key
                within a week, the feature of the first time is returned and nothing new is stored (`Handle.repeated`
                says so).
            auto_launch: False: after each batch the feature waits for `launch`. None: as configured.
            stops: Numbers of batches before which it waits for `launch` in any case.
            assign: Specialists for tasks that no tag routes, by task id. Where the fallback is ask_user, a task that
                is neither routed nor assigned waits for `Handle.assign`.

        Raises:
            InvalidFeature, CircularDependency, NotParallel: It cannot be planned.
            UnknownSpecialist, NothingToDo, InlineCommandRefused: A task has nobody to do it.
            NoSuchResource, NotEnough: A task needs of a resource what there is not.
            FeatureExists: Another feature has its id.
            BadKey: The idempotency key is empty, too long, or cannot be printed.
            KeyTaken: The idempotency key stands for a feature of other content.
            RedisUnreachable: Nothing was stored.
            BrokerUnreachable: It is stored, and starts when the broker answers a worker.
        """
        if idempotency_key is not None:
            repetition.check_key(idempotency_key)
        reader.check(feature, self.settings.limits)
        routes = routing.route(feature, self.settings, assign or {})
        learned = self.store.learned(feature, routes)
        schedule = planner.schedule(feature, self.settings.parallelism.max_parallel_tasks, learned=learned)
        check_work(feature, routes, self.settings)
        self._make_limits_known()
        launch = self.settings.parallelism.auto_launch if auto_launch is None else auto_launch
        content = (
            repetition.content(feature, auto_launch=auto_launch, stops=stops, assign=assign)
            if idempotency_key
            else {}
        )
        store = partial(
            self.store.enqueue,
            feature_id := feature.id or make_id(feature.title),
            schedule,
            routes,
            flow=self.settings.feature_flow_for(feature.tags),
            gated=gated_stages(feature, self.settings),
            auto_launch=launch,
            stops=stops,
            idempotency_key=idempotency_key,
            content=content,
        )
        code, feature_id = tracing.publish_enqueue(self.app, feature_id, lambda trace: store(trace=trace))
        if code == "enqueued":
            self._follow_up(self.store.cascade(feature_id))
        else:
            self._check_repetition(str(idempotency_key), feature, content, feature_id)
        return Handle(feature_id, self, repeated=code == "repeated")

    def _check_repetition(
        self, key: str, feature: Feature, content: Mapping[str, str], feature_id: str
    ) -> None:
        """Refuse what asks under a key for something else than the feature that the key stands for."""
        earlier = self.store.content(feature_id)
        differ = [f"id ({feature.id})"] if feature.id not in (None, feature_id) else []
        if earlier is not None and earlier != content:
            stored = self.store.tasks(feature_id)
            differ += repetition.differences(content, earlier, feature.tasks, stored)
        if differ:
            raise errors.KeyTaken(key=key, feature=feature_id, differences=", ".join(differ))

    @_translated
    def recommend(
        self, feature_id: str | None = None, task_id: str | None = None, *, tags: Iterable[str] | None = None
    ) -> Route:
        """Which specialist gets one task, and why.

        Args:
            feature_id, task_id: An enqueued task: who does it, also where a person or an escalation changed that.
            tags: Of a task that is not enqueued: who would do it.

        Raises:
            NoTaskNamed: Neither is given, or both.
            BadTags: These cannot be tags.
            NoSuchFeature, NoSuchTask: There is none of this id.

        Example:
            client.recommend(tags=["backend", "bug"]).specialist
        """
        if tags is not None and feature_id is task_id is None:
            return routing.by_tags(tags, self.settings)
        if feature_id is None or task_id is None or tags is not None:
            raise errors.NoTaskNamed
        task = self.store.task(feature_id, task_id)
        stands_with = self.store.specialist(feature_id, task_id)
        escalated = bool(self.store.attempt(feature_id, task_id).get("escalated"))
        return routing.standing(task, stands_with, self.settings, escalated=escalated)

    @_translated
    def feature(self, feature_id: str) -> Handle:
        """A handle on a feature that was enqueued before.

        Raises:
            NoSuchFeature: There is none of this id.
        """
        self.store.progress(feature_id)
        return Handle(feature_id, self)

    @_translated
    def features(self, newest: int = 50) -> list[Progress]:
        """The progress of the newest features, newest first. What cannot be read is left out (see `overview`)."""
        return [found for found in self.overview(newest) if isinstance(found, Progress)]

    @_translated
    def overview(self, newest: int = 50, *, active: bool = False) -> list[Progress | Unreadable]:
        """The newest features, newest first, with those that cannot be read: as a rule a newer version wrote them.

        Args:
            newest: So many at most.
            active: After them, those that are older and not over.
        """
        ids = self.store.features(newest)
        older = sorted(set(self.store.active()) - set(ids)) if active else []
        found = self.store.overview(older)
        found.sort(key=lambda one: -one.created if isinstance(one, Progress) else 0)
        return [*self.store.overview(ids), *found]

    @_translated
    def forget(self, feature_id: str) -> None:
        """Forget a feature that is over: all that is stored of it, and what this machine keeps in folders.

        Raises:
            NoSuchFeature: There is none of this id.
            NotOver: It goes on, or waits for a person.
            StillRuns: An attempt of it has not ended yet.
        """
        found = folders.removable(self.settings, self.store, feature_id)
        code, status = self.store.forget(feature_id)
        match code:
            case "missing":
                raise errors.NoSuchFeature(feature=feature_id)
            case "refused":
                raise errors.NotOver(feature=feature_id, status=status)
            case "running":
                raise errors.StillRuns(feature=feature_id, status=status)
        folders.remove(self.settings, self.store, found)

    @_translated
    def prune(self, older_than: float, *, dry_run: bool = False) -> tuple[list[str], list[Path]]:
        """Forget features that have been over for so many seconds, and remove folders of features that are gone.

        Args:
            older_than: Seconds.
            dry_run: Only say what would go.

        Returns:
            The ids of the features, and the folders on this machine.
        """
        features = retention.forget_old(self.store, older_than, portion=None, dry_run=dry_run)
        own = [path for one in features for path in folders.removable(self.settings, self.store, one)]
        found = list(dict.fromkeys([*own, *folders.orphans(self.settings, self.store, older_than)]))
        if not dry_run:
            folders.remove(self.settings, self.store, found)
        return features, found

    @_translated
    def limits(self) -> list[Limit]:
        """The limits that hold over all features: how much there is, who holds it, how many tasks wait for it."""
        self._make_limits_known()
        return self.store.limits()

    @_translated
    def set_limit(self, name: str, amount: int | str) -> Limit:
        """Change a limit at once, until it is configured differently. What runs goes on to its end.

        Args:
            name: total, specialist:NAME, rate:NAME, or the name of a resource.
            amount: How much there is to be; for a rate 30/m or 30/m burst 5; none ends a limit.

        Returns:
            The limit as it stands now.

        Raises:
            NoSuchLimit: No specialist and no resource is called so.
            BadLimit: There cannot be so much.

        Example:
            client.set_limit("specialist:writer", 5)
        """
        self._make_limits_known()
        known = [limit.name for limit in self.store.limits()]
        limit, stored = limits.change(name, str(amount), self.settings, known)
        self._wake(self.store.set_limit(limit, stored))
        return self.store.limit(limit)

    @_translated
    def reset_limits(self) -> list[Limit]:
        """Let every limit be as it is configured."""
        self._wake(self.store.configure(limits.configured(self.settings), anew=True))
        return self.store.limits()

    def _make_limits_known(self) -> None:
        """Once; and not where none is configured here, for the workers may know some."""
        if self._knows_limits:
            return
        configured = limits.configured(self.settings)
        if configured:
            self._wake(self.store.configure(configured))
        self._knows_limits = True

    def _wake(self, features: Sequence[str]) -> None:
        self.dispatcher.send([lifecycle.Wake(feature) for feature in features])

    def _follow_up(self, facts: Facts) -> None:
        self.dispatcher.send(lifecycle.follow_up(facts))

    # What a handle asks for. Here, so that errors of the connection are translated in one place.

    @_translated
    def _progress(self, feature_id: str) -> Progress:
        return self.store.progress(feature_id)

    @_translated
    def _states(self, feature_id: str, batches: Sequence[int] | None) -> list[TaskState]:
        return self._titled(self.store.states(feature_id, batches))

    @_translated
    def _resting(self, feature_id: str) -> list[TaskState]:
        found = self.store.resting(feature_id)
        return self._titled(self.store.states_of(feature_id, found) if found else [])

    @_translated
    def _around(self, feature_id: str, task_id: str) -> list[TaskState]:
        task = self.store.task(feature_id, task_id)
        near = self.store.states_of(feature_id, [task_id, *task.depends_on])
        state = near[0]
        others: list[str] = []
        if state.phase == "queued":
            others = self.store.in_slots(feature_id, AROUND)
        elif state.phase == "waiting" and not state.waits:
            open_batch = self.store.progress(feature_id).batch
            others = self.store.unresolved(feature_id, open_batch, AROUND)
        known = {one.id for one in near}
        more = [one for one in others if one not in known]
        return self._titled([*near, *(self.store.states_of(feature_id, more) if more else [])])

    def _titled(self, states: Iterable[TaskState]) -> list[TaskState]:
        """The states with the titles of their specialists."""
        titles = {name: self.settings.title(name) for name in self.settings.specialists}
        return [
            state.model_copy(update={"specialist": titles.get(state.specialist, state.specialist)})
            for state in states
        ]

    @_translated
    def _tasks(self, feature_id: str) -> list[Task]:
        return self.store.tasks(feature_id)

    @_translated
    def _events(self, feature_id: str, after: str, block: float | None) -> list[Event]:
        return self.store.events(feature_id, after, block)

    @_translated
    def _events_gone(self, feature_id: str) -> int:
        return self.store.events_gone(feature_id)

    @_translated
    def _outcome(self, feature_id: str, task_id: str) -> Outcome | None:
        if identifiers.is_gates(task_id):
            self.store.progress(feature_id)
            self.store.specialist(feature_id, task_id)
        else:
            self.store.task(feature_id, task_id)
        return self.store.outcomes(feature_id, [task_id]).get(task_id)

    @_translated
    def _move(self, feature_id: str, task_id: str, /, *events: TaskEvent, note: str = "", **how: Any) -> None:
        flow = self._flow(feature_id, task_id)
        move = lifecycle.move(flow, *events)
        self._follow_up(self.store.move(feature_id, task_id, flow, move, note, **how))

    def _flow(self, feature_id: str, task_id: str) -> Flow:
        if identifiers.is_gates(task_id):
            return lifecycle.ASKED_OF_GATES
        return self.settings.flow_for(self.store.task(feature_id, task_id).tags)

    @_translated
    def _advance(self, feature_id: str, task_id: str, to: str | None, note: str) -> None:
        task = self.store.task(feature_id, task_id)
        flow = self.settings.flow_for(task.tags)
        near = self.store.states_of(feature_id, [task_id, *task.depends_on])
        states = {state.id: state for state in near}
        if flow.rules.validate_prerequisites:
            check_prerequisites(feature_id, states[task_id], states)
        events = lifecycle.path_forward(flow, states[task_id].status, to)
        self._move(feature_id, task_id, *events, note=note, resolve="if-completed")

    @_translated
    def _approve(self, feature_id: str, task_id: str, note: str) -> None:
        task = self.store.task(feature_id, task_id)
        flow = self.settings.flow_for(task.tags)
        events = [TaskEvent.REVIEW_APPROVED]
        if flow.has("in-review") and flow.after("in-review") == "testing":
            stages = lifecycle.stages_ahead(flow, "testing")
            # With gates, a worker takes the task up in testing and runs them; without any, it passes at once.
            if not any(self.settings.task_gates(stage, task.tags) for stage in stages):
                events += lifecycle.path_to_rest(flow, "testing")
        move = lifecycle.at_once(flow, "in-review", *events)
        self._follow_up(self.store.move(feature_id, task_id, flow, move, note, resolve="if-completed"))

    @_translated
    def _assign(self, feature_id: str, task_id: str, specialist: str, note: str) -> None:
        task = self.store.task(feature_id, task_id)
        route = routing.recommend(task.model_copy(update={"specialist": specialist}), self.settings)
        if not task.run and not _has_work(route.specialist, self.settings):
            raise errors.NothingToDo(tasks=task_id, specialist=route.specialist)
        self._follow_up(self.store.assign(feature_id, task_id, route.specialist, note))

    @_translated
    def _grow(
        self,
        feature_id: str,
        tasks: Sequence[Task] = (),
        dependencies: Mapping[str, Sequence[str]] | None = None,
        note: str = "",
    ) -> None:
        def decide(shape: extension.Shape) -> extension.Growth:
            grown = extension.grow(shape, tasks, dependencies, note)
            reader.check(grown.feature, self.settings.limits)
            return grown

        def route(added: Sequence[Task]) -> Mapping[str, Route]:
            part = Feature.model_construct(title=feature_id, tasks=tuple(added))
            routes = routing.route(part, self.settings)
            check_work(part, routes, self.settings)
            return routes

        self._follow_up(self.store.grow(feature_id, decide, route))

    @_translated
    def _steer(
        self, feature_id: str, event: str, changes: Mapping[str, str | int] | None = None, note: str = ""
    ) -> None:
        self._follow_up(self.store.steer(feature_id, event, changes, note))


class Handle:
    """A feature that was enqueued. It holds an id and a client, and reads everything anew when asked."""

    def __init__(self, feature_id: str, client: Client, *, repeated: bool = False) -> None:
        self.id = feature_id
        self.repeated = repeated
        """It was enqueued before, under the same idempotency key."""
        self._client = client

    def __repr__(self) -> str:
        return f"Handle({self.id!r})"

    def progress(self) -> Progress:
        """How far it is, from counters: the same cost for 10 tasks and for 100,000."""
        return self._client._progress(self.id)

    def status(self) -> FeatureStatus:
        """Where it stands."""
        return self.progress().status

    def tasks(self) -> list[Task]:
        """Its tasks as they were enqueued, by batch, in launch order."""
        return self._client._tasks(self.id)

    def states(self, batches: Sequence[int] | None = None) -> list[TaskState]:
        """Where its tasks stand, by batch, in launch order: those of some batches, else all."""
        return self._client._states(self.id, batches)

    def around(self, task_id: str) -> list[TaskState]:
        """Where a task stands, and what holds it up: what it depends on, and some of what holds its slot or its batch.

        The cost does not depend on the size of the feature, but where it waits for a batch on that of the open batch.

        Raises:
            NoSuchTask: The feature has no such task.
        """
        return self._client._around(self.id, task_id)

    def unsettled(self) -> list[TaskState]:
        """Where the tasks stand that matter now: those of the open batch, and of the others what waits for a person.

        The cost is that of the open batch; where a person stopped a task before its turn, that of what has begun too.
        """
        progress = self.progress()
        states = self.states([max(1, progress.batch)])
        if not progress.rests_elsewhere():
            return states
        known = {state.id for state in states}
        elsewhere = [state for state in self._client._resting(self.id) if state.id not in known]
        return sorted([*states, *elsewhere], key=lambda state: state.batch)

    def events(self, after: str = "-", block: float | None = None) -> list[Event]:
        """The events after the one with this id, at most 1,000; `block` waits so many seconds for one."""
        return self._client._events(self.id, after, block)

    def events_gone(self) -> int:
        """How many of its oldest events are gone: of each feature about `limits.events` are kept."""
        return self._client._events_gone(self.id)

    def follow(self, after: str = "-") -> Iterator[Event]:
        """Every event from the oldest, and those to come, until the feature is settled.

        Raises:
            RedisUnreachable: Redis was away for longer than `recovery.outage`.
        """
        ask = self._patience(None)
        while True:
            is_settled = ask(self.progress).is_settled  # read before the events, so that none is missed
            events = ask(partial(self.events, after, block=None if is_settled else WATCH_SECONDS))
            yield from events
            if events:
                after = events[-1].id
            elif is_settled:
                return

    def wait(self, timeout: float | None = None) -> Progress:
        """Wait until nothing more happens to it unless a person acts: completed, cancelled, or stopped.

        Args:
            timeout: Seconds to wait at most.

        Raises:
            WaitTimeout: It is not settled by then. It goes on running.
            RedisUnreachable: Redis is away then, or was away for longer than `recovery.outage`.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        ask = self._patience(deadline)
        after = "$"
        while not (progress := ask(self.progress)).is_settled:
            left = WATCH_SECONDS if deadline is None else min(WATCH_SECONDS, deadline - time.monotonic())
            if left <= 0:
                raise errors.WaitTimeout(
                    feature=self.id,
                    seconds=timeout,
                    status=progress.status,
                    progress=f"{progress.completed} of {progress.total} tasks complete",
                )
            events = ask(partial(self.events, after, block=left))
            if events:
                after = events[-1].id
                time.sleep(LOOK_SECONDS)  # so that a stream of events costs a few looks, not one each
        return progress

    def _patience(self, deadline: float | None) -> Callable[[Callable[[], R]], R]:
        """Asks what outlasts an outage, by a moment of `time.monotonic` at the latest."""

        def ask(read: Callable[[], R]) -> R:
            longest = self._client.settings.recovery.outage
            if deadline is not None:
                longest = max(0.0, min(longest, deadline - time.monotonic()))
            what = f"the wait for {self.id}"
            return outage.outlast(read, what, longest=longest, retry=outage.WATCHING)

        return ask

    def outcome(self, task_id: str) -> Outcome | None:
        """How the last attempt of a task ended; None where none has ended yet.

        Args:
            task_id: A task; or the gates of the feature, "@testing" or "@validating", where it has any.

        Raises:
            NoSuchTask: The feature has no such task.
        """
        return self._client._outcome(self.id, task_id)

    def result(self, task_id: str) -> JsonValue:
        """What a completed task returned.

        Raises:
            NoSuchTask: The feature has no such task.
            NotCompleted: The task is not completed, so there is no result.
        """
        outcome = self.outcome(task_id)
        if not isinstance(outcome, Completed):
            reason = f"{outcome.status}: {outcome.reason}" if outcome else "no attempt has ended yet"
            raise errors.NotCompleted(feature=self.id, task=task_id, reason=reason)
        return outcome.result

    # What a person may ask for. Each of these is one event; a refused one says what would be allowed.

    def cancel(self, note: str = "") -> None:
        """Cancel it: nothing more starts, and its running commands are ended within seconds."""
        self._client._steer(self.id, FeatureEvent.FEATURE_CANCELLED, note=note)

    def fail(self, note: str = "") -> None:
        """Give it up: as `cancel`, and it counts as failed."""
        self._client._steer(self.id, FeatureEvent.FEATURE_FAILED, note=note)

    def pause(self, note: str = "") -> None:
        """Start nothing more until `resume`; what runs goes on to its end."""
        self._client._steer(self.id, FeatureEvent.FEATURE_PAUSED, {"paused": 1}, note)

    def resume(self, note: str = "") -> None:
        """Go on after `pause`."""
        self._client._steer(self.id, FeatureEvent.FEATURE_RESUMED, {"paused": 0}, note)

    def approve_feature(self, note: str = "") -> None:
        """Complete a feature that waits for its review."""
        self._client._steer(self.id, FeatureEvent.FEATURE_APPROVED, note=note)

    def launch(self) -> None:
        """Start the next batch of a feature that waits for it.

        Raises:
            NothingToLaunch: It does not wait for launch.
        """
        progress = self.progress()
        if not progress.awaits_launch:
            raise errors.NothingToLaunch(feature=self.id, batch=progress.batch, status=progress.status)
        self._client._steer(self.id, "launch_requested", {"released": progress.batch + 1})

    def set_cap(self, max_parallel_tasks: int) -> None:
        """Change how many of its tasks may run at once. What runs goes on; the new cap holds for what starts.

        Raises:
            BadCap: It is no number from 1 to 10,000.
        """
        if not 1 <= max_parallel_tasks <= 10_000:
            raise errors.BadCap(cap=max_parallel_tasks)
        self._client._steer(self.id, "cap_changed", {"cap": max_parallel_tasks}, str(max_parallel_tasks))

    def retry(self, task_id: str, note: str = "") -> None:
        """Run a failed task again; its retries begin anew. The note reaches the specialist, as all notes do."""
        self._client._move(self.id, task_id, TaskEvent.RETRY_REQUESTED, note=note, anew=True)

    def unblock(self, task_id: str, note: str = "") -> None:
        """Run a blocked task again, because its obstacle is gone."""
        self._client._move(self.id, task_id, TaskEvent.BLOCKER_RESOLVED, note=note, anew=True)

    def block(self, task_id: str, note: str) -> None:
        """Say that a task cannot go on; a running attempt is ended, and holds its slot until it has ended."""
        self._client._move(self.id, task_id, TaskEvent.BLOCKER_DETECTED, note=note, revoke=True)

    def fail_task(self, task_id: str, note: str = "") -> None:
        """Say that a task has failed; a running attempt is ended, and holds its slot until it has ended."""
        self._client._move(self.id, task_id, TaskEvent.WORK_FAILED, note=note, revoke=True)

    def skip(self, task_id: str, because: str) -> None:
        """Do without a task: it counts as resolved once its last attempt has ended, and what depends on it may run."""
        self._client._move(self.id, task_id, TaskEvent.TASK_SKIPPED, note=because, resolve="resolve")

    def hold(self, task_id: str, note: str = "") -> None:
        """Put a task on hold; a running attempt is ended, and holds its slot until it has ended."""
        self._client._move(self.id, task_id, TaskEvent.TASK_HELD, note=note, revoke=True)

    def resume_task(self, task_id: str, note: str = "") -> None:
        """Take a task up again that was on hold or deferred, once its last attempt has ended."""
        self._client._move(self.id, task_id, TaskEvent.TASK_RESUMED, note=note, anew=True)

    def defer(self, task_id: str, note: str = "") -> None:
        """Put a task off; what depends on it waits until it is resumed or skipped."""
        self._client._move(self.id, task_id, TaskEvent.TASK_DEFERRED, note=note, revoke=True)

    def cancel_task(self, task_id: str, note: str = "") -> None:
        """Cancel one task; what depends on it waits until it is skipped."""
        self._client._move(self.id, task_id, TaskEvent.TASK_CANCELLED, note=note, revoke=True)

    def approve(self, task_id: str, note: str = "") -> None:
        """Approve a task that is in review."""
        self._client._approve(self.id, task_id, note)

    def request_changes(self, task_id: str, note: str) -> None:
        """Send a task that is in review back to its specialist, who gets the note."""
        self._client._move(self.id, task_id, TaskEvent.CHANGES_REQUESTED, note=note, anew=True)

    def advance(self, task_id: str, to: str | None = None, note: str = "") -> None:
        """Move a task on by hand: to the next status of its flow, or to a later one where the rules allow it.

        Of a task that has not started it says that its work was done: only a worker puts a task in progress.

        Raises:
            RefusedTransition, CannotAdvance, AttemptRuns: It cannot be moved from where it stands.
            Unresolved: A dependency is not resolved.
        """
        self._client._advance(self.id, task_id, to, note)

    def assign(self, task_id: str, specialist: str, note: str = "") -> None:
        """Give a task that has not started to a specialist, by name or title."""
        self._client._assign(self.id, task_id, specialist, note)

    def add_task(self, task: Task, note: str = "") -> None:
        """Add a task; it starts as soon as all that it depends on is resolved and its batch is open.

        Raises:
            As `add_tasks`.

        Example:
            handle.add_task(Task(id="T9", title="Mend the schema", depends_on=["T2"]), note="found in review")
        """
        self._client._grow(self.id, [task], note=note)

    def add_tasks(self, tasks: Sequence[Task], note: str = "") -> None:
        """Add tasks, all or none. They may depend on those there are, and on each other.

        Raises:
            FeatureOver: Nothing more happens in the feature.
            InvalidFeature: An id is taken, a dependency is unknown, or the feature would be over a limit.
            CircularDependency: Some tasks would wait for each other.
            UnknownSpecialist, NothingToDo, InlineCommandRefused: A task has nobody to do it.
            NoSuchResource, NotEnough: A task needs of a resource what there is not.
            GrowthContested: The feature changed too fast.
        """
        self._client._grow(self.id, tasks, note=note)

    def depend(self, task_id: str, on: str | Sequence[str], note: str = "") -> None:
        """Let a task that has not started wait for others too; it moves to a later batch where it has to.

        Raises:
            NoSuchTask: The feature has no such task.
            TaskStarted: The task has started already.
            FeatureOver, InvalidFeature, CircularDependency, GrowthContested: As `add_tasks`.
        """
        others = [on] if isinstance(on, str) else list(on)
        self._client._grow(self.id, dependencies={task_id: others}, note=note)


def enqueue(
    feature: Feature, *, idempotency_key: str | None = None, settings: Settings | None = None
) -> Handle:
    """Store a feature, start what may start, and return in milliseconds, with no connection left open.

    Safe from a web request or from inside another Celery task. The handle opens a connection when it is asked.

    Raises:
        As `Client.enqueue`.

    Example:
        handle = enqueue(Feature(title="Login", tasks=[Task(id="T1", run=["make", "login"])]))
    """
    client = Client(settings)
    try:
        return client.enqueue(feature, idempotency_key=idempotency_key)
    finally:
        client.close()


def make_id(title: str) -> str:
    """An id for a feature: its title in a short form, and six random characters.

    Example:
        >>> make_id("Add user login!")[:15]
        'add-user-login-'
    """
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40].strip("-")
    return f"{slug or 'feature'}-{uuid.uuid4().hex[:6]}"


def gated_stages(feature: Feature, settings: Settings) -> dict[str, str]:
    """The stages of the feature's flow that have gates to pass, each with the specialist whose queue runs them."""
    flow = settings.feature_flow_for(feature.tags)
    stages = {"testing": "testing", "validating": "completion"}
    return {
        status: settings.specialist_routing.default
        for status, stage in stages.items()
        if status in flow.statuses and settings.feature_gates(stage, feature.tags)
    }


def check_prerequisites(feature_id: str, state: TaskState, states: Mapping[str, TaskState]) -> None:
    """Refuse to move a task on whose dependencies are not resolved.

    Raises:
        Unresolved: One of them is not.
    """
    waits_for = [dependency for dependency in state.depends_on if not states[dependency].resolved]
    if waits_for:
        raise errors.Unresolved(
            feature=feature_id, task=state.id, dependencies=words.some(waits_for, most=NAMED)
        )


def check_work(feature: Feature, routes: dict[str, Route], settings: Settings) -> None:
    """Refuse a feature with a task that no worker would do.

    Raises:
        InlineCommandRefused: It brings a command of its own, and that is not allowed.
        NothingToDo: Neither it nor its specialist says what to do.
        NoSuchResource, NotEnough: It needs of a resource what there is not.
    """
    limits.check_resources(feature.tasks, settings)
    inline = [task.id for task in feature.tasks if task.run]
    if inline and not settings.inline_commands:
        raise errors.InlineCommandRefused(tasks=words.some(inline, most=NAMED))
    idle: dict[str, list[str]] = {}
    for task in feature.tasks:
        if not task.run and routes[task.id].specialist:
            idle.setdefault(routes[task.id].specialist, []).append(task.id)
    for specialist, tasks in idle.items():
        if not _has_work(specialist, settings):
            raise errors.NothingToDo(tasks=words.some(tasks, most=NAMED), specialist=specialist)


def _has_work(specialist: str, settings: Settings) -> bool:
    from orchestrator.specialists import has_work

    try:
        return has_work(specialist, settings)
    except errors.CannotImport:
        return True  # the callables may be installed where the workers are, and not here
