"""The way in from Python: plan and enqueue features, and find those that were enqueued."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import redis

from orchestrator.client import adoption, preparation
from orchestrator.client.handle import Handle
from orchestrator.model import commands, errors
from orchestrator.model.garbage import collector_paused
from orchestrator.model.progress import Progress, Unreadable
from orchestrator.state import connections

if TYPE_CHECKING:
    from celery import Celery, Signature

    from orchestrator.client.claim import Claim
    from orchestrator.client.in_process import InProcessWorker
    from orchestrator.client.usage import By, UsageReport
    from orchestrator.config.settings import Settings
    from orchestrator.engine.dispatcher import Dispatcher
    from orchestrator.engine.installation import Installation
    from orchestrator.model.commands import ScheduleResult
    from orchestrator.model.feature import Feature
    from orchestrator.model.plan import Plan, Route
    from orchestrator.planning.limits import Limit
    from orchestrator.state.models import ModelLimit
    from orchestrator.state.store import Store


class Client:
    """Enqueues features, and finds those that were enqueued.

    It opens connections when it needs them. `close()`, or the end of the `with`, closes them.

    Args:
        settings: The settings; if left out, those of the working folder.
        app: A Celery app that runs features. If it is left out with the settings, the one in which this program has
            called `install`; else one is made from the settings.

    Raises:
        InvalidConfiguration: The settings cannot be used.
        NoRedisServer, RedisDidNotStart: No Redis is configured, and none can be started here.

    Example:
        with Client() as client:
            handle = client.enqueue(feature)
            print(handle.wait(timeout=600).status)
    """

    def __init__(self, settings: Settings | None = None, app: Celery | None = None) -> None:
        self._given = settings
        if app is not None:
            self.app = app
        if settings is None or app is not None:
            from orchestrator.engine import installation

            self.engine = installation.of(self.app).for_programs
            settings = self.engine.settings
        self.settings = settings
        self.store = self._open_store()
        self._knows_limits = False
        self.worker = self._open_worker()

    def _open_store(self) -> Store:
        return connections.open_store(self.settings)

    def _open_worker(self) -> InProcessWorker | None:
        """A worker in this process, where the Redis lies in its memory and no other process can reach it."""
        if not self.settings.redis.is_in_memory:
            return None
        from orchestrator.client.in_process import InProcessWorker

        return InProcessWorker(self.settings, self.store, lambda: self.engine, lambda: self.dispatcher)

    @cached_property
    def app(self) -> Celery:
        """The Celery app that publishes. It is made when it is needed: a client that only reads imports no Celery."""
        if self._given is None:
            from orchestrator.engine import installation

            if found := installation.latest():
                return found.app
            from orchestrator import celery

            return celery.app
        from orchestrator.engine import guest

        return guest.app_of(self._given)

    @cached_property
    def engine(self) -> Installation:
        """The engine in the app."""
        from orchestrator.engine import installation

        return installation.of(self.app)

    @cached_property
    def dispatcher(self) -> Dispatcher:
        """Publishes tasks that may start."""
        from orchestrator.engine.dispatcher import open_dispatcher

        return open_dispatcher(self.engine, self.store, pooled=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections of this client. It opens new ones if it is used again."""
        self.store.client.close()

    def plan(self, feature: Feature) -> Plan:
        """Plan a feature under the cap in force, and store nothing.

        For tasks without an estimate, Redis knows how long they took in features of this title, if it answers.

        Raises:
            InvalidFeature: It is over a limit.
            CircularDependency, NotParallel: It cannot be planned.
        """
        from orchestrator.feature_file import reader
        from orchestrator.planning import planner, routing

        reader.check(feature, self.settings.limits)
        learned: dict[str, float] = {}
        with contextlib.suppress(redis.RedisError, errors.NoSpecialist, errors.UnknownSpecialist):
            learned = self.store.features.learned(feature, routing.route(feature, self.settings))
        return planner.plan(feature, self.settings.parallelism.max_parallel_tasks, learned=learned)

    @collector_paused()
    def enqueue(
        self,
        feature: Feature | Signature[Any],
        *,
        idempotency_key: str | None = None,
        auto_launch: bool | None = None,
        stops: Sequence[int] = (),
        assign: Mapping[str, str] | None = None,
    ) -> Handle:
        """Store a feature, start what may start, and return at once.

        Args:
            feature: A feature, or a canvas of Celery's, which becomes one (see `adopt`).
            idempotency_key: A name for this call, of 1 to 200 printable characters. A second call with the same key
                within a week stores nothing and returns the first feature (`Handle.repeated` is true then).
            auto_launch: False: after each batch the feature waits for `launch`. None: as configured.
            stops: Numbers of batches before which it waits for `launch` in any case.
            assign: Specialists for tasks that no tag routes, by task id. Where the fallback is ask_user, a task that
                is neither routed nor assigned waits for `Handle.assign`.

        Raises:
            NotAFeature: The canvas has a part that cannot be carried over.
            InvalidFeature, CircularDependency, NotParallel: It cannot be planned.
            UnknownSpecialist, NothingToDo, InlineCommandRefused: A task has nobody to do it.
            CallRefused, BadCall: A task calls what it may not, or with arguments that do not fit.
            NoSuchResource, NotEnough: A task needs more of a resource than there is.
            TooManyOverlaps: Its tasks touch too many of the same files.
            BudgetTooLarge: It asks for more money than the settings allow.
            FeatureExists: Another feature has its id.
            BadKey: The idempotency key is empty, too long, or cannot be printed.
            KeyTaken: The idempotency key stands for a feature of other content.
            RedisUnreachable: Nothing was stored.
            BrokerUnreachable: It is stored, and starts when the broker answers a worker.
            Exception: The task's own, where the app says `task_always_eager` and `task_eager_propagates`.
        """
        from orchestrator.client import checks
        from orchestrator.engine import tracing
        from orchestrator.feature_file import reader
        from orchestrator.planning import planner, repetition, routing

        feature = adoption.as_feature(feature)
        if idempotency_key is not None:
            repetition.check_key(idempotency_key)
        reader.check(feature, self.settings.limits)
        routes = routing.route(feature, self.settings, assign or {})
        learned = self.store.features.learned(feature, routes)
        schedule = planner.schedule(feature, self.settings.parallelism.max_parallel_tasks, learned=learned)
        checks.check_work(feature, routes, self.settings)
        if any(task.call for task in feature.tasks):
            from orchestrator.engine import call_checks

            call_checks.check(self.app, feature.tasks)
        self._make_limits_known()
        launch = self.settings.parallelism.auto_launch if auto_launch is None else auto_launch
        content = (
            repetition.content(feature, auto_launch=auto_launch, stops=stops, assign=assign)
            if idempotency_key
            else {}
        )
        store = partial(
            self.store.enqueue,
            plan=schedule,
            routes=routes,
            flow=self.settings.feature_flow_for(feature.tags),
            gated=preparation.gated_stages(feature, self.settings),
            auto_launch=launch,
            stops=stops,
            idempotency_key=idempotency_key,
            content=content,
            base=preparation.base(routes.values(), self.settings),
            launches=True,
        )

        def put(feature_id: str) -> tuple[str, str, ScheduleResult | None]:
            return tracing.publish_enqueue(self.app, feature_id, lambda trace: store(feature_id, trace=trace))

        code, feature_id, scheduled = preparation.under_an_id(feature, put)
        if scheduled:
            self.dispatcher.send(commands.follow_up(scheduled))
        else:
            checks.check_repetition(self.store, str(idempotency_key), feature, content, feature_id)
        handle = self._handle(feature_id, repeated=code == "repeated")
        if self.worker and self.worker.is_eager:
            self.worker.finish(handle)
        return handle

    def recommend(
        self, feature_id: str | None = None, task_id: str | None = None, *, tags: Iterable[str] | None = None
    ) -> Route:
        """Which specialist gets a task, and why.

        Args:
            feature_id, task_id: An enqueued task. A change by a person or an escalation counts.
            tags: The tags of a task that is not enqueued.

        Raises:
            NoTaskNamed: Neither is given, or both.
            BadTags: They cannot be tags.
            NoSuchFeature, NoSuchTask: There is none of this id.

        Example:
            client.recommend(tags=["backend", "bug"]).specialist
        """
        from orchestrator.planning import routing

        if tags is not None and feature_id is task_id is None:
            return routing.by_tags(tags, self.settings)
        if feature_id is None or task_id is None or tags is not None:
            raise errors.NoTaskNamed
        task = self.store.tasks.find(feature_id, task_id)
        stands_with = self.store.tasks.specialist(feature_id, task_id)
        state = self.store.tasks.attempt(feature_id, task_id)
        return routing.current(
            task,
            stands_with,
            self.settings,
            escalated=bool(state.get("escalated")),
            rung=int(state.get("rung", 0)),
        )

    def feature(self, feature_id: str) -> Handle:
        """A handle on a feature that was enqueued before.

        Raises:
            NoSuchFeature: There is none of this id.
        """
        self.store.features.summary(feature_id)
        return self._handle(feature_id)

    def claim(
        self,
        specialist: str = "",
        *,
        feature: str = "",
        wait: float = 0.0,
        worker: str = "",
        look: Callable[[float], object] | None = None,
    ) -> Claim | None:
        """Claim the next task that waits for an agent (`agent: {runtime: pull}`); None: there is none.

        No other agent gets it while the claim is renewed: each report does that for `mcp.lease`.

        Args:
            specialist: Whose task, by name or title; "": of any specialist with agents that ask for work.
            feature: Of this feature alone; "": of any.
            wait: Seconds to wait for a task.
            worker: The name of the agent, as `status` shows it; else of this process.
            look: Called before each look for a task, with the seconds since the first.

        Raises:
            NotClaimed: Agents claim no tasks of this specialist.
            BadPrompt: The prompt of a specialist cannot be read.
            NoSuchFeature: There is none of this id.

        Example:
            if claim := client.claim("reviewer", wait=60):
                claim.complete(review(claim.brief))
        """
        from orchestrator.client import claim

        return claim.claim(self, specialist, feature=feature, wait=wait, worker=worker, look=look)

    def claimed(self, token: str) -> Claim:
        """A claim by its token (`Claim.token`), in any process. It renews the lease.

        Raises:
            NoSuchClaim: It is no claim.
            ClaimEnded: Its agent does not have the task any more.
        """
        from orchestrator.client import claim

        return claim.claimed(self, token)

    def features(self, newest: int = 50) -> list[Progress]:
        """The progress of the newest features, newest first, without those that cannot be read (see `overview`)."""
        return [found for found in self.overview(newest) if isinstance(found, Progress)]

    def overview(self, newest: int = 50, *, active: bool = False) -> list[Progress | Unreadable]:
        """The newest features, newest first, with those that cannot be read, as when a newer version wrote them.

        Args:
            newest: The most features.
            active: Add the older ones that are not over.
        """
        ids = self.store.features.newest(newest)
        older = sorted(set(self.store.features.active()) - set(ids)) if active else []
        found = self.store.features.overview(older)
        found.sort(key=lambda one: -one.created if isinstance(one, Progress) else 0)
        return [*self.store.features.overview(ids), *found]

    def forget(self, feature_id: str) -> None:
        """Forget a feature that is over: its state, and its folders on this machine.

        Raises:
            NoSuchFeature: There is none of this id.
            NotOver: It goes on, or waits for a person.
            StillRuns: An attempt of it has not ended yet.
        """
        from orchestrator.state import folders

        found = folders.removable(self.settings, self.store, feature_id)
        code, status = self.store.delete_feature(feature_id)
        match code:
            case "missing":
                raise errors.NoSuchFeature(feature=feature_id)
            case "refused":
                raise errors.NotOver(feature=feature_id, status=status)
            case "running":
                raise errors.StillRuns(feature=feature_id, status=status)
        folders.remove(self.settings, self.store, found)

    def prune(self, older_than: float, *, dry_run: bool = False) -> tuple[list[str], list[Path]]:
        """Forget features that have been over for some time, and remove folders of forgotten features.

        Worktrees of agents go too: of features that are over, if all is integrated and older than `workspaces.keep`.

        Args:
            older_than: Seconds.
            dry_run: Only return what would go.

        Returns:
            The ids of the features, and the folders on this machine.
        """
        from orchestrator.state import folders, retention

        features = retention.forget_old(self.store, older_than, portion=None, dry_run=dry_run)
        own = [path for one in features for path in folders.removable(self.settings, self.store, one)]
        found = list(dict.fromkeys([*own, *folders.orphans(self.settings, self.store, older_than)]))
        from orchestrator.client import delivery

        if not dry_run:
            folders.remove(self.settings, self.store, found)
        found += [Path(one.folder) for one in delivery.clean_up(self, dry_run=dry_run) if one.folder]
        return features, found

    def usage(self, feature_id: str | None = None, by: By | None = None) -> UsageReport:
        """What agents have used: their tokens, and what they cost.

        Args:
            feature_id: Of this feature; None: of all, on the last 30 days.
            by: What the rows are: task, specialist or model; without a feature also day.

        Raises:
            NoSuchFeature: There is none of this id.
            CannotSum, NamesNoFeature: There is no such sum.

        Example:
            print(client.usage("nightly").total.price)
        """
        from orchestrator.client import usage

        return usage.read(self.store, self.settings.allowed(), feature_id, by)

    def limits(self) -> list[Limit]:
        """The limits over all features: how much there is, who holds it, how many tasks wait for it."""
        self._make_limits_known()
        return self.store.limits.all()

    def models(self) -> list[ModelLimit]:
        """The models whose limit an agent has met: when each opens again, and how many may work with it then."""
        return self.store.models.all()

    def set_limit(self, name: str, amount: int | str) -> Limit:
        """Change a limit at once, until its setting changes. Running tasks go on to their end.

        Args:
            name: total, specialist:NAME, rate:NAME, or the name of a resource.
            amount: How much there is to be; for a rate 30/m or 30/m burst 5; none ends a limit.

        Returns:
            The limit as it stands now.

        Raises:
            NoSuchLimit: No specialist and no resource is called so.
            BadLimit: The limit cannot have this amount.

        Example:
            client.set_limit("specialist:writer", 5)
        """
        from orchestrator.planning import limits

        self._make_limits_known()
        known = [limit.name for limit in self.store.limits.all()]
        limit, stored = limits.change(name, str(amount), self.settings, known)
        self._wake(self.store.limits.set(limit, stored))
        return self.store.limits.find(limit)

    def reset_limits(self) -> list[Limit]:
        """Set every limit as it is configured."""
        from orchestrator.planning import limits

        self._wake(self.store.limits.configure(limits.configured(self.settings), reset=True))
        return self.store.limits.all()

    def _make_limits_known(self) -> None:
        """Store the configured limits, once. Where none is configured here, those of the workers stay."""
        if self._knows_limits:
            return
        from orchestrator.planning import limits

        configured = limits.configured(self.settings)
        if configured:
            self._wake(self.store.limits.configure(configured))
        self._knows_limits = True

    def _wake(self, features: Sequence[str]) -> None:
        self.dispatcher.send([commands.ScheduleFeature(feature) for feature in features])

    def _handle(self, feature_id: str, *, repeated: bool = False) -> Handle:
        open_dispatcher = lambda: self.dispatcher  # noqa: E731
        return Handle(
            feature_id, self.store, self.settings, open_dispatcher, repeated=repeated, worker=self.worker
        )


def enqueue(
    feature: Feature | Signature[Any], *, idempotency_key: str | None = None, settings: Settings | None = None
) -> Handle:
    """Store a feature, start what may start, and return in milliseconds, with no connection left open.

    Safe in a web request or in another Celery task. The handle opens a connection when it needs one.

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
