"""The pages."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import redis
from tornado.web import HTTPError

from orchestrator.client import answers, explaining, task_log
from orchestrator.contract import compact
from orchestrator.model import errors
from orchestrator.model.feature import FeatureStatus
from orchestrator.model.usage import dollars
from orchestrator.planning import routing
from orchestrator.report import json_features, json_plans, json_tasks
from orchestrator.web import access, api, listing, parts, texts
from orchestrator.web.handler import COOKIE_DAYS, NO_DOOR, Handler, status_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.client.handle import Handle
    from orchestrator.contract.feature_answers import TaskLine
    from orchestrator.contract.task_answers import TaskAnswer
    from orchestrator.model.progress import Progress

LISTED = 300
"""A feature with more tasks lists those of its open batch, and the sizes of the others."""

SHOWN_EVENTS = 50

SHOWN_LOG = 64 * 1024
"""Bytes of a task's output that its page shows: its end."""


class Page(Handler):
    """A page, in Flower's frame."""

    def refuse(self) -> None:
        """Let somebody in by the secret in the address, or say how to get in."""
        if self.site.has_password:
            self.redirect(f"{self.get_login_url()}?{urlencode({'next': self.request.uri})}")
            return
        given = self.get_query_argument("secret", "")
        if access.is_same(given, self.site.secret):
            self.set_secure_cookie(
                self.cookie,
                access.proof(given),
                expires_days=COOKIE_DAYS,
                httponly=True,
                samesite="Lax",  # a link in another program leads here too
                secure=self.request.protocol == "https",
            )
            self.redirect(self.request.path)  # the secret leaves the address, and the browser's history
            return
        self.set_status(403)
        self.show("features_refused.html", reason=NO_DOOR)

    def show(self, template: str, **given: Any) -> None:
        """Answer with one of our templates."""
        self.render(template, site=self.site, **texts.FUNCTIONS, **given)

    def write_error(self, status_code: int, **given: Any) -> None:
        """Show an error as a page. Tornado calls this."""
        error = (given.get("exc_info") or (None, None))[1]
        match error:
            case errors.OrchestratorError():
                status, text = status_of(error), str(error)
            case redis.RedisError():
                status, text = 503, "Redis is away. The page works again when it answers."
            case HTTPError() if status_code in (403, 404, 400):
                status, text = status_code, error.log_message or self._reason
            case _:
                super().write_error(status_code, **given)
                return
        self.set_status(status)
        self.show("features_refused.html", reason=text)

    async def find(self, feature_id: str) -> Handle:
        """The feature that the address names.

        Raises:
            NoSuchFeature: There is none of this id.
        """
        return await self.site.run(self.site.client.feature, feature_id)


class Features(Page):
    """The features, newest first."""

    async def get(self) -> None:
        """GET /features."""
        asked = listing.Asked(
            text=self.get_query_argument("q", ""),
            status=self.get_query_argument("status", ""),
            tag=self.get_query_argument("tag", ""),
            after=self.get_query_argument("after", ""),
        )
        found = await self.site.run(listing.features, self.site.client, asked)
        self.show("features.html", asked=asked, found=found, statuses=list(FeatureStatus), now=time.time())


class Batch(NamedTuple):
    """A batch in the list of tasks."""

    number: int
    size: int
    lines: Sequence[TaskLine]
    """Its tasks; none if they are not listed."""


class Drawing(NamedTuple):
    """The data of the page of a feature, beside its parts."""

    handle: Handle
    drawn: parts.FeatureParts
    batches: Sequence[Batch]
    events: Sequence[Any]
    cursor: str


class Feature(Page):
    """A feature: where it stands, what it waits for, its tasks, its events."""

    async def get(self, feature_id: str) -> None:
        """GET /feature/ID."""
        handle = await self.find(feature_id)
        self.show("feature.html", **(await self.site.run(self._read, handle))._asdict())

    def _read(self, handle: Handle) -> Drawing:
        client = self.site.client
        cursor = client.store.events.last(handle.id)  # read first, so that no event is missed
        progress = handle.progress()
        last = _last_events(handle, cursor)
        return Drawing(
            handle,
            parts.of_feature(self.site, handle, progress),
            self._batches(handle, progress),
            last,
            cursor,
        )

    def _batches(self, handle: Handle, progress: Progress) -> list[Batch]:
        client, now = self.site.client, time.time()
        titles = answers.titles(client)
        listed = None if progress.total <= LISTED else [max(1, progress.batch)]
        lines: dict[int, list[TaskLine]] = {}
        for state in handle.states(listed):
            lines.setdefault(state.batch, []).append(
                json_features.task_line(state, progress.batch, now, titles=titles)
            )
        sizes = client.store.features.batch_sizes(handle.id)
        return [Batch(number, size, lines.get(number, ())) for number, size in sorted(sizes.items())]


def _last_events(handle: Handle, cursor: str) -> list[Any]:
    events = handle.store.events.latest(handle.id, SHOWN_EVENTS)
    return [json_tasks.event_line(event) for event in events]


class TaskDrawing(NamedTuple):
    """The data of the page of a task."""

    handle: Handle
    progress: Progress
    task: TaskAnswer
    drawn: parts.TaskParts
    log: task_log.Part
    before: Sequence[TaskLine]
    behind: Sequence[TaskLine]
    cost: str
    cursor: str


class Task(Page):
    """A task: why it does not start, its attempts, its output, what it depends on."""

    async def get(self, feature_id: str, task_id: str) -> None:
        """GET /feature/ID/task/TASK."""
        handle = await self.find(feature_id)
        self.show("task_of_feature.html", **(await self.site.run(self._read, handle, task_id))._asdict())

    def _read(self, handle: Handle, task_id: str) -> TaskDrawing:
        client = self.site.client
        cursor = client.store.events.last(handle.id)
        found = explaining.explain(client, handle, task_id)
        outcome = handle.outcome(task_id)
        task = answers.task(
            client,
            handle,
            task_id,
            whole=True,
            brief=json_tasks.brief(found.task),
        )
        dependencies = client.store.tasks.dependencies(handle.id)
        behind = [other for other, needed in dependencies.items() if task_id in needed]
        now = time.time()
        lines = {
            one.id: json_features.task_line(one, found.progress.batch, now)
            for one in handle.states_of([*found.task.depends_on, *behind[:LISTED]])
        }
        return TaskDrawing(
            handle=handle,
            progress=found.progress,
            task=task,
            drawn=parts.of_task(self.site, handle, found),
            log=task_log.news(client, handle, task_id, task_log.NOTHING, SHOWN_LOG) or task_log.NOTHING,
            before=[lines[one] for one in found.task.depends_on if one in lines],
            behind=[lines[one] for one in behind if one in lines],
            cost=_cost(task, outcome),
            cursor=cursor,
        )


def _cost(task: TaskAnswer, outcome: Any) -> str:
    """What its agents have cost; else the cost of the last attempt, if its result has one (`total_cost_usd`)."""
    if task.cost is not None:
        return dollars(task.cost)
    result = getattr(outcome, "result", None)
    cost = result.get("total_cost_usd") if isinstance(result, dict) else None
    return f"{cost:.4f} USD" if isinstance(cost, int | float) else ""


class Plan(Page):
    """A feature that is not enqueued: what would run when."""

    async def get(self) -> None:
        """GET /features/plan."""
        self.show("features_plan.html", text="", plan=None, snapshot=None, error=None, feature=None)

    async def post(self) -> None:
        """POST /features/plan: plan what was pasted; with `enqueue`, enqueue it."""
        text = self.get_body_argument("text", "", strip=False)
        try:
            if self.get_body_argument("enqueue", ""):
                await self._enqueue()
                return
            feature, plan, snapshot = await self.site.run(self._plan)
        except errors.CircularDependency as error:
            self.show(
                "features_plan.html", text=text, plan=None, snapshot=_cyclic(error), error=error, feature=None
            )
        except errors.OrchestratorError as error:
            self.set_status(status_of(error))
            self.show("features_plan.html", text=text, plan=None, snapshot=None, error=error, feature=None)
        else:
            self.show(
                "features_plan.html", text=text, plan=plan, snapshot=snapshot, error=None, feature=feature
            )

    async def _enqueue(self) -> None:
        from orchestrator.state import actor

        def enqueue() -> Handle:
            with actor.acting(self.visitor):
                return self.site.client.enqueue(api.read_feature(self))

        handle = await self.site.run(enqueue)
        self.redirect(self.reverse_url("feature", handle.id), status=303)

    def _plan(self) -> tuple[Any, Any, Any]:
        feature = api.read_feature(self)
        planned = self.site.client.plan(feature)
        answer = json_plans.plan(planned, routing.route(feature, self.site.settings), limit=listing.MOST)
        batch_of = {task: batch.number for batch in planned.batches for task in batch.tasks}
        snapshot = {
            "title": feature.title,
            "cap": planned.cap,
            "critical_path": list(planned.critical_path),
            "tasks": [
                {
                    "task": task.id,
                    "title": "" if task.name == task.id else task.name,
                    "status": "pending",
                    "batch": batch_of[task.id],
                    "depends_on": list(task.depends_on),
                }
                for task in feature.tasks
            ],
        }
        return feature, answer, as_script(snapshot)


def _cyclic(error: errors.CircularDependency) -> str:
    """The cycles of a feature that cannot be planned, as the drawing takes them."""
    cycles = [list(path) for path in error.paths]
    tasks: dict[str, set[str]] = {}
    for path in cycles:
        for task, needed in zip(path, [*path[1:], path[0]], strict=True):
            tasks.setdefault(task, set()).add(needed)
    lines = [
        {"task": task, "status": "pending", "batch": 1, "depends_on": sorted(needed)}
        for task, needed in tasks.items()
    ]
    return as_script({"title": error.title, "tasks": lines, "cycles": cycles, "critical_path": [], "cap": 0})


def as_script(value: Any) -> str:
    """A JSON value that may stand in a script element: nothing in it ends the element.

    Example:
        >>> as_script({"title": "</script>"})
        '{"title":"\\\\u003c/script>"}'
    """
    return compact.write(value).replace("<", "\\u003c")


class Limits(Page):
    """The limits that hold over all features."""

    async def get(self) -> None:
        """GET /features/limits."""
        found = await self.site.run(self.site.client.limits)
        self.show("features_limits.html", limits=[json_plans.limit_line(one, listing.LIMIT) for one in found])
