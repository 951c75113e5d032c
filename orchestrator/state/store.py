"""The state in Redis, composed of its parts: one short method for each script in `lua/`."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from orchestrator.model import errors, flows
from orchestrator.model.feature import Feature, FeatureStatus, Strategy
from orchestrator.model.flows import FeatureFlow
from orchestrator.model.queues import Queues
from orchestrator.model.usage import MICRO
from orchestrator.state import encoding, schema
from orchestrator.state.chunks import chunks
from orchestrator.state.events import EventReader
from orchestrator.state.features import FeatureReader
from orchestrator.state.redis_client import RedisClient
from orchestrator.state.script_runner import SCHEDULE, ScriptRunner, read_schedule_result
from orchestrator.state.scripts import Call
from orchestrator.state.tasks import TaskReader
from orchestrator.state.workers import Workers

if TYPE_CHECKING:
    import redis
    from redis.client import Pipeline

    from orchestrator.model.commands import ScheduleResult
    from orchestrator.model.plan import Route, Schedule
    from orchestrator.model.task import Task
    from orchestrator.state.attempts import AttemptScripts
    from orchestrator.state.feature_index import FeatureIndex
    from orchestrator.state.figures import FigureScripts
    from orchestrator.state.keys import FeatureKeys, Keys
    from orchestrator.state.limits import LimitScripts
    from orchestrator.state.models import ModelLimits
    from orchestrator.state.offers import Offers
    from orchestrator.state.recovery import RecoveryScripts
    from orchestrator.state.requests import RequestScripts
    from orchestrator.state.usage import UsageScripts

IDEMPOTENCY_DAYS = 7
STAGED_SECONDS = 3_600
REPLACED_SECONDS = 7 * 86_400
"""How long the counts of replaced processes are kept after the last one."""

DEFAULT_FLOW = FeatureFlow("default", flows.SHIPPED_FEATURE_FLOWS["default"])


class Store:
    """The state of all features: it enqueues, schedules and deletes features. Its parts do the rest.

    Args:
        client: A redis-py client that decodes responses; one of fakeredis works too.
        keys: The key names.
        events_kept: About how many events the stream of a feature keeps.
        url: The address of the client without a password, for error texts.
        queues: Celery's queues, if this Redis is also its broker. The scripts then publish the tasks that they launch.
            None: the dispatcher publishes them.
        replicas: How many replicas must have an outcome or a new feature before it counts.
        pulled: The specialists whose tasks wait for agents that claim them (see `offers`).
    """

    def __init__(
        self,
        client: redis.Redis,
        keys: Keys,
        *,
        events_kept: int = 1_000_000,
        url: str = "Redis",
        queues: Queues | None = None,
        replicas: int = 0,
        pulled: Collection[str] = (),
    ) -> None:
        self._runner = runner = ScriptRunner(
            client,
            keys,
            events_kept=events_kept,
            url=url,
            queues=queues,
            replicas=replicas,
            pulled=pulled,
        )
        self.client = client
        self.keys = keys
        self.url = url
        self.queues = queues
        self.features = FeatureReader(runner)
        self.tasks = TaskReader(runner, self.features)
        self.events = EventReader(runner)
        self.workers = Workers(client, keys)

    def held(self) -> contextlib.AbstractContextManager[None]:
        """Keep one connection for the calls of this thread in the block (see `RedisClient.held`)."""
        return self.client.held() if isinstance(self.client, RedisClient) else contextlib.nullcontext()

    # These parts are made when they are used: a command that only reads does not import them.

    @cached_property
    def attempts(self) -> AttemptScripts:
        """The scripts that begin and end attempts."""
        from orchestrator.state.attempts import AttemptScripts

        return AttemptScripts(self._runner)

    @cached_property
    def offers(self) -> Offers:
        """The tasks that wait for agents."""
        from orchestrator.state.offers import Offers

        return Offers(self._runner)

    @cached_property
    def models(self) -> ModelLimits:
        """The limits of models."""
        from orchestrator.state.models import ModelLimits

        return ModelLimits(self._runner)

    @cached_property
    def usage(self) -> UsageScripts:
        """What agents have used."""
        from orchestrator.state.usage import UsageScripts

        return UsageScripts(self._runner)

    @cached_property
    def requests(self) -> RequestScripts:
        """The requests of people."""
        from orchestrator.state.requests import RequestScripts

        return RequestScripts(self._runner, self.tasks.shape, self.schedule)

    @cached_property
    def recovery(self) -> RecoveryScripts:
        """The scripts of the leader."""
        from orchestrator.state.recovery import RecoveryScripts

        return RecoveryScripts(self._runner)

    @cached_property
    def index(self) -> FeatureIndex:
        """Finds features by their status, tags, id and title."""
        from orchestrator.state.feature_index import FeatureIndex

        return FeatureIndex(self._runner)

    @cached_property
    def limits(self) -> LimitScripts:
        """The limits over all features."""
        from orchestrator.state.limits import LimitScripts

        return LimitScripts(self._runner)

    @cached_property
    def figures(self) -> FigureScripts:
        """The figures of the metrics."""
        from orchestrator.state.figures import FigureScripts

        return FigureScripts(self._runner)

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
        content: Mapping[str, str] | None = None,
        trace: Mapping[str, Any] | None = None,
        base: str = "",
        launches: bool = False,
    ) -> tuple[str, str, ScheduleResult | None]:
        """Store a planned feature: stage all of it, then make it visible in one step.

        If the process dies in between, the staged keys expire.

        Args:
            feature_id: Its id.
            plan: Its plan.
            routes: The specialist of each task; a task whose route has none waits for one.
            flow: The feature's status flow.
            gated: The stages that have gates ("testing", "validating"), each with the specialist that runs them.
            auto_launch: False: after each batch the feature waits for a person to launch the next.
            stops: Numbers of batches that wait for a person in any case.
            idempotency_key: A name for this enqueue.
            content: The content that is enqueued under that name (see `repetition.content`).
            trace: Headers to add to each of its messages.
            base: The commit that its agents start from; "": it is not known here.
            launches: Launch the tasks that may start, in the same step.

        Returns:
            "enqueued" and its id, or "repeated" and the id that the idempotency key stands for; and what was launched.

        Raises:
            FeatureExists: Another feature has this id.
            TooManyOverlaps: Its tasks touch too many of the same files.
            NoBarrier: The strategy is dataflow, which has no batches that could wait for a launch.
            NotReplicated: It is stored, but too few replicas have it. Enqueue it again.
        """
        if plan.strategy is Strategy.DATAFLOW and (stops or not auto_launch):
            asked = "stops" if stops else "auto_launch: false"
            raise errors.NoBarrier(title=plan.feature.title, asked=asked)
        keys = self.keys.feature(feature_id)
        if (
            plan.feature.id or idempotency_key
        ):  # an id that was made is new, and enqueue.lua looks in any case
            earlier = self._earlier(keys, idempotency_key)
            if earlier:
                return "repeated", earlier, None
        locks = _locks(plan.feature.tasks)
        staged = keys.staged(uuid.uuid4().hex)
        parts, staging = self._stage(staged, plan, routes, gated or {}, locks)
        meta: dict[str, str | int | float] = {
            "schema": schema.VERSION,
            "title": plan.feature.title,
            "head": _head(feature_id, plan.feature, base),
            "status": FeatureStatus.PLANNING,
            "flow": flow.name,
            "transitions": encoding.describe_transitions(flow.table(list(gated or {}))),
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
        if plan.feature.budget is not None:
            meta["budget"] = round(plan.feature.budget * MICRO)
        if locks or any(task.resources for task in plan.feature.tasks):
            meta["resourced"] = 1
        if locks:
            meta["locks"] = max(max(held) for held in locks.values())
        if plan.feature.result is not None:
            meta["result"] = json.dumps(plan.feature.result)
        if trace:
            meta["trace"] = json.dumps(trace)
        if idempotency_key:
            meta["idempotency"] = idempotency_key
            meta["content"] = json.dumps(dict(content or {}))
        idempotency = self.keys.idempotency(idempotency_key) if idempotency_key else keys.meta
        enqueue = Call(
            "enqueue",
            {
                "idempotency_ms": IDEMPOTENCY_DAYS * 86_400_000 if idempotency_key else 0,
                "staged": staged.part(""),
                "parts": json.dumps(parts),
                "fields": json.dumps([str(part) for pair in meta.items() for part in pair]),
            },
            {"idempotency": idempotency},
        )
        (code, found), *scheduled = self._runner.run_on(
            feature_id,
            enqueue,
            *([SCHEDULE] if launches else []),
            run=partial(self._runner.run_safely, after=staging),
        )
        if code == "exists":
            raise errors.FeatureExists(feature=feature_id)
        is_launched = launches and code == "enqueued"
        return code, found, read_schedule_result(feature_id, *scheduled) if is_launched else None

    def _earlier(self, keys: FeatureKeys, idempotency_key: str | None) -> str:
        """The feature that an idempotency key stands for; "" if there is none.

        Raises:
            FeatureExists: There is none, and the feature exists.
        """
        exists = self.client.exists(keys.meta)  # read before the idempotency key, which is created with it
        if idempotency_key:
            earlier = self.client.get(self.keys.idempotency(idempotency_key))
            if earlier:
                self._runner.run_safely(self._runner.scope())
                return str(earlier)
        if exists:
            raise errors.FeatureExists(feature=keys.feature)
        return ""

    def _stage(
        self,
        keys: FeatureKeys,
        plan: Schedule,
        routes: Mapping[str, Route],
        gated: Mapping[str, str],
        locks: Mapping[str, Sequence[int]],
    ) -> tuple[list[str], Pipeline]:
        """The names of the large parts of a feature, and the commands that write them."""
        batches, places, totals = encoding.describe_batches(
            plan.batches, routes, plan.expected_seconds, plan.cap
        )
        if plan.strategy is Strategy.DATAFLOW:
            places = {
                task: encoding.ranked(rank, places[task]) for rank, task in enumerate(plan.order, start=1)
            }
        for stage, specialist in gated.items():
            places[f"@{stage}"] = f"0:0:{specialist}"
        hashes: dict[str, Mapping[str, Any]] = {
            "tasks": encoding.describe_tasks(plan.feature.tasks, locks),
            "plan": places,
            "batches": batches,
            "counts": totals,
        }
        if plan.strategy is Strategy.DATAFLOW:
            hashes |= encoding.describe_joins(plan)
        pipeline = self.client.pipeline(transaction=False)
        for part, fields in hashes.items():
            for chunk in chunks(list(fields.items())):
                pipeline.hset(keys.part(part), mapping=dict(chunk))
            pipeline.expire(keys.part(part), STAGED_SECONDS)
        return list(hashes), pipeline

    def schedule(self, feature_id: str) -> ScheduleResult:
        """Launch the tasks that may start now.

        Raises:
            NoSuchFeature: There is none of this id.
        """
        (answer,) = self._runner.run_on(feature_id, SCHEDULE)
        return read_schedule_result(feature_id, answer)

    def trace(self, feature_id: str) -> dict[str, Any]:
        """The trace headers of a feature's messages."""
        stored = self.client.hget(self.keys.feature(feature_id).meta, "trace")
        found: dict[str, Any] = json.loads(str(stored)) if stored else {}
        return found

    @cached_property
    def identity(self) -> str:
        """The random name of this state, chosen at the first call."""
        self.client.set(self.keys.identity, uuid.uuid4().hex, nx=True)
        return str(self.client.get(self.keys.identity))

    def refuse(self, reason: str) -> None:
        """Count a message that a worker refused."""
        self.client.hincrby(self.keys.refused, reason, 1)

    def take(self, nonce: str, *, seconds: float) -> bool:
        """Record that a canvas message was taken; False if it was taken before."""
        return bool(self.client.set(self.keys.nonce(nonce), 1, nx=True, px=round(seconds * 1000)))

    def note_replaced(self, worker: str) -> None:
        """Count a process of this worker that was replaced because it did not begin the task that it had taken."""
        pipeline = self.client.pipeline(transaction=True)
        pipeline.hincrby(self.keys.replaced, worker, 1)
        pipeline.expire(self.keys.replaced, REPLACED_SECONDS)
        pipeline.execute()

    def delete_feature(
        self, feature_id: str, older_than: float = 0.0, *, dry_run: bool = False
    ) -> tuple[str, str]:
        """Delete a feature that has been over for some seconds; with `dry_run`, only return what would happen.

        Returns:
            The code (see delete_feature.lua), and its status.
        """
        keys = self.keys.feature(feature_id)
        name = self.client.hget(keys.meta, "idempotency")
        delete = Call(
            "delete_feature",
            {
                "parts": json.dumps(keys.parts()),
                "over_ms": round(older_than * 1000),
                "dry_run": int(dry_run),
            },
            {"idempotency": self.keys.idempotency(str(name)) if name else keys.meta},
        )
        ((code, status),) = self._runner.run_on(feature_id, delete)
        return code, status


def _locks(tasks: Iterable[Task]) -> Mapping[str, Sequence[int]]:
    """The locks between tasks that touch the same files."""
    touches = {task.id: task.touches for task in tasks if task.touches}
    if not touches:
        return {}
    from orchestrator.planning import exclusion  # late: most features touch nothing

    return exclusion.locks(touches)


def _head(feature_id: str, feature: Feature, base: str) -> str:
    return json.dumps(
        {
            "id": feature_id,
            "title": feature.title,
            "description": feature.description,
            "tags": feature.tags,
            **({"base": base} if base else {}),
        }
    )
